"""The hard subset is what the specification says; bad pass rates are left out or refused, and never NaN.

Run: pytest tests/test_hard.py
"""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acecoder_rl.hard import choose
from acecoder_rl.problems import ProblemError

numpy = pytest.importorskip("numpy")

NAMES = ("qwen_coder_2.5", "llama3_instruct", "another")
# Shares of 15 tests: few different values, so that rows tie at the medians, as in the real data.
RATES = st.integers(0, 15).map(lambda passed: passed / 15)


def inference(rate: Any, model: str = "qwen_coder_2.5") -> dict[str, Any]:
    return {"model_name": model, "completion_id": 0, "completion": "pass", "pass_rate": rate}


def rows(*rates: list[Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(f"row {i}", {"inferences": [inference(rate) for rate in row]}) for i, row in enumerate(rates)]


def literal(records: list[list[tuple[str, float]]]) -> list[int]:
    """Specification, word by word: the numbers of the hard rows."""
    used = []
    for number, record in enumerate(records):
        named = [rate for model, rate in record if model in ("qwen_coder_2.5", "llama3_instruct")]
        rates = named or [rate for _, rate in record]
        if rates:
            used.append((number, numpy.mean(rates), numpy.std(rates, ddof=0)))
    if not used:
        return []
    middle = numpy.percentile([mean for _, mean, _ in used], 50)
    low = [item for item in used if item[1] <= middle]
    spread = numpy.percentile([std for *_, std in low], 50)
    return [number for number, _, std in low if std >= spread]


@given(st.lists(st.lists(st.tuples(st.sampled_from(NAMES), RATES), max_size=16), max_size=40))
def test_the_choice_is_the_specifications(records):
    read = [
        (f"row {number}", {"inferences": [inference(rate, model) for model, rate in record]})
        for number, record in enumerate(records)
    ]
    choice = choose(read)
    assert [number for number, chosen in enumerate(choice.chosen) if chosen] == literal(records)
    assert choice.usable == sum(map(bool, records))


@pytest.mark.parametrize(
    ("table", "reasons"),
    [
        # Means 0, .5, 1: at most .5 are the first two; their spreads are 0 and .5, the median .25.
        ([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0]], ["alike", "", "easy"]),
        # Means .2, .4, .6, .8: the median is .5. Spreads of the two below: .2 and .1.
        ([[0.0, 0.4], [0.3, 0.5], [0.6, 0.6], [0.8, 0.8]], ["", "alike", "easy", "easy"]),
        # All tie, at both medians: ties are kept.
        ([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]], ["", "", ""]),
        ([[0.5]], [""]),
        ([[], [0.25, 0.75], []], ["no_inferences", "", "no_inferences"]),
        ([[]], ["no_inferences"]),
        ([], []),
    ],
)
def test_the_choice_by_hand(table, reasons):
    choice = choose(rows(*table))
    assert choice.reasons == reasons
    assert list(choice.chosen) == [not reason for reason in reasons]


def test_a_band_has_both_its_ends():
    table = rows([0.1, 0.2, 0.3], [0.7, 0.7, 0.7], [0.5, 0.0], [0.19] * 2, [0.71, 0.7], [], [0.0, 1.0])
    assert sum([0.1, 0.2, 0.3]) / 3 > 0.2  # by the last digit
    choice = choose(table, (0.2, 0.7))
    assert choice.reasons == ["", "", "", "below_band", "above_band", "no_inferences", ""]
    assert choose(table, (0.0, 1.0)).reasons == ["", "", "", "", "", "no_inferences", ""]
    assert choose(rows([0.1, 0.2, 0.3]), (0.0, 0.2)).reasons == [""]


def test_it_is_about_a_quarter():
    rng = numpy.random.default_rng(0)
    choice = choose(rows(*rng.random((4000, 16)).tolist()))
    assert sum(choice.chosen) == 1000


@pytest.mark.parametrize("bad", [{}, {"inferences": None}, {"inferences": []}, rows([None, math.nan])[0][1]])
def test_a_row_without_pass_rates_does_not_spoil_the_others(bad):
    good = rows([0.0, 1.0], [0.5, 0.5], [1.0, 1.0], [0.0, 0.0])
    choice = choose([("bad", bad), *good])
    assert list(choice.chosen) == [0, *choose(good).chosen]
    assert sum(choice.chosen) and choice.usable == 4


def test_samples_of_other_models_count_only_where_the_originals_have_none():
    # By the first model alone, row 0 is the easiest; its other samples would make it hard.
    mixed = {"inferences": [inference(1.0), inference(1.0), *[inference(0.0, "another")] * 9]}
    others = {"inferences": [inference(0.0, "mine"), inference(0.9, "mine")]}
    choice = choose([("0", mixed), ("1", others)])
    assert list(choice.chosen) == [0, 1]
    assert choice.others == {"mine": 1}


@pytest.mark.parametrize("rate", [1.5, -0.1, "0.5", True, math.inf])
def test_a_pass_rate_that_is_none_is_refused_with_its_place(rate):
    with pytest.raises(ProblemError, match=r"row 1: field 'inferences\[2\].pass_rate' is .*from 0 to 1"):
        choose(rows([0.0], [0.0, 0.5, rate]))


@pytest.mark.parametrize("value", ["[]", {"pass_rate": 1}, [0.5]])
def test_inferences_of_another_shape_are_refused(value):
    with pytest.raises(ProblemError, match=r"a\.jsonl:3: field 'inferences' is .*give a list of objects"):
        choose([("a.jsonl:3", {"inferences": value})])
