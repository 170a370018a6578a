"""Reading what models answer: any text gives a result, and a test is whole or not there."""

from __future__ import annotations

import ast
import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acecoder_rl.synthesis.answer_text import parse_imagined

QUESTION = 'Write add(a, b): the sum.\n\nSay "hello" to {both}.'
TESTS = [
    "assert add(1, 2) == 3",
    "assert add('a', \"b\") == 'ab'",
    "assert add([1], [2]) == [1,\n    2]",
    'assert add("{", "}") == "{}"',
    r"assert add('\n', '\\') == '\n\\'",
    'assert add(",", "]") == ",]"',
    "assert add('é', '😀') == 'é😀'",
]
JSON = json.dumps({"question": QUESTION, "tests": TESTS})


@pytest.mark.parametrize(
    "answer",
    [
        JSON,
        json.dumps({"question": QUESTION, "tests": TESTS}, indent=2, ensure_ascii=False),
        f"```json\n{JSON}\n```",
        f"Sure! Here is {{the}} exercise:\n\n```json\n{JSON}\n```\nI hope [this] helps: {{}}",
        f"Here you go: {JSON} Enjoy!",
        f'<think>First {{"question": "a draft", "tests": ["assert 1"]}} no...</think>\n{JSON}',
        f"We need to...\n</think>\n```\n{JSON}\n```",
        JSON[:-2] + ",]}",
        JSON[:-1] + ",}",
        json.dumps([{"question": QUESTION, "tests": TESTS}]),
        json.dumps({"result": {"Question": QUESTION, "Test Cases": TESTS}}),
        json.dumps({"problem": QUESTION, "test_cases": [{"test": test} for test in TESTS]}),
        json.dumps({"question": QUESTION, "tests": {f"test{i}": test for i, test in enumerate(TESTS)}}),
        json.dumps({"question": QUESTION, "tests": "\n".join(TESTS)}),
        json.dumps({"question": QUESTION, "tests": [f"{i}. {test}" for i, test in enumerate(TESTS)]}),
        str({"question": QUESTION, "tests": TESTS}),
        f"```python\nresult = {{'question': {QUESTION!r}, 'tests': [\n" + "".join(f" {test!r}, # x\n" for test in TESTS)
        + "]}\nprint(result)\n```",
        '{"question": "' + QUESTION.replace('"', '\\"') + '", "tests": [' + ",".join(map(json.dumps, TESTS)) + "]}",
        '{"question": "the exercise", "tests": ["assert ...", "assert ..."]}\n' + JSON,
        '{\n  // the question\n  "question": ' + json.dumps(QUESTION) + ',\n  "tests": [\n'
        + "\n".join(f"    {json.dumps(test)}" for test in TESTS) + "\n  ]\n}",
        f"### Question:\n{QUESTION}\n\n### Tests\n```python\n" + "\n".join(TESTS) + "\n```",
        f"**Question**\n\n{QUESTION}\n\n**Test cases:**\n\n"
        + "\n".join(f"1. {test}" if "\n" in test else f"2. `{test}`" for test in TESTS),
        '{"question": "' + QUESTION + '", "tests": [' + ",".join(map(json.dumps, TESTS)) + "]}",
        f"1. **Problem Statement:** {QUESTION}\n\n2. **Tests:**\n" + "\n".join(f"- {test}" for test in TESTS),
    ],
    ids=["json", "indented", "fenced", "among prose", "bare among prose", "thoughts", "thoughts opened by the prompt",
         "comma in list", "comma in object", "in a list", "nested, other keys", "tests as objects", "tests by name",
         "tests as one text", "numbered", "python", "a program", "raw newlines", "the example first", "no commas",
         "headings and a fence", "headings and numbers",
         "quotes in the question", "a numbered outline"],
)  # fmt: skip
def test_every_way_to_say_it_gives_the_same(answer):
    imagined = parse_imagined(answer)
    assert (imagined.question, imagined.tests, imagined.reason) == (QUESTION, TESTS, "")


@pytest.mark.parametrize(
    ("answer", "reason", "tests"),
    [
        ("", "empty", []),
        (" \n ", "empty", []),
        ("I cannot help with that.", "unreadable", []),
        ("<think>Let me see: assert f(1) == 2", "thinking_unfinished", []),
        ('{"question": "Write f.", "tests": []}', "no_tests", []),
        ('{"question": "Write f.", "tests": null}', "no_tests", []),
        ('{"question": "Write f.", "tests": [1, {"input": 2}, [3]]}', "no_tests", []),
        ('{"question": "", "tests": ["assert f(1) == 2"]}', "no_question", ["assert f(1) == 2"]),
        ('{"tests": ["assert f(1) == 2"]}', "no_question", ["assert f(1) == 2"]),
        ("1. assert f(1) == 2\n2. assert f(2) == 3", "no_question", ["assert f(1) == 2", "assert f(2) == 3"]),
        ('{"question": "the exercise", "tests": ["assert ...", "assert ..."]}', "no_tests", []),
        ("[]", "unreadable", []),
        ("null", "unreadable", []),
        ("3", "unreadable", []),
    ],
)
def test_what_is_missing_has_a_name(answer, reason, tests):
    imagined = parse_imagined(answer)
    assert (imagined.reason, imagined.tests) == (reason, tests)


