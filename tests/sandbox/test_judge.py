"""Tests run apart from the program give honest programs the verdicts of one process.

Covers: asserts, pytest, unittest over the wire; handles; arguments changed in place; claims; names; tests
that must share the program's process.
Does not cover: hostile programs (test_judge_hostile.py), limits and jail (test_sandbox.py, test_jail.py).
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acecoder_rl.sandbox.inside import judge
from tests.plain import plain_exec
from tests.sandbox.honest import PASSING, PROGRAM, SETUP
from tests.sandbox.two_processes import judge_tests, statuses


def test_honest_programs_pass_what_they_pass_in_one_process() -> None:
    reports = judge_tests(PROGRAM, PASSING, setup=SETUP)
    assert [(t, r) for t, r in zip(PASSING, reports, strict=True) if r.status != "passed" or r.claimed] == []
    assert len(reports) == len(PASSING)


def test_exceptions_that_a_test_makes_have_what_their_class_gives_them() -> None:
    made = "e = MyError('m', code=7)\nassert str(e) == 'm' and e.code == 7 and e.args == ('m',)"
    raised = "try: raise MyError('n', 8)\nexcept ValueError as e: assert e.code == 8 and type(e) is MyError"
    refused = "try: MyError('m')\nexcept TypeError: pass\nelse: assert False"
    assert statuses(PROGRAM, [made, raised, refused, "raise MyError('o', 9)"]) == ["passed"] * 3 + ["error"]


def test_comparing_the_programs_own_objects_is_a_claim() -> None:
    tests = [
        "assert Vec(1, 2) + Vec(3, 4) == Vec(4, 6)",
        "assert Vec(1, 2) * 2 == Vec(2, 4) and Vec(1, 2) != Vec(1, 3)",
        "assert Vec(1, 2) in [Vec(1, 2)] and min(Vec(2, 0), Vec(1, 0)).x == 1",
        "assert 2 in Stack().push(2) and 3 not in Stack().push(2)",
        "assert isinstance(Vec(1, 2), Vec) and not isinstance(3, Vec)",
        "try: raises('own'); assert False\nexcept MyError as e: assert e.code == 7",
        "assert Vec(1, 2) == Vec(1, 3)",
    ]
    reports = judge_tests(PROGRAM, tests)
    assert [r.status for r in reports] == ["passed"] * 6 + ["failed"]
    assert all(r.claimed for r in reports)


def test_what_a_script_does_as_main_is_part_of_the_test() -> None:
    script = "def test():\n    assert double(1) == %s\nif __name__ == '__main__':\n    test()"
    assert statuses(PROGRAM, [script % 2, script % 3]) == ["passed", "failed"]


def test_statuses_and_messages() -> None:
    tests = [
        "assert double(2) == 5",
        "assert double(2) == 5, 'because'",
        "double()",
        "assert undefined(2) == 5",
        "assert (",
        "raises('zero')",
        "import os; raise SystemExit(0)",
        "x = [0] * (1 << 50)",
    ]
    reports = judge_tests(PROGRAM, tests)
    assert [r.status for r in reports] == ["failed"] * 2 + ["error"] * 5 + ["memory"]
    assert reports[0].message == "assert double(2) == 5: got 4"
    assert reports[1].message.endswith("because")
    assert reports[2].message.startswith("TypeError: double() missing")
    assert reports[3].message == "NameError: name 'undefined' is not defined"


def test_names() -> None:
    assert statuses(PROGRAM, ["assert sum([1, 2]) == 42"], entry_point="sum") == ["passed"]
    assert statuses(PROGRAM, ["assert sum([1, 2]) == 3"]) == ["passed"]
    assert statuses("def math(): return 1", ["assert math.sqrt(4) == 2"]) == ["passed"]
    solution = "class Solution:\n    def twice(self, x): return 2 * x"
    calls = ["assert twice(4) == 8", "assert Solution().twice(1) == 2"]
    assert statuses(solution, calls, entry_point="twice") == ["passed", "passed"]
    helper = "def helper(x): return double(x) + 1\ndef check(candidate): assert candidate(1) == 2"
    assert statuses(PROGRAM, ["assert helper(3) == 7", "check(double)"], setup=helper) == ["passed", "passed"]


def test_failing_setup_is_an_error_of_every_test() -> None:
    reports = judge_tests(PROGRAM, ["assert True", "assert True"], setup="import no_such_module")
    assert [r.status for r in reports] == ["error", "error"]
    assert "setup: ModuleNotFoundError" in reports[0].message


PYTEST = """
import pytest
from solution import double, MyError, raises, later
import solution
@pytest.fixture(scope="module")
def numbers(): return [1, 2]
@pytest.fixture
def opened():
    yield "fixture"
    assert solution.bump() == 1
