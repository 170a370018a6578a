"""A driver is watched to its end, however it ends, and nothing that it started is left."""

from __future__ import annotations

import importlib.util
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("psutil")
from rich.console import Console

from acecoder_rl.training import launch as module
from acecoder_rl.training import metrics
from acecoder_rl.training.driver import Plan
from acecoder_rl.training.errors import RunFailed
from acecoder_rl.training.launch import launch, lost
from acecoder_rl.training.metrics import Report
from acecoder_rl.training.run_folder import RunFolder
from acecoder_rl.training.screen import Screen

DRIVERS = Path(__file__).parent / "drivers.py"
PLAN = Plan(["--a.b", "1"], {"kind": "pass_rate"}, {}, "", "cpu", 1, {"policy": 8})
STEP = "(PPOTrainer pid=1) INFO 11-25 19:39:41 ppo_trainer.py:551] ✨ Global step 1: {'rollout/reward_mean': 0.5}"


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path)


def _launch(run: RunFolder, driver: str) -> str:
    """Runs one of drivers.py; what the screen showed."""
    shown = io.StringIO()
    screen = Screen("x", 2, Console(file=shown))
    with screen:
        launch(PLAN, run, screen, [sys.executable, str(DRIVERS), driver])
    return shown.getvalue()


def _pids(run: RunFolder) -> list[int]:
    return [int(line) for line in (run.path / "pids").read_text().split()]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_lines_are_logged_and_reports_are_shown(run):
    lines = b"noise \xff\xfe\n" + STEP.encode() + b"\nhalf a line"
    (run.path / "lines").write_bytes(lines)
    shown = _launch(run, "says")
    assert run.log.read_bytes() == lines
    assert metrics.read(run.metrics) == [Report("train", 1, {"rollout/reward_mean": 0.5})]
    assert shown.splitlines()[1:] == ["step 1/2  reward 0.500"]


def test_a_run_that_goes_on_adds_to_its_log(run):
    run.log.write_bytes(b"before\n")
    (run.path / "lines").write_bytes(b"after\n")
    _launch(run, "says")
    assert run.log.read_bytes() == b"before\nafter\n"


def test_what_the_driver_wrote_of_its_failure_is_told(run):
    with pytest.raises(RunFailed) as failed:
        _launch(run, "fails")
    assert str(failed.value).splitlines() == [
        "ConfigError: reward.kind is 7",
        "no step had been finished",
        f"the whole log: {run.log}",
    ]


def test_a_failure_without_words_is_told_by_its_status(run):
    with pytest.raises(RunFailed, match=r"^the driver ended with status 2\n"):
        _launch(run, "exits")


with_setproctitle = pytest.mark.skipif(
    importlib.util.find_spec("setproctitle") is None, reason="vLLM brings setproctitle"
)


@pytest.mark.parametrize("driver", ["is_killed", pytest.param("is_killed_with_titles", marks=with_setproctitle)])
def test_a_driver_that_is_killed_leaves_nothing_and_nothing_waits(driver, run, monkeypatch):
    bystander = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], env=os.environ | {module.RUN: "of another run"}
    )
    try:
        monkeypatch.setattr(module, "STOP_SECONDS", 300.0)
        began = time.monotonic()
        with pytest.raises(RunFailed, match=r"^the driver was killed by SIGKILL\n"):
            _launch(run, driver)
        assert time.monotonic() - began < module.STOP_SECONDS / 2
        _until(lambda: not any(map(_alive, _pids(run))))
        assert _alive(bystander.pid)
    finally:
        bystander.kill()
        bystander.wait()


def test_what_outlives_a_good_end_is_given_time_then_ended(run, monkeypatch):
    monkeypatch.setattr(module, "STOP_SECONDS", 1.0)
    began = time.monotonic()
    _launch(run, "leaves")
    assert time.monotonic() - began >= 0.5
    _until(lambda: not any(map(_alive, _pids(run))))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_that_was_started(number, run):
    process = subprocess.Popen(
        [sys.executable, str(DRIVERS), "launches", str(run.plan)], stdout=subprocess.PIPE, text=True
    )
    _until(lambda: len(_pids(run)) == 2 and b"up" in run.log.read_bytes())
    process.send_signal(number)
    time.sleep(0.3)
    process.send_signal(number)  # an impatient user's second Ctrl-C does not break the clean-up
    out, _ = process.communicate(timeout=120)
    assert f"{int(number)} stopped by {number.name}: no step had been finished" in out
    assert "the handlers are back: True" in out and process.returncode == 0
    _until(lambda: not any(map(_alive, _pids(run))))


@pytest.mark.parametrize(
    ("step", "saved", "told"),
    [
        (0, None, "no step had been finished"),
        (3, None, "step 3 was the last; nothing is saved (train.save_steps): 3 steps have to be done again"),
        (3, 2, "step 3 was the last; --resume goes on from step 2: 1 step has to be done again"),
        (3, 3, "step 3 is saved; --resume goes on from there"),
        # Stopped after the checkpoint, before the report of its step.
        (2, 3, "step 3 is saved; --resume goes on from there"),
        (0, 1, "step 1 is saved; --resume goes on from there"),
    ],
)
def test_what_is_lost_is_told(step, saved, told, run):
    for number in range(1, step + 1):
        metrics.append(run.metrics, Report("train", number, {}))
    metrics.append(run.metrics, Report("eval", 9, {}))
    if saved:
        checkpoint = run.checkpoints / "_actor" / f"global_step{saved}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "mp_rank_00_model_states.pt").touch()
        (checkpoint.parent / "latest").write_text(checkpoint.name)
    assert lost(run) == told


def _until(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 100  # the processes end by themselves after 200
    while time.monotonic() < end:
        try:
            if there():
                return
        except FileNotFoundError:
            pass
        time.sleep(0.05)
    raise AssertionError("it never came")
