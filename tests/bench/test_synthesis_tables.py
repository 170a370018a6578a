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
    assert figures["cpu_minutes"] > 0 and 0.05 < figures["peak_gb"] < 1
    show(figures)
    told = capsys.readouterr().out
    assert "60 questions, 16 programs and 16 tests each" in told and "dataset folder" in told
