"""PassRate and AllPass, each option by what it changes, in the real sandbox.

Covers: values and logged numbers, withheld tests, refused verdicts, shaping, eval rows, errors, pickling.
Does not cover: mixing (test_mixed.py), the trainers' side (test_openrlhf.py).
"""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
from dataclasses import replace

import pytest

from acecoder_rl.problems import Problem
from acecoder_rl.sandbox import Limits, SandboxError
from acecoder_rl.sandbox.remote import Settings
from reward_fns import AllPass, PassRate
from reward_fns.holdout import withheld
from reward_fns.reward import KEYS
from tests.reward_fns.common import BROKEN, EXITS, HANGS, PROBLEM, PROSE, RIGHT, TESTS, fenced, passing

EVAL = replace(PROBLEM, mode="eval")
QUICK = Settings(limits=Limits(test_seconds=1.0))
# The tests name the program's class, so that its own __eq__ decides.
CLAIMS = Problem("node", "Write a class Node.", ("assert Node(1) == Node(1)", "assert Node(2).value == 2"))
NODE = fenced("class Node:\n    def __init__(self, v): self.value = v\n    def __eq__(self, o): return True")
# The test replaces a function of the program, so both share a process.
PATCHES = Problem(
    "patched",
    "Write greet().",
    "from unittest.mock import patch\nimport solution\n\ndef test_greet():\n"
    "    with patch('solution.name', return_value='Ada'):\n        assert solution.greet() == 'Hi Ada'\n",
)
GREETS = fenced("def name():\n    return 'Bob'\n\ndef greet():\n    return 'Hi ' + name()")


@pytest.mark.parametrize("count", range(6))
def test_pass_rate_is_the_share_of_tests_that_pass(count: int):
    reward = PassRate()(PROBLEM, passing(count))
    assert reward.value == reward.components["pass_rate"] == reward.verdict.pass_rate == count / 5
    assert reward.components["all_passed"] == float(count == 5)


def test_all_pass_is_binary_and_stops_at_the_first_failure():
    assert AllPass()(PROBLEM, RIGHT).value == 1.0
    reward = AllPass()(PROBLEM, passing(3))
    assert reward.value == reward.components["pass_rate"] == 0.0
    assert [outcome.status for outcome in reward.verdict.outcomes][3:] == ["failed", "not_run"]


@pytest.mark.parametrize(
    ("answer", "logged"),
    [
        (PROSE, {"no_program": 1.0, "sandbox_seconds": 0.0}),
        (BROKEN, {"syntax_errors": 1.0}),
        (HANGS, {"syntax_errors": 0.0}),
        (EXITS, {"pass_rate": 0.0}),
        ("", {"no_program": 1.0}),
        ("```python\n\ud800def add(a, b): return a\n```", {"syntax_errors": 1.0}),
        ("```python\n" + "(" * 30_000 + "\n```", {"syntax_errors": 1.0}),
    ],
    ids=["prose", "broken", "hangs", "exits", "empty", "surrogate", "deep"],
)
@pytest.mark.parametrize("kind", [PassRate, AllPass])
def test_a_bad_sample_is_worth_0_and_never_raises(kind: type, answer: str, logged: dict):
    reward = kind(sandbox=QUICK)(PROBLEM, answer)
    assert reward.value == 0.0
    assert reward.components | logged == reward.components
    assert tuple(reward.components) == KEYS
    assert all(type(value) is float for value in reward.components.values())


def test_withheld_tests_are_run_and_logged_but_do_not_earn():
    held = withheld(PROBLEM.tests, 0.4)
    assert len(held) == 2
    earning = [test for index, test in enumerate(TESTS) if index not in held]
    # It knows the answers of the tests that earn by heart, and nothing else.
    table = {test.partition("add")[2].partition(" ==")[0]: test.partition("== ")[2] for test in earning}
    code = f"def add(a, b):\n    return {{{', '.join(f'{k}: {v}' for k, v in table.items())}}}.get((a, b))"
    for kind in (PassRate, AllPass):
        reward = kind(holdout=0.4)(PROBLEM, fenced(code))
        assert reward.value == 1.0
        assert (reward.components["pass_rate"], reward.components["holdout_pass_rate"]) == (1.0, 0.0)
        assert "not_run" not in {outcome.status for outcome in reward.verdict.outcomes}
    assert PassRate()(PROBLEM, fenced(code)).value == 0.6


def test_the_choice_of_withheld_tests_is_the_same_in_every_process_and_for_every_sample():
    again = Problem.from_label(PROBLEM.to_label())
    code = (
        "import sys; from acecoder_rl.problems import Problem; from reward_fns.holdout import withheld; "
        "print(sorted(withheld(Problem.from_label(sys.argv[1]).tests, 0.4)))"
    )
    command = [sys.executable, "-c", code, PROBLEM.to_label()]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert said.strip() == str(sorted(withheld(again.tests, 0.4))) == str(sorted(withheld(PROBLEM.tests, 0.4)))


def test_tests_that_time_out_are_counted():
    assert PassRate(sandbox=QUICK)(PROBLEM, HANGS).components["timeouts"] >= 2.0
    assert AllPass(sandbox=QUICK)(PROBLEM, HANGS).components["timeouts"] == 1.0


