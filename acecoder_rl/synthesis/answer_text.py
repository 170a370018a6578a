"""A model's answer -> the question and the tests that it imagined.

Covers: the JSON object that was asked for, bare, fenced or among prose, after thoughts; the JSON that was meant
    (loose_json.py); answers that break off: their whole tests; answers with headings and lists instead of JSON
    (assert_lines.py).
Does not cover: whether a test is right, or a test: one that came in sound JSON is given on as it stands.
Hostile input: any text gives a result; nothing in it is run or evaluated.
"""

from __future__ import annotations

import ast
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from acecoder_rl.fences import PARSE_BUDGET, Parser
from acecoder_rl.markup import strip_markup
from acecoder_rl.synthesis.assert_lines import asserts_in
from acecoder_rl.synthesis.loose_json import Reader

Reason = Literal[
    "",  # a question and at least one test
    "empty",  # nothing but white space
    "thinking_unfinished",  # the text ends within the thought
    "cut_off",  # it broke off before it had both
    "no_question",  # tests alone
    "no_tests",  # a question alone
    "unreadable",  # neither
]

STARTS = 20  # places where the object may begin
LABELS = 10  # lines that may head the question
_DEEP = 3
_QUESTIONS = {
    *("question", "problem", "problem_statement", "problem_description", "description", "task", "exercise"),
    *("prompt", "statement", "instruction"),
}
_TESTS = {"tests", "test_cases", "testcases", "test_list", "asserts", "assertions", "unit_tests", "test"}
_TEST = ("test", "assert", "assertion", "assert_statement", "code", "test_case", "statement")
_START = re.compile(r"[{\[](?=\s*+(?:(?:#|//)[^\n]*+\s*+)?[\"'{\]])")
_LIST_ITEM = re.compile(r"(?:[-*]|\d{1,3}[.)])\s+(?=assert\b)")
_LABEL = r"^[ \t]*+[#*_]*+[ \t]*+(?:\d{1,2}[.)][ \t]*+)?[*_]*+"
_QUESTION_LABEL = re.compile(
    _LABEL + r"(?:the\s)?(?:leetcode(?:[- ]style)?\s)?(?:coding\s|programming\s)?"
    r"(?:question|problem|exercise|task)(?:[ \t](?:statement|description))?(?P<end>[ \t]*+[*_]*+:?[*_]*+)",
    re.I | re.M,
)
_TESTS_LABEL = re.compile(
    _LABEL + r"(?:the\s|unit\s|about\s)?(?:\d+\s)?(?:tests?(?:[ \t]cases)?|assert)\b.{0,30}$", re.I | re.M
)
_FIRST_ASSERT = re.compile(r"^[^\n\w]*+(?:\d{1,3}[.):]\s*+)?[`\"']*+assert\b", re.M)
_QUESTION_KEY = re.compile(r"[\"'](?:question|problem|description|task)[\"']\s*+:\s*+\"")
_TESTS_KEY = re.compile(r"\"\s*+,\s*+[\"'](?:tests|test_cases|assertions|asserts)[\"']\s*+:")
_FENCE_AT_END = re.compile(r"\n?[ \t]*+`{3,}\w*+\s*+\Z")


@dataclass(frozen=True)
class Imagined:
    """What an answer gives.

    Attributes:
        question: "" where there is none.
        tests: as the model wrote them; whole ones only.
        reason: why it cannot be used, "" if it can.
    """

    question: str
    tests: list[str]
    reason: Reason


def parse_imagined(text: str, cut: bool = False) -> Imagined:
    """Read an answer.

    Args:
        cut: it ended because it was long enough, not because it was done.
    """
    text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        return Imagined("", [], "empty")
    question, tests = _from_json(text)
    if not (question and tests):
        parse = Parser(PARSE_BUDGET)
        answer, unfinished = strip_markup(text, parse)
        if unfinished and not answer.strip():
            return Imagined("", [], "thinking_unfinished")
        found = [*_loosely(answer, parse), _from_lines(answer, cut, parse)]
        question, tests = _best(found)
        question = question or next((other for other, _ in found if other), "")
    reason: Reason = ""
    if not (question and tests):
        reason = "cut_off" if cut else "no_tests" if question else "no_question" if tests else "unreadable"
    return Imagined(question, tests, reason)


