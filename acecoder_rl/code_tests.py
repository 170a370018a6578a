"""Tests written as Python: asserts, HumanEval's `check`, pytest and unittest files.

Covers: formats 1 and 6 to 8, and plain Python text; which tests a file holds, found statically.
Does not cover: tests given as data (formats.py), classes nested in test classes.
Hostile input: test code is parsed, never executed; what cannot be parsed raises ProblemError.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

from acecoder_rl.cases import At, ProblemError, Test, TestKind, Tests, shown
from acecoder_rl.entry_point import infer, parse, root_name

DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def parse_setup(setup: str, at: At) -> ast.Module | None:
    """The tree of setup code, None for none."""
    return parse(setup, At(at.where, "setup")) if setup.strip() else None


def read_asserts(tests: Sequence[Any], setup: str, at: At) -> Tests:
    """Format 1: each element a string of Python with at least one statement."""
    if not tests:
        at.fail("is [], and a program cannot pass no test: give tests or drop this problem")
    for index, code in enumerate(tests):
        if not isinstance(code, str):
            at[index].fail(f"is {shown(code)}: give a string with an assert")
    return _read_asserts(tuple(tests), setup, at)


@lru_cache(maxsize=512)  # a problem's tests come once a sample where a caller passes the bare list
def _read_asserts(tests: tuple[str, ...], setup: str, at: At) -> Tests:
    trees: list[ast.AST] = []
    found: list[Test] = []
    for index, code in enumerate(tests):
        code = textwrap.dedent(code).strip() if code[:1].isspace() else code.rstrip()
        tree = parse(code, at[index])
        if not _checks(tree):
            at[index].fail(f"is {shown(code)}, which checks nothing and so passes always: write an assert")
        trees.append(tree)
        found.append(Test("assert", code=code))
    used = {node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for index, tree in enumerate(trees):
        if name := _uncalled(tree, used):
            at[index].fail(
                f"is {shown(tests[index])}, which defines {name}, but nothing calls it, and so passes always: call it, "
                'or give the whole file as {"pytest": ...} or {"unittest": ...}'
            )
    return Tests(tuple(found), setup, infer(trees, parse_setup(setup, at)))


def _checks(tree: ast.Module) -> bool:
    """Whether the code does anything: a bare comparison or value throws its result away."""
    idle = (ast.Compare, ast.BoolOp, ast.Name, ast.Constant, ast.Attribute, ast.Subscript)
    return not all(
        isinstance(part, ast.Pass) or (isinstance(part, ast.Expr) and isinstance(part.value, idle))
        for part in tree.body
    )


def _uncalled(tree: ast.Module, used: set[str]) -> str | None:
    """What code defines that would check something, if it is nothing but that, and no test uses it."""
    parts = [part for part in tree.body if not _runs_a_file(part)]
    if not all(isinstance(part, DEFINITIONS) for part in parts):
        return None
    defined = [part for part in parts if not isinstance(part, (ast.Import, ast.ImportFrom))]
    checks = [part.name for part in defined if any(_is_check(node) for node in ast.walk(part))]
    return checks[0] if checks and not used & {part.name for part in defined} else None


def _runs_a_file(part: ast.stmt) -> bool:
    """`unittest.main()` and `pytest.main()` look for a file of tests, which an element of a list is not."""
    return isinstance(part, ast.If | ast.Expr) and any(
        isinstance(node, ast.Call) and ast.unparse(node.func) in ("unittest.main", "pytest.main")
        for node in ast.walk(part)
    )


def _is_check(node: ast.AST) -> bool:
    return isinstance(node, ast.Assert) or (isinstance(node, ast.Attribute) and node.attr.startswith("assert"))


def read_source(code: str, setup: str, at: At) -> Tests:
    """Python text: a test for each top-level statement with an assert in it, or a pytest / unittest file.

    Leading imports and definitions are setup; any other statement belongs to the test that follows.
    """
    try:
        tree = parse(code, at)
    except ProblemError:
        at.fail(f"is {shown(code)}, which is neither JSON nor Python: give a list of asserts, or JSON")
    if not any(_asserts(node) for node in tree.body):
        return read_test_file(code, None, setup, at)
    lines = code.replace("\r\n", "\n").replace("\r", "\n").encode().split(b"\n")
    tests: list[str] = []
    pending: list[str] = []
    for node in tree.body:
        text = _segment(lines, node)
        if not tests and not pending and isinstance(node, DEFINITIONS):
            setup = f"{setup}\n{text}".lstrip("\n")
        elif _asserts(node):
            tests.append("\n".join([*pending, text]))
            pending = []
        else:
            pending.append(text)
    if pending:
        tests[-1] = "\n".join([tests[-1], *pending])
    return read_asserts(tests, setup, at)


def _asserts(node: ast.stmt) -> bool:
    return not isinstance(node, DEFINITIONS) and any(isinstance(part, ast.Assert) for part in ast.walk(node))


def _segment(lines: list[bytes], node: ast.stmt) -> str:
    """Source of a top-level statement; ast.get_source_segment would split the whole file for each."""
    first, column = node.lineno, node.col_offset
    if decorators := getattr(node, "decorator_list", None):
        first, column = min(decorator.lineno for decorator in decorators), 0
    part = lines[first - 1 : node.end_lineno]
    part[-1] = part[-1][: node.end_col_offset]
    part[0] = part[0][column:]
    return b"\n".join(part).decode()


def read_test_file(code: str, entry_point: str | None, setup: str, at: At) -> Tests:
    """Formats 6 to 8: HumanEval's `check`, a pytest file or a unittest file."""
    tree = parse(code, at)
    parse_setup(setup, at)
    whole = f"{setup}\n{code}" if setup else code
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    kind, ids = find_tests(tree)
    if "check" in names and not ids:
        if not entry_point:
            at.fail("defines 'check', but the record has no 'entry_point': give the function's name")
        root = root_name(entry_point, at)
        return Tests((Test("script", code=f"check({entry_point.strip()})"),), whole, root)
    if not ids:
        at.fail(
            f"is {shown(code)}, in which there is no test: give asserts, functions 'test_...', classes "
            "'Test...' or unittest.TestCase, or a function 'check' with an entry point (data must be JSON)"
        )
    # Each function and method counts once, so that a helper called often in one test does not win.
    parts = [part for node in tree.body for part in (node.body if isinstance(node, ast.ClassDef) else [node])]
    return Tests(tuple(Test(kind, code=name) for name in ids), whole, infer(parts, parse(whole, at)))


