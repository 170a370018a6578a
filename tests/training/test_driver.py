"""The driver tells its workers what they must know, finds the true cause of a failure, and ends with its launcher."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from acecoder_rl.training.driver import REWARD, Plan, innermost
from acecoder_rl.training.run_folder import RunFolder

PLAN = Plan(["--a.b", "it's ü"], {"kind": "pass_rate"}, {"workers": 2}, "```python\n", "gpu", 3, {"policy": 8})


def test_a_plan_is_read_as_it_was_written(tmp_path):
    PLAN.write(tmp_path / "plan.json")
    assert Plan(**json.loads((tmp_path / "plan.json").read_text())) == PLAN


def test_what_the_engines_need_to_know_is_in_the_environment():
    sections = json.loads(PLAN.environment()[REWARD])
    assert sections == {
        "reward": {"kind": "pass_rate"},
        "sandbox": {"workers": 2},
        "assistant_prefix": "```python\n",
    }


def test_a_dollar_reaches_the_workers_as_it_is():
    """Ray's workers run os.path.expandvars over their environment."""
    given = replace(PLAN, assistant_prefix="# costs $HOME and ${PATH}\n").environment()[REWARD]
    assert json.loads(os.path.expandvars(given))["assistant_prefix"] == "# costs $HOME and ${PATH}\n"


def test_only_a_recipe_for_the_cpu_turns_cpu_mode_on():
    assert "ACECODER_RL_DEVICE" not in PLAN.environment()
    environment = replace(PLAN, device="cpu").environment()
    assert environment["ACECODER_RL_DEVICE"] == "cpu" and environment["OMP_NUM_THREADS"] == "3"
    # Ray takes nothing else.
    assert all(isinstance(value, str) for value in environment.values())


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv("NCCL_DEBUG", "INFO")
    assert PLAN.environment()["NCCL_DEBUG"] == "INFO"


def _of_ray(cause: BaseException, dual: bool = True) -> Exception:
    """As ray.get raises the error of an actor's method."""
    errors = pytest.importorskip("ray.exceptions")
    error = errors.RayTaskError("Actor.method", "Traceback ...", cause, proctitle="ray::Actor", pid=1, ip="10.0.0.1")
    return error.as_instanceof_cause() if dual else error


@pytest.mark.parametrize("dual", [True, False])
def test_an_error_that_came_through_three_actors(dual):
    cause = ValueError("the scorer's disk is full")
    assert innermost(_of_ray(_of_ray(_of_ray(cause, dual), dual), dual)) is cause


def test_an_actor_that_died_is_itself_the_cause():
    errors = pytest.importorskip("ray.exceptions")
    died = errors.ActorDiedError()
    assert innermost(died) is died
    assert innermost(_of_ray(died)) is died


def test_an_error_raised_from_one_of_rays_gives_way_to_its_cause():
    try:
        try:
            raise _of_ray(KeyError("label"))
        except KeyError as error:
            raise RuntimeError("the rollout failed") from error
    except RuntimeError as error:
        assert repr(innermost(error)) == "KeyError('label')"


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_message_with_a_mend_is_not_lost_to_what_it_was_raised_from(wrapped):
    try:
        try:
            raise OSError(1, "Operation not permitted")
        except OSError as error:
            raise RuntimeError("no namespaces here: run `acecoder-rl doctor`") from error
    except RuntimeError as error:
        assert innermost(_of_ray(error) if wrapped else error) is error


def test_causes_in_a_circle_end():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert innermost(first) is first


FAILS = """
from acecoder_rl.training import driver
def drive(plan):
    try:
        1 / 0
    except ZeroDivisionError as error:
        raise RuntimeError("first\\nsecond") from error
driver.drive = drive
driver.main()
"""


def test_a_failure_is_written_down_beside_the_plan(tmp_path):
    PLAN.write(tmp_path / "plan.json")
    command = [sys.executable, "-c", FAILS, str(tmp_path / "plan.json")]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 1 and "RuntimeError: first" in process.stderr
    told = json.loads((tmp_path / "failure.json").read_text())
    assert (told["type"], told["message"]) == ("RuntimeError", "first\nsecond")
    assert "ZeroDivisionError" in told["traceback"]


WAITS = """
import pathlib, sys, time
from acecoder_rl.training import driver
def drive(plan):
    try:
        print("up", flush=True)
        time.sleep(200)
    finally:
        pathlib.Path(sys.argv[1]).with_name("cleaned").touch()
driver.drive = drive
driver.main()
"""
LAUNCHES = """
import json, pathlib, sys
from acecoder_rl.training.driver import Plan
from acecoder_rl.training.launch import launch
from acecoder_rl.training.run_folder import RunFolder
from acecoder_rl.training.screen import Screen
plan = Plan(**json.loads(pathlib.Path(sys.argv[2]).read_text()))
launch(plan, RunFolder(sys.argv[3]), Screen("a run", None), (sys.executable, "-u", "-c", sys.argv[1]))
"""


def test_sigterm_lets_the_driver_clean_up(tmp_path):
    PLAN.write(tmp_path / "plan.json")
    command = [sys.executable, "-c", WAITS, str(tmp_path / "plan.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "up\n"
        process.terminate()
    assert process.returncode == 128 + signal.SIGTERM
    assert (tmp_path / "cleaned").exists() and not (tmp_path / "failure.json").exists()


def test_a_driver_ends_when_its_launcher_is_killed(tmp_path):
    PLAN.write(tmp_path / "plan.json")
    run = RunFolder(tmp_path / "run")
    run.path.mkdir()
    command = [sys.executable, "-c", LAUNCHES, WAITS, str(tmp_path / "plan.json"), str(run.path)]
    with subprocess.Popen(command) as launcher:
        end = time.monotonic() + 120
        while not run.log.exists() or b"up" not in run.log.read_bytes():
            assert time.monotonic() < end and launcher.poll() is None
            time.sleep(0.05)
        (driver,) = psutil.Process(launcher.pid).children()
        launcher.kill()
        end = time.monotonic() + 90
        while not (run.path / "cleaned").exists():
            assert time.monotonic() < end
            time.sleep(0.05)
    _ended(driver.pid, end)


def _ended(pid: int, end: float) -> None:
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split():
        assert time.monotonic() < end, os.readlink(f"/proc/{pid}/exe")
        time.sleep(0.05)
