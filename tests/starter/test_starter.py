"""The starter set: right answers pass, cheap ones do not, and training shows nothing of the eval split.

Run: pytest tests/starter
"""

from __future__ import annotations

import ast
import copy
import json
from collections import Counter
from collections.abc import Callable
from itertools import permutations
from typing import Any

import pytest

from acecoder_rl import starter
from acecoder_rl.problems import Problem, iter_records, read_problems
from acecoder_rl.sandbox import Sandbox
from acecoder_rl.starter import build

SPLITS = ("train", "eval")
LEAST = {"train": 150, "eval": 60}
Cases = list[tuple[list[Any], Any]]


def read(split: str) -> list[Problem]:
    return list(read_problems(starter.path(split)))


def cases(problem: Problem) -> Cases:
    """(arguments, expected) of each test."""
    found = []
    for test in problem.tests:
        compare = ast.parse(test.code).body[0].test
        arguments = [ast.literal_eval(argument) for argument in compare.left.args]
        found.append((arguments, ast.literal_eval(compare.comparators[0])))
    return found


def functions(split: str) -> dict[str, Callable[..., Any]]:
    """name -> reference of each problem of a split."""
    made = {}
    for line in build.lines(split):
        scope: dict[str, Any] = {}
        exec(line.reference, scope)
        made[line.name] = scope[line.name]
    return made


def answers(function: Callable[..., Any], tests: Cases, order: tuple[int, ...]) -> bool:
    """Whether a function passes tests whose arguments come in another order."""
    try:
        return all(function(*(copy.deepcopy(arguments[i]) for i in order)) == expected for arguments, expected in tests)
    except Exception:
        return False


def test_the_files_are_what_build_makes(tmp_path):
    build.build(tmp_path)
    for split in SPLITS:
        assert (tmp_path / f"{split}.jsonl").read_bytes() == starter.path(split).read_bytes()


def test_the_rows_are_in_acecodes_schema_and_enough():
    ids = []
    for split in SPLITS:
        rows = [row for _, row in iter_records(starter.path(split))]
        assert len(rows) >= LEAST[split]
        for row in rows:
            assert list(row) == [
                *("id", "source", "question", "test_cases", "inferences", "context_messages"),
            ]
            assert row["context_messages"] == [{"role": "user", "content": row["question"]}]
            assert len(set(row["test_cases"])) == len(row["test_cases"]) >= 2
            assert "__import__" not in json.dumps(row)
            ids.append(row["id"])
    assert len(set(ids)) == len(ids)


def test_an_unknown_split_says_what_there_is():
    with pytest.raises(ValueError, match="starter:test does not exist: give starter:train or starter:eval"):
        starter.path("test")


@pytest.mark.parametrize("split", SPLITS)
def test_references_pass_in_the_sandbox(split):
    lines = list(build.lines(split))
    problems = read(split)
    with Sandbox(workers=2, require="none") as sandbox:
        verdicts = sandbox.run_many(
            [(line.reference, problem.tests) for line, problem in zip(lines, problems, strict=True)]
        )
    failed = [line.name for line, verdict in zip(lines, verdicts, strict=True) if not verdict.passed]
    assert not failed


@pytest.mark.parametrize("split", SPLITS)
def test_no_constant_answer_passes_most_tests(split):
    for problem in read(split):
        expected = [value for _, value in cases(problem)]
        for constant in [*expected, True, False, None, 0, 1, ""]:
            passed = sum(value == constant for value in expected)
            assert passed / len(expected) < 0.8, (problem.question, constant)


@pytest.mark.parametrize("split", SPLITS)
def test_no_argument_handed_back_passes_all_tests(split):
    for problem in read(split):
        tests = cases(problem)
        for index in range(len(tests[0][0])):
            assert any(arguments[index] != expected for arguments, expected in tests), problem.question


def test_no_eval_function_is_a_training_function_or_another_eval_function():
    # Behaviour, whatever the name, the wording, the types and the order of the arguments.
    train, evaluated = functions("train"), functions("eval")
    for problem in read("eval"):
        name, tests = problem.entry_point, cases(problem)
        others = train | {other: function for other, function in evaluated.items() if other != name}
        for other, function in others.items():
            count = function.__code__.co_argcount
            if count == len(tests[0][0]):
                same = [order for order in permutations(range(count)) if answers(function, tests, order)]
                assert not same, (name, other)


def test_no_eval_expression_is_in_train_with_its_variables_renamed():
    train = {normalised(line) for line in build.lines("train")}
    evaluated = Counter(normalised(line) for line in build.lines("eval"))
    assert not train & evaluated.keys()
    assert evaluated.most_common(1)[0][1] == 1


def test_questions_and_names_are_unique():
    everything = [problem for split in SPLITS for problem in read(split)]
    assert max(Counter(problem.entry_point for problem in everything).values()) == 1
    # The description too, without the signature: `square(n)` and `times_itself(n)` must not ask the same.
    asked = Counter(problem.question.partition(" that returns ")[2] for problem in read("eval"))
    asked.update({problem.question.partition(" that returns ")[2] for problem in read("train")})
    assert max(asked.values()) == 1


def normalised(line: build.Line) -> str:
    """The reference without the names that were chosen for it."""
    tree = ast.parse(line.reference).body[0]
    names = {line.name: "f"}
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) or (isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)):
            names.setdefault(node.arg if isinstance(node, ast.arg) else node.id, f"v{len(names)}")
    for node in ast.walk(tree):
        for field in ("arg", "id", "name"):
            if isinstance(getattr(node, field, None), str):
                setattr(node, field, names.get(getattr(node, field), getattr(node, field)))
    return ast.dump(tree)
