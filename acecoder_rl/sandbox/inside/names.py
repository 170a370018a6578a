"""What the source of tests says about how to run them.

Covers: the names a test can use (`Namespace`), classes of the program that tests name, and whether tests
patch what the program sees and so must share its process.
Does not cover: running them (judge.py). Everything here depends on the tests alone, never on the program.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import typing
from collections.abc import Callable
from typing import Any

_KNOWN = """
abc array asyncio base64 bisect calendar cmath collections contextlib copy csv dataclasses datetime decimal
enum fractions functools gc hashlib heapq inspect io itertools json logging math numbers numpy operator os
pprint pytest queue random re statistics string struct sys textwrap threading time traceback types typing
unittest uuid warnings
"""
MODULES = {name: name for name in _KNOWN.split()}
MODULES.update(np="numpy", dt="datetime")
# Names that tests compare with and often leave to the program's imports: a program must not supply them.
CHECKS = {
    name: module
    for module, names in {
        "math": "isclose fabs",
        "pytest": "approx",
        "copy": "deepcopy",
        "collections": "Counter OrderedDict defaultdict deque namedtuple",
        "decimal": "Decimal",
        "fractions": "Fraction",
        "numpy.testing": "assert_allclose assert_almost_equal assert_array_equal assert_array_almost_equal",
    }.items()
    for name in names.split()
}
# Libraries that tests have only from the program's own imports: what they say is the program's word.
NOT_HERE = frozenset(("pd", "pandas", "torch", "scipy", "sympy", "nx", "networkx"))
TYPING = frozenset(name for name in typing.__all__ if name[0].isupper())


class Namespace(dict):
    """Globals of tests. What they define or import is in the dict; of the rest, the entry point is the
    program's, then come builtins, well-known modules, CHECKS, names of `typing`, and the program's own
    names, fetched at every use since the program may rebind them.

    Args:
        program: proxies.Judge, or what has its face.
    """

    def __init__(self, entry_point: str | None, program: Any) -> None:
        super().__init__(__name__="test_solution", __builtins__=builtins)
        self._entry_point, self._program = entry_point, program

    def __missing__(self, name: str) -> Any:
        if name == self._entry_point:
            return find_entry_point(name, self._program.fetch)
        if hasattr(builtins, name):
            raise KeyError(name)  # the interpreter looks there next
        try:
            if name in MODULES:
                return importlib.import_module(MODULES[name])
            if name in CHECKS:
                return getattr(importlib.import_module(CHECKS[name]), name)
        except ImportError:  # not installed here: the program may define the name
            self._program.claimed = True
        if name in TYPING:
            return getattr(typing, name)
        if name[:2] == "__":
            raise KeyError(name)
        if name in NOT_HERE:
            self._program.claimed = True
        try:
            return self._program.fetch(name)
        except NameError:
            raise KeyError(name) from None


def find_entry_point(name: str, fetch: Callable[[str], Any]) -> Any:
    """The program's function, or the method of that name of its class `Solution`."""
    try:
        return fetch(name)
    except NameError as missing:
        try:
            return getattr(fetch("Solution")(), name)
        except (NameError, AttributeError):
            raise missing from None


def parse(source: str) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])  # the error shows when the test runs


def bound_names(trees: list) -> set:
    """Names that the tests define, import or assign themselves."""
    found = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                found.add(node.name)
            elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                found.add(node.id)
            elif isinstance(node, ast.Import):
                found.update((alias.asname or alias.name.partition(".")[0]) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module != "solution":
                found.update(alias.asname or alias.name for alias in node.names)
    return found


def imported_modules(trees: list) -> set:
    """Modules that the tests import, or import from, by their full names."""
    found = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module)
    return found


def mentioned(trees: list) -> set:
    """Names that the tests use and do not bind themselves."""
    found = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                found.add(node.id)
            elif isinstance(node, ast.Attribute):
                found.add(node.attr)
            elif isinstance(node, ast.ImportFrom) and node.module == "solution":
                found.update(alias.name for alias in node.names)
    own = {name for name in found if not hasattr(builtins, name)} - bound_names(trees) - TYPING
    return own | (found & {"StopIteration", "CancelledError"})  # proxies.Judge asks


