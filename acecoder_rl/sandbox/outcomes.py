"""From what a candidate or a judge sent to an outcome.

Covers: replies to simple asserts, reported exceptions, a judge's reports.
Does not cover: reading frames (child.py), comparing stdout (stdio.py).
Hostile input: every byte here comes from the candidate, or from the judge that handled its values.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import ItemsView, KeysView, ValuesView
from typing import Any

from acecoder_rl.sandbox.asserts import Length, SimpleAssert
from acecoder_rl.sandbox.inside import wire
from acecoder_rl.sandbox.verdict import MESSAGE_CHARS, Outcome

STATUSES = {"passed", "failed", "error", "timeout", "memory", "crashed"}


class _Short(reprlib.Repr):
    """Short in characters and in time: where containers share parts, a whole repr grows exponentially."""

    def repr_instance(self, value: Any, level: int) -> str:
        if isinstance(value, dict):
            return self.repr_dict(value, level)
        if isinstance(value, (slice, KeysView, ValuesView, ItemsView)):
            return f"<{type(value).__name__}>"
        return super().repr_instance(value, level)


_short = _Short()
_short.maxstring = _short.maxother = _short.maxlong = 120


def judge_reply(check: SimpleAssert, frame: bytes, used: float) -> Outcome:
    """The outcome of a simple assert from the candidate's reply."""
    seconds = round(used, 6)
    try:
        kind = frame[:1]
        if kind == b"X":
            names, message = remote_error(frame[1:])
            return Outcome("memory" if "MemoryError" in names else "error", one_line(f"{names[0]}: {message}"), seconds)
        if kind not in (b"V", b"N"):
            raise wire.WireError("not an answer")
        value = wire.decode(frame[1:])
        if kind == b"N":
            value = Length(value if type(value) is int else 0)
        if check.check(value):
            return Outcome("passed", "", seconds)
        # Few bytes print in few characters: no need to look for what to leave out.
        got = repr(value) if len(frame) < 100 else brief(value)
        return Outcome("failed", one_line(f"{check.source} (got {got})"), seconds)
    except MemoryError:
        return Outcome("memory", "comparing the answer took too much memory", seconds)
    except Exception as error:  # whatever comparing the value raises, the assert would have raised
        return Outcome("error", one_line(f"{type(error).__name__}: {error}"), seconds)


def remote_error(body: bytes) -> tuple[list[str], str]:
    """Class names along the MRO and message of an exception that the candidate reported."""
    try:
        names, message = wire.decode_exception_head(body)
    except wire.WireError:
        return ["Exception"], "(unreadable)"
    return names or ["Exception"], message


def brief(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > 2000:
        return f"an int of {value.bit_length()} bits"
    return _short.repr(value)


def one_line(text: str) -> str:
    """`text` without line breaks, at most 500 characters."""
    if "\n" in text or len(text) > MESSAGE_CHARS:
        return " ".join(text.split())[:MESSAGE_CHARS]
    return text


def judge_starts(frame: bytes, position: int) -> bool:
    """Whether a judge says that it begins with test `position`."""
    return frame.removeprefix(b"J") == json.dumps(["start", position]).encode()


def judge_report(frame: bytes, position: int) -> tuple[str, str, bool]:
    """Status, message and claimed of test `position`, by a judge's JSON record.

    A judge that sends anything else has crashed: in a shared run the program writes what it likes.
    """
    try:
        record = json.loads(frame.removeprefix(b"J"))
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, list) or len(record) != 5 or record[:2] != ["done", position]:
        return "crashed", "the process that ran the tests sent no report", True
    _, _, status, message, claimed = record
    if not isinstance(status, str) or status not in STATUSES or not isinstance(message, str):
        return "crashed", "the process that ran the tests sent no report", True
    return status, message, bool(claimed)
