"""A sandbox in another process, as its clients see it.

Covers: the job that travels, how the sandbox there is to be built, whether a running one will do.
Does not cover: how a job travels (shared.py: a unix socket, cluster.py: Ray), the calls (calls.py).
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NamedTuple

from acecoder_rl.problems import Tests
from acecoder_rl.sandbox.calls import Calls, Options
from acecoder_rl.sandbox.host import LEVELS
from acecoder_rl.sandbox.verdict import Limits, SandboxError, Verdict


class Job(NamedTuple):
    """One call of `Sandbox.arun`; `options` are its keyword arguments."""

    program: str
    tests: Tests
    options: dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """How a sandbox is built, where asked for: fields left None are the sandbox's own defaults."""

    workers: int | None = None
    limits: Limits | None = None
    require: str | None = None
    python: str | None = None
    preload: tuple[str, ...] | None = None
    dedupe: bool | None = None

    def __post_init__(self) -> None:
        if self.require not in (None, *LEVELS):
            raise ValueError(f"require={self.require!r}: give one of {', '.join(LEVELS)}")

    def asked(self) -> dict[str, Any]:
        """The fields that are set: the keyword arguments of `Sandbox`."""
        return {name: value for name, value in vars(self).items() if value is not None}

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Settings:
        """Inverse of `dataclasses.asdict`, also after JSON."""
        limits, preload = record["limits"], record["preload"]
        return cls(
            **{
                **record,
                "limits": None if limits is None else Limits(**limits),
                "preload": None if preload is None else tuple(preload),
            }
        )

    def check(self, running: Settings, isolation: str, where: str) -> None:
        """Raise when a sandbox that others already started does not give what is asked for here.

        Limits travel with each call and workers are the machine's matter, so only what decides a
        verdict or its trust is compared.
        """
        mend = "end that one first, or ask for the same"
        if self.require is not None and LEVELS.index(isolation) > LEVELS.index(self.require):
            raise SandboxError(f"{where} already runs at isolation {isolation!r}, but require={self.require!r}: {mend}")
        for name in ("python", "preload"):
            wanted, there = getattr(self, name), getattr(running, name)
            if wanted is not None and (wanted or None) != (there or None):
                raise SandboxError(f"{where} already runs with {name}={there!r}, not {wanted!r}: {mend}")


class RemoteSandbox(Calls):
    """A sandbox elsewhere.

    Args:
        limits: of programs run without limits of their own; None = those the sandbox was started with.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits

    def _submit(self, job: Job) -> Future[Verdict]:
        """Hand the job over at once; cancelling the future kills the program."""
        raise NotImplementedError

    def _start(self, program: str, tests: Tests, options: Options) -> Future[Verdict]:
        # Defaults are left out: they make up most of a small job's bytes.
        asked = {name: value for name, value in vars(options).items() if value != getattr(Options, name)}
        if options.limits is None and self.limits is not None:
            asked["limits"] = self.limits
        return self._submit(Job(program, tests, asked))
