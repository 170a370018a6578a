"""The starter set's training problems -> pairs.jsonl: preference pairs in AceCodePair-300K's schema.

Covers: wrong programs, made from the references of the table: one operator, constant, comparison or argument
    changed, or another problem's body; their pass rates, measured in the sandbox; the choice of pairs by AceCode's
    rule. `python -m acecoder_rl.starter.pairs` writes the file, the same bytes every time.
Does not cover: a model's own samples, which AceCode's pairs are made of: what a reward model learns from these
    says that the training works, not how good a reward model is.
"""

from __future__ import annotations

import ast
import json
import random
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from acecoder_rl import starter
from acecoder_rl.problems import Problem
from acecoder_rl.sandbox import Sandbox
from acecoder_rl.starter import build

# AceCode's rule: what is chosen passes at least 0.8, and 0.4 more than what is rejected, which passes something.
# The references pass everything.
GAP = 0.4
PER_PROBLEM = 3
OTHERS = 12  # bodies of other problems that are tried for one

_OPERATORS: dict[type, type] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.FloorDiv, ast.FloorDiv: ast.Div,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.Gt, ast.Gt: ast.Lt,
    ast.LtE: ast.Gt, ast.GtE: ast.Lt, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
_NAMES = {
    "min": "max", "max": "min", "upper": "lower", "lower": "upper", "startswith": "endswith",
    "endswith": "startswith", "all": "any", "any": "all", "sum": "max", "sorted": "list", "keys": "values",
    "values": "keys", "isupper": "islower", "islower": "isupper", "lstrip": "rstrip", "rstrip": "lstrip",
}  # fmt: skip


def mutants(expression: str) -> Iterator[str]:
    """The expression with one thing changed, in each way that there is."""
    for number in range(len(list(ast.walk(ast.parse(expression, mode="eval"))))):
        for change in (_operator, _name, _constant, _swapped, _negated):
            tree = ast.parse(expression, mode="eval")
            node = list(ast.walk(tree))[number]
            if change(node):
                yield ast.unparse(tree)


def _operator(node: Any) -> bool:
    if isinstance(node, ast.Compare):
        node.ops[0] = _OPERATORS[type(node.ops[0])]()
        return True
    if isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in _OPERATORS:
        node.op = _OPERATORS[type(node.op)]()
        return True
    return False


def _name(node: Any) -> bool:
    for field in ("id", "attr"):
        if getattr(node, field, None) in _NAMES:
            setattr(node, field, _NAMES[getattr(node, field)])
            return True
    return False


def _constant(node: Any) -> bool:
    if isinstance(node, ast.Constant) and type(node.value) is int:
        node.value += 1
        return True
    return False


def _swapped(node: Any) -> bool:
    if isinstance(node, ast.BinOp | ast.IfExp):
        first, second = ("left", "right") if isinstance(node, ast.BinOp) else ("body", "orelse")
        one, other = getattr(node, first), getattr(node, second)
        setattr(node, first, other)
        setattr(node, second, one)
        return True
    return False


def _negated(node: Any) -> bool:
    if isinstance(node, ast.Expression):
        node.body = ast.UnaryOp(ast.Not(), node.body) if isinstance(node.body, ast.Compare | ast.BoolOp) else node.body
        return isinstance(node.body, ast.UnaryOp)
    return False


def _parameters(line: build.Line) -> list[str]:
    return [part.strip() for part in line.signature.partition("(")[2].rstrip(")").split(",")]


def _borrowed(line: build.Line, lines: list[build.Line], rng: random.Random) -> Iterator[str]:
    """Other problems' expressions, with this one's parameters."""
    alike = [other for other in lines if other.kinds.split()[:1] == line.kinds.split()[:1] and other is not line]
    alike = [other for other in alike if len(_parameters(other)) == len(_parameters(line))]
    for other in rng.sample(alike, min(OTHERS, len(alike))):
        names = dict(zip(_parameters(other), _parameters(line), strict=True))
        tree = ast.parse(other.expression, mode="eval")
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                node.id = names.get(node.id, node.id)
        yield ast.unparse(tree)


def candidates(line: build.Line, lines: list[build.Line]) -> list[str]:
    """Wrong programs for a problem, some of which may be right by chance; changed and borrowed ones in turn."""
    rng = random.Random(line.name)
    changed = list(dict.fromkeys(mutants(line.expression)))
    rng.shuffle(changed)
    pairs = zip_longest(changed, _borrowed(line, lines, rng))
    bodies = dict.fromkeys(body for pair in pairs for body in pair if body is not None)
    bodies.pop(ast.unparse(ast.parse(line.expression, mode="eval")), None)
    return [f"def {line.signature}:\n    return {body}\n" for body in bodies]


def rows() -> Iterator[dict[str, Any]]:
    """The pairs.

    Raises:
        ValueError: a reference fails a test.
    """
    lines = list(build.lines("train"))
    with Sandbox() as sandbox:
        for number, line in enumerate(lines):
            tests = Problem.from_record(build.row("train", number, line)).tests
            programs = [line.reference, *candidates(line, lines)]
            verdicts = sandbox.run_many([(program, tests) for program in programs])
            if not verdicts[0].passed:
                raise ValueError(f"the reference of {line.name} fails: {verdicts[0].outcomes}")
            rated = [(program, verdict.pass_rate) for program, verdict in zip(programs, verdicts, strict=True)]
            rejected = [(program, rate) for program, rate in rated[1:] if 0 < rate <= 1 - GAP]
            for index, (program, rate) in enumerate(rejected[:PER_PROBLEM]):
                yield {
                    "id": number * PER_PROBLEM + index,
                    "instruction": line.question,
                    "input": "",
                    "chosen": fenced(line.reference),
                    "rejected": fenced(program),
                    "chosen_score": 1.0,
                    "rejected_score": round(rate, 4),
                }


def fenced(program: str) -> str:
    """A program as a model answers with it."""
    return f"```python\n{program}```"


if __name__ == "__main__":
    text = "".join(json.dumps(row) + "\n" for row in rows())
    starter.pairs().write_text(text)
