"""The dataset's rows are AceCode-87K's, and refuse what is none.

Run: pytest tests/synthesis/test_build.py
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from acecoder_rl.problems import Problem, ProblemError
from acecoder_rl.records import InputError
from acecoder_rl.synthesis import build
from acecoder_rl.synthesis.stages import fingerprint_of, parts_of, rows_of
from tests.synthesis.tables import question, sampled


def test_the_schema_is_the_published_one(tmp_path: Path):
    import pyarrow
    import pyarrow.parquet

    folder = sampled(tmp_path / "run", [question(1, [3])])
    build.run(folder)
    (file,) = parts_of(folder, "build")
    text = pyarrow.string()
    inference = pyarrow.struct(
        [
            ("model_name", text),
            ("completion_id", pyarrow.int64()),
            ("completion", text),
            ("pass_rate", pyarrow.float64()),
        ]
    )
    assert pyarrow.parquet.read_schema(file).equals(
        pyarrow.schema(
            [
                ("id", text),
                ("source", text),
                ("question", text),
                ("test_cases", pyarrow.list_(text)),
                ("inferences", pyarrow.list_(inference)),
                ("context_messages", pyarrow.list_(pyarrow.struct([("content", text), ("role", text)]))),
            ]
        )
    )


def test_a_row_by_hand(tmp_path: Path):
    table = [question(1, [2, 1], tests=3), question(2, [], tests=1, source="evol")]
    folder = sampled(tmp_path / "run", table)
    state = build.run(folder)
    first, second = rows_of(folder, "build")
    assert first == {
        "id": "oss_1",
        "source": "oss",
        "question": "Write add_1(x).",
        "test_cases": ["assert add_1(0) == 1", "assert add_1(1) == 2", "assert add_1(2) == 3"],
        "inferences": [
            {"model_name": "tiny", "completion_id": 0, "completion": "def add_1(x):\n    return x + 1 + 0\n",
             "pass_rate": 2 / 3},
            {"model_name": "tiny", "completion_id": 1, "completion": "def add_1(x):\n    return x + 1 + 1\n",
             "pass_rate": 1 / 3},
        ],
        "context_messages": [{"content": "Write add_1(x).", "role": "user"}],
    }  # fmt: skip
    assert second["inferences"] == []
    assert state.counts == {"tests": 4, "inferences": 2, "source oss": 1, "source evol": 1, "inferences of tiny": 2}
    assert Problem.from_record(first).entry_point == "add_1"


def test_the_same_samples_give_the_same_dataset_however_they_were_chunked(tmp_path: Path):
    table = [question(number, [3, 9]) for number in range(7)]
    for size in (2, 5):
        build.run(sampled(tmp_path / str(size), table, chunk_size=size))
    assert fingerprint_of(tmp_path / "2", "build") == fingerprint_of(tmp_path / "5", "build")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"tests": "[]"}, r"field 'tests' is \[\]: give a list of asserts"),
        ({"tests": "[1"}, r"field 'tests' is '\[1', which is not JSON"),
        (
            {"inferences": '[{"pass_rate": 1.5}]'},
            r"field 'inferences\[0\].pass_rate' is 1.5: give a number from 0 to 1",
        ),
        ({"inferences": '[{"pass_rate": NaN}]'}, r"field 'inferences\[0\].pass_rate' is nan: give a number"),
        ({"inferences": '[{"pass_rate": null}]'}, r"field 'inferences\[0\].pass_rate' is None: give a number"),
        (
            {"inferences": '[{"pass_rate": 1, "model_name": "m", "completion_id": 0}]'},
            r"field 'inferences\[0\].completion' is None: give a text",
        ),
        (
            {"inferences": '[{"pass_rate": 1, "model_name": "m", "completion_id": true}]'},
            r"field 'inferences\[0\].completion_id' is True: give a number",
        ),
        ({"inferences": "null"}, r"field 'inferences' is None: give a list of objects"),
        ({"inferences": '["x"]'}, r"field 'inferences\[0\]' is 'x': give an object"),
    ],
)
def test_what_no_sample_stage_writes_is_named(changes, told):
    with pytest.raises(ProblemError, match=f"sample: row oss_1: {told}"):
        build.process([question(0, [1]), question(1, [1]) | changes])


def test_samples_come_first(tmp_path: Path):
    with pytest.raises(InputError, match="stage sample has not begun: run it first"):
        build.run(tmp_path)


def test_half_characters_of_a_model_do_not_stop_it(tmp_path: Path):
    row = question(1, [1])
    row["inferences"] = json.dumps([json.loads(row["inferences"])[0] | {"completion": "x = '\ud800'"}])
    folder = sampled(tmp_path / "run", [row])
    build.run(folder)
    assert [each["inferences"][0]["completion"] for each in rows_of(folder, "build")] == ["x = '?'"]
