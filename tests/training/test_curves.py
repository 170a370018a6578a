"""A run's curves open without a network, whatever the run reported."""

from __future__ import annotations

import math
from html.parser import HTMLParser
from pathlib import Path

import pytest

from acecoder_rl.training import curves, metrics
from acecoder_rl.training.metrics import Report
from acecoder_rl.training.run_folder import RunFolder

STEP = {
    "rollout/reward_mean": 0.25,
    "pass_rate": 0.5,
    "holdout_pass_rate": 0.4,
    "timeouts": 0.0,
    "unknown": 1.0,
}
EVAL = {"eval_problems_pass1": 0.25, "eval_problems_pass4": 0.5, "eval_num_samples": 24.0}


def _run(folder: Path, *reports: Report) -> RunFolder:
    run = RunFolder(folder / "run")
    run.path.mkdir()
    for report in reports:
        metrics.append(run.metrics, report)
    return run


def _reports(case: str) -> list[Report]:
    steps = [Report("train", step, STEP | {"rollout/reward_mean": step / 8}) for step in range(1, 5)]
    return {
        "whole": [*steps, Report("eval", 2, EVAL), Report("eval", 4, EVAL)],
        "one step": steps[:1],
        "evaluations only": [Report("eval", 1, EVAL)],
        "not a number": [
            *steps[:3],
            Report("train", 4, dict.fromkeys(STEP, math.nan)),
            Report("train", 5, dict.fromkeys(STEP, math.inf)),
        ],
        "never a number": [Report("train", step, dict.fromkeys(STEP, math.nan)) for step in (1, 2)],
    }[case]


class _Loads(HTMLParser):
    """What a page would load from elsewhere."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [f"{tag} {name}={value}" for name, value in attrs if name in ("src", "href", "srcset")]


@pytest.mark.parametrize("case", ["whole", "one step", "evaluations only", "not a number", "never a number"])
@pytest.mark.filterwarnings("error::UserWarning")
def test_both_files_are_drawn(case, tmp_path):
    pytest.importorskip("plotly")
    pytest.importorskip("matplotlib")
    run = _run(tmp_path, *_reports(case))
    curves.draw(run)
    picture = run.picture.read_bytes()
    assert picture.startswith(b"\x89PNG\r\n") and picture.endswith(b"IEND\xaeB`\x82") and len(picture) > 10_000
    page = run.page.read_text()
    assert _Loads(page).found == []
    assert "Plotly.newPlot" in page and ("tests: pass rate" in page) == (case != "evaluations only")
    assert ("evaluation: problems pass1" in page) == (case in ("whole", "evaluations only"))


@pytest.mark.parametrize("reports", [[], [Report("train", 1, {"unknown": 1.0})], [Report("eval", 1, {})]])
def test_nothing_to_draw_draws_nothing(reports, tmp_path):
    run = _run(tmp_path, *reports)
    curves.draw(run)
    assert not run.page.exists() and not run.picture.exists()


def test_panels_hold_what_was_reported():
    shown = curves.panels(_reports("whole"))
    assert set(shown) == {"reward", "tests", "trouble", "evaluation"}
    assert shown["reward"] == {"mean": ([1, 2, 3, 4], [0.125, 0.25, 0.375, 0.5])}
    assert shown["tests"] == {
        "pass rate": ([1, 2, 3, 4], [0.5] * 4),
        "withheld tests": ([1, 2, 3, 4], [0.4] * 4),
    }
    assert shown["evaluation"] == {
        "problems pass1": ([2, 4], [0.25] * 2),
        "problems pass4": ([2, 4], [0.5] * 2),
    }


def test_a_number_that_some_steps_lack_stands_at_its_own_steps():
    reports = [Report("train", step, {"kl": float(step)} if step % 2 else {}) for step in range(1, 6)]
    assert curves.panels(reports)["policy"] == {"KL to the reference": ([1, 3, 5], [1.0, 3.0, 5.0])}
