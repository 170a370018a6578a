"""Stage seeds: which rows of which sources stay, under which ids, and why the others go.

Run: pytest tests/synthesis/test_seeds.py
Does not cover: the filters (test_filters.py), what counts as alike (test_duplicates.py, test_contamination.py).
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from acecoder_rl.problems import ProblemError
from acecoder_rl.records import InputError
from acecoder_rl.synthesis import seeds
from acecoder_rl.synthesis.filters import REASONS
from acecoder_rl.synthesis.seeds import STARTER, SeedsSettings
from acecoder_rl.synthesis.stages import dropped_of, rows_of
from acecoder_rl.training.recipe import RecipeError

QUESTION = "Given a list of parcels, put them into as few lorries as the weights allow, heaviest first."


def function(name: str, text: str = "") -> str:
    return f"def {name}(a, b):\n    {name}_one = a * {len(name)}\n    return {name}_one + sum(b)  # {text}"


def run(folder: Path, sources: Any, **more: Any) -> tuple[list[dict[str, Any]], dict[str, tuple[str, dict[str, Any]]]]:
    seeds.run(folder, SeedsSettings(sources=sources, **more))
    dropped = {each.id: (each.reason, each.detail) for each in dropped_of(folder, "seeds")}
    return list(rows_of(folder, "seeds")), dropped


@pytest.fixture
def three(jsonl) -> list[dict[str, Any]]:
    """The three sources, as they would be on the Hub."""
    answer = f"Sure:\n```python\n{function('evolved')}\nprint(evolved(1, [2]))\n```"
    evol = [{"instruction": "Do it.", "response": "No."}, {"instruction": "Do it.", "response": answer}]
    oss = [
        {"lang": "rust", "instruction": "Do.", "response": "```rust\nfn a() {}\n```"},
        {"lang": "python", "instruction": QUESTION, "response": f"```python\n{function('open_source')}\n```"},
        {"lang": "python", "instruction": "Do.", "response": f"```python\n{function('other')}\n```"},
    ]
    long = "a text that makes this function long enough for its filter"
    stack = [{"content": function("x")}, {"content": function("evolved", long)}, {"content": function("stacked", long)}]
    named = {"evol": evol, "oss": oss, "stack": stack}
    return [{"path": str(jsonl(f"{name}.jsonl", rows)), "filter": name} for name, rows in named.items()]


def test_three_sources(tmp_path, three, jsonl):
    benchmark = jsonl("parcels.jsonl", [{"task_id": "P/7", "text": QUESTION}])
    rows, dropped = run(tmp_path / "run", three, benchmarks=[str(benchmark)])
    assert rows == [
        {"id": "evol_1", "source": "evol", "instruction": "Do it.", "program": function("evolved")},
        {"id": "oss_2", "source": "oss", "instruction": "Do.", "program": function("other")},
        {
            "id": "bigcode_python_fns_2",
            "source": "bigcode_python_fns",
            "instruction": None,
            "program": json.loads(Path(three[2]["path"]).read_text().splitlines()[2])["content"],
        },
    ]
    words = "given a list of parcels put them into as few"
    assert dropped == {
        "evol_0": ("no_program", {}),
        "oss_0": ("other_language", {"lang": "rust"}),
        "oss_1": ("contaminated", {"benchmark": "parcels", "task": "P/7", "words": words}),
        "bigcode_python_fns_0": ("too_short", {"chars": len(function("x"))}),
        # Of another source, and the comment does not count.
        "bigcode_python_fns_1": ("near_duplicate", {"of": "evol_1", "similarity": 1.0}),
    }
    assert {reason for reason, _ in dropped.values()} <= REASONS.keys()
    assert json.loads((tmp_path / "run" / "seeds" / "stage.json").read_text())["counts"] == {
        "prints_removed": 1,
        **{f"source {name}": 1 for name in ("evol", "oss", "bigcode_python_fns")},
        "dropped of evol": 1,
        "dropped of oss": 2,
        "dropped of bigcode_python_fns": 2,
    }


def test_ids_do_not_depend_on_what_else_is_asked_for(tmp_path, jsonl):
    path = jsonl("mine.jsonl", [{"program": function("a")}, "\n", {"program": "x"}, {"program": function("bb")}])
    mine = {"path": str(path)}
    assert [row["id"] for row in run(tmp_path / "1", mine)[0]] == ["mine_0", "mine_2"]
    assert [row["id"] for row in run(tmp_path / "2", {**mine, "min_chars": len(function("a")) + 1})[0]] == ["mine_2"]
    assert [row["id"] for row in run(tmp_path / "3", {**mine, "max_rows": 2, "name": "own"})[0]] == ["own_0"]


def test_parquet_with_columns_of_its_own(tmp_path):
    import pyarrow
    import pyarrow.parquet

    rows = [{"code": function(name), "task": task} for name, task in (("a", "Do."), ("bb", None))]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "own.parquet")
    source = {"path": str(tmp_path / "own.parquet"), "program": "code", "instruction": "task"}
    assert [row["instruction"] for row in run(tmp_path / "run", source)[0]] == ["Do.", None]


def test_a_dataset_in_a_folder(tmp_path, jsonl):
    (tmp_path / "data").mkdir()
    jsonl("data/train.jsonl", [{"program": function("a")}, {"program": function("bb")}])
    assert [row["id"] for row in run(tmp_path / "run", str(tmp_path / "data"))[0]] == ["data_0", "data_1"]


def test_near_duplicates_may_stay(tmp_path, jsonl):
    path = str(jsonl("mine.jsonl", [{"program": function("a")}] * 2))
    assert len(run(tmp_path / "1", path)[0]) == 1
    assert len(run(tmp_path / "2", path, near_duplicate=None)[0]) == 2


def test_going_on_finds_the_duplicates_of_what_was_done_before(tmp_path, jsonl, monkeypatch):
    monkeypatch.setattr(seeds, "CHUNK", 2)
    programs = [function(name) for name in ("a", "bb", "ccc", "a", "dddd", "ccc")]
    path = str(jsonl("mine.jsonl", [{"program": program} for program in programs]))
    whole = run(tmp_path / "whole", path)
    assert whole[1] == {
        "mine_3": ("near_duplicate", {"of": "mine_0", "similarity": 1.0}),
        "mine_5": ("near_duplicate", {"of": "mine_2", "similarity": 1.0}),
    }
    folder = tmp_path / "killed"
    run(folder, path)
    for number in (1, 2):
        (folder / "seeds" / f"part-{number:05}.parquet").unlink()
    state = json.loads((folder / "seeds" / "stage.json").read_text())
    (folder / "seeds" / "stage.json").write_text(json.dumps(state | {"state": "running"}))
    assert run(folder, path) == whole


def test_a_finished_stage_reads_no_benchmark(tmp_path, jsonl, monkeypatch):
    path, benchmark = str(jsonl("mine.jsonl", [{"program": function("a")}])), jsonl("b.jsonl", [{"text": QUESTION}])
    run(tmp_path / "run", path, benchmarks=[str(benchmark)])
    monkeypatch.setattr("acecoder_rl.synthesis.contamination.read", None)
    assert len(run(tmp_path / "run", path, benchmarks=[str(benchmark)])[0]) == 1


def test_a_benchmark_that_is_missing_leaves_no_trace(tmp_path, jsonl):
    path = str(jsonl("mine.jsonl", [{"program": function("a")}]))
    with pytest.raises(RecipeError, match=r"seeds\.benchmarks\.0.*does not exist"):
        run(tmp_path / "run", path, benchmarks=[str(tmp_path / "none.jsonl")])
    assert len(run(tmp_path / "run", path)[0]) == 1  # with other settings


def test_a_source_that_is_not_to_be_had_can_be_mended(tmp_path, monkeypatch):
    from datasets import Dataset

    def load_dataset(path, config, split):
        if path != "own/rows":
            raise ConnectionError("no network")
        return Dataset.from_list([{"code": function("a")}])

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    folder = tmp_path / "run"
    with pytest.raises(RecipeError, match=r"seeds\.sources\.0\.path is 'own/row' .*no network: mend the path, or"):
        run(folder, "own/row")
    with pytest.raises(ProblemError, match=r"own/rows: row 0: has no field 'program', but 'code': name the filter or"):
        run(folder, "own/rows")
    assert [row["id"] for row in run(folder, {"path": "own/rows", "program": "code"})[0]] == ["rows_0"]


def test_a_source_that_changed_is_no_longer_gone_on_with(tmp_path, jsonl):
    path = jsonl("mine.jsonl", [{"program": function("a")}])
    run(tmp_path / "run", str(path))
    jsonl("mine.jsonl", [{"program": function("bb")}])
    with pytest.raises(InputError, match=r"the input of seeds was another one.*--from seeds"):
        run(tmp_path / "run", str(path))


@pytest.mark.parametrize(
    ("rows", "error", "told"),
    [
        ([{"code": "x"}], ProblemError, r"mine\.jsonl:1: has no field 'program', but 'code'"),
        (["{\n"], ProblemError, r"mine\.jsonl:1: the row is not JSON"),
        (None, RecipeError, r"seeds\.sources\.0\.path is '.*mine\.jsonl', which does not exist"),
    ],
)
def test_what_is_seen_before_anything_runs(tmp_path, jsonl, rows, error, told):
    path = jsonl("mine.jsonl", rows) if rows else tmp_path / "mine.jsonl"
    with pytest.raises(error, match=told):
        seeds.check(SeedsSettings(sources=str(path)))


def test_without_datasketch_the_mend_is_told(monkeypatch):
    monkeypatch.setattr("acecoder_rl.synthesis.duplicates.installed", lambda: False)
    with pytest.raises(
        RecipeError, match=r"seeds\.near_duplicate is 0\.8, .*pip install datasketch, or set .* to null"
    ):
        seeds.check(SeedsSettings(sources=STARTER))
    seeds.check(SeedsSettings(sources=STARTER, near_duplicate=None))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"sources": ["a/x.jsonl", "b/x.jsonl"]}, "2 sources are called 'x': give each a `name` of its own"),
        ({"sources": []}, "at least 1"),
        ({"sources": [{"path": "x", "filter": "evl"}]}, "evol"),
        ({"sources": "x", "near_duplicate": 1.0}, "less than or equal"),
    ],
)
def test_settings(settings, told):
    with pytest.raises(ValidationError, match=told):
        SeedsSettings(**settings)


def test_the_starter_seeds_all_stay_and_run(tmp_path):
    rows, dropped = run(tmp_path / "run", STARTER)
    assert not dropped and 36 <= len(rows) <= 48
    assert [row["id"] for row in rows] == [f"seeds_{number}" for number in range(len(rows))]
    for row in rows:
        assert row["instruction"] and any(
            isinstance(node, ast.FunctionDef) for node in ast.walk(ast.parse(row["program"]))
        )
        exec(compile(row["program"], row["id"], "exec"), {})


def test_the_starter_seeds_are_no_benchmarks(tmp_path):
    mbpp = Path(__file__).parents[2].parent / "shared" / "data" / "mbpp.jsonl"
    if not mbpp.exists():
        pytest.skip("needs MBPP's file")
    assert not run(tmp_path / "run", STARTER, benchmarks=[str(mbpp)], ngram=8)[1]
