"""What a run of a program against tests is limited by, and what it returns.

Covers: `Limits`, `Job` (what is asked), `Outcome` (one test), `Verdict` (one program), `SandboxError`.
Does not cover: how the outcomes come about (pool.py, worker.py).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

Status = Literal["passed", "failed", "error", "timeout", "memory", "crashed", "not_run"]
LoadStatus = Literal["ok", "syntax_error", "error", "timeout", "memory", "crashed"]
Isolation = Literal["split", "shared"]
MESSAGE_CHARS = 500


class SandboxError(RuntimeError):
    """The sandbox itself failed (never the program under test): the message names cause and mend."""


@dataclass(frozen=True)
class Limits:
    """Bounds on one program and its tests. Times in `test_seconds` and `program_seconds` are CPU
    time of the candidate and its judge, measured from outside; blocking (sleep, locks) counts
    against `test_seconds` too.

    Args:
        test_seconds: one test, or loading the program; > 0.
        program_seconds: the program with all its tests together; > 0.
        wall_seconds: the last resort, wall clock from the start of the program; > 0.
        memory_mb: memory of the candidate above the bare interpreter, MiB; >= 16.
        output_mb: stdout of one case, and one value returned to a test, MiB; > 0.
        processes: tasks the program may have at once. 1 = no fork or exec (threads are always
            allowed); more lets it start processes, at isolation "namespaces" only.
    """

    test_seconds: float = 4.0
    program_seconds: float = 15.0
    wall_seconds: float = 60.0
    memory_mb: int = 1024
    output_mb: float = 8.0
    processes: int = 1

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            whole = field.name in ("memory_mb", "processes")
            kinds: tuple[type, ...] = (int,) if whole else (int, float)
            if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value < 1e8:
                number = "a whole number" if whole else "a number"
                raise ValueError(f"Limits.{field.name} is {value!r}: give {number} above 0 and below 1e8")
        if self.memory_mb < 16:
            raise ValueError(f"Limits.memory_mb is {self.memory_mb}: give 16 or more")


@dataclass(frozen=True)
class Job:
    """A program to run: what the owner asked."""

    program: str
    limits: Limits
    stop_at_first_failure: bool = False
    on_timeout: str = "continue"
    seed: int = 0


@dataclass(frozen=True)
class Outcome:
    """One test's result.

    Attributes:
        status: passed | failed | error | timeout | memory | crashed | not_run.
        message: the reason in one line, at most 500 characters; "" when passed.
        cpu_seconds: CPU time spent on the test, measured outside the candidate.
        claimed: True when the result rests on the candidate's own word (its `__eq__`, its exception
            class), because the test names the candidate's class, compares two of its objects, asks one for
            what text and sets answer, or runs text as code.
    """

    status: Status
    message: str = ""
    cpu_seconds: float = 0.0
    claimed: bool = False


@dataclass(frozen=True)
class Verdict:
    """What one program did with its tests.

    Attributes:
        outcomes: one per test, in the order of the tests.
        status: of loading the program: ok | syntax_error | error | timeout | memory | crashed.
        message: why loading failed, "" when ok.
        isolation: "split" (the program never shared a process with its tests) or "shared".
        cpu_seconds: CPU time of the program with all its tests.
        wall_seconds: wall clock from its start to its verdict.
    """

    outcomes: tuple[Outcome, ...]
    status: LoadStatus = "ok"
    message: str = ""
    isolation: Isolation = "split"
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0

    @property
    def pass_rate(self) -> float:
        """passed / all tests, in [0, 1]; tests not run count as not passed."""
        if not self.outcomes:
            return 0.0
        return sum(outcome.status == "passed" for outcome in self.outcomes) / len(self.outcomes)

    @property
    def passed(self) -> bool:
        """True when there are tests and every one passed."""
        return bool(self.outcomes) and all(outcome.status == "passed" for outcome in self.outcomes)

    @property
    def claimed(self) -> bool:
        """True when any passed test rests on the candidate's own word."""
        return any(outcome.claimed and outcome.status == "passed" for outcome in self.outcomes)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON-ready form, with `pass_rate` and `passed`."""
        return {**asdict(self), "pass_rate": self.pass_rate, "passed": self.passed}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Verdict:
        """Inverse of `to_dict`."""
        known = {field.name: record[field.name] for field in fields(cls) if field.name in record}
        known["outcomes"] = tuple(Outcome(**outcome) for outcome in record["outcomes"])
        return cls(**known)
