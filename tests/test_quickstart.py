"""The quickstart's figures are those of what it judged, its folder is a new one, its errors are a line each.

Does not cover: the run itself (`make quickstart`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy
import pytest

from acecoder_rl import quickstart
from acecoder_rl.evaluation.pass_at_k import Judged
from acecoder_rl.training.checks import check
from acecoder_rl.training.load import load_recipe
from acecoder_rl.training.run_folder import RunFolder

REPOSITORY = Path(__file__).parents[1]


def test_a_second_quickstart_takes_the_next_folder(tmp_path):
    first = RunFolder(tmp_path / "run")
    assert quickstart._free(first).path == tmp_path / "run"
    # A folder that holds only an evaluation that was broken off is as good as new.
    (tmp_path / "run" / "evaluation").mkdir(parents=True)
    assert quickstart._free(first).path == tmp_path / "run"
    for expected in ("run", "run-2", "run-3"):
        found = quickstart._free(first)
        assert found.path == tmp_path / expected
        found.begin("", [])
    assert quickstart._free(first).path == tmp_path / "run-4"


def _judged(*passed: int, samples: int) -> Judged:
    """So many of each problem's samples pass."""
    rows = [[True] * count + [False] * (samples - count) for count in passed]
    return Judged(tuple(f"p{number}" for number in range(len(passed))), numpy.array(rows))


def test_the_reports_figures():
    before = {"sampled": _judged(0, 2, 4, 8, samples=8), "greedy": _judged(0, 0, 1, 1, samples=1)}
    after = {"sampled": _judged(4, 4, 4, 8, samples=8), "greedy": _judged(0, 0, 1, 1, samples=1)}
    report = quickstart._report(before, after, smoke=False)
    assert (report["problems"], report["samples"], report["smoke"]) == (4, 8, False)
    sampled = report["sampled"]
    assert (sampled["before"], sampled["after"], sampled["gain"]) == (0.4375, 0.625, 0.1875)
    low, high = sampled["gain_interval"]
    assert 0 <= low < 0.1875 < high <= 0.5
    assert (report["greedy"]["gain"], report["greedy"]["gain_interval"]) == (0.0, [0.0, 0.0])
    assert report["pass@8"] == {"before": 0.75, "after": 1.0}


@pytest.mark.parametrize("smoke", [False, True])
def test_what_is_printed_is_what_is_reported(smoke, tmp_path, capsys):
    judged = {"sampled": _judged(0, 2, 4, 8, samples=8), "greedy": _judged(0, 0, 1, 1, samples=1)}
    better = judged | {"sampled": _judged(4, 4, 4, 8, samples=8)}
    report = quickstart._report(judged, better, smoke) | {"seconds": {"training": 7, "all": 9}}
    quickstart._tell(report, RunFolder(tmp_path))
    out = capsys.readouterr().out
    (row,) = [line.split() for line in out.splitlines() if line.startswith("pass@1, 8 samples at T=1")]
    low, high = report["sampled"]["gain_interval"]
    assert row[-6:] == ["0.438", "0.625", "+0.188", f"{low:+.3f}", "..", f"{high:+.3f}"]
    assert ("these figures claim nothing" in out) == smoke
    assert str(tmp_path / "curves.html") in out and "training 7 s, all 9 s" in out


def test_the_smoke_runs_recipe_fits_together(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    check(load_recipe(quickstart.RECIPE, quickstart.SMOKE), quickstart.RECIPE)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        (
            "rollout.nonsense=1",
            "acecoder-rl: --set rollout.nonsense=1: rollout.nonsense is not known: give one of",
        ),
        # Right by itself, but does not fit the others: found before the first evaluation.
        ("train.batch_size=7", "acecoder-rl: recipes/quickstart.yaml: train.batch_size"),
    ],
)
def test_a_mistake_is_a_line(override, told, tmp_path):
    command = [sys.executable, "-m", "acecoder_rl.quickstart", "--set", f"logging.folder={tmp_path}/run"]
    ended = subprocess.run([*command, "--set", override], cwd=REPOSITORY, capture_output=True, text=True)
    assert ended.returncode in (1, 2) and ended.stdout == ""
    *_, line = ended.stderr.splitlines()
    assert line.startswith(told) and "Traceback" not in ended.stderr
    assert os.listdir(tmp_path) == []
