"""One test, the tests of a problem, and the error a malformed record gives.

Covers: `Test`, `Tests` with its canonical JSON, `ProblemError`, `At` (where in a record an error is).
Does not cover: reading other people's formats (formats.py), the problem around the tests (problems.py,
    which is also where users import these names from).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal, NoReturn, get_args

TestKind = Literal["assert", "stdio", "call", "script", "pytest", "unittest"]
SHOWN_CHARS = 80


class ProblemError(ValueError):
    """A record, its tests or a label is malformed: the message names place, field, value and mend."""


@dataclass(frozen=True)
class At:
    """A place in a record, to say in an error: `At("data.jsonl:17", "tests")[3].fail("is ...")`."""

    where: str = ""
    field: str = ""

    def __getitem__(self, key: int | str) -> At:
        if isinstance(key, int):
            return At(self.where, f"{self.field}[{key}]")
        return At(self.where, f"{self.field}.{key}" if self.field else key)

    def fail(self, reason: str) -> NoReturn:
        """Raise a ProblemError about this field; `reason` goes on from "field 'x' ..."."""
        prefix = f"{self.where}: " if self.where else ""
        raise ProblemError(f"{prefix}field '{self.field}' {reason}" if self.field else f"{prefix}{reason}")


def shown(value: Any) -> str:
    """A value as an error shows it: its repr, cut."""
    try:
        # The slice first: the repr of a 100 MB string of tests is not worth its time.
        text = repr(value[: SHOWN_CHARS + 1] if isinstance(value, str) else value)
    except (ValueError, RecursionError):  # ints past the digit limit, nesting past the stack
        text = f"a {type(value).__name__}"
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 3] + "..."


@dataclass(frozen=True)
class Test:
    """One test case; which fields count depends on `kind`.

    kind "assert": `code` is the assert (any statements); "script": `code` runs whole and passes if
    nothing raises; "pytest" / "unittest": `code` is the test's id in `Tests.setup`, such as
    "test_a" or "TestX.test_b"; "stdio": `stdin` is fed, stdout must match `stdout`;
    "call": `function(*args)` must equal `expected` (JSON values).
    """

    __test__ = False  # not a pytest class

    kind: TestKind
    code: str = ""
    stdin: str = ""
    stdout: str = ""
    function: str = ""
    args: tuple[Any, ...] = ()
    expected: Any = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, with `kind` and the fields that differ from their default."""
        record: dict[str, Any] = {"kind": self.kind}
        for name in ("code", "stdin", "stdout", "function"):
            if value := getattr(self, name):
                record[name] = value
        if self.args:
            record["args"] = list(self.args)
        if self.expected is not None:
            record["expected"] = self.expected
        return record

    @classmethod
    def from_dict(cls, record: Any, at: At | None = None) -> Test:
        """Inverse of `to_dict`."""
        at = at or At(field="tests")
        if not isinstance(record, dict) or record.get("kind") not in get_args(TestKind):
            kinds = ", ".join(get_args(TestKind))
            at.fail(f"is {shown(record)}: give an object whose 'kind' is one of {kinds}")
        unknown = record.keys() - {field.name for field in fields(cls)}
        if unknown:
            at[min(unknown)].fail("is not a field of a test: remove it, or update acecoder_rl")
        for name in ("code", "stdin", "stdout", "function"):
            if not isinstance(record.get(name, ""), str):
                at[name].fail(f"is {shown(record[name])}: give a string")
        if not isinstance(record.get("args", []), list):
            at["args"].fail(f"is {shown(record['args'])}: give a list")
        return cls(**{**record, "args": tuple(record.get("args", ()))})


@dataclass(frozen=True)
class Tests:
    """The tests of one problem, in order.

    Attributes:
        tests: at least one.
        setup: code run before the tests, apart from the program: MBPP's `test_setup_code`, or the
            whole pytest / unittest file; "" for none.
        entry_point: the function or class the tests call, where known or inferred.
    """

    __test__ = False

    tests: tuple[Test, ...]
    setup: str = ""
    entry_point: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "tests", tuple(self.tests))
        if not self.tests:
            raise ProblemError("field 'tests' is empty, and a program cannot pass no test: drop this problem")

    def __len__(self) -> int:
        return len(self.tests)

    def __iter__(self) -> Iterator[Test]:
        return iter(self.tests)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, without the fields that are empty."""
        record: dict[str, Any] = {"tests": [test.to_dict() for test in self.tests]}
        if self.setup:
            record["setup"] = self.setup
        if self.entry_point is not None:
            record["entry_point"] = self.entry_point
        return record

    @classmethod
    def from_dict(cls, record: Any, at: At | None = None) -> Tests:
        """Inverse of `to_dict`; nothing is parsed as Python, so it is cheap."""
        at = at or At()
        if not isinstance(record, dict) or not isinstance(record.get("tests"), list) or not record["tests"]:
            at.fail(f"is {shown(record)}: give an object with a non-empty list 'tests'")
        setup, entry_point = record.get("setup", ""), record.get("entry_point")
        if not isinstance(setup, str):
            at["setup"].fail(f"is {shown(setup)}: give a string")
        if entry_point is not None and not isinstance(entry_point, str):
            at["entry_point"].fail(f"is {shown(entry_point)}: give a name or null")
        tests = tuple(Test.from_dict(test, at["tests"][index]) for index, test in enumerate(record["tests"]))
        return cls(tests, setup, entry_point)

    def to_json(self) -> str:
        """The one JSON string of these tests: equal tests give equal strings, so it is a cache key."""
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"))

    @property
    def digest(self) -> str:
        """A short hash of `to_json`: what caches know these tests by."""
        # Not a cached_property: Python 3.11 has one lock for all of a class's, which a fork may find held for ever.
        known = self.__dict__.get("_digest")
        if known is None:
            known = hashlib.blake2b(self.to_json().encode(), digest_size=16).hexdigest()
            object.__setattr__(self, "_digest", known)
        return known

    @classmethod
    def from_json(cls, text: str) -> Tests:
        """Inverse of `to_json`."""
        return cls.from_dict(load_json(text, At(field="tests")))


def load_json(text: str, at: At) -> Any:
    """`json.loads`, with every way it fails as a ProblemError."""
    try:
        return json.loads(text)
    except RecursionError:
        at.fail(f"is {shown(text)}, which is nested too deep: drop this problem")
    except ValueError as error:  # also integers past the digit limit
        at.fail(f"is {shown(text)}, which is not JSON ({error}): mend or drop it")
