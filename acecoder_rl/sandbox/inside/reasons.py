"""Why a test did not pass: status and a short message.

Covers: exceptions of tests, of the program and of the connection; short reprs of values.
Hostile input: messages and values of the program are plain data; their length and the time to show them
are bounded.
"""

from __future__ import annotations

import reprlib
from typing import Any

from acecoder_rl.sandbox.inside.handles import is_handle
from acecoder_rl.sandbox.inside.mirrors import unmirrored
from acecoder_rl.sandbox.inside.prepared import SEEN
from acecoder_rl.sandbox.inside.proxies import CandidateDied

MESSAGE_CHARS = 500


def verdict_of(exc: BaseException, setup: str = "", test: str = "") -> tuple:
    """Status and message of a test that raised, from the source of the tests' setup and its own."""
    if isinstance(exc, CandidateDied):
        return "crashed", str(exc)
    if isinstance(exc, MemoryError):
        return "memory", "MemoryError"
    try:
        text = str(exc)
    except CandidateDied as died:
        return "crashed", str(died)
    except Exception as inner:  # an exception class of the tests, or a value of the program's in it
        text = f"<{type(inner).__name__} in its message>"
    if isinstance(exc, AssertionError) and exc.__dict__.get("_from_candidate") is not True:
        line = failed_line(exc, {"<tests>": setup, "<test>": test})
        return "failed", line + (f": {text}" if exc.args else "")
    return "error", f"{type(exc).__name__}: {text}" if text else type(exc).__name__


def failed_line(exc: BaseException, sources: dict) -> str:
    """The source of the assert that failed, and the value that it compared."""
    trace, found = exc.__traceback__, "assertion failed"
    while trace is not None:
        lines = sources.get(trace.tb_frame.f_code.co_filename, "").splitlines()
        if 0 < trace.tb_lineno <= len(lines):
            start = last = trace.tb_lineno
            while start > max(1, last - 20) and "assert" not in lines[start - 1].lower():
                start -= 1  # an assert of several lines fails in one of its own
            start = start if "assert" in lines[start - 1].lower() else last
            found = " ".join(line.strip() for line in lines[start - 1 : last])[:200]
            seen = trace.tb_frame.f_locals.get(f"{SEEN}{start}", SEEN)
            if seen is not SEEN:
                found += f": got {brief(seen)}"
        trace = trace.tb_next
    return found


class _Brief(reprlib.Repr):
    def repr1(self, x: Any, level: int) -> str:
        return super().repr1(unmirrored(x), level)

    def repr_int(self, value: int, level: int) -> str:
        return repr(value) if abs(value) < 1 << 256 else f"<int of {value.bit_length()} bits>"

    def repr_instance(self, value: Any, level: int) -> str:
        if is_handle(value):
            return f"<{value._wire_label} object of the program>"
        return super().repr_instance(value, level)


_brief = _Brief()
_brief.maxstring = _brief.maxother = 120


def brief(value: Any) -> str:
    """A short repr, bounded in time for large values."""
    try:
        return _brief.repr(value)[:250]
    except Exception as exc:
        return f"<{type(value).__name__}, {type(exc).__name__} in its repr>"


def one_line(message: str) -> str:
    return " ".join(message[: 4 * MESSAGE_CHARS].split())[:MESSAGE_CHARS]
