"""What mixing promises, as properties over invented verdicts, and with real scorers in the real sandbox.

Covers: bounds, monotony, ties, the keys, scores that are no scores.
Does not cover: the options that all rewards share (test_pass_rate.py).
"""

from __future__ import annotations

import asyncio
import pickle
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acecoder_rl.problems import Problem
from acecoder_rl.sandbox import Outcome, Verdict
from reward_fns import Mixed, Part, PassRate, Reward, from_config, sandboxes
from reward_fns.holdout import withheld
from reward_fns.reward import BOUND, KEYS
from tests.reward_fns.common import PROBLEM, PROSE, RIGHT, fenced, passing
from tests.reward_fns.scorers import Broken, Fixed, Shortness

SCORES = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([1e308, -1e308, 0.0, 5e-324])
SHAPES = st.fixed_dictionaries(
    {"tests": st.sampled_from(["pass_rate", "all_pass"]), "holdout": st.sampled_from([0.0, 0.2, 0.5, 0.99])}
)
WEIGHTED = st.builds(
    Part,
    name=st.just("rm"),
    component=st.just(Fixed()),
    weight=st.floats(-1, 1),
    mean=SCORES,
    std=st.floats(1e-300, 1e300),
    squash=st.sampled_from(["tanh", "none"]),
)


@st.composite
def ran(draw: st.DrawFn, most: int = 60) -> tuple[Problem, list[bool]]:
    """A problem, and which of its tests a program passed."""
    passed = draw(st.lists(st.booleans(), min_size=1, max_size=most))
    return Problem("p", "", tuple(f"assert f({n}) == {n}" for n in range(len(passed)))), passed


def value(reward: Mixed, problem: Problem, passed: list[bool], score: float) -> float:
    """The value for these verdicts and this score of the one part, by the real `score`."""
    outcomes = tuple(Outcome("passed" if good else "failed") for good in passed)
    part = replace(reward.parts[0], component=Fixed(score))

    async def verdict(*_: object) -> Verdict:
        return Verdict(outcomes)

    kept, sandboxes.run = sandboxes.run, verdict
    try:
        return asyncio.run(replace(reward, parts=(part,)).score(problem, RIGHT)).value
    finally:
        sandboxes.run = kept


@settings(max_examples=150, deadline=None)
@given(ran(), st.data(), SHAPES, SCORES, SCORES, st.floats(1e-300, 1e300))
def test_a_tie_break_never_reverses_what_the_tests_decide(run, data, shape, low, high, std):
    problem, better = run
    held = withheld(problem.tests, shape["holdout"])
    earning = [index for index in range(len(better)) if index not in held]
    if shape["tests"] == "all_pass":
        better = [True] * len(better)
    # The worse one fails at least one test more of those that earn; withheld ones are anything.
    keep = data.draw(st.sets(st.sampled_from(earning), max_size=max(0, sum(better[i] for i in earning) - 1)))
    worse = [data.draw(st.booleans()) if index in held else index in keep for index in range(len(better))]
    if sum(better[index] for index in earning) <= len(keep):
        better = [True] * len(better)
    reward = Mixed(parts=(Part("rm", Fixed(), std=std),), mode="tie_break", **shape)
    assert value(reward, problem, better, low) > value(reward, problem, worse, high)


@settings(max_examples=50, deadline=None)
@given(ran(), SHAPES, st.floats(-3, 3), st.floats(0.01, 3))
def test_a_tie_break_orders_programs_of_equal_pass_rate(run, shape, score, more):
    problem, passed = run
    reward = Mixed(parts=(Part("rm", Fixed()),), mode="tie_break", **shape)
    assert value(reward, problem, passed, score + more) > value(reward, problem, passed, score)


