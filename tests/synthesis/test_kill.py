"""Killed at random moments and run again, a run makes what an undisturbed one makes, and pays for nothing twice.

The procedure is the benchmark's, for anyone to run: `acecoder-rl bench synthesis --only kills`.
Does not cover: each write of a stage (test_stages.py).
Run: pytest tests/synthesis/test_kill.py
"""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from acecoder_rl.bench import synthesis, synthesis_kills
from acecoder_rl.bench.synthesis_kills import BEFORE, differences, kills, made
from acecoder_rl.bench.synthesis_run import AT_ONCE, UNREADABLE, paid, served
from acecoder_rl.synthesis.recipe import load
from acecoder_rl.synthesis.run import chosen, synthesize
from acecoder_rl.synthesis.stages import rows_of


@pytest.mark.parametrize("quick", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_killed_runs_end_like_an_undisturbed_one(quick: bool, capsys: pytest.CaptureFixture[str]):
    figures = kills(quick)
    assert figures["kills"] == (6 if quick else 20) == sum(figures["stages"].values())
    assert figures["differing_tables"] == {} and figures["differing"] == 0
    assert figures["paid_twice"] == 0
    # Whatever else was asked again had been under way at a kill.
    assert figures["asked_again"] <= AT_ONCE * figures["kills"]
    assert set(figures["stages"]) - {BEFORE}  # kills before anything had begun would prove nothing
    assert quick or {"build", "pairs", "hard"} & set(figures["stages"])
    assert figures["tables"] > 21 * figures["runs"] and figures["rows"] > 100 * figures["runs"]
    synthesis_kills.show(figures)
    told = capsys.readouterr().out
    assert f"0 of {figures['tables']} tables and files" in told and "0 answers paid for twice, bar 0: ok" in told


def test_the_run_has_rows_to_keep_and_to_drop_and_a_cache_of_signed_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with served(tmp_path) as run:
        recipe = load(run.recipe).model_copy(update={"folder": str(tmp_path / "run")})
        folder = synthesize(recipe, chosen(None))
    found = made(folder)
    counts = {name: (len(found[name]), len(found[f"{name}: dropped"])) for name in synthesis_kills.TABLES}
    asking = {"seeds": (6, 0), "imagine": (5, 1), "verify": (4, 1), "sample": (4, 0)}
    assert counts == {**asking, "build": (4, 0), "pairs": counts["pairs"], "hard": counts["hard"]}
    assert all(counts["pairs"]) and all(counts["hard"])  # some are kept, and some dropped
    published = {"README.md", "prompts/openrlhf/train.jsonl", "data/train-00000-of-00001.parquet"}
    assert {f"dataset/{name}" for name in published} <= found.keys()
    assert found["imagine: dropped"][0].id == list(rows_of(folder, "seeds"))[UNREADABLE]["id"]
    assert paid(folder) == set(run.asked) and len(run.asked) == len(paid(folder))


def test_answers_are_read_of_a_copy(tmp_path: Path):
    assert paid(tmp_path) == set() and not list(tmp_path.iterdir())
    # As kill -9 leaves it: the rows are in the log beside the file.
    file = sqlite3.connect(tmp_path / "answers.sqlite", isolation_level=None)
    file.execute("pragma journal_mode = wal")
    assert paid(tmp_path) == set()
    file.execute("create table answers (text text)")
    sign = "answer-0123456789abcdef"
    file.execute("insert into answers values (?)", (json.dumps({"sign": sign}),))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert paid(tmp_path) == {sign}
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    file.close()


def test_what_differs_is_counted():
    one = {"a": [1, 2, 3], "b": [1], "c": []}
    assert differences(one, {name: list(rows) for name, rows in one.items()}) == {}
    assert differences(one, one | {"a": [1, 3, 2]}) == {"a": 2}
    assert differences(one, one | {"a": [1, 2], "b": [1, 1]}) == {"a": 1, "b": 1}
    assert differences(one, {"a": [1, 2, 3], "b": [1], "d": [1, 1]}) == {"c": 0, "d": 2}


@pytest.mark.parametrize(
    ("worse", "told"),
    [
        ({"differing_tables": {"pairs": 2}, "differing": 5}, "2 of 60 tables and files, 5 of 900 rows are not"),
        ({"paid_twice": 1}, "1 answers paid for twice, bar 0: missed"),
    ],
)
def test_a_miss_is_told_and_ends_with_1(monkeypatch, capsys, worse, told):
    figures = {"kills": 6, "runs": 2, "stages": {"seeds": 6}, "tables": 60, "rows": 900, "differing_tables": {}}
    figures |= {"differing": 0, "asked_again": 3, "paid_twice": 0}
    monkeypatch.setattr(synthesis_kills, "kills", lambda quick: figures)
    assert synthesis.run_bench_synthesis(only="kills") == 0 and "missed" not in capsys.readouterr().out
    monkeypatch.setattr(synthesis_kills, "kills", lambda quick: figures | worse)
    assert synthesis.run_bench_synthesis(only="kills") == 1
    assert told in capsys.readouterr().out


def test_a_run_that_fails_is_told_with_what_it_said(monkeypatch, tmp_path: Path, capsys):
    """Whatever was measured before is written all the same."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # of the benchmark's own process
    (tmp_path / "openai.py").write_text("raise ImportError('no such luck')")
    monkeypatch.setattr(synthesis, "scoring", lambda questions: {"differing": 0})
    monkeypatch.setattr(synthesis, "show_scoring", lambda figures: None)
    monkeypatch.setattr(synthesis.synthesis_tables, "tables", lambda questions: {})
    monkeypatch.setattr(synthesis.synthesis_tables, "show", lambda figures: None)
    assert synthesis.run_bench_synthesis(tmp_path / "figures.json") == 1
    assert "no such luck" in capsys.readouterr().err
    assert json.loads((tmp_path / "figures.json").read_text()) == {"scoring": {"differing": 0}, "tables": {}}