def named_classes(trees: list, names: set, entry_point: str | None) -> set:
    """Of the mentioned names, those of classes that tests have from the program: not `unittest.TestCase` and other
    names out of modules, nor what tests set themselves (`self.N = 3`)."""
    nodes = [node for tree in trees for node in ast.walk(tree)]
    imports = [node for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom))]
    imported = {
        alias.asname or alias.name.partition(".")[0]
        for node in imports
        for alias in node.names
        if "solution" not in (alias.name, getattr(node, "module", None))
    }
    attributes = [node for node in nodes if isinstance(node, ast.Attribute)]
    elsewhere = {node.attr for node in attributes if _root(node) in imported or isinstance(node.ctx, ast.Store)}
    used = {node.attr for node in attributes if _root(node) not in imported and isinstance(node.ctx, ast.Load)}
    used -= {node.attr for node in attributes if isinstance(node.ctx, ast.Store)}
    elsewhere -= used | {node.id for node in nodes if isinstance(node, ast.Name)}
    elsewhere -= {alias.name for node in imports if getattr(node, "module", None) == "solution" for alias in node.names}
    known = set(CHECKS) - {entry_point}
    return {name for name in names if is_class_name(name)} - elsewhere - known


def is_class_name(name: str) -> bool:
    """Whether a name is written like a class: a program may make a class of the very function under test,
    so nothing else tells. `Solution` only carries functions."""
    return name.lstrip("_")[:1].isupper() and name not in ("Solution", "StopIteration")


_FILES = {"tmp_path", "tmpdir", "tmp_path_factory", "tempfile", "capfd", "capfdbinary", "caplog", "recwarn"}
_SYSTEM = {"sys", "os", "builtins", "time", "random", "solution", "datetime"}


def needs_shared(tests: list, setup: str) -> bool:
    """Whether tests patch the program's internals or surroundings (mock.patch, monkeypatch, files both
    sides open) or derive a class from one of its classes: such tests can only run in its own process."""
    trees = [parse(source) for source in (setup, *tests)]
    known = bound_names(trees) | set(vars(builtins)) | set(MODULES) | set(CHECKS) | TYPING
    nodes = [node for tree in trees for node in ast.walk(tree)]
    return any(_patches(node) or _derives(node, known) for node in nodes)


def _derives(node: ast.AST, known: set) -> bool:
    """A class statement with a base that only the program can have."""
    bases = node.bases if isinstance(node, ast.ClassDef) else []
    return any(isinstance(base, (ast.Name, ast.Attribute)) and _root(base) not in known for base in bases)


def _patches(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        function = node.func
        if isinstance(function, ast.Name):
            if function.id in ("setattr", "delattr") and node.args and _root(node.args[0]) in _SYSTEM:
                return True
            return function.id in ("patch", "open")
        if isinstance(function, ast.Attribute):
            root = _root(function)
            if root in ("monkeypatch", "mocker") or "patch" in _path(function):
                return True
            return root == "os" and function.attr in ("chdir", "putenv", "makedirs", "mkdir", "remove")
    if isinstance(node, ast.arg):
        return node.arg in _FILES or node.arg in ("monkeypatch", "mocker")
    if isinstance(node, ast.Name) and node.id in ("tempfile",):
        return True
    if isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load):
        standard = _path(node) in (["sys", "stdin"], ["sys", "argv"])
        return standard or _root(node) in _SYSTEM - {"solution", "sys"}
    return False


def _root(node: ast.AST) -> str:
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _path(node: ast.AST) -> list:
    parts: list = []
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        parts.insert(0, node.attr if isinstance(node, ast.Attribute) else "[]")
        node = node.value
    return [node.id, *parts] if isinstance(node, ast.Name) else parts


_RUNNERS = {"eval", "exec", "compile", "__import__"}
_LOADERS = {"pickle", "marshal", "dill", "cloudpickle", "joblib", "shelve", "runpy", "code"}


def runs_text(trees: list, own: set) -> bool:
    """Whether tests run or unpickle what is no constant: if that is the program's, it runs among the tests."""
    for tree in trees:
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or all(isinstance(arg, ast.Constant) for arg in node.args):
                continue
            function = node.func
            if isinstance(function, ast.Name) and function.id in _RUNNERS - own:
                return True
            if isinstance(function, ast.Attribute):
                root = _root(function)
                if root in _LOADERS or (root == "builtins" and function.attr in _RUNNERS):
                    return True
    return False


def watches_output(trees: list) -> bool:
    """Whether tests look at what is printed."""
    names = {"capsys", "redirect_stdout", "stdout"}
    return any(
        (isinstance(node, ast.Name) and node.id in names)
        or (isinstance(node, ast.arg) and node.arg in names)
        or (isinstance(node, ast.Attribute) and node.attr in names)
        for tree in trees
        for node in ast.walk(tree)
    )
