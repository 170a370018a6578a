"""What a trainer's label means: a label of ours, or tests as a data set has them."""

from __future__ import annotations

import json

import numpy
import pytest

from acecoder_rl.problems import Problem, ProblemError
from reward_fns.configured import problem_of
from tests.reward_fns.common import PROBLEM, TESTS

STDIO = {"inputs": ["1 2\n"], "outputs": ["3\n"]}


@pytest.mark.parametrize(
    "tests", [list(TESTS), TESTS, numpy.array(TESTS), STDIO], ids=["list", "tuple", "numpy", "dict"]
)
def test_tests_need_not_be_json(tests):
    plain = tests.tolist() if isinstance(tests, numpy.ndarray) else tests
    assert problem_of(tests, "Add.") == problem_of(json.dumps(plain), "Add.")
    assert problem_of(tests).tests == Problem("", "", plain).tests and problem_of(tests, "Add.").question == "Add."


def test_arrays_of_arrays_are_tests_too():
    """As pandas reads lists of lists from Parquet."""
    arguments = numpy.empty(2, object)
    arguments[:] = [numpy.array([1, 2]), numpy.array([3, 4])]
    given = {"fn_name": "add", "inputs": arguments, "outputs": numpy.array([3, 7])}
    plain = {"fn_name": "add", "inputs": [[1, 2], [3, 4]], "outputs": [3, 7]}
    assert problem_of(given, "Add.") == problem_of(json.dumps(plain), "Add.")


def test_problems_of_tests_alone_are_told_apart():
    """By their ids the rollout log knows which samples are of one problem."""
    ids = {problem_of(json.dumps(tests)).id for tests in (TESTS, TESTS[:2], TESTS[1:], STDIO)}
    assert len(ids) == 4 and problem_of(json.dumps(TESTS)).id in ids
    assert problem_of(PROBLEM.to_label(), "not this").id == "add" and problem_of(PROBLEM.to_label()) == PROBLEM


@pytest.mark.parametrize("label", [None, 3, 0.5, "", "null", "no tests", [], {}, "[]"])
def test_what_is_neither_is_told(label):
    with pytest.raises(ProblemError):
        problem_of(label)
