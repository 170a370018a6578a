"""Files of candidates -> problems with the completions to choose from.

Covers: one row a problem with a list of completions, one row a completion (grouped by problem id), AceCode-87K's
    `inferences`; tests in the row or joined from a problem file; verdicts that are there already, in the row or as
    the output of `acecoder-rl score`; problems without tests.
Does not cover: running anything (best_of_n.py).
A row that cannot be used ends the reading: an evaluation without it would be of other problems than were given.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from acecoder_rl.jobs import COMPLETION_FIELDS, JOIN_FIELDS
from acecoder_rl.problems import Problem, ProblemError
from acecoder_rl.records import InputError, Row, iter_rows
from acecoder_rl.shapes import ID_FIELDS, QUESTION_FIELDS, TEST_FIELDS, TOP_LEVEL_FIELDS

_TESTS = (
    {*TEST_FIELDS, *TOP_LEVEL_FIELDS, "test", "reward_model", "reward_spec", "verification_info"}
    | {"public_test_cases", "private_test_cases"}
) - {"fn_name", "language"}


@dataclass(frozen=True)
class Known:
    """A verdict that came with the candidates.

    Attributes:
        pass_rate: 0 to 1.
        passed: whether every test passed.
    """

    pass_rate: float
    passed: bool


@dataclass(frozen=True)
class Completion:
    """A candidate's text.

    Attributes:
        text: as the model gave it.
        row, index: its input row, from 0, and its place there: what `acecoder-rl score` calls it.
        known: its verdict, if one came with it.
    """

    text: str
    row: int
    index: int
    known: Known | None = None


@dataclass
class Candidates:
    """A problem and the completions to choose from, in the order they came.

    Attributes:
        id: of the problem, unique.
        question: as the reward model is asked; never empty.
        problem: with the tests; None where there are none.
        completions: empty while they are to be sampled.
    """

    id: str
    question: str
    problem: Problem | None
    completions: list[Completion] = field(default_factory=list)


@dataclass(frozen=True)
class Fields:
    """Where things are in a row; None tries the usual names (those of `acecoder-rl score`)."""

    completion: str | None = None
    id: str | None = None


def read_candidates(
    source: Path, problems: Path | None = None, verdicts: Path | None = None, fields: Fields | None = None
) -> list[Candidates]:
    """The problems of a file, in the order of their first rows, each with all its completions.

    Args:
        source: JSONL or Parquet.
        problems: questions and tests, joined by id; None when the rows carry them.
        verdicts: what `acecoder-rl score` made of `source`.

    Raises:
        InputError: a row cannot be used; the message names file, line, field, value and mend.
    """
    fields = fields or Fields()
    table = None if problems is None else {each.id: each for each in read_questions(problems)}
    given = {} if verdicts is None else _verdicts(verdicts)
    found: dict[str, Candidates] = {}
    for row, record in _records(source):
        asked = _own(row, record, fields.id) if table is None else _joined(row, record, fields.id, table, problems)
        known = found.setdefault(asked.id, Candidates(asked.id, asked.question, asked.problem))
        if (known.question, known.problem) != (asked.question, asked.problem):
            _refuse(row, f"has the id {asked.id!r} of an earlier row, but another question or other tests: "
                    "make the ids unique")  # fmt: skip
        for index, (text, verdict) in enumerate(_completions(row, record, fields.completion)):
            name, verdict = given.get((row.number, index), (None, verdict))
            # `acecoder-rl score` may have been told another field of the id.
            if name is not None and name not in {_told(value) for value in (asked.id, *record.values())}:
                _refuse(row, f"[{index}] has the verdict of {name!r} in {verdicts}: that is of another file; score "
                        "this one")  # fmt: skip
            if verdicts is not None and (row.number, index) not in given and asked.problem is None:
                _refuse(row, f"[{index}] has no verdict in {verdicts}: score the same file to its end")
            known.completions.append(Completion(text, row.number, index, verdict))
    if not found:
        raise InputError(f"{source} has no rows: give one a completion, or one a problem")
    return list(found.values())


def read_questions(source: Path, id_field: str | None = None) -> list[Candidates]:
    """The problems of a file, without completions: what is to be sampled for.

    Raises:
        InputError: as `read_candidates`; also for an id that comes twice.
    """
    found: dict[str, Candidates] = {}
    for row, record in _records(source):
        asked = _own(row, record, id_field)
        if found.setdefault(asked.id, asked) is not asked:
            _refuse(row, f"has the id {asked.id!r} of an earlier row: make the ids unique")
    if not found:
        raise InputError(f"{source} has no rows: give one a problem")
    return list(found.values())


def _records(path: Path) -> Iterator[tuple[Row, dict[str, Any]]]:
    if str(path) == "-":
        raise InputError("stdin cannot be read twice, and so not be resumed: give a file")
    for row in iter_rows(path):
        if row.record is None:
            _refuse(row, row.reason)
        # Parquet fills the fields that other rows have with nulls.
        yield row, {key: value for key, value in row.record.items() if value is not None}


def _own(row: Row, record: dict[str, Any], id_field: str | None) -> Candidates:
    names = (id_field,) if id_field else ID_FIELDS
    id_ = next((record[name] for name in names if _is_id(record.get(name))), None)
    if id_field and id_ is None:
        _refuse(row, f"has no id in {id_field!r} (fields: {', '.join(record)}): mend --id-field")
    try:
        problem = Problem.from_record(record, where=row.where) if _has_tests(record) else None
    except ProblemError as error:
        raise InputError(str(error)) from None
    question = problem.question if problem else _question(row, record)
    if not question.strip():
        _refuse(row, f"has no question (fields: {', '.join(record)}; looked for {', '.join(QUESTION_FIELDS)}), which "
                "the reward model needs: add it, or give it with --problems FILE")  # fmt: skip
    return Candidates(str(id_) if id_ is not None else problem.id if problem else question, question, problem)


def _joined(
    row: Row, record: dict[str, Any], id_field: str | None, table: dict[str, Candidates], problems: Path | None
) -> Candidates:
    names = (id_field,) if id_field else JOIN_FIELDS
    ids = [str(record[name]) for name in names if _is_id(record.get(name))]
    if not ids:
        _refuse(row, f"has no id (fields: {', '.join(record)}; looked for {', '.join(names)}): name its field "
                "with --id-field")  # fmt: skip
    for id_ in ids:
        if id_ in table:
            return table[id_]
    _refuse(row, f"has the id {ids[0]!r}, which is not in {problems}: add the problem there")


def _has_tests(record: dict[str, Any]) -> bool:
    def is_there(value: Any) -> bool:
        return len(value) > 0 if hasattr(value, "__len__") else value is not None

    return any(is_there(record.get(name)) for name in _TESTS)


def _question(row: Row, record: dict[str, Any]) -> str:
    from acecoder_rl.cases import At
    from acecoder_rl.shapes import read_question

    try:
        return read_question(record, At(row.where))
    except ProblemError as error:
        raise InputError(str(error)) from None


def _completions(row: Row, record: dict[str, Any], name: str | None) -> list[tuple[str, Known | None]]:
    if name is None:
        name = next((each for each in COMPLETION_FIELDS if each in record), None)
    if name is None or name not in record:
        looked = name or ", ".join(COMPLETION_FIELDS)
        _refuse(row, f"has no completion (fields: {', '.join(record)}; looked for {looked}): name its field with "
                "--completion-field, or sample some with --model")  # fmt: skip
    value = record[name]
    texts = value if isinstance(value, list) else [value]
    if not texts:
        _refuse(row, f"field {name!r} is an empty list: give at least one completion")
    rates, passes = (_list(row, record, each, len(texts)) for each in ("pass_rate", "passed"))
    found = []
    for index, text in enumerate(texts):
        rate, passed = rates[index], passes[index]
        if isinstance(text, dict):  # AceCode's inferences, chat messages
            rate, passed = text.get("pass_rate", rate), text.get("passed", passed)
            text = text.get("completion", text.get("content"))
        if not isinstance(text, str):
            _refuse(row, f"field {name!r} [{index}] is {str(text)[:60]!r}: give the completion's text")
        found.append((text, None if rate is None else _known(row, rate, passed)))
    return found


def _list(row: Row, record: dict[str, Any], name: str, count: int) -> list[Any]:
    value = record.get(name)
    values = value if isinstance(value, list) else [value] * (count if value is None or count == 1 else 0)
    if len(values) != count:
        _refuse(row, f"field {name!r} is {str(value)[:60]}, but there are {count} completions: give a list of as many")
    return values


def _known(row: Row, rate: Any, passed: Any) -> Known:
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1 or math.isnan(rate):
        _refuse(row, f"has the pass_rate {rate!r}: give a number from 0 to 1")
    if passed is None:
        passed = rate == 1
    if not isinstance(passed, bool) or (passed and rate < 1):
        _refuse(row, f"has passed {passed!r} with the pass_rate {rate!r}: they do not fit")
    return Known(float(rate), passed)


def _verdicts(path: Path) -> dict[tuple[int, int], tuple[str | None, Known]]:
    """The output of `acecoder-rl score`: by row and place, the id that it has, and the verdict."""
    found = {}
    for row, record in _records(path):
        missing = [name for name in ("row", "index", "pass_rate", "passed") if name not in record]
        if missing:
            _refuse(row, f"has no {missing[0]!r}: give the output of `acecoder-rl score`")
        verdict = _known(row, record["pass_rate"], record["passed"])
        found[record["row"], record["index"]] = _told(record.get("id")), verdict
    return found


def _told(value: Any) -> str | None:
    """An id as `acecoder-rl score` tells it."""
    return str(value).encode("utf-8", "replace").decode() if _is_id(value) else None


def _is_id(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""


def _refuse(row: Row, reason: str) -> NoReturn:
    raise InputError(f"{row.where} {reason}")