def find_tests(tree: ast.Module) -> tuple[TestKind, list[str]]:
    """Kind ("pytest" or "unittest") and ids of the tests in a file, as pytest would find them."""
    classes: dict[str, ast.ClassDef] = {}
    found: dict[str, None] = {}
    kind: TestKind = "unittest"
    for node in _statements(tree.body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            found[node.name] = None
            kind = "pytest"
        elif isinstance(node, ast.ClassDef):
            classes[node.name] = node
    for name, node in classes.items():
        unittest = _is_testcase(node, classes, set())
        methods = _methods(node, classes, set())
        if not unittest and (not name.startswith("Test") or "__init__" in methods):
            continue
        ids = [f"{name}.{method}" for method in methods if method.startswith("test")]
        found.update(dict.fromkeys(ids))
        if ids and not unittest:
            kind = "pytest"
    return kind, list(found)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Module-level statements, also those under `if`, `try` and `with`."""
    for node in body:
        if isinstance(node, ast.If | ast.Try | ast.With):
            for name in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(node, name, []))
        else:
            yield node


def _bases(node: ast.ClassDef) -> list[str]:
    return [getattr(base, "attr", getattr(base, "id", "")) for base in node.bases]


def _is_testcase(node: ast.ClassDef, classes: dict[str, ast.ClassDef], seen: set[str]) -> bool:
    seen.add(node.name)
    bases = _bases(node)
    local = [classes[base] for base in bases if base in classes and base not in seen]
    return any(base.endswith("TestCase") for base in bases) or any(_is_testcase(base, classes, seen) for base in local)


def _methods(node: ast.ClassDef, classes: dict[str, ast.ClassDef], seen: set[str]) -> dict[str, None]:
    """Names of a class's methods, those of bases in the same file first."""
    seen.add(node.name)
    names: dict[str, None] = {}
    for base in _bases(node):
        if base in classes and base not in seen:
            names.update(_methods(classes[base], classes, seen))
    functions = (part for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef))
    return names | dict.fromkeys(part.name for part in functions)
