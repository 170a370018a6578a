"""Every public record shape becomes a `Problem`; a malformed one says where and how to mend it."""

from __future__ import annotations

import ast
import base64
import json
import pickle
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acecoder_rl.problems import Limits, Problem, ProblemError, Test, iter_records

MBPP_FILE = Path(__file__).parents[2] / "shared" / "data" / "mbpp.jsonl"

ACECODE = {
    "id": "oss_123",
    "source": "oss",
    "question": "Add two numbers.",
    "test_cases": ["assert add(1, 2) == 3", "assert add(0, 0) == 0"],
    "inferences": [{"model_name": "m", "completion_id": 0, "completion": "...", "pass_rate": 1.0}],
    "context_messages": [{"role": "user", "content": "Add two numbers."}],
}
MBPP = {
    "task_id": 7,
    "text": "Find the depth.",
    "code": "def depth(n): ...",
    "test_list": ["assert depth(root) == 2"],
    "test_setup_code": "root = Node(1)",
    "challenge_test_list": ["assert depth(None) == 0"],
}
SANITIZED = {
    "source_file": "x.xlsx",
    "task_id": 8,
    "prompt": "Area.",
    "code": "",
    "test_imports": ["import math"],
    "test_list": ["assert math.isclose(area(1), 3.14)"],
}
HUMANEVAL = {
    "task_id": "HumanEval/32",
    "prompt": "import math\n\ndef poly(xs, x):\n    return x\n\ndef find_zero(xs):\n    '''Find.'''\n",
    "entry_point": "find_zero",
    "canonical_solution": "...",
    "test": "def check(candidate):\n    assert abs(poly([1], candidate([1]))) < 1e-4\n",
}
APPS = {
    "problem_id": 0,
    "question": "Add.",
    "solutions": "[]",
    "input_output": json.dumps({"fn_name": "add", "inputs": [[1, 2]], "outputs": [[3]]}),
}
TACO = {"question": "Add.", "input_output": json.dumps({"inputs": ["1 2"], "outputs": [["3", "4"]]})}
LCB_PRIVATE = json.dumps([{"input": "4\n5", "output": "9", "testtype": "functional"}])
LCB = {
    "question_title": "Add",
    "question_content": "Add two.",
    "question_id": "abc",
    "public_test_cases": json.dumps([{"input": "1\n2", "output": "3", "testtype": "functional"}]),
    "private_test_cases": base64.b64encode(zlib.compress(pickle.dumps(LCB_PRIVATE))).decode(),
    "metadata": json.dumps({"func_name": "add"}),
}
DEEPCODER = {
    "problem": "Add.",
    "tests": json.dumps([{"type": "stdin_stdout", "input": "1 2", "output": "3"}]),
}
VERL = {
    "data_source": "taco",
    "prompt": [{"role": "system", "content": "Code."}, {"role": "user", "content": "Add."}],
    "ability": "code",
    "reward_model": {"style": "rule", "ground_truth": json.dumps({"inputs": ["1"], "outputs": ["2"]})},
    "extra_info": {"split": "train", "index": 5},
}
OPEN_R1 = {
    "problem_id": "p1",
    "prompt": "Add.",
    "verification_info": {"language": "python", "test_cases": [{"input": "1", "output": "2"}]},
}
KODCODE = {
    "question_id": "k1",
    "question": "Add.",
    "test": "from solution import add\n\ndef test_a():\n    assert add(1, 2) == 3\n",
}
GENERIC = {
    "id": "g",
    "question": "Add.",
    "tests": ["assert plus(add(1), 2) == 3"],
    "entry_point": "add",
    "limits": {"test_seconds": 2},
}
RECORDS = [
    (ACECODE, "oss_123", "Add two numbers.", "add", 2),
    (MBPP, "7", "Find the depth.", "depth", 1),
    (SANITIZED, "8", "Area.", "area", 1),
    (HUMANEVAL, "HumanEval/32", HUMANEVAL["prompt"], "find_zero", 1),
    (APPS, "0", "Add.", "add", 1),
    (TACO, None, "Add.", None, 1),
    (LCB, "abc", "Add two.", "add", 2),
    (DEEPCODER, None, "Add.", None, 1),
    (VERL, "taco/train/5", "Add.", None, 1),
    (OPEN_R1, "p1", "Add.", None, 1),
    (KODCODE, "k1", "Add.", "add", 1),
    (GENERIC, "g", "Add.", "add", 1),
    ({"id": 1, "inputs": ["1"], "outputs": ["2"], "completion": "..."}, "1", "", None, 1),
    ({"id": 1, "pytest": "def test_a():\n    assert f(1)"}, "1", "", "f", 1),
]


@pytest.mark.parametrize(("record", "identity", "question", "entry_point", "count"), RECORDS)
def test_records(record, identity, question, entry_point, count):
    problem = Problem.from_record(record)
    assert identity is None or problem.id == identity
    assert (problem.question, problem.entry_point, len(problem.tests)) == (question, entry_point, count)
    assert Problem.from_label(problem.to_label()) == problem
    # A row as Parquet gives it back: other rows' fields are there and null.
    assert Problem.from_record({"tests": None, "entry_point": None, "limits": None, **record}) == problem


