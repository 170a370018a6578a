"""A problem and its tests: every public record shape in, one internal form out, and the label.

Covers: `Problem`, its label, files of problems; and the one place to import all of this from.
Does not cover: test formats (formats.py), datasets' fields (shapes.py), rows of files (records.py).
Hostile input: nothing is executed or unpickled; whatever does not fit raises ProblemError.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

# The sandbox package imports Test, Tests and parse_tests from here: its line stays below theirs.
from acecoder_rl.cases import At, ProblemError, Test, TestKind, Tests, load_json, shown
from acecoder_rl.formats import parse_tests
from acecoder_rl.sandbox.verdict import Limits
from acecoder_rl.shapes import read_id, read_question, read_source, read_tests

__all__ = [
    "Limits",
    "Mode",
    "Problem",
    "ProblemError",
    "Test",
    "TestKind",
    "Tests",
    "iter_records",
    "parse_tests",
    "read_problems",
]

Mode = Literal["train", "eval"]
LABEL_VERSION = 1


@dataclass(frozen=True)
class Problem:
    """A question and the tests that decide whether a program answers it.

    Attributes:
        id: unique in its dataset.
        question: the task as the dataset has it, no template around it; "" for rows that only hold tests.
        tests: `Tests`, or anything `parse_tests` takes.
        entry_point: what the tests call, such as "add" or "Solution"; inferred from the tests when None.
        source: the dataset or part of it, where known.
        limits: the problem's own limits; None for the sandbox's.
        mode: "eval" when it came from an eval label: rewards then give the plain all-tests-pass value.
            No part of what the problem is, so it does not count for ==.
    """

    id: str
    question: str
    tests: Tests
    entry_point: str | None = None
    source: str | None = None
    limits: Limits | None = None
    mode: Mode = field(default="train", compare=False)

    def __post_init__(self) -> None:
        for name in ("id", "question"):
            if not isinstance(getattr(self, name), str):
                At("", name).fail(f"is {shown(getattr(self, name))}: give a string")
        tests = parse_tests(self.tests, self.entry_point)
        object.__setattr__(self, "tests", tests)
        object.__setattr__(self, "entry_point", tests.entry_point)

    @classmethod
    def from_record(cls, record: dict[str, Any] | ProblemError, *, where: str = "") -> Problem:
        """Read a row of a public dataset (shapes.py lists them) or your own.

        Your own: `id`, `question`, `tests` in any of the nine formats, and optionally `entry_point`, `setup`,
        `source`, `limits`. MBPP's `challenge_test_list` is not used.

        Args:
            record: the row; or what `iter_records` gives for a line it cannot read, which is raised.
            where: its file and line, for errors.

        Raises:
            ProblemError: the row is malformed; the message names place, field, value and mend.
        """
        if isinstance(record, ProblemError):
            raise record
        at = At(where)
        if not isinstance(record, dict):
            at.fail(f"the record is {shown(record)}: give an object with a question and tests")
        # Parquet fills the fields that other rows have with nulls.
        row = {key: value for key, value in record.items() if value is not None}
        try:
            tests = read_tests(row, at)
        except RecursionError:
            at.fail("the record is nested too deep: drop this problem")
        question = read_question(row, at)
        limits = _limits(row["limits"], at["limits"]) if "limits" in row else None
        identity = read_id(row, question, tests, at)
        return cls(identity, question, tests, source=read_source(row), limits=limits)

    def to_label(self, mode: Mode | None = None) -> str:
        """The one JSON string that a trainer carries with a sample; `mode` defaults to the problem's own."""
        mode = mode or self.mode
        if mode not in get_args(Mode):
            raise ValueError(f"mode is {mode!r}: give 'train' or 'eval'")
        label: dict[str, Any] = {
            "version": LABEL_VERSION,
            "id": self.id,
            "question": self.question,
            "mode": mode,
        }
        label |= self.tests.to_dict()
        if self.source is not None:
            label["source"] = self.source
        if self.limits is not None:
            label["limits"] = asdict(self.limits)
        return json.dumps(label, sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_label(cls, label: str) -> Problem:
        """Inverse of `to_label`: an equal problem, with the label's `mode`."""
        at = At("label")
        if not isinstance(label, str):
            at.fail(f"is {shown(label)}, not a string: pass what Problem.to_label returned")
        row = load_json(label, at)
        if not isinstance(row, dict) or "version" not in row:
            at.fail(f"is {shown(label)}, not a label: build it with Problem.to_label")
        if row["version"] != LABEL_VERSION:
            at["version"].fail(
                f"is {shown(row['version'])}, but this release reads {LABEL_VERSION}: "
                "build the labels again, or install the release that built them"
            )
        for name, kind in (("id", str), ("question", str), ("source", str | None)):
            if not isinstance(row.get(name), kind):
                at[name].fail(f"is {shown(row.get(name))}: give a string")
        if row.get("mode") not in get_args(Mode):
            at["mode"].fail(f"is {shown(row.get('mode'))}: give 'train' or 'eval'")
        limits = _limits(row["limits"], at["limits"]) if "limits" in row else None
        tests = Tests.from_dict(row, at)
        return cls(row["id"], row["question"], tests, source=row.get("source"), limits=limits, mode=row["mode"])


def iter_records(path: str | Path) -> Iterator[tuple[str, dict[str, Any] | ProblemError]]:
    """(where, record) of each row of a JSONL, JSON or Parquet file, streamed; "-" reads JSONL from stdin.

    A line that cannot be read comes as the ProblemError that says why, so that a caller may count it and go
    on; `Problem.from_record` raises it.
    """
    from acecoder_rl.records import iter_rows

    for row in iter_rows(Path(path)):
        if row.record is None:
            yield row.where, ProblemError(f"{row.where}: the row {row.reason}")
        else:
            yield row.where, row.record


def read_problems(path: str | Path) -> Iterator[Problem]:
    """The problems of a file, streamed; ProblemError with file and line at the first bad row."""
    for where, record in iter_records(path):
        yield Problem.from_record(record, where=where)


def _limits(value: Any, at: At) -> Limits:
    known = [item.name for item in fields(Limits)]
    if not isinstance(value, dict) or not value.keys() <= set(known):
        at.fail(f"is {shown(value)}: give an object with some of {', '.join(known)}")
    try:
        return Limits(**value)
    except ValueError as error:
        at.fail(f"is {shown(value)}: {error}")
