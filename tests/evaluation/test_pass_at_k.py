"""pass@k is what drawing k of the samples gives, judged by the sandbox, and its intervals mean what they say."""

from __future__ import annotations

import json
import math
from itertools import combinations
from pathlib import Path

import numpy
import pytest

from acecoder_rl.evaluation.pass_at_k import Judged, gain, judge, pass_at_k
from acecoder_rl.problems import Problem
from acecoder_rl.sandbox import Limits, Sandbox


@pytest.mark.parametrize("n", range(1, 8))
def test_the_estimate_is_that_of_all_choices_of_k_samples(n):
    for passed in range(n + 1):
        samples = [True] * passed + [False] * (n - passed)
        for k in range(1, n + 1):
            drawn = [any(chosen) for chosen in combinations(samples, k)]
            assert pass_at_k(n, passed, k) == pytest.approx(sum(drawn) / len(drawn))


def test_many_samples_are_no_matter():
    assert pass_at_k(10_000, 1, 100) == pytest.approx(0.01)
    assert pass_at_k(10_000, 9_901, 100) == 1.0


@pytest.mark.parametrize("k", [0, -1, 5])
def test_more_samples_than_there_are_cannot_be_drawn(k):
    with pytest.raises(ValueError, match=f"k is {k}: give 1 to 4"):
        pass_at_k(4, 2, k)


def _judged(*rows: list[int], ids: tuple[str, ...] = ()) -> Judged:
    return Judged(ids or tuple(f"p{number}" for number in range(len(rows))), numpy.array(rows, dtype=bool))


def test_of_a_model_it_is_the_mean_over_problems():
    judged = _judged([1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0])
    assert judged.pass_at(1) == pytest.approx(5 / 12)
    assert judged.pass_at(2) == pytest.approx((0.5 + 1 + 0) / 3)
    assert judged.pass_at(4) == pytest.approx(2 / 3)


def _random(share: float, seed: int, problems: int = 60) -> Judged:
    rng = numpy.random.default_rng(seed)
    difficulty = rng.beta(share, 1 - share, (problems, 1))
    return _judged(*(rng.random((problems, 8)) < difficulty))


def test_the_interval_holds_the_mean_and_is_as_wide_as_theory_says():
    judged = _random(0.3, 0)
    low, high = judged.interval()
    assert 0 <= low < judged.pass_at(1) < high <= 1
    error = judged.passed.mean(axis=1).std(ddof=1) / math.sqrt(60)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert judged.interval() == (low, high)  # drawn alike each time


def test_the_interval_holds_the_truth_as_often_as_it_says():
    held = 0
    for seed in range(40):
        low, high = _random(0.3, seed).interval()
        held += low <= 0.3 <= high
    assert 34 <= held <= 40


def test_a_gain_is_measured_in_pairs():
    # Hard and easy problems alike gain one sample of eight: each differs from the other by far more than that.
    before = _judged(*([1] * (number % 8) + [0] * (8 - number % 8) for number in range(64)))
    after = _judged(*([1] * (number % 8 + 1) + [0] * (7 - number % 8) for number in range(64)))
    rise, (low, high) = gain(before, after)
    assert rise == low == high == pytest.approx(1 / 8)
    assert gain(after, before)[0] == pytest.approx(-1 / 8)


def test_the_interval_of_a_gain_holds_it():
    before, after = _random(0.2, 1), _random(0.4, 2)
    rise, (low, high) = gain(before, after)
    assert rise == pytest.approx(after.pass_at(1) - before.pass_at(1)) and low < rise < high


def test_no_gain_is_no_gain():
    judged = _random(0.3, 3)
    assert gain(judged, judged) == (0.0, (0.0, 0.0))


@pytest.mark.parametrize("ids", [("a", "c"), ("b", "a"), ("a",)])
def test_answers_to_other_problems_are_not_compared(ids):
    before = _judged([1, 0], [0, 0], ids=("a", "b"))
    with pytest.raises(ValueError, match="different problems: evaluate both on the same file"):
        gain(before, _judged(*([[1, 1]] * len(ids)), ids=ids))


ADD = Problem("add", "Write add(a, b).", ("assert add(1, 2) == 3", "assert add(2, 2) == 4"))
TWICE = Problem("twice", "Write twice(a).", ("assert twice(4) == 8",))
SUM = "def add(a, b):\n    return a + b\n```"


def _file(folder: Path, *rows: tuple[Problem, list[str]]) -> Path:
    path = folder / "completions.jsonl"
    told = [{"label": problem.to_label(mode="eval"), "completions": texts} for problem, texts in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in told))
    return path


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(workers=1, limits=Limits(test_seconds=0.5), require="none") as started:
        yield started


def test_completions_are_judged_by_their_tests(sandbox, tmp_path):
    file = _file(
        tmp_path,
        # Right; right for one test only; never ends; no program.
        (ADD, [SUM, "def add(a, b):\n    return 4\n```", "def add(a, b):\n    while True: pass\n```", ""]),
        # Not a program; right, then prose; right by another name; right, and equal to one before.
        (
            TWICE,
            [
                "twice(",
                "def twice(a):\n    return 2 * a\n```\nIt doubles.",
                SUM,
                "twice = lambda a: a + a\n```",
            ],
        ),
    )
    judged = judge(file, sandbox, "```python\n")
    assert judged.ids == ("add", "twice")
    assert judged.passed.tolist() == [[True, False, False, False], [False, True, False, True]]


def test_the_prefix_is_part_of_every_program(sandbox, tmp_path):
    file = _file(tmp_path, (TWICE, [" 2 * a\n```", " 3 * a\n```"]))
    judged = judge(file, sandbox, "```python\ndef twice(a):\n    return")
    assert judged.passed.tolist() == [[True, False]]


def test_a_problems_own_limits_outrank_the_sandboxs(sandbox, tmp_path):
    slow = "def twice(a):\n    import time\n    end = time.process_time() + 1\n"
    slow += "    while time.process_time() < end: pass\n    return 2 * a\n```"
    patient = Problem("patient", "Write twice(a).", TWICE.tests, limits=Limits(test_seconds=8.0))
    judged = judge(_file(tmp_path, (TWICE, [slow, ""]), (patient, [slow, ""])), sandbox, "```python\n")
    assert judged.passed.tolist() == [[False, False], [True, False]]


@pytest.mark.parametrize(
    ("rows", "told"), [([], "0"), ([(ADD, [])], "0"), ([(ADD, [SUM] * 3), (TWICE, [SUM])], "1 or 3")]
)
def test_problems_without_an_equal_number_of_completions_are_refused(rows, told, sandbox, tmp_path):
    with pytest.raises(ValueError, match=f"completions.jsonl: the problems have {told} completions: sample all"):
        judge(_file(tmp_path, *rows), sandbox)
