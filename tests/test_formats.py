"""Every public test format becomes `Tests`, and what is malformed says where and how to mend it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from acecoder_rl.problems import ProblemError, Test, Tests, parse_tests

CASES = [{"input": "1\n2", "output": "3", "testtype": "functional", "metadata": {"func_name": "add"}}]


def codes(tests: Tests) -> list[str]:
    return [test.code for test in tests]


# The nine formats


def test_1_asserts():
    tests = parse_tests(["assert add(1, 2) == 3", "  x = add(0, 0)\n  assert x == 0", "assert not add(0, 0)\n"])
    assert codes(tests) == ["assert add(1, 2) == 3", "x = add(0, 0)\nassert x == 0", "assert not add(0, 0)"]
    assert {test.kind for test in tests} == {"assert"}
    assert tests.entry_point == "add"
    assert parse_tests({"assert_case": ["assert add(1, 2) == 3"]}).entry_point == "add"
    # Elements share their names: what one defines another may call.
    assert len(parse_tests(["import math", "def test(f):\n    assert f(0, 0) == 0", "test(add)"]).tests) == 3


def test_2_stdin_stdout_dict():
    tests = parse_tests({"inputs": ["1 2\n", ["3", "4"]], "outputs": ["3\n", ["7", "ok"]]})
    assert tests.tests == (
        Test("stdio", stdin="1 2\n", stdout="3\n"),
        Test("stdio", stdin="3\n4", stdout="7\nok"),
    )
    assert tests.entry_point is None


def test_3_functional_dict():
    tests = parse_tests({"fn_name": "add", "inputs": [[1, 2], [[1], {"a": 2.5}]], "outputs": [[3], None]})
    assert tests.tests == (
        Test("call", function="add", args=(1, 2), expected=[3]),
        Test("call", function="add", args=([1], {"a": 2.5}), expected=None),
    )
    assert tests.entry_point == "add"


def test_4_livecodebench_cases():
    assert parse_tests(CASES).tests == (Test("call", function="add", args=(1, 2), expected=3),)
    stdin = [{"input": "1 2", "output": "3", "testtype": "stdin"}]
    assert parse_tests(stdin).tests == (Test("stdio", stdin="1 2", stdout="3"),)
    deepcoder = [{"type": "function_call", "fn_name": "add", "input": [1, 2], "output": [3]}]
    assert parse_tests(deepcoder).tests == (Test("call", function="add", args=(1, 2), expected=[3]),)
    nameless = [{"input": '"a"', "output": '["b"]', "testtype": "functional"}]
    assert parse_tests(nameless, "f").tests == (Test("call", function="f", args=("a",), expected=["b"]),)


def test_5_functional_script():
    code = "def check(c):\n    assert c(1, 2) == 3\ncheck(Solution().add)"
    tests = parse_tests({"functional": code})
    assert tests.tests == (Test("script", code=code),)
    assert tests.entry_point == "Solution"


def test_6_humaneval_check():
    code = "def check(candidate):\n    assert candidate(1, 2) == 3\n"
    tests = parse_tests({"test": code, "entry_point": "add"})
    assert tests == Tests((Test("script", code="check(add)"),), setup=code, entry_point="add")
    leetcode = parse_tests({"test": code}, "Solution().add")
    assert codes(leetcode) == ["check(Solution().add)"]
    assert leetcode.entry_point == "Solution"


def test_7_pytest_file():
    code = (
        "import pytest\nfrom solution import add\n"
        "def helper(x):\n    return int(int(int(int(x))))\n"
        "@pytest.mark.parametrize('x', [1, 2])\ndef test_a(x):\n    assert add(helper(x), 0) == x\n"
        "async def test_b():\n    assert add(1, 1) == 2\n"
        "class TestC:\n    def test_d(self):\n        assert add(0, 0) == 0\n    def helper(self): pass\n"
        "class TestE(TestC):\n    def test_f(self): pass\n"
        "class TestHelper:\n    def __init__(self): pass\n    def test_never(self): pass\n"
        "if True:\n    def test_g(): assert add(1, 0)\n"
    )
    tests = parse_tests({"pytest": code})
    assert codes(tests) == ["test_a", "test_b", "test_g", "TestC.test_d", "TestE.test_d", "TestE.test_f"]
    assert {test.kind for test in tests} == {"pytest"}
    assert (tests.setup, tests.entry_point) == (code, "add")


def test_8_unittest_file():
    code = (
        "import unittest\nimport solution\n"
        "class Base(unittest.TestCase):\n    def setUp(self): pass\n    def test_a(self):\n"
        "        self.assertEqual(solution.add(1, 2), 3)\n"
        "class T(Base):\n    def test_b(self): pass\n"
    )
    tests = parse_tests({"unittest": code})
    assert codes(tests) == ["Base.test_a", "T.test_a", "T.test_b"]
    assert {test.kind for test in tests} == {"unittest"}
    assert (tests.setup, tests.entry_point) == (code, "add")


@pytest.mark.parametrize(
    "case",
    [
        {"input": "1 2", "output": "3"},
        {"stdin": "1 2", "expected_stdout": "3"},
        {"input": "1 2", "output": "3", "type": "stdin_stdout", "fn_name": None},
        {"input": ["1 2"], "output": 3},
    ],
)
def test_9_stdin_cases(case):
    expected = (Test("stdio", stdin="1 2", stdout="3"),)
    assert parse_tests([case]).tests == parse_tests(json.dumps([case])).tests == expected
    assert parse_tests({"language": "python", "test_cases": [case]}).tests == expected


def test_10_a_checker_is_refused():
    with pytest.raises(ProblemError, match=r"field 'tests.checker' holds a checker program.*drop this problem"):
        parse_tests({"inputs": ["1"], "outputs": ["2"], "checker": "def check(): ..."})


# Strings


def test_json_in_json_and_own_json():
    asserts = ["assert f(1) == 2"]
    tests = parse_tests(asserts)
    assert parse_tests(json.dumps(asserts)) == parse_tests(json.dumps(json.dumps(asserts))) == tests
    for other in (tests, parse_tests(CASES), parse_tests({"pytest": "def test_a():\n    assert f(1)"})):
        assert parse_tests(other.to_json()) == parse_tests(other) == Tests.from_json(other.to_json()) == other


def test_python_text():
    text = (
        "import math\r\n@decorated\r\ndef helper(x):\r\n    assert x\r\n    return x\r\n"
        "x = f(1); assert x == 'é'; assert f(2)  # why\n\nfor i in range(3):\n    assert f(i)\nprint(x)"
    )
    tests = parse_tests(text)
    assert tests.setup == "import math\n@decorated\ndef helper(x):\n    assert x\n    return x"
    assert codes(tests) == [
        "x = f(1)\nassert x == 'é'",
        "assert f(2)",
        "for i in range(3):\n    assert f(i)\nprint(x)",
    ]
    assert tests.entry_point == "f"
    assert parse_tests("assert f(1) == 2").tests == (Test("assert", code="assert f(1) == 2"),)
    assert parse_tests("def test_a():\n    assert f(1)").tests == (Test("pytest", code="test_a"),)


# Objects that are not quite JSON


def test_arrays_of_rows_read_by_pandas():
    tests = parse_tests({"fn_name": "f", "inputs": np.array([[1, 2]]), "outputs": np.array([3])})
    assert tests == parse_tests({"fn_name": "f", "inputs": [(1, 2)], "outputs": [np.int64(3)]})
    assert tests == parse_tests(tests.to_json())
    assert parse_tests(np.array(["assert f(1)"], dtype=object)).entry_point == "f"


def test_nulls_that_parquet_fills_in_are_absent():
    row = {"functional": None, "inputs": ["1"], "outputs": ["2"], "fn_name": None, "checker": None}
    assert parse_tests(row).tests == (Test("stdio", stdin="1", stdout="2"),)


def test_canonical_json_is_a_key():
    one = parse_tests({"fn_name": "f", "inputs": [[{"a": 1, "b": 2}]], "outputs": [0]})
    two = parse_tests({"outputs": [0], "inputs": [[{"b": 2, "a": 1}]], "fn_name": "f"})
    assert one.to_json() == two.to_json()
    three = parse_tests({"fn_name": "f", "inputs": [[{"a": 1, "b": 2}]], "outputs": [False]})
    assert one == three  # as 0 == False, but not for a key
    assert one.to_json() != three.to_json()
    assert len(one) == len(list(one)) == 1


# Errors


@pytest.mark.parametrize(
    ("tests", "message"),
    [
        ([], r"field 'tests' is \[\], and a program cannot pass no test"),
        ("[]", r"field 'tests' is \[\]"),
        ("", "field 'tests' is ''"),
        (None, "field 'tests' is None"),
        ({}, "field 'tests' is {}"),
        (3, "field 'tests' is 3: give a list of asserts"),
        (
            ["assert f(1)", "assert f(1"],
            r"field 'tests\[1\]' is 'assert f\(1' which does not parse .*never closed",
        ),
        (["assert f(1)", ""], r"field 'tests\[1\]' is '' which has no statement"),
        (["# nothing"], r"field 'tests\[0\]' is '# nothing' which has no statement"),
        (["def test():\n    assert f(1)"], r"field 'tests\[0\]' is .* which defines test, but nothing calls it"),
        (["class T(TestCase):\n    def test(self):\n        self.assertTrue(f(1))"], "defines T, but nothing calls it"),
        (
            ["def test():\n    assert f(1)\nif __name__ == '__main__':\n    unittest.main()"],
            "defines test, but nothing calls it",
        ),
        (["assert f(1)", 3], r"field 'tests\[1\]' is 3: give a string"),
        (["assert f(1)", {"input": "1", "output": "2"}], r"field 'tests\[1\]' is {'input"),
        (["assert '\x00'"], r"field 'tests\[0\]' .*does not parse"),
        (["assert " + "(" * 5000], r"field 'tests\[0\]' .*does not parse"),
        (["assert '\ud800'"], r"field 'tests\[0\]' .*does not parse"),
        ({"inputs": ["1", "2"], "outputs": ["3"]}, "field 'tests' has 2 inputs and 1 outputs"),
        ({"inputs": [], "outputs": []}, "field 'tests.inputs' is empty"),
        ({"inputs": "1", "outputs": ["3"]}, "field 'tests.inputs' is '1': give a list"),
        ({"inputs": ["1"], "outputs": [True]}, r"field 'tests.outputs\[0\]' is True: give a string"),
        ({"inputs": ["1"], "outputs": [" \n"]}, "expects no output in any test"),
        ({"fn_name": 3, "inputs": [[1]], "outputs": [1]}, "field 'tests.fn_name' is 3"),
        (
            {"fn_name": "a b", "inputs": [[1]], "outputs": [1]},
            "field 'tests.fn_name' is 'a b', which is not a name",
        ),
        ({"fn_name": "f", "inputs": [1], "outputs": [1]}, r"field 'tests.inputs\[0\]' is 1: give the list"),
        (
            {"fn_name": "f", "inputs": ["x"], "outputs": [1]},
            r"field 'tests.inputs\[0\]' is 'x', which is not JSON",
        ),
        ({"fn_name": "f", "inputs": [[{1: 2}]], "outputs": [1]}, r"field 'tests.inputs\[0\]' holds {1: 2}"),
        (
            {"fn_name": "f", "inputs": [[10**5000]], "outputs": [1]},
            r"field 'tests.inputs\[0\]' holds an integer",
        ),
        ({"fn_name": "f", "inputs": [[{1}]], "outputs": [1]}, r"field 'tests.inputs\[0\]' holds {1}"),
        ([{"input": "1"}], r"field 'tests\[0\]' is {'input': '1'}: give 'input' and 'output'"),
        ([{"input": "1", "output": "2", "testtype": "magic"}], r"field 'tests\[0\].testtype' is 'magic'"),
        (
            [{"input": "1", "output": "2", "testtype": "functional"}],
            r"field 'tests\[0\]' .*names no function",
        ),
        ([{"kind": "assert", "code": 3}], r"field 'tests\[0\].code' is 3"),
        ([{"kind": "assert", "cod": ""}], r"field 'tests\[0\].cod' is not a field of a test"),
        (
            {"language": "cpp", "test_cases": [{"input": "1", "output": "2"}]},
            "field 'tests.language' is 'cpp'",
        ),
        ({"pytest": "def helper(): pass"}, "field 'tests.pytest' .*there is no test"),
        ({"pytest": "def test_a(:"}, "field 'tests.pytest' .*does not parse"),
        ({"pytest": ["x"]}, "field 'tests.pytest' is .*give a string of Python"),
        ({"test": "def check(candidate): pass"}, "field 'tests.test' .*no 'entry_point'"),
        ({"other": 1}, "field 'tests' has none of the known keys"),
        ("hello world", "neither JSON nor Python"),
        ("{'inputs': ['1'], 'outputs': ['2']}", "there is no test.*data must be JSON"),
        ("[" * 100_000, "nested too deep"),
        ("[" + "9" * 5000 + "]", "field 'tests' is"),
    ],
)
def test_what_is_malformed_says_where_and_how_to_mend_it(tests, message):
    with pytest.raises(ProblemError, match=message) as caught:
        parse_tests(tests)
    assert len(str(caught.value)) < 600


def test_the_place_comes_first():
    with pytest.raises(ProblemError) as caught:
        parse_tests(["assert f(1)", "assert f(1"], where="data.jsonl:17", field="test_cases")
    assert str(caught.value) == (
        "data.jsonl:17: field 'test_cases[1]' is 'assert f(1' which does not parse as Python "
        "('(' was never closed): mend or drop this test"
    )


def test_deep_objects_are_errors():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ProblemError, match="nested too deep"):
        parse_tests({"fn_name": "f", "inputs": [deep], "outputs": [1]})


def test_tests_are_never_empty():
    with pytest.raises(ProblemError, match="empty"):
        Tests(())
