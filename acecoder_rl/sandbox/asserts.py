"""Simple asserts: a closed grammar that the worker evaluates itself, without exec.

Covers: `assert [not] SIDE [op CONST]`, where SIDE is one call of the candidate with constant
arguments, inside `len sorted set list tuple round abs isinstance type`, plus or minus a constant
number, or in `math.isclose`. Parsed once a problem; see `parse_simple`.
Does not cover: everything else (two calls, comprehensions, names, lambdas): parse_simple returns
None and the assert runs in the judge process (judge.py).
Hostile input: `SimpleAssert.check` takes decoded plain data; its cost is bounded by the worker's own
CPU guard (worker.py), since hashing or sorting chosen values can be slow.
"""

from __future__ import annotations

import ast
import decimal
import marshal
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from acecoder_rl.sandbox.constants import BUILTINS, TYPES, NotSimple, constant, has_nan, number
from acecoder_rl.sandbox.inside import wire
from acecoder_rl.sandbox.inside.names import is_class_name

COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda left, right: left in right,
    ast.NotIn: lambda left, right: left not in right,
}
ITERATING = {"sorted": sorted, "set": set, "list": list, "tuple": tuple}
MAX_DIGITS = 10_000
MAX_RANGE = 1_000_000  # the one plain value that is larger than its message: candidate.MAX_ITERATED

# How the candidate sends a result that is not plain data: not at all; iterated (a generator under
# `list(...)`); as its length, also when it is too large to send; as its truth, by length.
AS_IS, ITERATE, LENGTH, TRUTH = 0, 1, 2, 3


@dataclass(frozen=True)
class Call:
    """One call of the candidate: `function(*args, **kwargs)`, or `Class().function(...)`."""

    function: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    owner: str = ""
    form: int = AS_IS

    def to_wire(self) -> tuple[str, str, tuple[Any, ...], dict[str, Any], int]:
        """The marshal-ready tuple that candidate.py reads."""
        return (self.owner, self.function, self.args, self.kwargs, self.form)


@dataclass(frozen=True)
class SimpleAssert:
    """A parsed simple assert.

    Attributes:
        call: what the candidate is asked.
        check: value -> truth of the assert; may raise, as the assert would.
        passing: the answer frame that surely passes (`f(...) == CONST` answered with CONST), or None.
        source: the assert's text, for messages.
    """

    call: Call
    check: Callable[[Any], Any]
    passing: bytes | None
    source: str


def parse_simple(source: str, entry_point: str | None) -> SimpleAssert | None:
    """The simple assert in `source`, or None when it is none.

    Args:
        source: one test's code.
        entry_point: the name that is the candidate's even if it is a builtin's (MBPP has a `sum`).
    """
    try:
        body = ast.parse(source.strip()).body
        if len(body) != 1 or not isinstance(body[0], ast.Assert):
            return None
        parsed = _Parser(entry_point).parse(body[0].test, source.strip())
        marshal.dumps(parsed.call.to_wire(), 2)  # ValueError for what cannot be sent so, such as a type
        return parsed
    except (NotSimple, SyntaxError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError):
        return None