def test_fields_of_records():
    assert Problem.from_record(ACECODE).source == "oss"
    assert Problem.from_record({**ACECODE, "test_cases": json.dumps(ACECODE["test_cases"])}).entry_point == "add"
    assert Problem.from_record(MBPP).tests.setup == "root = Node(1)"
    assert Problem.from_record(SANITIZED).tests.setup == "import math"
    assert Problem.from_record(GENERIC).limits == Limits(test_seconds=2)
    assert [test.args for test in Problem.from_record(LCB).tests] == [(1, 2), (4, 5)]
    assert Problem.from_record(VERL).source == "taco"
    raw = {**VERL, "extra_info": {"index": 5, "question": "Raw."}}
    assert Problem.from_record(raw).question == "Raw."


def test_helpers_of_a_humaneval_prompt_are_ours_not_the_programs():
    namespace: dict = {"find_zero": lambda xs: 0}
    tests = Problem.from_record(HUMANEVAL).tests
    assert tests.tests == (Test("script", code="check(find_zero)"),)
    exec(tests.setup + "\n" + tests.tests[0].code, namespace)


def test_an_id_is_made_from_the_content():
    one, two = Problem.from_record(TACO), Problem.from_record({**TACO, "question": "Subtract."})
    assert one.id == Problem.from_record(dict(TACO)).id != two.id


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([], "the record is "),
        (
            {"id": 1, "question": "?"},
            "the record has no tests, only the fields id, question: give one of test_cases",
        ),
        ({}, r"only the fields \(none\)"),
        ({**ACECODE, "test_cases": []}, r"field 'test_cases' is \[\]"),
        ({**ACECODE, "test_cases": ["assert add(1"]}, r"field 'test_cases\[0\]' is 'assert add\(1'"),
        ({**ACECODE, "id": 1.5}, "field 'id' is 1.5: give a string or an integer"),
        ({**ACECODE, "question": 3}, "field 'question' is 3"),
        ({**ACECODE, "limits": {"seconds": 3}}, "field 'limits' is {'seconds': 3}: give an object with"),
        (
            {**ACECODE, "limits": {"test_seconds": 0}},
            "field 'limits' .*test_seconds is 0: give a number above 0",
        ),
        ({**ACECODE, "entry_point": 3}, "field 'entry_point' is 3"),
        ({**MBPP, "test_setup_code": "x ="}, "field 'setup' is 'x =' which does not parse"),
        ({**SANITIZED, "test_imports": [3]}, "field 'test_imports' is"),
        ({**HUMANEVAL, "entry_point": ""}, "field 'test' .*no 'entry_point'"),
        ({**APPS, "input_output": ""}, "field 'input_output' is ''"),
        ({**LCB, "private_test_cases": "eJwrSS0uAQAEXQHB" + "A" * 8}, "field 'private_test_cases' is "),
        ({**LCB, "metadata": "["}, "field 'metadata' is '\\[', which is not JSON"),
        ({**LCB, "public_test_cases": "[]", "private_test_cases": "[]"}, "are empty"),
        ({**VERL, "reward_model": {"style": "rule"}}, "field 'reward_model' has no 'ground_truth'"),
        ({**VERL, "prompt": [{"role": "system", "content": "?"}]}, "field 'prompt' is"),
        (
            {**OPEN_R1, "verification_info": {"language": "cpp"}},
            "field 'verification_info.language' is 'cpp'",
        ),
    ],
)
def test_a_malformed_record_gives_one_error_with_place_field_and_mend(record, message):
    with pytest.raises(ProblemError, match=message) as caught:
        Problem.from_record(record, where="data.jsonl:17")
    assert str(caught.value).startswith("data.jsonl:17: ")


junk = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats() | st.sampled_from(["", "f", "[]", "assert f(1)", "{"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["input", "output", "inputs", "fn_name", "kind", "code", "x"]), inner, max_size=3
        )
    ),
    max_leaves=5,
)


@settings(deadline=None)  # the machine may be busy
@given(st.data())
def test_any_junk_in_a_record_is_a_problem_or_a_problem_error(data):
    record = dict(data.draw(st.sampled_from([case[0] for case in RECORDS])))
    record[data.draw(st.sampled_from(sorted(record)))] = data.draw(junk)
    try:
        problem = Problem.from_record(record, where="data.jsonl:17")
    except ProblemError as error:
        assert str(error).startswith("data.jsonl:17: ")
    else:
        assert Problem.from_label(problem.to_label()).to_label() == problem.to_label()


@pytest.mark.skipif(not MBPP_FILE.exists(), reason="no shared MBPP file beside the repository")
def test_all_of_mbpp_is_read_and_every_entry_point_is_the_programs():
    count = 0
    for where, record in iter_records(MBPP_FILE):
        defined = {
            node.name
            for node in ast.walk(ast.parse(record["code"]))
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
        }
        assert Problem.from_record(record, where=where).entry_point in defined, where
        count += 1
    assert count == 974
