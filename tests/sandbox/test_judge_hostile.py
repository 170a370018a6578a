"""Hostile programs gain nothing from tests that run apart from them.

Covers: values that lie about comparing, early exits, what tests hand to programs, what is a claim.
Does not cover: forged frames (test_judge_forged.py), limits and the jail (test_sandbox.py, test_jail.py).
"""

from __future__ import annotations

import pytest

from acecoder_rl.problems import parse_tests
from acecoder_rl.sandbox import Sandbox
from tests.sandbox.two_processes import judge_tests, statuses

YES = "lambda self, *args: True"
COMPARISONS = [
    "assert f(2) == 4",
    "assert not f(2) != 4",
    "assert f(2) in [4, 5]",
    "assert 4 in [f(2)]",
    "assert 4 in f(2)",
    "assert abs(f(2) - 4.0) < 1e-6",
    "assert math.isclose(f(2), 4.0)",
    "assert f(2) <= 4 <= f(2)",
    "assert isinstance(f(2), int) and f(2) == 4",
    "assert f(2) is True",
    "assert sorted([f(2), 4]) == [4, 4]",
    "assert {f(2): 1}[4] == 1",
    "assert [f(2)] == [4] and (f(2),) == (4,) and {'k': f(2)} == {'k': 4}",
    "x = 4\nx -= f(2)\nassert x == 0",
    "assert str(4) == f(2)",
    "import unittest\nunittest.TestCase().assertAlmostEqual(f(2), 4.0)",
    "import pytest\nassert f(2) == pytest.approx(4.0)",
    "import pytest\nassert pytest.approx(4.0) == f(2)",
    "import numpy as np\nnp.testing.assert_allclose(f(2), 4.0)",
    "import numpy as np\nassert np.float64(4.0) == f(2) and (np.array([4]) == f(2)).all()",
    "from decimal import Decimal\nassert Decimal(4) == f(2)",
]
OPERATORS = " ".join(
    f"__{name}__ = __r{name}__ = lambda self, *a: self;" for name in ("sub", "add", "mul", "truediv", "mod", "pow")
)
LIARS = {
    "object": f"""
class Liar:
    __class__ = int
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __contains__ = {YES}
    {OPERATORS}
    __hash__ = lambda self: hash(4)
    __abs__ = lambda self: self
    __ne__ = lambda self, other: False
    __getattr__ = lambda self, name: Liar()
    __float__ = lambda self: 3.0
    __reduce__ = lambda self: (int, (4,))
def f(x): return Liar()
""",
    "int": f"""
class Liar(int):
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __contains__ = {YES}
    __ne__ = lambda self, other: False
    __hash__ = lambda self: hash(4)
    {OPERATORS}
    __abs__ = __float__ = __index__ = __int__ = lambda self: self
def f(x): return Liar(7)
""",
    "float": f"""
class Liar(float):
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = {YES}
    __ne__ = lambda self, other: False
    {OPERATORS}
    __abs__ = __float__ = lambda self: 4.0
    __hash__ = lambda self: hash(4)
def f(x): return Liar(7)
""",
    "containers": f"""
class Liar(list):
    __eq__ = __contains__ = __le__ = __ge__ = __lt__ = {YES}
    __ne__ = lambda self, other: False
    __hash__ = lambda self: hash(4)
    __iter__ = lambda self: iter([4])
    {OPERATORS}
def f(x): return Liar([7])
""",
    "class": f"""
class Meta(type):
    __eq__ = __instancecheck__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __bool__ = {YES}
    __ne__ = lambda self, other: False
    __hash__ = lambda self: hash(int)
    {OPERATORS}
    __mro__ = (int, object)
    __abs__ = lambda self: self
class Liar(metaclass=Meta): pass
def f(x): return Liar
""",
    "the function is a class": f"""
class f:
    def __init__(self, x): pass
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __contains__ = {YES}
    __ne__ = lambda self, other: False
    {OPERATORS}
    __abs__ = lambda self: self
    __hash__ = lambda self: hash(4)
""",
}


@pytest.mark.parametrize("kind", LIARS)
def test_values_that_lie_about_comparing_gain_nothing(kind: str) -> None:
    for entry_point in ("f", None):
        reports = judge_tests(LIARS[kind], COMPARISONS, entry_point=entry_point)
        assert len(reports) == len(COMPARISONS)
        assert [t for t, r in zip(COMPARISONS, reports, strict=True) if r.status == "passed"] == []


