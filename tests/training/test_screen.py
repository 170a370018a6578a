"""One screen of progress: a table on a terminal, one line a step in a log."""

from __future__ import annotations

import io
import math

import pytest
from rich.console import Console

from acecoder_rl.training.metrics import Report
from acecoder_rl.training.screen import ROWS, Screen, cells, line

VALUES = {
    "rollout/reward_mean": 0.46875, "pass_rate": 0.5, "timeouts": 1.25, "timing/generation": 27.52,
    "timing/step_total": 10.0, "unknown": 3.0,
}  # fmt: skip


def _step(step: int, **values: float) -> Report:
    return Report("train", step, VALUES | values)


@pytest.fixture
def console(monkeypatch):
    def make(terminal: bool) -> Console:
        monkeypatch.setenv("TERM", "xterm")
        return Console(file=io.StringIO(), force_terminal=terminal, width=160, color_system=None)

    return make


def test_elsewhere_than_on_a_terminal_each_report_is_a_line(console):
    shown = console(False)
    with Screen("x.yaml -> runs/[a]/[/b]", 3, shown) as screen:
        screen.show(_step(1))
        screen.show(Report("eval", 1, {"eval_[/set]_pass1": 0.25, "eval_num_samples": 24.0}))
        screen.show(_step(2))
    told = shown.file.getvalue().splitlines()
    assert told[0] == "x.yaml -> runs/[a]/[/b]: loading models, then 3 steps"
    assert told[1] == "step 1/3  reward 0.469  pass rate 0.500  time-outs 1.25  rollout s 27.5"
    assert told[2] == "eval after step 1: [/set]_pass1 0.250"
    assert told[3].startswith("step 2/3  ") and len(told) == 4


def test_a_long_title_stays_one_line(console):
    shown = console(False)
    with Screen("x" * 500, None, shown):
        pass
    assert shown.file.getvalue() == "x" * 500 + ": loading models, then some steps\n"


def test_a_terminal_shows_a_table(console):
    shown = console(True)
    with Screen("x.yaml", 5, shown) as screen:
        screen.show(_step(1))
        screen.show(_step(2))
        screen.show(Report("eval", 2, {"eval_set_pass1": 0.25}))
    last = shown.file.getvalue().split("x.yaml")[-1].splitlines()
    assert "step 2 of 5, 0:00, about 0:30 left" in last[0]
    assert last[1].split()[:4] == ["step", "reward", "pass", "rate"]
    assert last[2].split() == ["1", "0.469", "0.500", "-", "-", "1.25", "-", "-", "27.5", "-", "-", "-", "-"]
    assert last[4].split() == ["eval", "after", "step", "2:", "set_pass1", "0.250"]


def test_a_terminal_keeps_to_the_last_steps(console):
    shown = console(True)
    with Screen("x.yaml", None, shown) as screen:
        for step in range(1, 101):
            screen.show(_step(step))
    rows = shown.file.getvalue().split("x.yaml")[-1].splitlines()[2:-1]  # the last line shows the cursor again
    assert [row.split()[0] for row in rows] == [str(step) for step in range(101 - ROWS, 101)]


def test_before_the_first_step_it_loads(console):
    shown = console(True)
    with Screen("x.yaml", 5, shown):
        pass
    assert "loading models 0:00" in shown.file.getvalue()


def test_more_steps_than_were_foreseen_leave_no_time_below_zero(console):
    shown = console(True)
    with Screen("x.yaml", 1, shown) as screen:
        screen.show(_step(3))
    assert "step 3 of 1, 0:00, about 0:00 left" in shown.file.getvalue()


def test_numbers_that_are_none():
    assert cells(Report("train", 1, {"rollout/reward_mean": math.nan, "timeouts": math.inf}))[:5] == [
        "nan", "-", "-", "-", "inf",
    ]  # fmt: skip
    assert line(Report("train", 7, {}), None) == "step 7  "
