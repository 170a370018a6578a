"""Wrong programs made of right ones: one operator or constant changed."""

from __future__ import annotations

import ast
import random

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Add,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
}  # fmt: skip


def mutants(code: str, most: int, seed: int) -> list[str]:
    """Up to so many different ones; they need not be wrong, nor end.

    Raises:
        SyntaxError: `code` is no Python.
    """
    count = len(_places(ast.parse(code)))
    chosen = random.Random(seed).sample(range(count), min(most, count))
    return [_mutant(code, each) for each in chosen]


def _mutant(code: str, place: int) -> str:
    tree = ast.parse(code)
    node = _places(tree)[place]
    if isinstance(node, ast.Constant):
        node.value += 1
    elif isinstance(node, ast.BinOp):
        node.op = SWAPS[type(node.op)]()
    else:
        node.ops[0] = SWAPS[type(node.ops[0])]()
    return ast.unparse(tree)


def _places(tree: ast.Module) -> list:
    return [
        node
        for node in ast.walk(tree)
        if (isinstance(node, ast.Constant) and type(node.value) is int)
        or (isinstance(node, ast.BinOp) and type(node.op) in SWAPS)
        or (isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS)
    ]
