"""Sources: all forms give the same problems, a row at a time; a bad row or path is an error that says where.

Run: pytest tests/training/test_sources.py
"""

from __future__ import annotations

import json
import random
import tracemalloc
from typing import Any

import pytest

from acecoder_rl import hard, starter
from acecoder_rl.problems import read_problems
from acecoder_rl.training.recipe import RecipeError, Source
from acecoder_rl.training.sources import Reader


def row(number: int, rates: tuple[float, ...] = (0.25, 0.75), code: str = "pass") -> dict[str, Any]:
    """A row of AceCode-87K."""
    question = f"Write f({number})."
    return {
        "id": f"oss_{number}",
        "source": "oss",
        "question": question,
        "test_cases": [f"assert f({i}) == {i * number}" for i in range(5)],
        "inferences": [
            {"model_name": "qwen_coder_2.5", "completion_id": i, "completion": code, "pass_rate": rate}
            for i, rate in enumerate(rates)
        ],
        "context_messages": [{"content": question, "role": "user"}],
    }


def read(path: object, **fields: Any) -> list[Any]:
    return [problem for _, problem in Reader(Source(path=str(path), **fields), "data.train.0").problems()]


def mistake(path: object, **fields: Any) -> str:
    with pytest.raises(RecipeError) as caught:
        read(path, **fields)
    (line,) = caught.value.mistakes
    return line


def many(rows: int, seed: int = 0) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [row(number, tuple(rng.randint(0, 5) / 5 for _ in range(8))) for number in range(rows)]


@pytest.mark.parametrize("subset", ["all", "hard"])
def test_every_form_of_acecode_gives_the_same_problems(tmp_path, jsonl, subset):
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    rows = many(30)
    expected = read(jsonl("a.jsonl", rows), subset=subset)
    assert 0 < len(expected) <= 30
    (tmp_path / "a.json").write_text(json.dumps(rows))
    (tmp_path / "hub").mkdir()
    for path in (tmp_path / "a.parquet", tmp_path / "hub" / "train.parquet"):
        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    assert read(tmp_path / "a.json", subset=subset) == expected
    assert read(tmp_path / "a.parquet", subset=subset) == expected
    pytest.importorskip("datasets")  # reads folders as it reads the Hub
    assert read(tmp_path / "hub", subset=subset) == expected


def test_starter_sets_are_sources():
    assert read("starter:eval") == list(read_problems(starter.path("eval")))
    assert mistake("starter:test") == (
        "data.train.0.path is 'starter:test': starter:test does not exist: give starter:train or starter:eval"
    )


def test_the_hard_rows_of_a_file(jsonl):
    rows = many(50)
    chosen = hard.choose((str(i), item) for i, item in enumerate(rows)).chosen
    expected = [item["id"] for item, hard_one in zip(rows, chosen, strict=True) if hard_one]
    reader = Reader(Source(path=str(jsonl("a.jsonl", rows)), subset="hard"), "data.train.0")
    assert [problem.id for _, problem in reader.problems()] == expected
    assert reader.dropped == {"not_hard": 50 - len(expected), "no_inferences": 0}
    assert not reader.notes
    # The first so many of the hard ones, not the hard ones of the first so many.
    assert [item.id for item in read(jsonl("a.jsonl", rows), subset="hard", max_problems=3)] == expected[:3]


def test_hard_says_what_it_left_out_and_whose_samples_it_took(jsonl):
    rows = many(20)
    rows[3]["inferences"] = []
    for item in rows[5]["inferences"]:
        item["model_name"] = "mine"
    reader = Reader(Source(path=str(jsonl("a.jsonl", rows)), subset="hard"), "data.train.1")
    list(reader.problems())
    assert reader.dropped["no_inferences"] == 1
    assert reader.notes == [
        "data.train.1.subset is 'hard': 1 of 20 rows have no pass rates and are left out",
        "data.train.1.subset is 'hard': 1 of 20 rows have samples of neither qwen_coder_2.5 nor "
        "llama3_instruct; all of theirs counted (of mine)",
    ]


def test_hard_without_any_inferences_is_an_error_with_the_mend():
    line = mistake("starter:train", subset="hard")
    assert line.startswith("data.train.0.subset is 'hard', but no row of starter:train has `inferences`")
    assert "leave subset out" in line


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"id": "x", "question": "q", "test_cases": []}, "bad.jsonl:3: field 'test_cases'"),
        ({"id": "x", "question": "q", "test_cases": ["assert f("]}, "bad.jsonl:3: field 'test_cases"),
        (
            {"id": "x", "question": " ", "test_cases": ["assert f(1)"]},
            "bad.jsonl:3: the record has no question",
        ),
        ('{"id": "x"', "bad.jsonl:3: the row is not JSON"),
        ("[1]", "bad.jsonl:3: the row is a JSON list"),
    ],
)
def test_a_malformed_row_is_an_error_with_file_and_line(jsonl, bad, told):
    assert mistake(jsonl("bad.jsonl", [row(1), row(2), bad, row(3)])).startswith(f"data.train.0: {told}")


def test_rows_behind_max_problems_are_not_read(jsonl):
    assert len(read(jsonl("a.jsonl", [row(1), row(2), "broken"]), max_problems=2)) == 2


@pytest.mark.parametrize(
    ("path", "fields", "told"),
    [
        ("missing.jsonl", {}, "data.train.0.path is 'missing.jsonl', which does not exist: give a file"),
        ("/nowhere/at/all", {}, "data.train.0.path is '/nowhere/at/all', which does not exist"),
        ("a/b/c", {}, "data.train.0.path is 'a/b/c', which does not exist"),
        ("starter:train", {"split": "test"}, "data.train.0.split is 'test', but starter:train is a file"),
    ],
)
def test_nothing_to_read_is_an_error_that_names_the_field(path, fields, told):
    assert mistake(path, **fields).startswith(told)


def test_an_empty_file_is_an_error(jsonl):
    assert "which has no problems" in mistake(jsonl("a.jsonl", []))


def test_a_dataset_that_the_hub_does_not_give(monkeypatch):
    pytest.importorskip("datasets")
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    line = mistake("no-such-owner/no-such-dataset")
    assert line.startswith("data.train.0.path is 'no-such-owner/no-such-dataset' (split 'train'), no file here")
    assert "give a local JSONL or Parquet file" in line


@pytest.mark.parametrize("subset", ["all", "hard"])
def test_memory_does_not_grow_with_the_file(jsonl, subset):
    path = jsonl("a.jsonl", (row(number, code="x" * 20_000) for number in range(400)))
    assert path.stat().st_size > 15_000_000
    tracemalloc.start()
    try:
        for _ in Reader(Source(path=str(path), subset=subset), "data.train.0").problems():
            pass
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
