"""The rows that a reward model is calibrated on.

Covers: `read_rows`: questions with answers, and preference pairs in AceCodePair's schema, from JSONL or Parquet.
Does not cover: scoring them (calibration.py).
Hostile input: a row of any shape is pairs or an InputError that names it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acecoder_rl.cases import ProblemError, shown
from acecoder_rl.jobs import COMPLETION_FIELDS
from acecoder_rl.problems import Problem
from acecoder_rl.records import InputError, iter_rows
from acecoder_rl.reward_model.client import first_test
from acecoder_rl.reward_model.formats import ASK, FORMATS

QUESTION_FIELDS = ("question", "prompt", "problem", "instruction")

Pair = tuple[str, str, str | None]  # question, completion, first test


@dataclass(frozen=True)
class Rows:
    """What a file says.

    Attributes:
        pairs: to be scored.
        format: that the scores hold for.
        rendered: the format that the scorer shall render them by: "raw" where the rows are in their form already.
        sha256: of the file.
    """

    pairs: list[Pair]
    format: str
    rendered: str
    sha256: str


def read_rows(file: Path, format: str | None = None) -> Rows:
    """The pairs of a file.

    A row is a question (in `question`, `prompt`, `problem` or `instruction`) with an answer or a list of them (in
    `completion`, `response`, ...), or a preference pair (`instruction`, `chosen`, `rejected`), whose two answers both
    count. Preference pairs are scored as they stand: AceCode's instructions are the "acecode" format already.

    Args:
        format: "raw" or "acecode"; by default the pairs' own, and "raw" for other rows.

    Raises:
        InputError: a row is of neither kind, rows are of both, or the format is not the pairs' own.
    """
    if format is not None and format not in FORMATS:
        raise InputError(f"the prompt format is {format!r}: give one of {', '.join(FORMATS)}")
    pairs: list[Pair] = []
    own: str | None = None  # the format that the rows so far are in: a pair's own, "" for answers
    for row in iter_rows(file):
        if row.record is None:
            raise InputError(f"{row.where} {row.reason}")
        if row.record.get("chosen") is not None and row.record.get("rejected") is not None:
            instruction = _question(row.record, row.where, ("instruction",))
            kind = "acecode" if instruction.startswith(ASK) else "raw"
            added: list[Pair] = [
                (instruction, _text(row.record, key, row.where), None) for key in ("chosen", "rejected")
            ]
        else:
            kind, added = "", _answers(row.record, row.where, format == "acecode")
        if own is not None and kind != own:
            raise InputError(
                f"{row.where} is {_named(kind)}, the rows before it are {_named(own)}: their scores are not on one "
                "scale; calibrate on a file of one kind"
            )
        own = kind
        pairs += added
    if own and format is not None and format != own:
        raise InputError(
            f"{file}: its rows are {_named(own)}, not of format {format!r}: leave --format out, or give answers "
            "(question, completion), which can be put in any format"
        )
    if not pairs:
        raise InputError(f"{file} holds no rows: nothing to calibrate on")
    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    return Rows(pairs, own or format or "raw", "raw" if own else format or "raw", sha256)


def _answers(record: dict[str, Any], where: str, with_test: bool) -> list[Pair]:
    question = _question(record, where, QUESTION_FIELDS)
    field = next((name for name in COMPLETION_FIELDS if record.get(name) is not None), None)
    if field is None:
        raise InputError(
            f"{where} has neither chosen and rejected nor an answer (fields: {shown(sorted(record))}; looked for "
            f"{', '.join(COMPLETION_FIELDS)})"
        )
    value = record[field]
    texts = value if isinstance(value, list) else [value]
    test = _first_test(record, where) if with_test else None
    for text in texts:
        if not isinstance(text, str):
            raise InputError(f"{where}: {field} is {shown(text)}: give the answer's text, or a list of texts")
    return [(question, text, test) for text in texts]


def _question(record: dict[str, Any], where: str, names: tuple[str, ...]) -> str:
    name = next((name for name in names if record.get(name) is not None), None)
    if name is None:
        raise InputError(f"{where} has no question (fields: {shown(sorted(record))}; looked for {', '.join(names)})")
    question = _text(record, name, where)
    # Alpaca's schema: what the instruction is about. Empty in AceCodePair.
    return f"{question}\n{record['input']}" if name == "instruction" and record.get("input") else question


def _text(record: dict[str, Any], name: str, where: str) -> str:
    if not isinstance(record[name], str):
        raise InputError(f"{where}: {name} is {shown(record[name])}: give its text")
    return record[name]


def _first_test(record: dict[str, Any], where: str) -> str | None:
    if record.get("first_test") is not None:
        return _text(record, "first_test", where)
    try:
        return first_test(Problem.from_record(record))
    except ProblemError:  # no tests, and the format does without
        return None


def _named(kind: str) -> str:
    return f"a preference pair of format {kind!r}" if kind else "a question with answers"
