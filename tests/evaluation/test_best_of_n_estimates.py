"""Best-of-k is what picking the best of every k candidates gives, and the report says what a hand would reckon."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acecoder_rl.evaluation.estimates import Ranked, best_of_k, intervals, outranks, report, steps
from acecoder_rl.evaluation.pass_at_k import pass_at_k


def by_all_subsets(scores: list[float], values: list[float], k: int) -> float:
    found = []
    for chosen in combinations(range(len(scores)), k):
        top = max(scores[at] for at in chosen)
        tied = [values[at] for at in chosen if scores[at] == top]
        found.append(sum(tied) / len(tied))
    return sum(found) / len(found)


# Few different scores, so that most candidates tie.
candidates = st.lists(st.tuples(st.integers(-1, 2), st.sampled_from([0.0, 1 / 3, 0.5, 1.0])), min_size=1, max_size=8)


@settings(max_examples=100, deadline=None)
@given(candidates, st.data())
def test_the_expectation_is_that_of_all_subsets_ties_shared(pairs, data):
    scores, values = ([pair[at] for pair in pairs] for at in (0, 1))
    k = data.draw(st.integers(1, len(pairs)))
    assert best_of_k(scores, values, k) == pytest.approx(by_all_subsets(scores, values, k), abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(candidates, st.randoms())
def test_the_order_of_the_candidates_does_not_matter(pairs, random):
    shuffled = random.sample(pairs, len(pairs))
    for k in range(1, len(pairs) + 1):
        first, second = (best_of_k([s for s, _ in each], [v for _, v in each], k) for each in (pairs, shuffled))
        assert first == pytest.approx(second, abs=1e-12)


@pytest.mark.parametrize("n", range(1, 8))
def test_by_the_verdicts_themselves_it_is_pass_at_k(n):
    for passed in range(n + 1):
        values = [1.0] * passed + [0.0] * (n - passed)
        for k in range(1, n + 1):
            assert best_of_k(values, values, k) == pytest.approx(pass_at_k(n, passed, k))


def test_many_candidates_lose_no_digits():
    scores = np.arange(2000.0)
    assert best_of_k(scores, np.ones(2000), 1000) == pytest.approx(1.0, abs=1e-12)
    only_the_best = np.zeros(2000)
    only_the_best[-1] = 1
    assert best_of_k(scores, only_the_best, 1000) == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize(
    ("scores", "values", "k", "told"),
    [
        ([1.0, 2.0], [0.0, 1.0], 3, "k is 3: give 1 to 2"),
        ([1.0, 2.0], [0.0, 1.0], 0, "k is 0: give 1 to 2"),
        ([1.0, 2.0], [0.0], 1, "2 scores, but 1 values"),
        ([1.0, math.nan], [0.0, 1.0], 1, "not all finite"),
        ([1.0, math.inf], [0.0, 1.0], 1, "not all finite"),
    ],
)
def test_what_cannot_be_ranked_is_refused(scores, values, k, told):
    with pytest.raises(ValueError, match=told):
        best_of_k(scores, values, k)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=8))
def test_outranking_is_the_share_of_pairs(pairs):
    of_pairs = [
        (right > wrong) + (right == wrong) / 2
        for right, passed in pairs if passed
        for wrong, other in pairs if not other
    ]  # fmt: skip
    found = outranks([score for score, _ in pairs], [passed for _, passed in pairs])
    assert found is None if not of_pairs else found == pytest.approx(sum(of_pairs) / len(of_pairs))


@pytest.mark.parametrize(
    ("most", "ks"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8]), (9, [1, 2, 4, 8, 9])]
)
def test_the_steps_end_with_all_candidates(most, ks):
    assert steps(most) == ks


def _value(figures, metric, *key):
    found = figures["metrics"][metric]
    for part in key:
        found = found[part]
    return found["value"]


def test_the_report_says_what_a_hand_reckons():
    figures = report(
        [
            # The best by score passes nothing; the second best passes all; a tie at the bottom.
            Ranked([3.0, 2.0, 1.0, 1.0], [False, True, False, True], [0.0, 1.0, 0.5, 1.0]),
            Ranked([1.0, 2.0, 3.0, 4.0], [False] * 4, [0.5, 0.0, 0.0, 0.5]),  # none passes: it counts
            Ranked([0.0] * 4, [True] * 4, [1.0] * 4),  # all pass: it counts
        ]
    )
    assert (figures["problems"], figures["candidates"], figures["steps"]) == (3, 4, [1, 2, 4])
    assert (figures["none_pass"], figures["all_pass"]) == (1, 1)
    assert _value(figures, "all_pass", "first") == pytest.approx((0 + 0 + 1) / 3)
    assert _value(figures, "all_pass", "average") == pytest.approx((0.5 + 0 + 1) / 3)
    assert _value(figures, "all_pass", "best_of", "1") == pytest.approx((0.5 + 0 + 1) / 3)
    # Of six pairs: three with the first, whose best fails; two with the second as best; the tied one: a half.
    assert _value(figures, "all_pass", "best_of", "2") == pytest.approx((2.5 / 6 + 0 + 1) / 3)
    assert _value(figures, "all_pass", "best_of", "4") == pytest.approx((0 + 0 + 1) / 3)
    assert _value(figures, "all_pass", "oracle", "4") == pytest.approx((1 + 0 + 1) / 3)
    assert _value(figures, "all_pass", "oracle", "2") == pytest.approx((5 / 6 + 0 + 1) / 3)
    assert _value(figures, "all_pass", "gain", "4") == pytest.approx((-0.5 + 0 + 0) / 3)
    assert _value(figures, "pass_rate", "average") == pytest.approx((2.5 / 4 + 0.25 + 1) / 3)
    assert _value(figures, "pass_rate", "best_of", "4") == pytest.approx((0 + 0.5 + 1) / 3)
    assert _value(figures, "pass_rate", "oracle", "4") == pytest.approx((1 + 0.5 + 1) / 3)
    # Of the first problem's four pairs the passing one is above in one, level in one.
    assert (figures["outranks"]["value"], figures["outranks"]["problems"]) == (pytest.approx(1.5 / 4), 1)


def test_problems_with_unlike_numbers_of_candidates_go_up_to_the_least():
    figures = report(
        [Ranked([1.0, 2.0], [False, True], [0.0, 1.0]), Ranked([3.0, 2.0, 1.0], [True, False, False], [1.0, 0.0, 0.0])]
    )
    assert (figures["candidates"], figures["most_candidates"], figures["steps"]) == (2, 3, [1, 2])
    assert _value(figures, "all_pass", "best_of", "2") == pytest.approx((1 + 2 / 3) / 2)
    assert _value(figures, "all_pass", "average") == pytest.approx((1 / 2 + 1 / 3) / 2)


def test_a_gain_is_measured_in_pairs():
    # Hard and easy problems alike gain an eighth: they differ from each other by far more than that.
    rates = [(share / 4, share / 4 + 0.25) for share in (0, 1, 2, 3)] * 10
    figures = report([Ranked([1.0, 2.0], [False, False], pair) for pair in rates])["metrics"]["pass_rate"]
    assert figures["gain"]["2"] == {"value": 0.125, "low": 0.125, "high": 0.125}
    assert figures["best_of"]["2"]["high"] - figures["best_of"]["2"]["low"] > 0.1


def test_the_interval_of_a_gain_holds_the_truth_as_often_as_it_says():
    held = 0
    for seed in range(40):
        rng, gains = np.random.default_rng(seed), []
        for chance in rng.beta(0.7, 1.0, 60):
            passed = (rng.random(8) < chance).astype(float)
            # Scores that know nothing: the truth is 0.
            gains.append(best_of_k(rng.normal(size=8), passed, 8) - passed.mean())
        ((low, high),) = intervals(np.array(gains)[:, None])
        held += low <= 0 <= high
    assert 34 <= held <= 40


def test_intervals_are_as_wide_as_theory_says_and_drawn_alike_each_time():
    values = np.random.default_rng(1).random((200, 1))
    ((low, high),) = intervals(values)
    error = values.std(ddof=1) / math.sqrt(200)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.05) and low < values.mean() < high
    # One set of draws for all columns.
    assert intervals(np.hstack([values, values])) == [pytest.approx((low, high))] * 2


@pytest.mark.parametrize("problems", [[], [Ranked([], [], [])]])
def test_no_candidates_make_no_report(problems):
    with pytest.raises(ValueError, match="needs problems, each with a candidate"):
        report(problems)
