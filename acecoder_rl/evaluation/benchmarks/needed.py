"""Of a program, what a function needs: as EvalPlus and BigCodeBench do before they run one.

Covers: imports, and those top-level functions, classes and assignments that the function or its tests lead to by name.
    Examples, prints and asserts that a model wrote below its answer are not run: they may be wrong, or wait for input.
Does not cover: programs that read stdin.
Differs from evalplus 0.3.1 (sanitize.py): decorated functions stay, what `if` and `try` define stays, and of several
definitions the last one counts.
"""

from __future__ import annotations

import ast


def needed(code: str, tree: ast.Module, name: str, named: frozenset[str]) -> str:
    """The code without the rest; unchanged where `name` is not defined at the top level.

    Args:
        tree: of `code`.
        name: of the function.
        named: further names that are wanted if they are there.
    """
    defines = [_defines(statement) for statement in tree.body]
    if not any(name in names for names in defines):
        return code
    wanted, todo = {name, *named}, [name, *named]
    while todo:
        each = todo.pop()
        for statement, names in zip(tree.body, defines, strict=True):
            if each in names:
                found = {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)} - wanted
                wanted |= found
                todo += found
    lines = code.split("\n")
    kept = {}
    for statement, names in zip(tree.body, defines, strict=True):
        if isinstance(statement, ast.Import | ast.ImportFrom) or names & wanted:
            decorators = getattr(statement, "decorator_list", [])
            first = min([statement.lineno, *(each.lineno for each in decorators)])
            kept[first, statement.end_lineno] = "\n".join(
                lines[first - 1 : statement.end_lineno]
            )  # `a = 1; b = 2`: once
    return "\n\n".join(kept.values()) + "\n"


def _defines(statement: ast.stmt) -> set[str]:
    found: set[str] = set()
    todo = [statement]  # no recursion: a hostile answer has thousands of `elif`
    while todo:
        each = todo.pop()
        targets: list[ast.expr] = []
        match each:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                found.add(each.name)
            case ast.Import() | ast.ImportFrom():
                found |= {alias.asname or alias.name.partition(".")[0] for alias in each.names}
            case ast.Assign(targets=targets):
                pass
            case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
                targets = [target]
            case ast.If() | ast.Try():
                handlers = [inner for handler in getattr(each, "handlers", []) for inner in handler.body]
                todo += [*each.body, *handlers, *each.orelse]
        # `table[0] = 1` belongs to `table` as well.
        found |= {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
    return found
