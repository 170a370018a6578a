"""Print statements taken out of a program, and nothing else.

Covers: statements `print(...)`, found on the syntax tree and cut out of the text, so that comments and layout stay. A
    block that held nothing else gets `pass`. What an argument does besides being shown stays as a statement:
    `print(stack.pop())` becomes `stack.pop()`. Only a program's own functions and classes, called at its top level
    to show what they return, go with their print.
Does not cover: prints that are parts of expressions, prints into other files than stdout and stderr, programs that give
    the name `print` another meaning: all of these are left as they are. An argument that only reads,
    iterates or formats is taken to have no effect, whatever classes of the program do then.
The text that is left parses to the old tree without the prints, or else it is written anew from that tree.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from acecoder_rl.fences import PARSE_BUDGET, Parser

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_FUNCTIONS = {
    *("abs", "all", "any", "ascii", "bin", "bool", "bytes", "chr", "complex", "dict", "divmod", "enumerate", "filter"),
    *("float", "format", "frozenset", "getattr", "hasattr", "hash", "hex", "id", "int", "isinstance", "issubclass"),
    *("len", "list", "map", "max", "min", "oct", "ord", "pow", "range", "repr", "reversed", "round", "set", "sorted"),
    *("str", "sum", "tuple", "type", "zip"),
}
_METHODS = {
    *("center", "copy", "count", "decode", "dumps", "encode", "endswith", "find", "format", "hexdigest", "index"),
    *("isdigit", "items", "join", "keys", "ljust", "lower", "lstrip", "most_common", "replace", "rjust", "rstrip"),
    *("split", "splitlines", "startswith", "strip", "title", "tolist", "total_seconds", "upper", "values", "zfill"),
}
_MODULES = {"math", "statistics"}
Edit = tuple[ast.stmt, str]  # a print, and the statements instead, "" for none


def without_prints(code: str, tree: ast.Module) -> tuple[str, int]:
    """A program without its print statements, and how many they were.

    Args:
        code: with plain newlines.
        tree: of `code`; it loses them, too.

    Raises:
        RecursionError: nested too deep.
    """
    if "print" not in code or _rebound(tree):
        return code, 0
    owned = _owned(tree)
    edits: list[Edit] = []
    for block, owner, top in _blocks(tree):
        edits += _cut(block, owner, owned if top else frozenset())
    if not edits:
        return code, 0
    left = _edited(code, edits)
    again, _ = Parser(PARSE_BUDGET)(left)
    if again is None or ast.dump(again) != ast.dump(tree):
        left = ast.unparse(ast.fix_missing_locations(tree))
    return left, len(edits)


def _rebound(tree: ast.Module) -> bool:
    """Whether `print` may be another function, anywhere."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(id="print", ctx=ast.Store() | ast.Del()) | ast.arg(arg="print"):
                return True
            case ast.FunctionDef(name="print") | ast.AsyncFunctionDef(name="print") | ast.ClassDef(name="print"):
                return True
            case ast.Attribute(attr="print", ctx=ast.Store()):
                return True
            case ast.alias(name="print", asname=None) | ast.alias(asname="print"):
                return True
            case ast.ExceptHandler(name="print") | ast.MatchAs(name="print") | ast.MatchStar(name="print"):
                return True
            case ast.MatchMapping(rest="print"):
                return True
    return False


def _owned(tree: ast.Module) -> frozenset[str]:
    """Functions and classes of the program that change none of its globals."""
    return frozenset(
        each.name
        for each in tree.body
        if isinstance(each, _DEFINITIONS) and not any(isinstance(node, ast.Global) for node in ast.walk(each))
    )


def _blocks(tree: ast.Module) -> Iterator[tuple[list[ast.stmt], ast.AST, bool]]:
    """(statements, what they belong to, whether they run when the program is loaded) of every block."""
    todo: list[tuple[ast.AST, bool]] = [(tree, True)]
    while todo:
        node, top = todo.pop()
        top = top and not isinstance(node, _DEFINITIONS)
        for name in ("body", "orelse", "finalbody", "handlers", "cases"):
            block = getattr(node, name, None)
            if not isinstance(block, list):
                continue  # a lambda's body
            todo += [(each, top) for each in block]
            if name not in ("handlers", "cases"):
                yield block, node, top


def _cut(block: list[ast.stmt], owner: ast.AST, owned: frozenset[str]) -> list[Edit]:
    """Take the prints out of a block."""
    kept: list[ast.stmt] = []
    edits: list[Edit] = []
    for statement in block:
        call = _print_of(statement)
        if call is None:
            kept.append(statement)
            continue
        effects = [ast.Expr(each) for each in _effects(call, owned)]
        kept += effects
        edits.append((statement, "; ".join(ast.unparse(ast.fix_missing_locations(each)) for each in effects)))
    if not edits:
        return []
    removed = not kept or (kept[0] is not block[0] and _is_text(kept[0]))  # which would become the docstring
    if removed and not (isinstance(owner, ast.Module) and not kept):
        kept.insert(0, ast.Pass())
        edits[0] = (edits[0][0], "pass")
    block[:] = kept
    return edits


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(getattr(statement.value, "value", None), str)


def _print_of(statement: ast.stmt) -> ast.Call | None:
    """The call, if the statement is a print to the screen."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Name(id="print")) as call):
            pass
        case _:
            return None
    for keyword in call.keywords:
        if keyword.arg is None:
            return None
        if keyword.arg == "file" and ast.unparse(keyword.value) not in ("sys.stdout", "sys.stderr", "None"):
            return None
    return call


def _effects(call: ast.Call, owned: frozenset[str]) -> Iterator[ast.expr]:
    """The arguments that may do something."""
    for argument in [*call.args, *(keyword.value for keyword in call.keywords)]:
        if any(_acts(node, owned) for node in ast.walk(argument)):
            yield ast.List([argument], ast.Load()) if isinstance(argument, ast.Starred) else argument


def _acts(node: ast.AST, owned: frozenset[str]) -> bool:
    match node:
        case ast.NamedExpr() | ast.Yield() | ast.YieldFrom() | ast.Await():
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name not in _FUNCTIONS and name not in owned
        case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id=name)))) if name in owned:
            return False  # of an object that nobody else has
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name))) if name in _MODULES:
            return False
        case ast.Call(func=ast.Attribute(attr="get"), args=[_, *_]):
            return False  # of a dictionary; a queue's has no such argument
        case ast.Call(func=ast.Attribute(attr=name)):
            return name not in _METHODS
        case ast.Call():
            return True
    return False


def _edited(code: str, edits: list[Edit]) -> str:
    """The text with each print replaced, from the last to the first: places before it stay right."""
    lines = code.encode().split(b"\n")

    def place(edit: Edit) -> Any:
        return edit[0].lineno, edit[0].col_offset

    for statement, instead in sorted(edits, key=place, reverse=True):
        assert statement.end_lineno is not None and statement.end_col_offset is not None
        first, last = statement.lineno - 1, statement.end_lineno - 1
        before, after = lines[first][: statement.col_offset], lines[last][statement.end_col_offset :]
        if instead:
            lines[first : last + 1] = [before + instead.encode() + after]
            continue
        rest = after.lstrip()
        semicolon, rest = rest.startswith(b";"), rest.removeprefix(b";").lstrip()
        nothing = not rest or rest.startswith(b"#")
        if not before.strip() and nothing:
            del lines[first : last + 1]
        elif semicolon:
            lines[first : last + 1] = [before + rest]
        else:
            lines[first : last + 1] = [before.rstrip().removesuffix(b";").rstrip() + after]
    return b"\n".join(lines).decode()
