"""Rows of completions → programs with their tests, ready to run.

Covers: finding completion, tests and id in a row, several completions a row, joining with a problem file.
Does not cover: record shapes (problems.py), reading files (records.py), running (score.py).
Hostile input: a row of any shape gives jobs or one bad row with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from acecoder_rl.completions import Program, extract_program
from acecoder_rl.problems import Problem, ProblemError, Tests
from acecoder_rl.records import InputError, Row, iter_rows
from acecoder_rl.sandbox.verdict import Limits
from acecoder_rl.shapes import ID_FIELDS

# Any of them may hold one completion or a list; "inferences" are AceCode-87K's.
COMPLETION_FIELDS = (
    "completion", "completions", "output", "response", "generation", "inferences", "solution", "code",
)  # fmt: skip
PROGRAM_FIELDS = ("solution", "code")  # their text is meant to be a program, even one that does not parse
# A row of completions may have an id of its own beside its problem's: the telling names first.
JOIN_FIELDS = ("problem_id", "task_id", "question_id", "id")


@dataclass(frozen=True)
class Job:
    """One completion, ready to run.

    Attributes:
        row: the number of its input row.
        index: its place among the row's completions.
        id: what joined it with its problem, else the row's id, else its problem's; as text.
        program: what to run; its code may be "".
        tests: at least one.
        limits: the problem's own; None when it has none.
        size: roughly the bytes it holds.
        question: its problem's.
        completion: that the program is from.
    """

    row: int
    index: int
    id: str
    program: Program
    tests: Tests
    limits: Limits | None
    size: int
    question: str = ""
    completion: str = ""


@dataclass(frozen=True)
class Bad:
    """A row that cannot be scored: its number, its place, the reason, the row itself (or its text)."""

    row: int
    where: str
    reason: str
    record: Any
    size: int

    def to_dict(self) -> dict[str, Any]:
        """A line of the bad rows' side file."""
        return {"row": self.row, "where": self.where, "reason": self.reason, "record": self.record}


class _Unusable(Exception):
    """The row is bad; the message is the reason."""


def iter_jobs(
    source: Path,
    problems: Path | None = None,
    completion_field: str | None = None,
    id_field: str | None = None,
    processes: int = 1,
    after: tuple[int, int] = (-1, -1),
) -> Iterator[Job | Bad]:
    """The jobs of a file in order, from behind (row, index) `after`; `processes` is the most that a problem
    may ask for."""
    find = _own_problem(id_field) if problems is None else _joined_problem(problems, id_field)
    for row in iter_rows(source, skip=max(after[0], 0)):
        if row.record is None:
            yield Bad(row.number, row.where, row.reason, row.text, row.size)
            continue
        try:
            id_, problem = find(row.record, row.where)
            if problem.limits is not None and problem.limits.processes > processes:
                raise _Unusable(f"has limits.processes {problem.limits.processes}: allow them with --processes")
            name, texts = _completions(row.record, completion_field)
            programs = [_program(name, text, problem.tests) for text in texts]
        except (_Unusable, ProblemError) as error:
            reason = str(error).removeprefix(row.where).lstrip(": ")
            yield Bad(row.number, row.where, reason, row.record, row.size)
            continue
        for index, (program, text) in enumerate(zip(programs, texts, strict=True)):
            if (row.number, index) > after:
                size = row.size // len(programs)
                yield Job(
                    row.number, index, id_, program, problem.tests, problem.limits, size, problem.question, text
                )  # fmt: skip


def _completions(record: dict[str, Any], field: str | None) -> tuple[str, list[str]]:
    if field is None:
        field = next((name for name in COMPLETION_FIELDS if record.get(name) is not None), None)
        if field is None:
            raise _Unusable(
                f"has no completion (fields: {_names(record)}; looked for {', '.join(COMPLETION_FIELDS)}): "
                "name its field with --completion-field"
            )
    elif field not in record:
        raise _Unusable(f"has no field {field!r} (fields: {_names(record)}): mend --completion-field")
    value = record[field]
    texts = value if isinstance(value, list) else [value]
    if not texts:
        raise _Unusable(f"field {field!r} is an empty list: give at least one completion")
    return field, [_text(text, field, index) for index, text in enumerate(texts)]


def _text(value: Any, field: str, index: int) -> str:
    if isinstance(value, dict):  # AceCode's inferences, chat messages
        value = value.get("completion", value.get("content"))
    if not isinstance(value, str):
        raise _Unusable(f"field {field!r} [{index}] is {_short(value)}: give the completion's text")
    return value


def _program(field: str, text: str, tests: Tests) -> Program:
    program = extract_program(text, tests)
    if not program.code and field in PROGRAM_FIELDS and text.strip():
        return Program(text, program.truncated, "unfenced")
    return program


Find = Callable[[dict[str, Any], str], tuple[str, Problem]]


def _own_problem(id_field: str | None) -> Find:
    def find(record: dict[str, Any], where: str) -> tuple[str, Problem]:
        problem = Problem.from_record(record, where=where)
        ids = _ids(record, (id_field,) if id_field else ID_FIELDS)
        if id_field and not ids:
            raise _Unusable(f"has no id in {id_field!r} (fields: {_names(record)}): mend --id-field")
        return str(next(iter(ids), problem.id)), problem

    return find


def _joined_problem(path: Path, id_field: str | None) -> Find:
    # Records, not problems: parsed tests take several times the memory, and most files go problem by problem.
    rows: dict[str, Row] = {}
    for row in iter_rows(path):
        if row.record is None:
            raise InputError(f"{row.where} {row.reason}")
        ids = _ids(row.record, (*((id_field,) if id_field else ()), *ID_FIELDS))
        if not ids:
            raise InputError(
                f"{row.where} has no id (fields: {_names(row.record)}; looked for {', '.join(ID_FIELDS)}): "
                "name its field with --id-field"
            )
        if (first := rows.setdefault(str(ids[0]), row)) is not row:
            raise InputError(f"{row.where} has the id {ids[0]!r} of {first.where}: make the ids unique")

    @lru_cache(maxsize=256)
    def parsed(key: str) -> Problem:
        return Problem.from_record(rows[key].record or {}, where=rows[key].where)

    def find(record: dict[str, Any], where: str) -> tuple[str, Problem]:
        fields = (id_field,) if id_field else JOIN_FIELDS
        ids = _ids(record, fields)
        if not ids:
            raise _Unusable(
                f"has no id (fields: {_names(record)}; looked for {', '.join(fields)}): name its field with --id-field"
            )
        for id_ in ids:
            if str(id_) in rows:
                return str(id_), parsed(str(id_))
        raise _Unusable(f"has the id {_short(ids[0])}, which is not in {path.name}: add the problem there")

    return find


def _ids(record: dict[str, Any], fields: tuple[str, ...]) -> list[Any]:
    return [record[name] for name in fields if isinstance(record.get(name), (str, int))]


def _names(record: dict[str, Any]) -> str:
    return ", ".join(map(str, list(record)[:12])) + (", ..." if len(record) > 12 else "")


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
