"""A training run as a job of a running Ray cluster: `acecoder-rl train RECIPE --address http://head:8265`.

Covers: shipping this folder, starting `acecoder-rl train` there, its progress here, stopping it from here.
Does not cover: the run itself, which is the same there (train.py), starting a cluster (slurm/).
"""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

from acecoder_rl.training.errors import NotInstalled, RunFailed, Stopped
from acecoder_rl.training.launch import signals_raise
from acecoder_rl.training.load import load_recipe
from acecoder_rl.training.plan import explain
from acecoder_rl.training.recipe import RecipeError

# Not needed there, and large.
LEFT_OUT = ["runs/", ".venv/", ".git/", "**/__pycache__/"]


def submit(address: str, recipe_file: Path, overrides: Iterable[str], resume: bool) -> None:
    """Run there, following it to its end; Ctrl-C and SIGTERM stop it there.

    Args:
        address: of the cluster's dashboard.

    Raises:
        RecipeError: what is wrong with the recipe, as far as it can be told here.
        NotInstalled: this Python has no ray[default].
        RunFailed: the job failed, or the cluster cannot be reached.
        Stopped: a signal came; the job has been stopped.
    """
    overrides = list(overrides)
    recipe = load_recipe(recipe_file, overrides)
    explain(recipe, str(recipe_file))  # raises what is wrong
    folder = recipe.logging.folder or ""
    if not os.path.isabs(folder):
        raise RecipeError(
            [
                f"{recipe_file}: logging.folder is {folder!r}, which would be in the job's own copy of this folder: "
                "give an absolute path on storage that the nodes share"
            ]
        )
    if Path(recipe_file).is_absolute() and not Path(recipe_file).is_relative_to(Path.cwd()):
        raise RecipeError([f"{recipe_file} is outside this folder, which is what the job gets: copy it here"])
    inside = os.path.relpath(recipe_file)
    command = ["python", "-m", "acecoder_rl.cli", "train", inside]
    command += [part for override in overrides for part in ("--set", override)] + ["--resume"] * resume
    try:
        from ray.job_submission import JobSubmissionClient
    except ImportError as error:
        raise NotInstalled(
            f"--address needs Ray's job client ({error}): pip install 'ray[default]==2.55.0'"
        ) from error
    try:
        client = JobSubmissionClient(address)
        job = client.submit_job(
            entrypoint=shlex.join(command), runtime_env={"working_dir": ".", "excludes": LEFT_OUT}
        )
    except (ConnectionError, RuntimeError) as error:
        raise RunFailed(f"{address} takes no job: {error}") from error
    print(f"job {job} at {address}: {shlex.join(command)}", file=sys.stderr)
    with signals_raise():
        try:
            asyncio.run(_follow(client, job))
        except Stopped as stopped:
            client.stop_job(job)
            raise Stopped(
                stopped.number,
                f"stopped by {signal.Signals(stopped.number).name}: job {job} ends in an orderly way",
            ) from None
    status = client.get_job_status(job)
    if status != "SUCCEEDED":
        raise RunFailed(f"job {job}: {status}; its whole log: {folder}/train.log")


async def _follow(client: object, job: str) -> None:
    async for lines in client.tail_job_logs(job):  # type: ignore[attr-defined]
        print(lines, end="", file=sys.stderr, flush=True)
