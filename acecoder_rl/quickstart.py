"""`make quickstart`: real RL training on a CPU, with the figures before and after.

Covers: the starter model, an evaluation, `recipes/quickstart.yaml`, the same evaluation of what came out, the report.
Does not cover: any of these themselves (starter/model.py, evaluation/, training/).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from acecoder_rl.commands.told import errors_told, training_told
from acecoder_rl.evaluation.pass_at_k import Judged, gain, judge
from acecoder_rl.evaluation.sampling import Job, SamplingFailed, sample
from acecoder_rl.sandbox import Sandbox
from acecoder_rl.starter import model
from acecoder_rl.training.checks import check
from acecoder_rl.training.data import prepare
from acecoder_rl.training.load import load_recipe
from acecoder_rl.training.recipe import Recipe
from acecoder_rl.training.run_folder import RunFolder
from acecoder_rl.training.train import train
from reward_fns.config import sandbox_settings

RECIPE = "recipes/quickstart.yaml"
SAMPLES = 8
# SMOKE=1 proves the path in minutes and claims nothing.
SMOKE = (
    "data.max_prompts=4",
    "rollout.batch_size=2",
    "rollout.n_samples_per_prompt=4",
    "train.batch_size=8",
    "train.micro_batch_size=8",
)
SMOKE_PROBLEMS = 4

console = Console(stderr=True)


def quickstart(overrides: list[str], smoke: bool) -> dict[str, Any]:
    """Run it all; the report, which is also in <run>/report.json.

    Args:
        overrides: of the recipe, as `acecoder-rl train --set` takes them.
        smoke: a few steps and problems only.
    """
    began = time.monotonic()
    overrides = [*(SMOKE if smoke else ()), *overrides]
    run = _free(RunFolder(load_recipe(RECIPE, overrides).logging.folder or "runs/quickstart"))
    overrides.append(f"logging.folder={run.path}")
    recipe = load_recipe(RECIPE, overrides)
    check(recipe, RECIPE)  # training would, but only after the first evaluation
    with _told(f"model: SmolLM2-135M-Instruct -> {recipe.model.path}"):
        model.make(Path(recipe.model.path).expanduser())
    seconds: dict[str, float] = {}
    with _told("evaluating before training", seconds):
        before = _evaluate(recipe, run, recipe.model.path, "before", smoke)
    with _told("training", seconds):
        train(RECIPE, overrides)
    with _told("evaluating after training", seconds):
        after = _evaluate(recipe, run, str(run.model), "after", smoke)
    report = _report(before, after, smoke) | {
        "seconds": {name: round(value) for name, value in seconds.items()} | {"all": round(time.monotonic() - began)}
    }
    (run.path / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    _tell(report, run)
    return report


def _free(run: RunFolder) -> RunFolder:
    """The folder, or the next of its name that no run has used: a second quickstart needs no clean-up."""
    number, found = 2, run
    while found.used:
        found = RunFolder(f"{run.path}-{number}")
        number += 1
    return found


def _evaluate(recipe: Recipe, run: RunFolder, path: str, when: str, smoke: bool) -> dict[str, Judged]:
    folder = run.path / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    prompts = prepare(recipe, folder / "data").eval
    assert prompts is not None, "the quickstart's recipe names data.eval"
    if smoke:
        few = folder / "few.jsonl"
        few.write_text("".join(prompts.read_text().splitlines(keepends=True)[:SMOKE_PROBLEMS]))
        prompts = few
    threads = recipe.resources.threads or len(os.sched_getaffinity(0))
    common: dict[str, Any] = {
        "model": path,
        "prompts": str(prompts),
        "max_new_tokens": recipe.rollout.max_new_tokens,
        "max_model_len": recipe.data.max_prompt_tokens + recipe.rollout.max_new_tokens,
        "device": recipe.resources.device,
        "threads": threads,
        "seed": recipe.train.seed,
    }
    jobs = {
        "sampled": Job(output=str(folder / f"{when}-sampled.jsonl"), samples=SAMPLES, temperature=1.0, **common),
        "greedy": Job(output=str(folder / f"{when}-greedy.jsonl"), samples=1, temperature=0.0, **common),
    }
    # First: a host that cannot isolate programs is told at once.
    with Sandbox(**sandbox_settings(recipe.sandbox).asked()) as sandbox:
        sample(list(jobs.values()), folder / "engine.log")
        return {name: judge(Path(job.output), sandbox, recipe.data.assistant_prefix) for name, job in jobs.items()}


def _report(before: dict[str, Judged], after: dict[str, Judged], smoke: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"smoke": smoke, "problems": len(before["sampled"].ids), "samples": SAMPLES}
    for name in before:
        rise, interval = gain(before[name], after[name])
        told[name] = {
            "before": round(before[name].pass_at(1), 4),
            "after": round(after[name].pass_at(1), 4),
            "before_interval": [round(each, 4) for each in before[name].interval()],
            "after_interval": [round(each, 4) for each in after[name].interval()],
            "gain": round(rise, 4),
            "gain_interval": [round(each, 4) for each in interval],
        }
    told[f"pass@{SAMPLES}"] = {
        "before": round(before["sampled"].pass_at(SAMPLES), 4),
        "after": round(after["sampled"].pass_at(SAMPLES), 4),
    }
    return told


def _tell(report: dict[str, Any], run: RunFolder) -> None:
    print(f"\n{report['problems']} functions that training never saw; 95 % intervals over problems\n")
    print(f"{'':34}{'before':>8}{'after':>8}{'gain':>8}   interval of the gain")
    names = {"sampled": f"pass@1, {SAMPLES} samples at T=1", "greedy": "pass@1, greedy"}
    for key, name in names.items():
        row = report[key]
        low, high = row["gain_interval"]
        print(f"{name:34}{row['before']:8.3f}{row['after']:8.3f}{row['gain']:+8.3f}   {low:+.3f} .. {high:+.3f}")
    row = report[f"pass@{SAMPLES}"]
    print(f"{f'pass@{SAMPLES}':34}{row['before']:8.3f}{row['after']:8.3f}{row['after'] - row['before']:+8.3f}")
    if report["smoke"]:
        print("\nSMOKE=1: a few steps and problems; these figures claim nothing.")
    times = ", ".join(f"{name} {value} s" for name, value in report["seconds"].items())
    print(f"\ncurves   {run.page}\npicture  {run.picture}\nmodel    {run.model}\nlog      {run.log}\ntime     {times}")


@contextmanager
def _told(what: str, seconds: dict[str, float] | None = None) -> Iterator[None]:
    console.print(f"[bold]{what}[/bold]", highlight=False)
    began = time.monotonic()
    yield
    if seconds is not None:
        seconds[what] = time.monotonic() - began


def main() -> int:
    """The command line: `--set A.B=C` as of `acecoder-rl train`; SMOKE=1 in the environment."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="A.B=C")
    arguments = parser.parse_args()
    # Also while sampling, whose process ends with ours only when we end in order.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with errors_told(), training_told():
            quickstart(arguments.overrides, os.environ.get("SMOKE", "") not in ("", "0"))
    except SamplingFailed as error:
        print(f"quickstart: {error}", file=sys.stderr)
        return 1
    except typer.Exit as told:
        return told.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