def test_an_answer_that_was_too_long_is_told_as_that():
    assert parse_imagined('{"question": "Write a fun', cut=True).reason == "cut_off"
    assert parse_imagined("Let me think about", cut=True).reason == "cut_off"


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("python", [False, True], ids=["json", "python"])
def test_cut_anywhere_the_tests_are_the_whole_ones(indent, python):
    answer = repr({"question": QUESTION, "tests": TESTS}) if python else json.dumps(
        {"question": QUESTION, "tests": TESTS}, indent=indent, ensure_ascii=False
    )  # fmt: skip
    ends = []  # where each test is complete
    position = answer.index("tests") + len("tests") + 2
    for test in TESTS:
        shown = repr(test) if python else json.dumps(test, ensure_ascii=False)
        position = answer.index(shown, position) + len(shown)
        ends.append(position)
    for cut in range(len(answer)):
        whole = sum(end <= cut for end in ends)
        assert parse_imagined(answer[:cut], cut=True).tests == TESTS[:whole], answer[:cut]


def test_a_list_of_statements_cut_anywhere_has_no_half_one():
    tests = ["assert f(1) == 23", "assert f([1,\n 2]) == 345", "assert f('a') == \"bcd\", 'no'"]
    answer = "Question: Write f.\n\nTests:\n```python\n" + "\n".join(tests) + "\n```\n"
    for cut in range(len(answer)):
        got = parse_imagined(answer[:cut], cut=True).tests
        assert got == tests[: len(got)], answer[:cut]
    assert parse_imagined(answer).tests == tests


def test_quotes_that_are_not_escaped_do_not_cut_tests_in_two():
    tests = ['assert f("a", "b") == 1', 'assert f("") == ","', 'assert f(",", 1)["x"] == "]"', "assert f(1) == 2"]
    answer = '{\n"question": "Write "f" well.",\n"tests": [\n' + ",\n".join(f'  "{test}"' for test in tests) + "\n]\n}"
    imagined = parse_imagined(answer)
    assert (imagined.question, imagined.tests) == ('Write "f" well.', tests)
    on_one_line = answer.replace("\n", " ")
    assert [test for test in parse_imagined(on_one_line).tests if test not in tests] == []


def test_asserts_of_a_program_are_not_tests():
    answer = (
        "## Question\nWrite f.\n\n## Solution\n```python\ndef f(x):\n    assert x > 0\n    if x:\n        assert x\n"
        "    return x\n```\n\n## Tests\n```python\ndef test_f():\n    assert f(1) == 1\nassert f(2) == 2\n```\n"
    )
    assert parse_imagined(answer).tests == ["assert f(1) == 1", "assert f(2) == 2"]


def test_nothing_is_evaluated(tmp_path):
    touched = tmp_path / "touched"
    answer = f'{{"question": __import__("pathlib").Path({str(touched)!r}).touch(), "tests": ["assert f(1)"]}}'
    parse_imagined(answer)
    parse_imagined(f"assert __import__('pathlib').Path({str(touched)!r}).touch()")
    assert not touched.exists()


@pytest.mark.parametrize(
    "unit",
    ['{"', '["', "{'a':", "[[", "((", "{", '"', "'", '"""', "\\", '\\"', "assert (", "assert f(1) == 1\n",
     "```\n", "# ", "//", '"question": "', "<think>", "**Question**:\n", ' "assert f(1)"\n', "  assert x\n", "1. "],
)  # fmt: skip
def test_long_hostile_answers_take_no_time(unit):
    begun = time.process_time()
    parse_imagined('{"question": "q", "tests": [' + unit * (60_000 // len(unit)))
    parse_imagined(unit * (60_000 // len(unit)), cut=True)
    assert time.process_time() - begun < 5


PIECES = st.lists(
    st.sampled_from(
        ['{"question": ', '"tests": [', "assert f(1) == 2", '"', "'", ",", "\n", "]", "}", "\\", "```json\n",
         "```", "# ", "<think>", "</think>", "**Question**: ", "1. ", "`", "(", "\ud800", "é", '"""', "null", "{", "[",
         ": ", "u41"]
    ) | st.text(max_size=5),
    max_size=25,
).map("".join)  # fmt: skip


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(PIECES, st.booleans())
def test_any_text_gives_a_result(text, cut):
    imagined = parse_imagined(text, cut)
    assert all(isinstance(test, str) and test.strip() for test in imagined.tests)
    assert bool(imagined.reason) == (not (imagined.question and imagined.tests))
    json.dumps(imagined.tests).encode()


VALUE = st.text(max_size=8) | st.integers() | st.lists(st.text(max_size=3), max_size=3)
STATEMENT = st.builds(lambda argument, result: f"assert f({argument!r}) == {result!r}", VALUE, VALUE)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(st.lists(STATEMENT, min_size=1, max_size=5), st.floats(0, 1), st.booleans())
def test_any_tests_cut_anywhere_are_whole(tests, where, ascii):
    answer = json.dumps({"question": "Write f.", "tests": tests}, ensure_ascii=ascii)
    got = parse_imagined(answer[: int(where * len(answer))], cut=True).tests
    assert got == tests[: len(got)]
    assert all(isinstance(ast.parse(test).body[0], ast.Assert) for test in got)
    assert parse_imagined(answer).tests == tests
