"""Which of a question's imagined tests can be trusted to be tests, by their syntax trees alone.

Covers: `keep_tests`: one assert each, that calls the function under test with constants and compares with constants
    (constants.py says what is one); no test twice, none that another contradicts.
Does not cover: whether a test is right, and whether it always has the same outcome: programs tell (verify.py).
Hostile input: nothing is executed; any text is a test or has a reason why not.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from acecoder_rl.cases import At, ProblemError
from acecoder_rl.entry_point import infer, parse
from acecoder_rl.sandbox.constants import NotSimple, constant
from acecoder_rl.sandbox.inside.names import bound_names
from acecoder_rl.synthesis.constants import ANSWER, CONSTANT, Reader, Refused

# Why a test is not kept: the first reason that is found.
REASONS = {
    "not_text": "is no string",
    "unparsable": "does not parse",
    "not_one_assert": "is not exactly one assert statement",
    "no_call": "does not call the function that most tests call",
    "outside": "asks for the clock, chance, files, the network, input or output",
    "other_test": "needs a name that another test defines",
    "unknown_name": "needs a name that nothing defines",
    "not_constant": "has arguments or expected values that are no constants",
    "vacuous": "is true whatever the function returns",
    "duplicate": "is another test again",
    "contradictory": "expects something else of a call than another test does",
}


@dataclass(frozen=True)
class Kept:
    """What is left of a question's tests.

    Attributes:
        tests: in their order.
        entry_point: the function they call; None when no test is left.
        dropped: (test, reason) of the others, in their order.
    """

    tests: list[str]
    entry_point: str | None
    dropped: list[tuple[Any, str]]


def keep_tests(tests: Sequence[Any]) -> Kept:
    """Sort out a question's tests.

    Args:
        tests: as a model wrote them; strings, if it did as it was told.
    """
    reasons: list[str | None] = [None] * len(tests)
    trees: dict[int, ast.Module] = {}
    for number, text in enumerate(tests):
        try:
            if isinstance(text, str):
                trees[number] = parse(text.strip(), At())
            else:
                reasons[number] = "not_text"
        except ProblemError:
            reasons[number] = "unparsable"
    asserts: dict[int, ast.Assert] = {}
    for number, tree in trees.items():
        if len(tree.body) == 1 and isinstance(tree.body[0], ast.Assert):
            asserts[number] = tree.body[0]
        else:
            reasons[number] = "not_one_assert"
    entry_point = infer([trees[number] for number in asserts])
    bound = frozenset(bound_names([tree for number, tree in trees.items() if number not in asserts]))
    for number, each in asserts.items():
        try:
            reasons[number] = _fault(each, entry_point or "", bound)
        except RecursionError:
            reasons[number] = "not_constant"
    sound: dict[int, _Said] = {}
    for number, each in asserts.items():
        try:
            if reasons[number] is None:
                sound[number] = _said(each.test, entry_point)
        except (RecursionError, ValueError):  # nested too deep; a hexadecimal number too long to be written in decimals
            reasons[number] = "not_constant"
    for reason, numbers in (("duplicate", _duplicates(sound)), ("contradictory", _contradictory(sound))):
        for number in numbers:
            reasons[number] = reasons[number] or reason
    kept = [text.strip() for text, reason in zip(tests, reasons, strict=True) if reason is None]
    dropped = [(text, reason) for text, reason in zip(tests, reasons, strict=True) if reason is not None]
    return Kept(kept, entry_point if kept else None, dropped)


def _fault(test: ast.Assert, entry_point: str, bound: frozenset[str]) -> str | None:
    """What is wrong with a test by itself."""
    called = (each.func for each in ast.walk(test.test) if isinstance(each, ast.Call))
    if not any(isinstance(each, ast.Name) and each.id == entry_point for each in called):
        return "no_call"
    try:
        Reader(entry_point, bound).read(test.test)
        if test.msg is not None:
            Reader(entry_point, bound).read(test.msg)
    except Refused as refused:
        return refused.reason
    return "vacuous" if _always_true(test.test, Reader(entry_point, bound)) else None


def _always_true(node: ast.expr, reader: Reader) -> bool:
    """`assert (f(1) == 2, "why")` and the like."""
    match node:
        case ast.BoolOp(op=ast.Or(), values=values):
            return any(reader.read(each) is CONSTANT or _always_true(each, reader) for each in values)
        case ast.BoolOp(values=values):
            return not any(reader.read(each) is ANSWER and not _always_true(each, reader) for each in values)
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
            return bool(parts)
        case ast.Lambda() | ast.GeneratorExp():
            return True
        case ast.Dict(keys=parts):
            return bool(parts)
    return False


@dataclass(frozen=True)
class _Claim:
    """What a test says of a call: it is `value`, or not, or its truth is."""

    kind: str  # "is" | "is not" | "truth"
    value: Any


@dataclass(frozen=True)
class _Said:
    """A test as others are compared with it.

    Attributes:
        whole: the same for tests that differ in their layout, message or the sides of `==` only.
        about: the call, or what is made of it, that `claim` is about; "" = it is not that simple.
    """

    whole: str
    about: str = ""
    claim: _Claim = _Claim("", None)


def _said(node: ast.expr, entry_point: str | None) -> _Said:
    negated = False
    while isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        negated, node = not negated, node.operand
    if not isinstance(node, ast.Compare):
        text = _text(node)
        return _Said(f"{negated} {text}", text, _Claim("truth", not negated))
    op = node.ops[0]
    if len(node.ops) != 1 or not isinstance(op, (ast.Eq, ast.NotEq, ast.Is, ast.IsNot)):
        return _Said(f"{negated} {_text(node)}")
    sides = [(node.left, _text(node.left)), (node.comparators[0], _text(node.comparators[0]))]
    whole = f"{negated} {type(op).__name__} {sorted(text for _, text in sides)}"
    negated ^= isinstance(op, (ast.NotEq, ast.IsNot))
    for (told, _), (_, about) in (sides[::-1], sides):
        try:
            value = constant(told, entry_point)
        except (NotSimple, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError):
            continue
        return _Said(whole, about, _Claim("is not" if negated else "is", value))
    return _Said(whole)


def _text(node: ast.AST) -> str:
    """A syntax tree as text, without layout. ast.dump alone would be most of the work."""
    match node:
        case ast.Constant():
            return repr(node.value)
        case ast.List():
            return f"[{','.join(map(_text, node.elts))}]"
        case ast.Tuple():
            return f"({','.join(map(_text, node.elts))},)"
        case ast.Dict() if None not in node.keys:
            return f"{{{','.join(map(_text, node.keys))}:{','.join(map(_text, node.values))}}}"
        case ast.Call(func=ast.Name(), keywords=[]):
            return f"{node.func.id}({','.join(map(_text, node.args))})"
        case ast.UnaryOp(op=ast.USub()):
            return f"-{_text(node.operand)}"
    return f"\n{ast.dump(node)}"  # no text of ours begins so


def _duplicates(tests: dict[int, _Said]) -> list[int]:
    """All but the first of those that say the same."""
    seen: set[str] = set()
    return [number for number, each in tests.items() if each.whole in seen or seen.add(each.whole)]


def _contradictory(tests: dict[int, _Said]) -> set[int]:
    """Tests of the same call that cannot both pass."""
    claims: defaultdict[str, list[tuple[int, _Claim]]] = defaultdict(list)
    for number, each in tests.items():
        if each.about:
            claims[each.about].append((number, each.claim))
    wrong: set[int] = set()
    for about in claims.values():
        for at, (number, claim) in enumerate(about):
            for other, another in about[:at]:
                if _disagree(claim, another) or _disagree(another, claim):
                    wrong |= {number, other}
    return wrong


def _disagree(one: _Claim, other: _Claim) -> bool:
    if one.kind == "truth":
        return other.kind == "truth" and one.value != other.value
    if one.kind == "is":
        if other.kind == "truth":
            return bool(one.value) != other.value
        return _same(one.value, other.value) is (other.kind == "is not")
    return False


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) or (one != one and other != other)  # NaN is NaN
