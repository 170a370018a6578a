"""Which function or class of the program do the tests call?

Covers: parsing test code, inference of the entry point from it.
Does not cover: which tests a file holds (code_tests.py), running anything.
Hostile input: test code is parsed, never executed; what cannot be parsed raises ProblemError.
"""

from __future__ import annotations

import ast
import builtins
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from acecoder_rl.cases import At, shown

SOURCE = "<acecoder tests>"
# An invalid escape in a test ("\d") is not ours to warn of. A filter for this one file name is safe with
# threads, unlike catch_warnings around each parse.
warnings.filterwarnings("ignore", module=SOURCE)

BUILTINS = frozenset(dir(builtins))
MODULES = sys.stdlib_module_names | {"np", "numpy", "pd", "pandas", "pytest"}
# Names that tests borrow from the program's own imports: the entry point only if nothing else is called.
HELPERS = {
    *("Counter", "OrderedDict", "defaultdict", "deque", "namedtuple", "Decimal", "Fraction", "array"),
    *("datetime", "date", "timedelta", "time", "isclose", "sqrt", "approx", "reduce", "partial"),
    *("StringIO", "Path", "deepcopy", "copy"),
}
# Builtins that only shape a result before it is compared.
WRAPPERS = {
    *("len", "sorted", "set", "list", "tuple", "round", "abs", "isinstance", "type"),
    *("str", "int", "float", "bool", "dict", "frozenset", "repr"),
}


def parse(code: str, at: At) -> ast.Module:
    """The syntax tree of a piece of test code with at least one statement."""
    try:
        tree = ast.parse(code, SOURCE)
    except SyntaxError as error:
        at.fail(f"is {shown(code)} which does not parse as Python ({error.msg}): mend or drop this test")
    except (ValueError, RecursionError, MemoryError) as error:  # NUL, lone surrogate; nesting past the parser
        at.fail(f"is {shown(code)} which does not parse as Python ({error}): mend or drop this test")
    if not tree.body:
        at.fail(f"is {shown(code)} which has no statement: give an assert or drop this test")
    return tree


def root_name(expression: Any, at: At) -> str:
    """The program's own name in an entry point: "add" of "add", "Solution" of "Solution().add"."""
    if not isinstance(expression, str):
        at.fail(f"is {shown(expression)}: give a name, such as 'add'")
    try:
        node: ast.AST = ast.parse(expression.strip(), SOURCE, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        node = ast.Pass()
    while isinstance(node, ast.Attribute | ast.Call):
        node = node.value if isinstance(node, ast.Attribute) else node.func
    if not isinstance(node, ast.Name):
        at.fail(f"is {shown(expression)}, which is not a name: give what the tests call, such as 'add'")
    return node.id


def infer(tests: Sequence[ast.AST], setup: ast.AST | None = None) -> str | None:
    """The name that most tests call, of those that neither the tests nor Python define.

    Ties go to the first in the source. Where nothing of the kind is called: a name that is passed on
    (`check(add)`), else a builtin's name, for tasks whose function is called `sum`.
    """
    bound: set[str] = set()
    imported: set[str] = set()
    walked = [_walk(tree) for tree in tests]
    for nodes in [*walked, _walk(setup)] if setup else walked:
        _bind(nodes, bound, imported)
    called: Counter[str] = Counter()
    loaded: Counter[str] = Counter()
    for nodes in walked:
        names = [node for node in nodes if isinstance(node, ast.Name | ast.Attribute | ast.Call)]
        names.sort(key=lambda node: (node.lineno, node.col_offset))
        called.update(list(dict.fromkeys(name for node in names if (name := _called(node)))))
        loaded.update(list(dict.fromkeys(node.id for node in names if isinstance(node, ast.Name))))
    if own := _first(called, imported.__contains__) or _first(loaded, imported.__contains__):
        return own
    foreign = bound | BUILTINS
    return (
        _first(called, lambda name: name not in foreign and name not in HELPERS)
        or _first(loaded, lambda name: name not in foreign and name not in HELPERS and name not in MODULES)
        or _first(called, lambda name: name not in foreign)
        or _first(Counter(name for tree in tests if (name := _outer_builtin(tree, bound))), lambda name: True)
    )


def _first(counts: Counter[str], wanted: Callable[[str], bool]) -> str | None:
    # most_common is stable, so among equals the first seen wins.
    return next((name for name, _ in counts.most_common() if wanted(name)), None)


def _called(node: ast.AST) -> str | None:
    if not isinstance(node, ast.Call):
        return None
    function = node.func
    if isinstance(function, ast.Name):
        return function.id
    if isinstance(function, ast.Attribute) and getattr(function.value, "id", None) == "solution":
        return function.attr
    return None


def _walk(tree: ast.AST) -> list[ast.AST]:
    """All nodes but constants, which are most of a test, and contexts."""
    found, todo = [], [tree]
    while todo:
        node = todo.pop()
        found.append(node)
        for name in node._fields:
            value = getattr(node, name, None)
            for part in value if isinstance(value, list) else (value,):
                if isinstance(part, ast.AST) and not isinstance(part, ast.Constant | ast.expr_context):
                    todo.append(part)
    return found


def _bind(nodes: list[ast.AST], bound: set[str], imported: set[str]) -> None:
    """Collect the names that code defines; names from `solution` are the program's own."""
    for node in nodes:
        if isinstance(node, ast.Name):
            if not isinstance(node.ctx, ast.Load):
                bound.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            bound.add(node.name)
        elif isinstance(node, ast.Import):
            bound.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            own = node.module == "solution"
            (imported if own else bound).update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute) and getattr(node.value, "id", None) == "solution":
            imported.add(node.attr)


def _outer_builtin(tree: ast.AST, bound: set[str]) -> str | None:
    """The outermost call of a builtin in a test, past wrappers such as `len(...)`."""
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = [function for function in calls if isinstance(function, ast.Name)]
    names.sort(key=lambda node: (node.lineno, node.col_offset))
    wanted = BUILTINS - WRAPPERS - bound
    return next((name.id for name in names if name.id in wanted), None)