def test_fixture(numbers): assert [double(n) for n in numbers] == [2, 4]
@pytest.mark.parametrize("a, b", [(1, 2), (2, 5)])
def test_many(a, b): assert double(a) == b
def test_raises():
    with pytest.raises(ZeroDivisionError, match="z"): raises("zero")
def test_own():
    with pytest.raises(MyError) as info: raises("own")
    assert info.value.code == 7
def test_approx(): assert double(0.1) == pytest.approx(0.2)
class TestX:
    def setup_method(self): self.value = 3
    def test_print(self, capsys):
        solution.apply(print, "hi")
        solution.shout()
        assert capsys.readouterr().out == "hi\\nshout\\n"
    @pytest.mark.skip
    def test_skip(self): pass
    def test_value(self): assert double(self.value) == 6
@pytest.mark.xfail
def test_xfail(): assert False
async def test_async(): assert await later(1) == 2
def test_teardown(opened): assert opened
def test_teardown_fails(opened): assert opened
def test_fails(): assert double(1) == 3
def test_dies(): solution.die()
def test_after(): pass
"""


def test_pytest() -> None:
    program = PROGRAM + "def shout(): print('shout')\ndef die():\n    import os\n    os._exit(3)\n"
    expected = {
        "test_fixture": "passed",
        "test_many": "failed",
        "test_many[1-2]": "passed",
        "test_raises": "passed",
        "test_own": "passed",
        "test_approx": "passed",
        "TestX.test_print": "passed",
        "TestX::test_skip": "error",
        "TestX.test_value": "passed",
        "test_xfail": "passed",
        "test_async": "passed",
        "test_teardown": "passed",
        "test_teardown_fails": "failed",
        "test_fails": "failed",
        "test_nowhere": "error",
        "test_dies": "crashed",
    }
    reports = judge_tests(program, [*expected, "test_after"], setup=PYTEST, kind="pytest")
    assert dict(zip(expected, [r.status for r in reports], strict=True)) == expected
    claimed = [name for name, report in zip(expected, reports, strict=True) if report.claimed]
    assert claimed == ["test_own"]
    assert reports[13].message == "def test_fails(): assert double(1) == 3: got 2"


UNITTEST = """
import unittest
from solution import *
class TestX(unittest.TestCase):
    @classmethod
    def setUpClass(cls): cls.three = 3
    def setUp(self): self.items = [1]
    def tearDown(self): self.items = None
    def test_good(self): self.assertEqual(double(self.three), 6)
    def test_bad(self): self.assertEqual(double(self.three), 7)
    def test_raises(self):
        with self.assertRaises(KeyError): raises("key")
    def test_error(self): raises("zero")
    def test_inner(self): inner_assert()
    def test_sub(self):
        for i in range(3):
            with self.subTest(i): self.assertLess(double(i), 4)
    @unittest.skip("no")
    def test_skip(self): pass
    @unittest.expectedFailure
    def test_expected(self): self.assertTrue(False)
    def test_almost(self): self.assertAlmostEqual(double(0.1), 0.2)
class TestAsync(unittest.IsolatedAsyncioTestCase):
    async def test_later(self): self.assertEqual(await later(1), 2)
