"""The hard rows of a run, and of a published dataset, are the rows themselves; the choice is tests/test_hard.py's.

Run: pytest tests/synthesis/test_hard_stage.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from acecoder_rl.problems import ProblemError
from acecoder_rl.records import InputError
from acecoder_rl.synthesis import build, hard
from acecoder_rl.synthesis.hard import HardSettings
from acecoder_rl.synthesis.stages import dropped_of, rows_of
from acecoder_rl.training.recipe import RecipeError, Source
from acecoder_rl.training.sources import Reader
from tests.synthesis.tables import question, sampled

# Means .2, .4, .6, .8 around the median .5; spreads of the lower two .2 and .1 around .15; one without samples.
TABLE = [question(number, passed) for number, passed in enumerate([[0, 4], [6, 6], [3, 5], [], [8, 8]])]


def built(folder: Path) -> Path:
    sampled(folder, TABLE, chunk_size=2)
    build.run(folder)
    return folder


def dropped(folder: Path) -> list[tuple[str, str]]:
    return [(each.id, each.reason) for each in dropped_of(folder, "hard")]


def test_the_runs_own_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(build, "CHUNK", 2)
    folder = built(tmp_path / "run")
    state = hard.run(folder, HardSettings())
    assert list(rows_of(folder, "hard")) == list(rows_of(folder, "build"))[:1]
    assert dropped(folder) == [
        ("oss_1", "easy"),
        ("oss_2", "alike"),
        ("oss_3", "no_inferences"),
        ("oss_4", "easy"),
    ]
    assert (state.read, state.parts, state.counts) == (5, 3, {"tests": 10, "inferences": 2})
    # What a kill left of it is gone on with.
    for path in (folder / "hard").glob("*-0000[12].parquet"):
        path.unlink()
    text = (folder / "hard" / "stage.json").read_text()
    (folder / "hard" / "stage.json").write_text(text.replace('"finished"', '"running"'))
    assert hard.run(folder, HardSettings()).dropped == {"easy": 2, "alike": 1, "no_inferences": 1}


def test_a_band_of_mean_pass_rates(tmp_path: Path):
    folder = built(tmp_path / "run")
    hard.run(folder, HardSettings(band=[0.4, 0.6]))
    assert [row["id"] for row in rows_of(folder, "hard")] == ["oss_1", "oss_2"]
    assert dict(dropped(folder)) == {"oss_0": "below_band", "oss_3": "no_inferences", "oss_4": "above_band"}
    with pytest.raises(InputError, match=r"hard.band was \[0.4, 0.6\], and is now \[0.5, 0.6\].*--from hard"):
        hard.run(folder, HardSettings(band=[0.5, 0.6]))
    for band in ([0.6, 0.4], [0.4], [0.4, 1.5]):
        with pytest.raises(ValidationError):
            HardSettings(band=band)


def published(**changes: Any) -> list[dict[str, Any]]:
    """AceCode-87K's rows: inferences in another order of fields, one of them unknown to us."""
    rows = []
    for row in build.process(TABLE).rows:
        inferences = [{**dict(reversed(each.items())), "extra": 1} for each in row["inferences"]]
        rows.append(row | {"inferences": inferences, "more": "x"} | changes)
    return rows


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "folder"])
def test_a_published_dataset_needs_no_other_stage(tmp_path: Path, jsonl, kind: str):
    path = jsonl("published.jsonl", published())
    if kind != "jsonl":
        import pyarrow
        import pyarrow.parquet

        path = tmp_path / ("published.parquet" if kind == "parquet" else "data/train.parquet")
        path.parent.mkdir(exist_ok=True)
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(published()), path)
        path = path if kind == "parquet" else path.parent
    hard.run(tmp_path / "run", HardSettings(source=str(path)))
    assert list(rows_of(tmp_path / "run", "hard")) == build.process(TABLE).rows[:1]
    # Training with `subset: hard` takes the same ones.
    reader = Reader(Source(path=str(path), subset="hard"), "data.train.0")
    assert [problem.id for _, problem in reader.problems()] == ["oss_0"]


def test_a_source_that_changed_in_the_middle_is_no_longer_gone_on_with(tmp_path: Path, jsonl):
    path = jsonl("a.jsonl", published())
    hard.run(tmp_path / "run", HardSettings(source=str(path)))
    with path.open("a") as file:
        file.write(json.dumps(published()[0]) + "\n")
    with pytest.raises(InputError, match=r"the input of hard was another one.*--from hard"):
        hard.run(tmp_path / "run", HardSettings(source=str(path)))


def test_a_folder_that_changed_is_not_either(tmp_path: Path, jsonl):
    pytest.importorskip("datasets")
    folder = tmp_path / "theirs"
    folder.mkdir()
    path = jsonl("theirs/train.jsonl", published())
    settings = HardSettings(source=str(folder))
    hard.run(tmp_path / "run", settings)
    (folder / "README.md").write_text("# Theirs")  # no rows are in that
    assert hard.run(tmp_path / "run", settings).kept == 1
    with path.open("a") as file:
        file.write(json.dumps(published()[0]) + "\n")
    with pytest.raises(InputError, match=r"the input of hard was another one.*--from hard"):
        hard.run(tmp_path / "run", settings)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"test_cases": []}, r"a.jsonl:1: field 'test_cases' is \[\]: give a list of asserts"),
        ({"question": None}, r"a.jsonl:1: field 'question' is None: give a text"),
        ({"id": None}, r"a.jsonl:1: field 'id' is None: give a text"),
        ({"inferences": [{"pass_rate": 2}]}, r"a.jsonl:1: field 'inferences\[0\].pass_rate' is 2"),
        (
            {"inferences": [{"pass_rate": 1, "completion_id": "x"}]},
            r"a.jsonl:1: field 'inferences\[0\].completion_id' is 'x': give a number",
        ),
        ({"source": 3}, r"a.jsonl:1: field 'source' is 3: give a text"),
    ],
)
def test_a_row_of_another_schema_is_named(tmp_path: Path, jsonl, changes, told):
    path = jsonl("a.jsonl", published(**changes))
    with pytest.raises(ProblemError, match=told):
        hard.run(tmp_path / "run", HardSettings(source=str(path)))


def test_rows_without_any_pass_rate_are_an_error(tmp_path: Path, jsonl):
    path = jsonl("a.jsonl", published(inferences=[]))
    with pytest.raises(InputError, match=r"none of 5 rows has `inferences` with a pass_rate: set hard.source"):
        hard.run(tmp_path / "run", HardSettings(source=str(path)))


def test_a_source_that_is_not_there_is_told_in_the_recipes_own_words(tmp_path: Path, jsonl):
    path = jsonl("a.jsonl", published())
    for wrong, told in (
        ({"source": "b.jsonl"}, "hard.source is 'b.jsonl', which does not exist"),
        ({"source": str(path), "split": "test"}, f"hard.split is 'test', but {path} is a file"),
        ({"source": str(tmp_path), "split": "test"}, f"hard.source is '{tmp_path}' (split 'test'), no file here"),
    ):
        with pytest.raises(RecipeError) as error:
            hard.check(HardSettings(**wrong))
            hard.run(tmp_path / "run", HardSettings(**wrong))
        assert error.value.mistakes[0].startswith(told)