class _Parser:
    def __init__(self, entry_point: str | None) -> None:
        self.entry_point = entry_point

    def parse(self, node: ast.expr, source: str) -> SimpleAssert:
        negated = False
        while isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            negated, node = not negated, node.operand
        passing = None
        if isinstance(node, ast.Compare):
            if len(node.ops) != 1:
                raise NotSimple
            call, check, expected = self.comparison(node.left, node.ops[0], node.comparators[0])
            if not negated and expected is not None and not has_nan(expected[0]):
                passing = b"V" + wire.encode(expected[0])
        else:
            call, check = self.side(node)
            if check is _identity:
                call, check = _with_form(call, TRUTH), _truth
        if negated:
            positive = check
            return SimpleAssert(call, lambda value: not positive(value), None, source)
        return SimpleAssert(call, check, passing, source)

    def comparison(
        self, left: ast.expr, op: ast.cmpop, right: ast.expr
    ) -> tuple[Call, Callable[[Any], Any], tuple[Any] | None]:
        """One comparison with a constant on either side; the third is (CONST,) for `f(...) == CONST`."""
        compare = COMPARE[type(op)]
        try:
            fixed, side, flipped = constant(right, self.entry_point), left, False
        except NotSimple:
            fixed, side, flipped = constant(left, self.entry_point), right, True
        if isinstance(op, (ast.Is, ast.IsNot)) and not (fixed is None or isinstance(fixed, (bool, type))):
            raise NotSimple  # identity of other constants is the interpreter's affair
        if flipped and isinstance(op, (ast.In, ast.NotIn)) and not isinstance(side, ast.Call):
            raise NotSimple
        call, inner = self.side(side)
        bare = inner is _identity
        if flipped and bare and isinstance(op, (ast.In, ast.NotIn)):
            call = _with_form(call, ITERATE)
        if flipped:
            return (
                call,
                lambda value: compare(fixed, inner(value)),
                (fixed,) if bare and isinstance(op, ast.Eq) else None,
            )
        return (
            call,
            lambda value: compare(inner(value), fixed),
            (fixed,) if bare and isinstance(op, ast.Eq) else None,
        )

    def side(self, node: ast.expr) -> tuple[Call, Callable[[Any], Any]]:
        """A call of the candidate, possibly wrapped; returns it and what to do with its value."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Sub, ast.Add)):
            return self.shifted(node)
        if not isinstance(node, ast.Call):
            raise NotSimple
        function = node.func
        if isinstance(function, ast.Attribute):
            if isinstance(function.value, ast.Name) and function.value.id == "math" and function.attr == "isclose":
                return self.isclose(node)
            return self.call(node, function), _identity
        if not isinstance(function, ast.Name):
            raise NotSimple
        name = function.id
        if name == self.entry_point or name not in BUILTINS:
            return self.call(node, function), _identity
        return self.wrapped(name, node)

    def shifted(self, node: ast.BinOp) -> tuple[Call, Callable[[Any], Any]]:
        apply = operator.sub if isinstance(node.op, ast.Sub) else operator.add
        try:
            fixed = number(constant(node.right, self.entry_point))
            call, inner = self.side(node.left)
            return call, lambda value: apply(number(inner(value)), fixed)
        except NotSimple:
            fixed = number(constant(node.left, self.entry_point))
            call, inner = self.side(node.right)
            return call, lambda value: apply(fixed, number(inner(value)))

    def isclose(self, node: ast.Call) -> tuple[Call, Callable[[Any], Any]]:
        options = {keyword.arg or "": constant(keyword.value, self.entry_point) for keyword in node.keywords}
        if len(node.args) != 2 or not set(options) <= {"rel_tol", "abs_tol"}:
            raise NotSimple
        try:
            fixed, side = constant(node.args[1], self.entry_point), node.args[0]
        except NotSimple:
            fixed, side = constant(node.args[0], self.entry_point), node.args[1]
        call, inner = self.side(side)
        return call, lambda value: math.isclose(inner(value), fixed, **options)

    def wrapped(self, name: str, node: ast.Call) -> tuple[Call, Callable[[Any], Any]]:
        if not node.args or (node.keywords and not (name == "sorted" and len(node.args) == 1)):
            raise NotSimple
        call, inner = self.side(node.args[0])
        extra = node.args[1:]
        bare = inner is _identity
        if name == "len" and not extra:
            return (_with_form(call, LENGTH) if bare else call), lambda value: _length(inner(value))
        if name in ITERATING and not extra:
            wrap = ITERATING[name]
            options = {keyword.arg or "": constant(keyword.value, self.entry_point) for keyword in node.keywords}
            if not set(options) <= {"reverse"}:
                raise NotSimple
            call = _with_form(call, ITERATE) if bare else call
            return call, lambda value: wrap(_bounded(inner(value)), **options)
        if name == "round" and len(extra) <= 1:
            digits = [constant(item, self.entry_point) for item in extra]
            return call, lambda value: round(_roundable(inner(value)), *digits)
        if name == "abs" and not extra:
            return call, lambda value: abs(number(inner(value)))
        if name == "type" and not extra:
            return call, lambda value: type(inner(value))
        if name == "isinstance" and len(extra) == 1:
            kinds = self.types(extra[0])
            return call, lambda value: isinstance(inner(value), kinds)
        raise NotSimple

    def types(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Tuple):
            return tuple(self.types(item) for item in node.elts)
        if isinstance(node, ast.Name) and node.id in TYPES and node.id in BUILTINS:
            return TYPES[node.id]
        raise NotSimple

    def call(self, node: ast.Call, function: ast.expr) -> Call:
        owner = ""
        if isinstance(function, ast.Attribute):  # Solution().method(...)
            made = function.value
            if not (isinstance(made, ast.Call) and isinstance(made.func, ast.Name)) or made.args or made.keywords:
                raise NotSimple
            if made.func.id in BUILTINS and made.func.id != self.entry_point:
                raise NotSimple
            owner, name = made.func.id, function.attr
        else:
            assert isinstance(function, ast.Name)
            name = function.id
        if any(keyword.arg is None for keyword in node.keywords):
            raise NotSimple
        if is_class_name(name):
            raise NotSimple  # an object of the program's: the judge knows how to treat those
        args = tuple(constant(item, self.entry_point) for item in node.args)
        kwargs = {str(keyword.arg): constant(keyword.value, self.entry_point) for keyword in node.keywords}
        return Call(name, args, kwargs, owner)


def _identity(value: Any) -> Any:
    return value


def _with_form(call: Call, form: int) -> Call:
    return Call(call.function, call.args, call.kwargs, call.owner, form)


def _roundable(value: Any) -> Any:
    if isinstance(value, decimal.Decimal) and value.adjusted() > MAX_DIGITS:
        raise OverflowError(f"more than {MAX_DIGITS} digits")  # the int would be longer than its message
    return number(value)


def _bounded(value: Any) -> Any:
    if type(value) is range and value[MAX_RANGE:]:
        raise ValueError(f"more than {MAX_RANGE} items")
    return value


def _length(value: Any) -> int:
    return value.value if isinstance(value, Length) else len(value)


def _truth(value: Any) -> bool:
    return value.value != 0 if isinstance(value, Length) else bool(value)


@dataclass(frozen=True)
class Length:
    """The length that the candidate states of an object that it does not send."""

    value: int

    def __repr__(self) -> str:
        return "an object of the program"