"""


def test_unittest() -> None:
    program = PROGRAM + "def inner_assert(): assert False\n"
    expected = {
        "TestX.test_good": "passed",
        "TestX.test_bad": "failed",
        "TestX.test_raises": "passed",
        "TestX.test_error": "error",
        "TestX.test_inner": "error",
        "TestX.test_sub": "failed",
        "TestX.test_skip": "error",
        "TestX::test_expected": "passed",
        "TestX.test_almost": "passed",
        "TestAsync.test_later": "passed",
        "TestX.test_nowhere": "error",
        "Nowhere.test_x": "error",
    }
    reports = judge_tests(program, list(expected), setup=UNITTEST, kind="unittest")
    assert dict(zip(expected, [r.status for r in reports], strict=True)) == expected


# -- split = plain ---------------------------------------------------------------------------------

numbers = st.integers(-3, 6)
EXPRESSIONS = """
double({a})
extend([{a}], {b})
list(count({a}))
adder({a})({b})
words('x y ' * {a})
groups([{a}, {b}, {c}])
order([{a}, {b}, {c}], lambda v: v * {c})
apply(divmod, {a}, {b})
Point({a}, {b})
Stack().push({a}).push({b}).items
History([{a}]).add({b})
Level({a})
compose(double, lambda v: v - {a})({b})
[*Stack().push({a})]
Item({a}, {b}).price
parse('[{a}, {b}]')
{{double({a}): [{b}]}}
naturals().send(None)
Vec({a}, {b}).x / {c}
abs(Vec({a}, {b}))
Stack()[{a}]
bump() * {a}
Colour({a}).name
sum([{a}])
""".strip().split("\n")
expressions = st.builds(
    lambda text, a, b, c: text.format(a=a, b=b, c=c), st.sampled_from(EXPRESSIONS), numbers, numbers, numbers
)
asserts = st.builds(
    lambda left, op, right: f"assert {left} {op} {right}",
    expressions,
    st.sampled_from(["==", "==", "!=", "<", "in", "is not"]),
    expressions | numbers.map(str) | numbers.map(lambda n: f"[{n}]"),
)


@given(st.lists(asserts, min_size=10, max_size=30))
@settings(max_examples=40, deadline=None)
def test_split_judge_equals_plain_exec(tests: list[str]) -> None:
    got = [report.status == "passed" for report in judge_tests(PROGRAM, tests, entry_point="sum")]
    plain = plain_exec(PROGRAM, "", tests)
    assert [(t, p) for t, p, g in zip(tests, plain, got, strict=True) if p != g] == []


# -- shared ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "shared"),
    [
        ("from unittest.mock import patch\nwith patch('solution.now', return_value=3): f()", True),
        ("import unittest.mock as m\n@m.patch.object(solution, 'now')\ndef test(fake): pass", True),
        ("def test(monkeypatch): monkeypatch.setattr(solution, 'now', lambda: 3)", True),
        ("def test(monkeypatch): pass", True),
        ("def test(tmp_path): pass", True),
        ("import sys, io\nsys.stdin = io.StringIO('1')", True),
        ("from unittest.mock import Mock\nassert f(Mock()) == 1", False),
        ("def test(capsys): pass", False),
        ("assert f('patch') == 1", False),
        ("assert (", False),
    ],
)
def test_tests_that_patch_need_the_programs_process(code: str, shared: bool) -> None:
    assert judge.needs_shared([], code) is shared


def test_shared_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("solution")
    monkeypatch.setitem(sys.modules, "solution", module)
    monkeypatch.delitem(sys.modules, judge.MODULE, raising=False)
    exec("def now(): return 1\ndef f(): return now() + 1", module.__dict__)
    setup = "import solution\nfrom unittest.mock import patch"
    patching = "with patch('solution.now', return_value=5): assert f() == 6"
    tests = [patching, "assert f() == 2", "assert f() == 3"]
    events: list[list[Any]] = []
    digits = sys.get_int_max_str_digits()
    try:
        judge.run_shared({"kind": "assert", "setup": setup, "tests": tests}, module.__dict__, events.append)
    finally:
        sys.set_int_max_str_digits(digits)
    assert [event[2] for event in events if event[0] == "done"] == ["passed", "passed", "failed"]
    assert events[-1] == ["end"]
