"""The sandbox as a user sees it: hands programs to worker processes, returns verdicts.

Covers: starting workers, one queue, threads and event loops at once, cancelling, lost workers.
Does not cover: running a program (worker.py), one sandbox for many processes (shared.py) or
machines (cluster.py).
One thread of ours talks to the workers; the caller is never forked.
"""

from __future__ import annotations

import os
import secrets
import weakref
from collections.abc import Sequence
from concurrent.futures import Future

from acecoder_rl.problems import Tests
from acecoder_rl.sandbox import host, interpreter
from acecoder_rl.sandbox.calls import Calls, Options
from acecoder_rl.sandbox.dispatch import Dispatcher
from acecoder_rl.sandbox.host import LEVELS, granted_cores
from acecoder_rl.sandbox.verdict import Job, Limits, SandboxError, Verdict


class Sandbox(Calls):
    """Runs hostile Python programs against tests.

    Safe from any thread and any event loop, with thousands of calls in flight. Use it as a context
    manager, or call `close()`.

    Args:
        workers: programs at once; None = the cores granted to this process.
        limits: bounds on each program; `run` may be given others.
        require: the least isolation to accept: "namespaces", "landlock" or "none".
        python: interpreter whose packages programs may import; None = the standard library only.
        preload: modules imported before programs start, such as ("numpy",); programs then may
            import any package beside them.
        dedupe: the same program and tests asked for at the same time run once.

    Raises:
        SandboxError: this machine cannot isolate as required (the message says what mends it), an
            interpreter or module does not load.
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        workers: int | None = None,
        limits: Limits | None = None,
        require: str = "namespaces",
        python: str | None = None,
        preload: Sequence[str] = (),
        dedupe: bool = True,
    ) -> None:
        if require not in LEVELS:
            raise ValueError(f"require={require!r}: give one of {', '.join(LEVELS)}")
        if workers is not None and (not isinstance(workers, int) or workers < 1):
            raise ValueError(f"workers={workers!r}: give 1 or more, or None for the cores granted")
        if isinstance(preload, str):
            raise ValueError(f"preload={preload!r}: give a tuple of module names, ({preload!r},)")
        self.limits = limits or Limits()
        self.workers = workers or granted_cores()
        self.dedupe = dedupe
        machine = host.probe()
        self._level = host.best_level(machine)
        if LEVELS.index(self._level) > LEVELS.index(require):
            raise SandboxError(host.why_not(require, machine))
        if self.limits.processes > 1 and self._level != "namespaces":
            raise SandboxError(
                f"Limits.processes={self.limits.processes} needs isolation 'namespaces', not {self._level!r}"
            )
        interpreters = {
            "candidate": interpreter.describe(python, tuple(preload), self.limits.processes > 1),
            "judge": interpreter.for_judges(),
        }
        # Tests that share the process of a program find pytest there, unless the user named the Python.
        packages = {name: interpreters["judge"][name] for name in ("path", "read_only")}
        interpreters["shared"] = interpreters["candidate"] | ({} if python else packages)
        config = {
            "level": self._level,
            "limits": {name: getattr(self.limits, name) for name in self.limits.__dataclass_fields__},
            "interpreters": interpreters,
        }
        self._pid = os.getpid()
        self._dispatcher = Dispatcher(self.workers, config)
        # Also when the caller forgets close(): workers end when their socket does.
        self._finalizer = weakref.finalize(self, Dispatcher.close, self._dispatcher)
        self._dispatcher.start()

    @property
    def isolation(self) -> str:
        """The jail in use: "namespaces", "landlock" or "none"."""
        return self._level

    def close(self) -> None:
        """End the workers and whatever runs in them; calls in flight raise SandboxError."""
        if os.getpid() == self._pid:
            self._finalizer()

    def _start(self, program: str, tests: Tests, options: Options) -> Future[Verdict]:
        if os.getpid() != self._pid:
            raise SandboxError("this Sandbox belongs to the process that made it: make one after forking")
        limits = options.limits or self.limits
        if limits.processes > self.limits.processes:
            raise ValueError("Limits.processes may not exceed the sandbox's own: set it where the Sandbox is made")
        seed = secrets.randbelow(2**31) if options.fresh else 0
        job = Job(program, limits, options.stop_at_first_failure, options.on_timeout, seed)
        return self._dispatcher.submit(job, tests, options.fresh, self.dedupe)
