"""HumanEval+ and MBPP+: EvalPlus's rows (inputs and a reference program) -> tests.

Covers: base and plus inputs, each list a run of its own as in EvalPlus; MBPP's inputs, which JSON cannot hold as they
    are.
Does not cover: what counts as right (plus_check.py).
Time limits differ: EvalPlus gives an input 1 s, or four times what the reference took, by the clock of that machine.
Source: evalplus 0.3.1, data/mbpp.py (`mbpp_deserialize_inputs`), evaluate.py.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any

from acecoder_rl.cases import At, Test, Tests, shown
from acecoder_rl.evaluation.benchmarks import plus_check
from acecoder_rl.problems import Problem

FIELDS = ("entry_point", "prompt", "canonical_solution", "base_input", "atol")


def is_plus(row: dict[str, Any]) -> bool:
    """Whether a row is EvalPlus's."""
    return "base_input" in row


def read(dataset: str, row: dict[str, Any], at: At, plus: bool) -> tuple[Problem, tuple[Tests, ...], str]:
    """The problem with its base tests, the plus tests, and the reference program.

    Args:
        dataset: "humaneval" or "mbpp".
        plus: with the plus inputs.

    Raises:
        ProblemError: the row is malformed.
    """
    for name in (*FIELDS, *(["plus_input"] if plus else [])):
        if name not in row:
            at[name].fail("is missing: give EvalPlus's file as it is")
    for name in ("entry_point", "prompt", "canonical_solution"):
        if not isinstance(row[name], str):
            at[name].fail(f"is {shown(row[name])}: give a string")
    identity, reference = str(row["task_id"]), row["prompt"] + row["canonical_solution"]
    lists = [row["base_input"], *([row["plus_input"]] if plus else [])]
    for name, inputs in zip(("base_input", "plus_input"), lists, strict=False):
        if not isinstance(inputs, list) or not all(isinstance(each, list) for each in inputs):
            at[name].fail(f"is {shown(inputs)}: give a list of lists of arguments")
    if dataset == "mbpp":
        lists = [[as_python(identity, each) for each in inputs] for inputs in lists]
    parts = [_tests(dataset, row, reference, inputs) for inputs in lists if inputs]
    if not parts:
        at["base_input"].fail("is empty, and a program cannot pass no test: drop this problem")
    problem = Problem(identity, row["prompt"], parts[0], row["entry_point"], source=dataset)
    return problem, tuple(parts[1:]), reference


def _tests(dataset: str, row: dict[str, Any], reference: str, inputs: list[Any]) -> Tests:
    setup = (
        f"{_checker()}\ninf, nan = float('inf'), float('nan')\n"
        f"_cases = Cases({dataset!r}, {row['entry_point']!r}, {reference!r}, {inputs!r}, {row['atol']!r})\n"
    )
    tests = (Test("assert", code=f"_cases.check({row['entry_point']}, {index})") for index in range(len(inputs)))
    return Tests(tuple(tests), setup, row["entry_point"])


@cache
def _checker() -> str:
    return inspect.getsource(plus_check)


def _deep(value: Any) -> Any:
    return tuple(map(_deep, value)) if isinstance(value, list) else value


def _first(change: Callable[[Any], Any]) -> Callable[[list[Any]], list[Any]]:
    return lambda args: [change(args[0]), *args[1:]]


def _tuples(value: list[Any]) -> list[Any]:
    return [tuple(each) for each in value]


def _set_or_dict(value: Any) -> Any:
    return set(value) if isinstance(value, list) and value else {}  # a dict for an empty one, as EvalPlus has it


# What the arguments of a problem really are, by its number.
_CHANGES: list[tuple[set[int], Callable[[list[Any]], list[Any]]]] = [
    (
        {2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424, 429, 470, 560, 579, 596, 616, 630, 726, 740, 744, 809},
        _tuples,
    ),
    ({63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780}, lambda args: list(map(_tuples, args))),
    ({75, 413, 444, 753}, _first(_tuples)),
    ({106, 750}, lambda args: [args[0], tuple(args[1])]),
    ({115}, _first(lambda value: list(map(_set_or_dict, value)))),
    ({124}, lambda args: [float(args[0]), complex(args[1])]),
    ({250, 307, 405, 446, 617, 720, 763, 808}, _first(tuple)),
    ({259, 401, 445}, lambda args: [tuple(map(tuple, each)) for each in args]),
    ({278}, _first(lambda value: tuple(tuple(each) if isinstance(each, list) else each for each in value))),
    ({722}, _first(lambda value: {key: tuple(each) for key, each in value.items()})),
    ({252}, _first(complex)),
    ({580, 615, 791}, lambda args: list(map(_deep, args))),
]


def as_python(task_id: str, args: list[Any]) -> list[Any]:
    """A problem's arguments, from how MBPP+ keeps them in JSON."""
    number = int(task_id.rpartition("/")[2])
    for numbers, change in _CHANGES:
        if number in numbers:
            return change(args)
    return args
