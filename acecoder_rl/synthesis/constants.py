"""Is a test's expression constant, but for the answers of the function under test?

Covers: `Reader`: whether an expression is made of constants and of calls of the entry point alone, and why not.
    Constants are literals, containers, arithmetic, comparisons, comprehensions, lambdas and f-strings of constants; the
    builtins in PURE, which give the same everywhere; what MODULES lists (`math.pi`, `datetime.date(2024, 2, 29)`,
    `Decimal("0.1")`); methods and attributes of all these, and of the function's answers.
Does not cover: which tests are kept (tests_kept.py); what only shows when a test runs, such as the order of a set.
Hostile input: nothing is executed, any syntax tree is read; trees nested too deep raise RecursionError.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable

CONSTANT, ANSWER = False, True  # what an expression rests on

# Builtins that make the same of the same in every process; `hash` and `id` do not.
_PURE = """
abs all any ascii bin bool bytearray bytes chr complex dict divmod enumerate filter float format frozenset hex int
isinstance issubclass iter len list map max min next oct ord pow range repr reversed round set slice sorted str sum
tuple type zip
Exception ArithmeticError AttributeError IndexError KeyError LookupError OverflowError RuntimeError StopIteration
TypeError ValueError ZeroDivisionError
"""
PURE = frozenset(_PURE.split())
# What tests may take from modules without importing them: the sandbox has these at hand for every test.
_WHOLE = "cmath collections decimal fractions functools itertools math operator statistics string"
MODULES: dict[str, frozenset[str] | None] = dict.fromkeys(_WHOLE.split())  # None = everything in it
MODULES["copy"] = frozenset(("copy", "deepcopy"))
MODULES["datetime"] = frozenset(("date", "datetime", "time", "timedelta", "timezone", "UTC"))
_NUMPY = """
allclose array array_equal arange asarray bool_ complex128 e eye float32 float64 full identity inf int32 int64
isclose linspace nan ndarray ones pi zeros
"""
MODULES["np"] = MODULES["numpy"] = frozenset(_NUMPY.split())
NAMES = frozenset(("Counter", "Decimal", "Fraction", "OrderedDict", "deepcopy", "defaultdict", "deque", "isclose"))
# Attributes that ask the clock or the time zone, of whatever they stand at.
CLOCK = frozenset(("now", "today", "utcnow", "fromtimestamp", "utcfromtimestamp", "timestamp", "astimezone"))
# Input, output, and what differs from process to process.
_OUTSIDE = """
breakpoint compile delattr dir eval exec exit getattr globals hash help id input locals memoryview object open print
quit setattr vars __import__ __builtins__ __file__ __name__
"""
OUTSIDE = frozenset(_OUTSIDE.split())
OUTSIDE_MODULES = frozenset((*sys.stdlib_module_names, "requests", "httpx", "pandas", "pd")) - MODULES.keys()
DUNDERS = frozenset(("__name__", "__class__"))


class Refused(Exception):
    """The test is not kept; `reason` is one of tests_kept.REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Reader:
    """Reads expressions of one question's tests.

    Args:
        entry_point: the function under test.
        bound: names that other tests define.
    """

    def __init__(self, entry_point: str, bound: frozenset[str]) -> None:
        self._entry_point, self._bound = entry_point, bound
        self._local: dict[str, bool] = {}

    def read(self, node: ast.AST) -> bool:
        """ANSWER when the value rests on an answer of the entry point, else CONSTANT.

        Raises:
            Refused: it rests on something else.
        """
        match node:
            case ast.Constant():
                return CONSTANT
            case ast.Name():
                return self._name(node.id)
            case ast.Call():
                return self._call(node)
            case ast.Attribute():
                return self._attribute(node)
            case ast.Compare(left=left, comparators=others):
                answers = sum(map(self.read, (left, *others)))
                if answers > 1:
                    raise Refused("not_constant")  # an answer is expected to be like another answer
                return answers == 1
            case ast.Lambda(args=args, body=body):
                names = [each.arg for each in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
                names += [each.arg for each in (args.vararg, args.kwarg) if each]
                kind = self._any(each for each in (*args.defaults, *args.kw_defaults) if each)
                return self._within(dict.fromkeys(names, CONSTANT), [body]) or kind
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return self._comprehension(node)
            case ast.NamedExpr() | ast.Await() | ast.Yield() | ast.YieldFrom():
                raise Refused("not_constant")
            case ast.expr() | ast.keyword():
                return self._any(
                    each for each in ast.iter_child_nodes(node) if isinstance(each, (ast.expr, ast.keyword))
                )
        raise Refused("not_constant")

    def _any(self, nodes: Iterable[ast.AST]) -> bool:
        return max(map(self.read, nodes), default=CONSTANT)  # not any(): all of them are to be read

    def _name(self, name: str) -> bool:
        if name in self._local:
            return self._local[name]
        if name == self._entry_point:
            raise Refused("not_constant")  # handed on, not called
        if name in PURE or name in NAMES:
            return CONSTANT
        if name in OUTSIDE or name in OUTSIDE_MODULES:
            raise Refused("outside")
        if name in self._bound:
            raise Refused("other_test")
        raise Refused("unknown_name")

    def _call(self, node: ast.Call) -> bool:
        given = self._any((*node.args, *node.keywords))
        if isinstance(node.func, ast.Name) and node.func.id == self._entry_point:
            if given is ANSWER:
                raise Refused("not_constant")
            return ANSWER
        whose = self.read(node.func)
        if whose is ANSWER and given is ANSWER:
            raise Refused("not_constant")
        return whose or given

    def _attribute(self, node: ast.Attribute) -> bool:
        name, base = node.attr, node.value
        if name in CLOCK:
            raise Refused("outside")
        if name.startswith("__") and name not in DUNDERS:
            raise Refused("not_constant")
        if isinstance(base, ast.Name) and base.id in MODULES and base.id not in (*self._local, self._entry_point):
            allowed = MODULES[base.id]
            if allowed is not None and name not in allowed:
                raise Refused("outside")
            return CONSTANT
        return self.read(base)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> bool:
        before = dict(self._local)
        kind = CONSTANT
        for part in node.generators:
            if part.is_async:
                raise Refused("not_constant")
            source = self.read(part.iter)
            names = [each.id for each in ast.walk(part.target) if isinstance(each, ast.Name)]
            self._local |= dict.fromkeys(names, source)
            kind = max(kind, source, self._any(part.ifs))
        made = (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)
        kind = max(kind, self._any(made))
        self._local = before
        return kind

    def _within(self, local: dict[str, bool], nodes: Iterable[ast.AST]) -> bool:
        before = dict(self._local)
        self._local |= local
        kind = self._any(nodes)
        self._local = before
        return kind