def test_a_single_test_is_never_withheld():
    one = Problem("one", "", TESTS[:1])
    reward = PassRate(holdout=0.9)(one, RIGHT)
    assert reward.value == reward.components["holdout_pass_rate"] == 1.0


def test_verdicts_reached_in_the_programs_own_process_earn_only_if_allowed():
    refused = PassRate()(PATCHES, GREETS)
    assert refused.verdict.isolation == "shared"
    assert refused.verdict.passed
    assert (refused.value, refused.components["refused"]) == (0.0, 1.0)
    allowed = PassRate(allow_shared=True)(PATCHES, GREETS)
    assert (allowed.value, allowed.components["refused"]) == (1.0, 0.0)


def test_verdicts_by_the_programs_own_word_may_be_refused():
    reward = PassRate()(CLAIMS, NODE)
    assert (reward.value, reward.components["claimed"], reward.components["refused"]) == (1.0, 1.0, 0.0)
    reward = PassRate(allow_claimed=False)(CLAIMS, NODE)
    assert (reward.value, reward.components["claimed"], reward.components["refused"]) == (0.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("option", "answer", "truncated", "value"),
    [
        ({"full_pass_bonus": 0.5}, RIGHT, False, 1.5),
        ({"full_pass_bonus": 0.5}, passing(4), False, 0.8),
        ({"no_program_penalty": 0.3}, PROSE, False, -0.3),
        ({"no_program_penalty": 0.3}, passing(0), False, 0.0),
        ({"truncated_penalty": 0.25}, RIGHT, True, 0.75),
        ({"truncated_penalty": 0.25}, RIGHT, False, 1.0),
        ({"overlong_penalty": 0.1, "overlong_chars": 20}, RIGHT, False, 0.9),
        ({"overlong_penalty": 0.1, "overlong_chars": 100}, RIGHT, False, 1.0),
    ],
)
def test_bonus_and_penalties(option: dict, answer: str, truncated: bool, value: float):
    assert PassRate(**option)(PROBLEM, answer, truncated).value == pytest.approx(value)


@pytest.mark.parametrize(("word", "logged"), [(False, 0.0), (True, 1.0), (None, 1.0)])
def test_the_trainers_word_on_truncation_outranks_an_open_fence(word: bool | None, logged: float):
    stopped_at_the_fence = "```python\ndef add(a, b):\n    return a + b"
    reward = PassRate()(PROBLEM, stopped_at_the_fence, word)
    assert (reward.value, reward.components["truncated"]) == (1.0, logged)


def test_without_the_trainers_word_a_whole_answer_is_not_truncated():
    assert PassRate()(PROBLEM, RIGHT, None).components["truncated"] == 0.0


@pytest.mark.parametrize(("answer", "value"), [(RIGHT, 1.0), (passing(4), 0.0), (PROSE, 0.0)])
def test_eval_rows_get_the_plain_value_whatever_is_configured(answer: str, value: float):
    shaped = {"holdout": 0.4, "full_pass_bonus": 0.5, "no_program_penalty": 1, "truncated_penalty": 1}
    for kind in (PassRate, AllPass):
        reward = kind(**shaped)(EVAL, answer, truncated=True)
        assert reward.value == value
        assert tuple(reward.components) == KEYS


def test_eval_rows_run_all_tests_and_log_their_pass_rate():
    reward = AllPass()(EVAL, passing(2))
    assert (reward.value, reward.components["pass_rate"]) == (0.0, 0.4)
    assert {outcome.status for outcome in reward.verdict.outcomes} == {"passed", "failed"}


def test_eval_rows_count_what_training_refuses():
    reward = PassRate()(replace(PATCHES, mode="eval"), GREETS)
    assert (reward.value, reward.components["refused"]) == (1.0, 1.0)


def test_a_problems_own_limits_count():
    slow = fenced("import time\ndef add(a, b):\n    time.sleep(1.5)\n    return a + b")
    problem = Problem("slow", "", TESTS[:1])
    assert PassRate(sandbox=QUICK)(problem, slow).components["timeouts"] == 1.0
    own = replace(problem, limits=Limits(test_seconds=20.0))
    assert PassRate(sandbox=QUICK)(own, slow).value == 1.0


def test_a_failure_of_the_sandbox_raises_and_is_no_value():
    reward = PassRate(sandbox=Settings(python="/nowhere/python"))
    with pytest.raises(SandboxError):
        reward(PROBLEM, RIGHT)


def test_a_completion_that_is_no_text_is_the_callers_mistake():
    with pytest.raises(TypeError, match="completion is NoneType"):
        PassRate()(PROBLEM, None)


def test_rewards_pickle_and_equal_their_copies():
    for reward in (PassRate(holdout=0.2, sandbox=QUICK), AllPass(full_pass_bonus=0.5)):
        copy = pickle.loads(pickle.dumps(reward))
        assert copy == reward
        assert copy(PROBLEM, RIGHT).value == reward(PROBLEM, RIGHT).value


def test_the_call_works_where_an_event_loop_runs_already():
    async def notebook() -> float:
        return PassRate()(PROBLEM, passing(1)).value

    assert asyncio.run(notebook()) == 0.2