@pytest.mark.parametrize(
    ("program", "tests", "expected"),
    [
        ("def f(x): raise SystemExit(0)", ["assert f(2) == 4"], ["error"]),
        ("def f(x): raise SystemExit(0)", ["try: f(2)\nexcept SystemExit: pass"], ["error"]),
        ("def f(x): raise KeyboardInterrupt", ["assert f(2) == 4"], ["error"]),
        ("import os\ndef f(x): os._exit(0)", ["f(2)", "assert True"], ["crashed"]),
        ("import os\ndef f(x): os._exit(0)", ["try: f(2)\nexcept BaseException: pass"], ["crashed"]),
        ("def f(x): assert False", ["f(2)"], ["error"]),
        ("class AssertionError(Exception): pass\ndef f(x): raise AssertionError", ["f(2)"], ["error"]),
        ("def f(x): raise GeneratorExit", ["assert f(2) == 4"], ["error"]),
        ("__builtins__['AssertionError'] = ValueError\ndef f(x): return 5", ["assert f(2) == 4"], ["failed"]),
        ("def f(x):\n    a = []\n    for _ in range(999): a = [a]\n    return a", ["f(2)"], ["error"]),
        ("def f(x): return 'x' * (1 << 26)", ["f(2)"], ["error"]),
        ("def f(x): return 10 ** 5000", ["assert f(2) == 4"], ["failed"]),
        ("def f(x): return f(x)", ["f(2)"], ["error"]),
    ],
)
def test_leaving_early_is_no_pass(program: str, tests: list[str], expected: list[str]) -> None:
    assert statuses(program, tests) == expected


def test_a_with_block_of_the_program_cannot_swallow_failures() -> None:
    program = """
class Ctx:
    def __enter__(self): return self
    def __exit__(self, *args): return True
    def __sub__(self, other): return 0
def f(x): return 5
"""
    tests = [
        "with Ctx(): assert f(2) == 4",
        "with Ctx() as c: assert abs(c - f(2)) < 1; assert abs(f(2) - 'x') == 0",
        "with Ctx() as c: assert undefined",
        "with Ctx(): raise ValueError('meant to be swallowed')",
    ]
    reports = judge_tests(program, tests, setup="import math")
    assert [r.status for r in reports] == ["failed", "error", "error", "passed"]
    assert reports[3].claimed


