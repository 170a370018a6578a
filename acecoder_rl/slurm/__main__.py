"""`python -m acecoder_rl.slurm train RECIPE`, as a task of srun's on every node: slurm/run.sh starts it.

Covers: arguments, and which node this is.
Does not cover: all else (lead.py, follow.py).
"""

from __future__ import annotations

import argparse
import sys

from acecoder_rl.slurm.follow import follow
from acecoder_rl.slurm.job import Job, NoJob, Order
from acecoder_rl.slurm.lead import lead


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="python -m acecoder_rl.slurm", description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=("train", "train-rm"))
    parser.add_argument("recipe", metavar="RECIPE")
    parser.add_argument("--set", metavar="A.B=C", action="append", default=[], dest="overrides")
    parser.add_argument("--resume", action="store_true")
    given = parser.parse_args()
    order = Order(given.command, given.recipe, tuple(given.overrides), given.resume)
    try:
        job = Job.here()
    except NoJob as error:
        print(f"acecoder-rl: {error}", file=sys.stderr)
        return 2
    return (follow if job.rank else lead)(job, order)


if __name__ == "__main__":
    sys.exit(main())
