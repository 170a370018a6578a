"""Who writes a rollout log: any reward where the environment asks, `acecoder-rl score`, a training run."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

pytest.importorskip("psutil")
from rich.console import Console

from acecoder_rl.rollouts import log, shards
from acecoder_rl.rollouts.index import Index
from acecoder_rl.training.launch import launch
from acecoder_rl.training.load import load_recipe
from acecoder_rl.training.plan import explain
from acecoder_rl.training.run_folder import RunFolder
from acecoder_rl.training.screen import Screen
from acecoder_rl.training.train import plan_of

REPOSITORY = Path(__file__).resolve().parents[2]
RECIPE = REPOSITORY / "tests/training/recipes/cpu.yaml"
# As an engine: it scores what it was told, by the reward and into the log that its environment names.
ENGINE = """
import asyncio, json, os, pathlib, sys, time
from acecoder_rl.problems import Problem
from acecoder_rl.rollouts import log
from acecoder_rl.training.driver import Plan
PLAN = Plan(**json.loads(pathlib.Path(sys.argv[1]).read_text()))
os.environ.update(PLAN.environment())
from reward_fns.configured import configured
reward, _ = configured()
def problem(mode):
    tests = [f"assert add({n}, {n}) == {2 * n}" for n in range(1, 6)]
    return Problem.from_label(Problem("add", "Write add(a, b).", tests).to_label(mode))
async def sample(mode, *programs):
    await asyncio.gather(*(reward.score(problem(mode), f"```python\\n{program}\\n```", False) for program in programs))
def over(step):
    time.sleep(0.8)  # the update
    stamp = time.strftime("%m-%d %H:%M:%S")
    print(f"(PPOTrainer pid=1) INFO {stamp} ppo_trainer.py:551] ✨ Global step {step}: {{'reward': 0.5}}", flush=True)
    time.sleep(0.8)  # sampling
RIGHT, TABLE = "def add(a, b): return a + b", "def add(a, b): return {1: 2, 2: 4, 3: 6}.get(a)"
"""


def rows(folder: Path) -> list[dict]:
    return [row for shard in shards.listed(folder) for row in parquet.read_table(folder / shard.name).to_pylist()]


def test_a_run_logs_its_rollouts_with_steps(tmp_path):
    recipe = load_recipe(RECIPE, ["reward.kind=pass_rate", "reward.holdout=0.4", f"logging.folder={tmp_path}"])
    run = RunFolder(tmp_path)
    code = """
asyncio.run(sample("train", RIGHT, TABLE)); over(1)
asyncio.run(sample("eval", TABLE)); asyncio.run(sample("train", "no program")); over(2)
"""
    with Screen("x", 2, Console(file=io.StringIO())) as screen:
        launch(plan_of(recipe, []), run, screen, [sys.executable, "-c", ENGINE + code])
    index = Index(tmp_path)
    index.refresh()
    told = [index.whole(row) for row in range(len(index))]
    assert sorted((each["step"], each["mode"], each["reward"]) for each in told) == [
        (1, "eval", 0.0), (1, "train", pytest.approx(2 / 3, abs=0.34)), (1, "train", 1.0), (2, "train", 0.0),
    ]  # fmt: skip
    assert all(each["question"] == "Write add(a, b)." and each["problem"] == "add" for each in told)
    right = next(each for each in told if each["program"].endswith("a + b"))
    assert [test["held_out"] for test in right["tests"]].count(True) == 2
    assert right["components"]["pass_rate"] == 1.0 == right["holdout_pass_rate"] and right["seconds"] > 0
    evaluated = next(each for each in told if each["mode"] == "eval")
    assert evaluated["holdout_pass_rate"] is None and [t["status"] for t in evaluated["tests"]][-2:] == ["failed"] * 2


def test_a_recipe_says_whether_and_how_much(tmp_path):
    on = load_recipe(RECIPE, [f"logging.folder={tmp_path}", "logging.rollouts_mb=7"])
    environment = plan_of(on, []).environment()
    assert environment[log.FOLDER] == str(tmp_path / "rollouts") and environment[log.MEGABYTES] == "7"
    assert "rollouts     logged, at most 7 MiB" in explain(on, "my.yaml")
    off = load_recipe(RECIPE, [f"logging.folder={tmp_path}", "logging.rollouts=false"])
    assert log.FOLDER not in plan_of(off, []).environment()
    launch_plan = replace(plan_of(off, []), arguments=[])
    with Screen("x", 2, Console(file=io.StringIO())) as screen:
        launch(launch_plan, RunFolder(tmp_path), screen, [sys.executable, "-c", ""])
    assert not (tmp_path / "rollouts").exists()


def test_any_trainer_logs_where_the_environment_asks(tmp_path):
    code = """
from acecoder_rl.problems import Problem
from reward_fns import AllPass
problem = Problem("add", "Add.", ["assert add(1, 2) == 3", "assert add(2, 2) == 5"])
print(AllPass()(problem, "def add(a, b): return a + b").value)
"""
    environment = {**os.environ, log.FOLDER: str(tmp_path / "log"), "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=240)
    assert (done.stdout, done.stderr) == ("0.0\n", "")
    (row,) = rows(tmp_path / "log")
    assert [test["status"] for test in json.loads(row["tests"])] == ["passed", "failed"]
    assert row["reward"] == 0.0 and row["completion"] == "def add(a, b): return a + b"


def test_score_writes_one_too(cli, jsonl, tmp_path):
    tests = ["assert add(1, 2) == 3", "assert add(2, 2) == 5"]
    right = "def add(a, b):\n    return a + b\n"
    given = [{"id": "a", "question": "Add.", "completions": [right, "No."], "tests": tests}]
    jsonl("in.jsonl", [*given, {"id": "b"}, {"id": "c", "completion": right, "tests": tests}])
    done = cli("score", "in.jsonl", "-o", "out.jsonl", "--rollouts", "looked-at")
    assert done.returncode == 0, done.stderr
    told = rows(tmp_path / "looked-at")
    assert [(row["problem"], row["sample"], row["reward"]) for row in told] == [
        ("a", 0, 0.5),
        ("a", 1, 0.0),
        ("c", 0, 0.5),
    ]
    assert told[0]["question"] == "Add." and told[0]["mode"] == "eval" and told[1]["status"] == "no_program"
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 3
    again = cli("score", "in.jsonl", "-o", "out.jsonl", "--resume")
    assert again.returncode == 0, again.stderr  # whether it was logged does not matter


def test_a_folder_that_is_none_is_an_error_with_a_mend(cli):
    done = cli("rollouts", "nowhere", "--no-open")
    assert done.returncode == 2 and "nowhere: there is no such folder: give a run's" in done.stderr