@pytest.mark.parametrize("tests", [1, 2, 3, 7, 1000, 5_000])
def test_a_tie_break_holds_for_any_number_of_tests(tests: int):
    problem = Problem("p", "", tuple(f"assert f({n}) == {n}" for n in range(tests)))
    reward = Mixed(parts=(Part("rm", Fixed()),), mode="tie_break")
    for count in {1, tests // 2 + 1, tests}:
        better = [index < count for index in range(tests)]
        worse = [index < count - 1 for index in range(tests)]
        assert value(reward, problem, better, -1e300) > value(reward, problem, worse, 1e300)


@settings(max_examples=150, deadline=None)
@given(ran(), WEIGHTED, SHAPES, SCORES, st.floats(0.01, 3), st.floats(0, 1))
def test_values_are_bounded(run, part, shape, score, weight, shaping):
    problem, passed = run
    extra = {"full_pass_bonus": shaping, "truncated_penalty": shaping}
    reward = Mixed(parts=(part,), weight=weight, **shape, **extra)
    assert abs(value(reward, problem, passed, score)) <= reward.bound() + 1e-9 <= BOUND + 1e-9


@settings(max_examples=150, deadline=None)
@given(ran(), st.data(), WEIGHTED, SHAPES, SCORES, st.floats(0.01, 3), st.booleans())
def test_passing_more_tests_never_earns_less(run, data, part, shape, score, weight, tie_break):
    problem, passed = run
    more = [good or data.draw(st.booleans()) for good in passed]
    if tie_break:
        reward = Mixed(parts=(replace(part, weight=1.0, squash="tanh"),), mode="tie_break", **shape)
    else:
        reward = Mixed(parts=(part,), weight=weight, full_pass_bonus=0.5, **shape)
    assert value(reward, problem, more, score) >= value(reward, problem, passed, score)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"parts": ()}, "parts is empty"),
        ({"parts": [Part("a", Fixed()), Part("a", Fixed())]}, "give each its own"),
        ({"parts": [Part("a", Fixed(), weight=9.5)]}, "values may reach 10.5"),
        ({"parts": [Part("a", Fixed(), weight=-9.5)]}, "values may reach 10.5"),
        ({"parts": [Part("a", Fixed(), weight=2, squash="none")]}, "values may reach 11"),
        ({"parts": [Part("a", Fixed())], "weight": -0.5}, "weight is -0.5"),
        ({"parts": [Part("a", Fixed(), squash="none")], "mode": "tie_break"}, "exactly one part"),
        ({"parts": [Part("a", Fixed(), weight=2)], "mode": "tie_break"}, "has no weights"),
        ({"parts": [Part("a", Fixed())], "mode": "ties"}, "give 'weighted' or 'tie_break'"),
        ({"parts": [Part("a", Fixed())], "tests": "some"}, "give 'pass_rate' or 'all_pass'"),
    ],
)
def test_a_mix_that_cannot_keep_its_promises_is_refused(options: dict, said: str):
    with pytest.raises(ValueError, match=said):
        Mixed(**options)


@pytest.mark.parametrize("name", ["pass_rate", "reward", "score", "kl", "two words", "", 3])
def test_a_part_may_not_take_a_name_that_trainers_log_themselves(name):
    with pytest.raises(ValueError, match="give an identifier that is none of"):
        Part(name, Fixed())


@pytest.mark.parametrize("score", [float("nan"), float("inf"), None, "high", 10**400])
def test_a_score_that_is_no_number_raises(score):
    reward = Mixed(parts=(Part("rm", Fixed(score)),))
    with pytest.raises(ValueError, match="rm scored a completion"):
        reward(PROBLEM, RIGHT)


def test_a_scorer_that_fails_raises_its_own_error():
    with pytest.raises(ConnectionError, match="the scorer is gone"):
        Mixed(parts=(Part("rm", Broken()),))(PROBLEM, RIGHT)


def test_a_real_scorer_breaks_ties_between_equal_programs():
    reward = from_config(
        {
            "kind": "mixed",
            "mode": "tie_break",
            "parts": [{"kind": "tests.reward_fns.scorers:Shortness", "mean": -1, "std": 0.5, "per_chars": 50}],
        }
    )
    assert reward.parts[0].component.per_chars == 50
    short, long, better = (
        passing(3),
        passing(3, "# a comment that says nothing" * 20),
        passing(4, "# so " * 99),
    )
    assert reward(PROBLEM, better).value > reward(PROBLEM, short).value > reward(PROBLEM, long).value
    plain = [PassRate()(PROBLEM, answer).value for answer in (better, short, long)]
    assert plain == [0.8, 0.6, 0.6]


def test_a_model_adds_its_normalised_score_by_weight():
    pytest.importorskip("torch")
    part = {
        "name": "rm",
        "kind": "tests.reward_fns.scorers:CharacterModel",
        "seed": 3,
        "weight": 0.25,
        "std": 50,
    }
    reward = from_config({"kind": "mixed", "weight": 0.5, "parts": [part]})
    for answer in (RIGHT, passing(2), PROSE):
        got = reward(PROBLEM, answer)
        assert -1 < got.components["rm"] < 1
        assert got.components["rm"] != 0
        assert got.value == pytest.approx(0.5 * got.components["pass_rate"] + 0.25 * got.components["rm"])


def test_the_keys_are_the_same_every_time():
    reward = Mixed(parts=(Part("a", Fixed(1)), Part("b", Shortness(), squash="none")))
    rows = [reward(problem, answer) for problem in (PROBLEM, replace(PROBLEM, mode="eval"))
            for answer in (RIGHT, PROSE, fenced("def"))]  # fmt: skip
    assert {tuple(row.components) for row in rows} == {(*KEYS, "a", "b")} == {reward.keys}


def test_scores_do_not_touch_eval_rows():
    reward = Mixed(parts=(Part("rm", Fixed(1e9)),), full_pass_bonus=1.0)
    assert reward(replace(PROBLEM, mode="eval"), RIGHT).value == 1.0
    assert reward(replace(PROBLEM, mode="eval"), passing(4)).value == 0.0


def test_a_binary_mix_stops_at_the_first_failure_as_well():
    reward: Reward = Mixed(parts=(Part("rm", Fixed()),), tests="all_pass")(PROBLEM, passing(1))
    assert [outcome.status for outcome in reward.verdict.outcomes][1:3] == ["failed", "not_run"]


def test_a_mix_pickles():
    reward = Mixed(parts=(Part("short", Shortness()),), mode="tie_break", holdout=0.2)
    copy = pickle.loads(pickle.dumps(reward))
    assert copy(PROBLEM, RIGHT).value == reward(PROBLEM, RIGHT).value
