"""The bench of the tables runs all stages over what it generates, in processes of their own.

Run: pytest tests/bench/test_synthesis_tables.py
"""

from __future__ import annotations

import json

import pytest

from acecoder_rl.bench.synthesis_tables import samples, show, tables


def test_generated_samples_are_of_the_size_of_real_ones():
    rows = list(samples(20))
    programs = [each for row in rows for each in json.loads(row["inferences"])]
    assert len(programs) == 320 and 300 < sum(len(each["completion"]) for each in programs) / 320 < 500
    assert all(len(json.loads(row["tests"])) == 16 for row in rows)
    assert len({each["completion"] for each in programs}) == 320
    assert rows == list(samples(20)) and len({each["pass_rate"] for each in programs}) > 5


def test_a_small_run_has_all_its_figures(capsys: pytest.CaptureFixture[str]):
    figures = tables(60)
    rows = {name: stage["rows"] for name, stage in figures["stages"].items()}
    assert rows["build"] == 60 and rows["pairs"] > 60 and 5 < rows["hard"] < 30
    # The bars are for these three; the folder to publish stands beside them.
    judged = [figures["stages"][name] for name in ("build", "pairs", "hard")]
    assert figures["minutes"] == pytest.approx(sum(stage["seconds"] for stage in judged) / 60)
    assert figures["cpu_minutes"] == pytest.approx(sum(stage["cpu_seconds"] for stage in judged) / 60)
    assert figures["cpu_minutes"] > 0 and 0.05 < figures["peak_gb"] < 1
    assert figures["peak_gb"] == max(stage["peak_gb"] for stage in judged)
    assert figures["stages"]["dataset folder"]["seconds"] > 0
    figures["stages"]["dataset folder"] |= {"seconds": 3600.0, "peak_gb": 9.0}
    show(figures)
    told = capsys.readouterr().out
    assert "60 questions, 16 programs and 16 tests each" in told
    assert f"build, pairs and hard together: {figures['minutes']:.2f} minutes, bar < 10: ok" in told
    assert "beside: 60.00 minutes, 9.00 GB" in told and "missed" not in told
