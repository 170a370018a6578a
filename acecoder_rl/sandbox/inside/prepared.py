"""What can be known of tests before any program: worked out once a problem, not once a program.

Covers: compiling tests, with what they compare kept for messages and `type(x)` left to the judge, since
it knows the class of an object that is elsewhere; the names they use, bind and name as classes; whether
they watch stdout, compare by libraries, run text.
Does not cover: running them (judge.py).
Stand-alone: the worker prepares, judges of the same Python use it; one given bare tests prepares itself.
"""

from __future__ import annotations

import ast
import warnings
from types import CodeType
from typing import Any

from acecoder_rl.sandbox.inside.names import (
    bound_names,
    imported_modules,
    mentioned,
    named_classes,
    parse,
    runs_text,
    watches_output,
)
from acecoder_rl.sandbox.inside.vacuous import compares_by

# Names that compiled tests use, with one underscore: a class would mangle two.
SEEN = "_acecoder_seen_"  # and the line of an assert: the side of its comparison that the program gave
TYPE, CLASS = "_acecoder_type", "_acecoder_class"
SAME = "same_answer"  # readable: it is part of messages

# What Python would rather see in a test is not for our owner's terminal.
warnings.filterwarnings("ignore", category=SyntaxWarning, module="<test")


def prepare(spec: dict[str, Any]) -> dict[str, Any]:
    """`spec` (kind, setup, tests, entry_point) with what the judge would else find out each time."""
    trees = [parse(source) for source in (spec.get("setup") or "", *spec["tests"])]
    names, bound = mentioned(trees), bound_names(trees)
    return {
        **spec,
        "mentioned": names,
        "classes": named_classes(trees, names, spec.get("entry_point")),
        "bound": bound,
        "compares_by": compares_by(imported_modules(trees), names | bound),
        "runs_text": runs_text(trees, bound | {spec.get("entry_point")}),
        "watches_output": watches_output(trees),
        "code": [_compiled(source) for source in spec["tests"]],
        "setup_code": _compiled(spec.get("setup") or "", "<tests>"),
    }


def compile_test(source: str, name: str = "<test>") -> CodeType:
    """The code of a test, or of the tests' setup."""
    tree = ast.parse(source)
    if name == "<test>":
        _run_as_main(tree)
    tree = _Rewriter("type" in bound_names([tree])).visit(tree)
    return compile(ast.fix_missing_locations(tree), name, "exec", dont_inherit=True)


def _run_as_main(tree: ast.Module) -> None:
    """A test that is a script does what it does `if __name__ == "__main__"`: often all that it checks."""
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) in (
            "__name__ == '__main__'",
            "'__main__' == __name__",
        ):
            node.test = ast.copy_location(ast.Constant(True), node.test)


class _Rewriter(ast.NodeTransformer):
    def __init__(self, own_type: bool) -> None:
        self.own_type = own_type

    def visit_Assert(self, node: ast.Assert) -> ast.Assert:
        self.generic_visit(node)
        test = node.test
        if isinstance(test, ast.Compare) and len(test.ops) == 1:
            name = ast.Name(f"{SEEN}{node.lineno}", ast.Store())
            if isinstance(test.left, ast.Constant):
                test.comparators = [ast.NamedExpr(name, test.comparators[0])]
            else:
                test.left = ast.NamedExpr(name, test.left)
        return node

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        one = len(node.args) == 1 and not node.keywords and not isinstance(node.args[0], ast.Starred)
        if one and isinstance(node.func, ast.Name) and node.func.id == "type" and not self.own_type:
            node.func.id = TYPE
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        if node.attr == "__class__" and isinstance(node.ctx, ast.Load):
            return ast.copy_location(ast.Call(ast.Name(CLASS, ast.Load()), [node.value], []), node)
        return node


def _compiled(source: str, name: str = "<test>") -> CodeType | None:
    try:
        return compile_test(source, name)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # the error shows when the test runs