@pytest.mark.parametrize(
    ("program", "test"),
    [
        ("class O:\n    def __getattr__(self, name): return lambda *a: True", "assert O().startswith('ab')"),
        ("def f(x): return O()\nclass O:\n    startswith = isdigit = equals = lambda self, *a: True",
         "x = f(2)\nassert x.startswith('ab')"),
        ("def f(x): return O()\nclass O:\n    remove = discard = lambda self, x: None\n    __len__ = lambda self: 0",
         "x = f(2)\nx.remove(4)\nx.discard(5)\nassert not x"),
        ("def f(x): return O()\nclass O(list):\n    equals = lambda self, *a: True", "assert f(2).equals([4])"),
        ("def f(x): return 5\nParsed = AssertionError", "try: assert f(2) == 4\nexcept Parsed: pass"),
        ("def f(x): return 5\nParsed = (ValueError, AssertionError)", "try: assert f(2) == 4\nexcept Parsed: pass"),
        ("class E(ValueError): pass\nParsed = E\ndef f(x): raise E", "try: f(2); assert False\nexcept Parsed: pass"),
        ("def f(x): return 5\nclass pd:\n    def equal(a, b): return True", "assert pd.equal(f(2), 4)"),
        ("Result = object\ndef f(x): return 5", "assert isinstance(f(2), Result)"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("setup", ["", "from solution import *"], ids=["names", "star"])
def test_what_an_object_or_a_name_of_the_programs_answers_is_a_claim(program: str, test: str, setup: str) -> None:
    (report,) = judge_tests(program, [test], setup=setup, entry_point="f")
    assert report.status == "passed" and report.claimed == (not test.startswith("assert O(")), report


def test_functions_that_check_are_not_the_programs() -> None:
    program = "isclose = approx = deepcopy = abs = lambda *a: 4\ndef f(x): return 99\n"
    tests = ["assert isclose(f(2), 4.0)", "assert f(2) == approx(4)", "assert abs(f(2) - 4) < 5"]
    assert statuses(program, tests) == ["failed"] * 3


def test_star_import_does_not_replace_what_the_tests_use() -> None:
    program = "abs = len = isclose = lambda *a: 0\nclass pytest: approx = None\ndef f(x): return 99\n"
    setup = "from math import isclose\nimport pytest\nfrom solution import *"
    tests = ["assert abs(f(2) - 4) < 1", "assert isclose(f(2), 4.0)", "assert f(2) == pytest.approx(4)"]
    assert statuses(program, tests, setup=setup, entry_point="f") == ["failed"] * 3


THIEF = """
import gc, sys, inspect
def look(thing, depth=3):
    found = []
    for name in ("__globals__", "__closure__", "__self__", "__func__", "__dict__", "__class__", "__code__",
                 "f_back", "gi_frame", "tb_frame", "_secret", "__init__", "expected", "__module__"):
        try:
            value = getattr(thing, name)
            found.append(repr(value))
            if depth:
                found.append(look(value, depth - 1))
        except BaseException as e:
            found.append(repr(e))
    return "".join(found)
def f(x):
    frames, frame = [], sys._getframe()
    while frame:
        frames.append(repr(dict(frame.f_locals)))
        frame = frame.f_back
    # What is in containers is tracked itself, or plain: whole reprs would take minutes in a large process.
    held = [o.values() if type(o) is dict else o for o in gc.get_objects() if type(o) in (dict, list, tuple)]
    heap = "".join(repr(v) for values in held for v in list(values) if type(v) in (int, str))
    texts = [look(x), heap, *frames]
    return any("".join(("8912735", "046123")) in text for text in texts)
"""


ARGUMENTS = ["lambda: expected", "Thing()", "Thing().method", "Thing", "(i for i in [1])"]


def test_what_a_test_passes_does_not_lead_to_expected_values() -> None:
    setup = """
expected = 8912735046122 + 1
class Thing:
    def __init__(self): self._secret = expected
    def method(self): pass
"""
    tests = [f"found = f({argument})\nassert found is False" for argument in ARGUMENTS]
    # In the real sandbox: a plain fork of this process would have its whole heap to look through.
    with Sandbox(workers=1) as sandbox:
        verdict = sandbox.run(THIEF, parse_tests(tests, setup=setup))
    assert verdict.passed and verdict.isolation == "split", verdict


def test_the_program_cannot_rewire_the_tests_objects() -> None:
    program = """
def attack(obj, *more):
    for name in ("check", "__class__", "__eq__", "value", "total", "__dict__", "assert_called_once_with"):
        try: setattr(obj, name, lambda *a, **k: True)
        except Exception: pass
    return 1
def overwrite(x): x.value = 5; x.fresh = [1]; return x.value
"""
    setup = """
from unittest import mock
class Box:
    def __init__(self): self.value = 1
    def check(self): return False
    @property
    def total(self): return 0
    def __eq__(self, other): return False
def function(): return 0
"""
    tests = [
        "b = Box(); attack(b); assert not b.check() and b.total == 0 and not b == 1 and type(b) is Box",
        "attack(function); assert function() == 0 and not hasattr(function, 'check')",
        "attack(Box); assert not Box().check()",
        "m = mock.Mock(); attack(m)\nwith pytest.raises(AssertionError): m.assert_called_once_with(3)",
        "b = Box(); assert overwrite(b) == 5 and b.value == 5 and b.fresh == [1]",
    ]
    reports = judge_tests(program, tests, setup=setup)
    assert [r.status for r in reports] == ["passed"] * 5, reports


def test_calls_back_and_forth_end() -> None:
    program = "def f(g, n): return g(n)\ndef memoize(g):\n    memo = {}\n    def wrapped(n):\n"
    program += "        if n not in memo: memo[n] = g(n)\n        return memo[n]\n    return wrapped\n"
    tests = [
        "def g(n): return f(g, n)\ng(0)",
        "fib = memoize(lambda n: n if n < 2 else fib(n - 1) + fib(n - 2))\nassert fib(80) % 1000 == 685",
        "assert f(abs, -5) == 5",
    ]
    reports = judge_tests(program, tests)
    assert [r.status for r in reports] == ["error", "passed", "passed"]
    assert reports[0].message.startswith("RecursionError")
