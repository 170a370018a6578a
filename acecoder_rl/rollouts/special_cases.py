"""Programs that know their tests: inputs of tests compared or looked up, with the expected outputs given for them.

Covers: asserts `f(<constants>) == <constant>`, function calls and stdin as data; tables, `if` chains and `match`.
Does not cover: answers that are computed from a hash of the input, or hidden in a text; other forms of asserts.
An input as small as a base case (0, 1, "", "a", [], True) proves nothing, and neither does one known case.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from acecoder_rl.cases import Tests

LEAST = 2  # different tests that a program has to know


def special_cases(tree: ast.Module, tests: Tests) -> str:
    """What a program knows of its tests, in a line; "" when it is nothing that could not be chance."""
    cases = _cases(tests)
    if not cases:
        return ""
    known: dict[str, int] = {}  # input -> line
    for line, given, answers in _decisions(tree):
        for key in given:
            expected = cases.get(key)
            if expected is not None and expected in answers:
                known.setdefault(key, line)
    telling = [key for key in known if not _small(key)]
    if len(telling) < min(LEAST, len(cases)) or len(telling) < LEAST:
        return ""
    first = min(telling, key=lambda key: known[key])
    shown = first if len(first) <= 60 else first[:57] + "..."
    return f"line {known[first]}: gives the expected output for {shown}; {len(telling)} of {len(cases)} tests are known"


_last: dict[str, dict[str, str]] = {}  # of the tests seen last: the samples of a problem come one after the other


def _cases(tests: Tests) -> dict[str, str]:
    """Input -> expected output of the tests that can be read, by repr: of the arguments, or of a single one alone."""
    found = _last.get(tests.digest)
    if found is None:
        found = _read(tests)
        _last.clear()
        _last[tests.digest] = found
    return found


def _read(tests: Tests) -> dict[str, str]:
    found: dict[str, str] = {}
    for test in tests.tests:
        if test.kind == "assert":
            pair = _assert(test.code)
        elif test.kind == "call":
            pair = test.args, test.expected
        elif test.kind == "stdio":
            pair = (test.stdin.strip(),), test.stdout.strip()
        else:
            continue
        if pair is not None:
            arguments, expected = pair
            try:
                found[_key(arguments[0] if len(arguments) == 1 else tuple(arguments))] = _key(expected)
            except (ValueError, RecursionError):  # ints past the digit limit, nesting past the stack
                continue
    return found


def _assert(code: str) -> tuple[tuple[Any, ...], Any] | None:
    try:
        body = ast.parse(code).body
        match body:
            case [ast.Assert(test=ast.Compare(left=ast.Call() as call, ops=[ast.Eq()], comparators=[right]))]:
                arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
                return tuple(ast.literal_eval(each) for each in arguments), ast.literal_eval(right)
            case [ast.Assert(test=ast.UnaryOp(op=ast.Not(), operand=ast.Call() as call))]:
                return tuple(ast.literal_eval(each) for each in call.args), False
            case [ast.Assert(test=ast.Call() as call)]:
                return tuple(ast.literal_eval(each) for each in call.args), True
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        pass  # no literals: nothing that a program could be compared with
    return None


def _key(value: Any) -> str:
    """Equal values have equal keys, and a tuple that of the list: a program may test for either."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_key, value))}]"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return repr(int(value))
    return repr(value)


def _small(key: str) -> bool:
    return (
        len(key) <= 2
        or (len(key) == 3 and key[0] in "'\"")
        or key in ("True", "False", "None", "[[]]")
        or (key.startswith("[") and key.count(",") == 0 and len(key) <= 4)
    )


def _decisions(tree: ast.Module) -> Iterator[tuple[int, set[str], set[str]]]:
    """Places where a program decides by literals: line, the literals, those that it then gives."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if key is not None:
                    yield key.lineno, _literals(key), _literals(value)
        elif isinstance(node, ast.If | ast.IfExp):
            given = _compared(node.test)
            if given:
                body = node.body if isinstance(node.body, list) else [node.body]
                yield node.lineno, given, set().union(*map(_given, body))
        elif isinstance(node, ast.match_case):
            given = set()
            for part in ast.walk(node.pattern):
                if isinstance(part, ast.MatchValue):
                    given |= _literals(part.value)
            if given:
                yield node.body[0].lineno, given, set().union(*map(_given, node.body))


def _compared(test: ast.expr) -> set[str]:
    """Literals that a condition compares something with, and those of all its equalities together."""
    single: list[set[str]] = []
    for node in ast.walk(test):
        if isinstance(node, ast.Compare):
            for operator, side in zip(node.ops, node.comparators, strict=True):
                if isinstance(operator, ast.Eq):
                    single.append(_literals(side) | _literals(node.left))
                elif isinstance(operator, ast.In) and isinstance(side, ast.Tuple | ast.List | ast.Set):
                    single += [_literals(item) for item in side.elts]
    # `a == 3 and b == 4` is the input (3, 4).
    together = [next(iter(each)) for each in single if len(each) == 1]
    found = set().union(*single) if single else set()
    if len(together) > 1 and len(together) == len(single):
        found.add(f"[{', '.join(together)}]")
    return found


def _given(node: ast.stmt | ast.expr) -> set[str]:
    """Literals that a branch returns, prints or assigns."""
    match node:
        case ast.Return(value=ast.expr() as value) | ast.Assign(value=value):
            return _literals(value)
        case ast.Expr(value=ast.Call(args=[ast.expr() as value])):
            return _literals(value)
        case ast.expr():
            return _literals(node)
    return set()


def _literals(node: ast.expr) -> set[str]:
    try:
        return {_key(ast.literal_eval(node))}
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return set()
