"""The pairs that a reward model learns from are AceCoder's by rule, and no test problem asks for a trained function.

Does not cover: the learning, which takes an hour: `python -m acecoder_rl.bench.rm_learning --mbpp FILE`.
"""

from __future__ import annotations

from collections import Counter

import pytest

from acecoder_rl.bench.rm_learning import GAP, PER_PROBLEM, TEST, TRAIN, baselines, pairs, problems
from acecoder_rl.evaluation.candidates import Candidates, Completion, Known
from acecoder_rl.records import InputError


def mbpp(number: int, name: str) -> dict:
    tests = [f"assert {name}({at}) == {at}" for at in range(3)]
    return {"task_id": number, "text": f"Write {name}.", "code": "", "test_setup_code": "", "test_list": tests}


def test_the_test_problems_ask_for_other_functions(jsonl):
    rows = [mbpp(601, "f"), mbpp(602, "g"), mbpp(11, "g"), mbpp(12, "h"), mbpp(600, "i"), mbpp(511, "j")]
    source, seen = jsonl("mbpp.jsonl", rows), set()
    train = problems(source, TRAIN, 10, seen)
    test = problems(source, TEST, 10, seen)
    assert sorted(row["id"] for row in train) == [601, 602] and [row["id"] for row in test] == [12]
    assert test[0]["question"] == "Write h.\nYour code should pass this test:\nassert h(0) == 0"
    assert [row["id"] for row in train] == [row["id"] for row in problems(source, TRAIN, 10, set())]


def test_another_file_is_told(jsonl):
    with pytest.raises(InputError, match=r"other\.jsonl:1 is no row of MBPP"):
        problems(jsonl("other.jsonl", [{"id": 1}]), TRAIN, 1, set())


def candidates(name: str, *rates: float) -> Candidates:
    completions = [Completion(f"{name} {at} {rate}", 0, at, Known(rate, rate == 1)) for at, rate in enumerate(rates)]
    return Candidates(name, f"Write {name}.", None, completions)


def test_pairs_are_of_one_problem_and_far_apart():
    found = [candidates("a", 1.0, 2 / 3, 1 / 3, 0.0), candidates("b", 0.0, 1 / 3), candidates("c", 1.0, 1.0)]
    made = list(pairs(found))
    assert {(pair["chosen"], pair["rejected"]) for pair in made} == {
        ("a 0 1.0", f"a 2 {1 / 3}"), ("a 0 1.0", "a 3 0.0"),
    }  # fmt: skip
    assert all(pair["instruction"] == "Write a." for pair in made)
    assert all(pair["chosen_score"] - pair["rejected_score"] >= GAP for pair in made)
    assert list(pairs(found)) == made


def test_no_problem_and_no_completion_has_most_of_the_pairs():
    made = list(pairs([candidates("a", *[1.0] * 4, *[0.0] * 10)]))
    assert len(made) == PER_PROBLEM == len({(pair["chosen"], pair["rejected"]) for pair in made})
    assert max(Counter(pair["chosen"] for pair in made).values()) <= PER_PROBLEM / 4 + 1
    assert max(Counter(pair["rejected"] for pair in made).values()) <= 2


def test_equal_completions_are_one():
    twice = candidates("a", 1.0, 0.0)
    twice.completions *= 3
    assert len(list(pairs([twice]))) == 1


def test_rules_without_a_model_are_measured_alike():
    texts = {"x = (\n": 0.0, "x = 1\n": 0.0, "def f(a):\n    return a\n": 1.0, "def f(a): pass\n": 0.0}
    completions = [Completion(text, 0, at, Known(rate, rate == 1)) for at, (text, rate) in enumerate(texts.items())]
    told = baselines([Candidates("a", "Write f.", None, completions)])
    best = {name: rule["all_pass"]["best_of"]["value"] for name, rule in told.items()}
    assert best == {"longest": 1.0, "shortest": 0.0, "parses": pytest.approx(1 / 3)}
    assert told["longest"]["all_pass"]["gain"]["value"] == pytest.approx(0.75)