def _best(found: list[tuple[str, list[str]]]) -> tuple[str, list[str]]:
    """A question with the most tests; of equals the last: models repeat the example first."""
    return max(reversed(found), key=lambda one: (bool(one[0] and one[1]), len(one[1]), bool(one[0])))


def _from_json(text: str) -> tuple[str, list[str]]:
    """By the rules, or ("", [])."""
    text = text.strip()
    if fenced := re.fullmatch(r"```(?:json)?[ \t]*\n(.*)\n[ \t]*```", text, re.S):
        text = fenced[1]
    try:
        return _read(json.loads(text, strict=False))
    except (ValueError, RecursionError):
        return "", []


def _loosely(text: str, parse: Parser) -> Iterator[tuple[str, list[str]]]:
    reader, end, tried = Reader(text), 0, 0
    for start in _START.finditer(text):
        if start.start() < end:
            continue
        if tried == STARTS:
            break
        tried += 1
        value = reader.read(start.start())
        if reader.whole:
            end = reader.position
        if text[start.start()] == "[" and not any(isinstance(each, dict) for each in value):
            value = {"tests": value}
        question, tests = _read(value)
        # Quotes that were not escaped may have ended a text too soon; then it is no statement.
        yield question, [test for test in tests if _has_assert(test, parse)]


def _has_assert(test: str, parse: Parser) -> bool:
    tree, _ = parse(test)
    return tree is not None and any(isinstance(each, ast.Assert) for each in tree.body)


def _read(value: Any, depth: int = 0) -> tuple[str, list[str]]:
    """The question and the tests in what JSON gave."""
    if isinstance(value, list):
        values = value
    elif isinstance(value, dict):
        question, tests = "", []
        for key, item in value.items():
            name = re.sub(r"\W+", "_", str(key).strip().lower())
            if name in _QUESTIONS and not question:
                question = _words(item)
            elif name in _TESTS and not tests:
                tests = _tests(item)
        if question or tests:
            return question, tests
        values = list(value.values())
    else:
        return "", []
    if depth == _DEEP:
        return "", []
    found = [_read(each, depth + 1) for each in values[:STARTS] if isinstance(each, dict | list)]
    return _best(found) if found else ("", [])


def _words(item: Any) -> str:
    """A question that may come in parts."""
    if isinstance(item, str):
        return item.strip()
    parts = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return "\n\n".join(part.strip() for part in parts if isinstance(part, str) and part.strip())


def _tests(item: Any) -> list[str]:
    if isinstance(item, str):
        return asserts_in(item, False, Parser(PARSE_BUDGET))
    items = item if isinstance(item, list) else list(item.values()) if isinstance(item, dict) else []
    found = []
    for each in items:
        if isinstance(each, dict):
            each = next((each[name] for name in _TEST if isinstance(each.get(name), str)), None)
        if isinstance(each, str) and (test := _LIST_ITEM.sub("", each.strip().strip("`").strip(), count=1)):
            found.append(test)
    return [test for test in found if test.rstrip(". …") not in ("", "assert")]


def _from_lines(text: str, cut: bool, parse: Parser) -> tuple[str, list[str]]:
    return _labelled(text), asserts_in(text, cut, parse)


def _labelled(text: str) -> str:
    """The question by its key or its heading; prose without one may be anything."""
    if (key := _QUESTION_KEY.search(text)) and (end := _TESTS_KEY.search(text, key.end())):
        inner = text[key.end() : end.start()]
        try:
            return str(json.loads(f'"{inner}"', strict=False)).strip()
        except ValueError:
            return inner.replace("\\n", "\n").replace('\\"', '"').strip()
    for label in itertools.islice(_QUESTION_LABEL.finditer(text), LABELS):
        line_end = text.find("\n", label.end())
        alone = not text[label.end() : line_end if line_end >= 0 else None].strip(" \t*_:#")
        if ":" in label["end"] or (alone and label[0].lstrip()[:1] in "#*_"):
            ends = [
                match.start()
                for pattern in (_TESTS_LABEL, _FIRST_ASSERT)
                if (match := pattern.search(text, label.end()))
            ]
            if ends:
                return _FENCE_AT_END.sub("", text[label.end() : min(ends)]).strip(" \t\n*_")
    return ""
