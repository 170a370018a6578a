"""What every sandbox offers its callers, wherever it runs: run, submit, arun, run_many.

Covers: the calls, on top of one method that hands a program over and returns its future.
Does not cover: where the program goes (pool.py: our own workers; shared.py: another process of this
machine; cluster.py: Ray).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Self

from acecoder_rl.problems import Tests, parse_tests
from acecoder_rl.sandbox.verdict import Limits, Verdict

# Enough to keep thousands of cores busy, few enough that a million programs are not queued at once.
IN_FLIGHT = 8192


@dataclass(frozen=True)
class Options:
    """How one program is to be run; fields as the arguments of `Calls.run`."""

    limits: Limits | None = None
    stop_at_first_failure: bool = False
    on_timeout: str = "continue"
    fresh: bool = False

    def __post_init__(self) -> None:
        if self.limits is not None and not isinstance(self.limits, Limits):
            raise ValueError(f"limits={self.limits!r}: give a Limits(...)")
        if self.on_timeout not in ("continue", "stop"):
            raise ValueError(f"on_timeout={self.on_timeout!r}: give 'continue' or 'stop'")


class Calls:
    """Safe from any thread and any event loop, with thousands of calls in flight."""

    def _start(self, program: str, tests: Tests, options: Options) -> Future[Verdict]:
        """Hand the program over at once; cancelling the future kills it."""
        raise NotImplementedError

    def close(self) -> None:
        """Release what this object holds; calls in flight raise SandboxError."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _ask(self, program: str, tests: Any, options: Options) -> Future[Verdict]:
        if not isinstance(program, str):
            raise TypeError(f"program is {type(program).__name__}: give Python source as str")
        return self._start(program, parse_tests(tests), options)

    def run(
        self,
        program: str,
        tests: Any,
        limits: Limits | None = None,
        stop_at_first_failure: bool = False,
        on_timeout: str = "continue",
        fresh: bool = False,
    ) -> Verdict:
        """Run one program against its tests; blocks the calling thread.

        Args:
            program: Python source.
            tests: `Tests`, or anything `parse_tests` takes.
            limits: instead of the sandbox's own.
            stop_at_first_failure: leave the tests after the first that does not pass "not_run".
            on_timeout: "continue" with the next test in a new process, or "stop".
            fresh: never share a run with an equal call, and use another hash seed and random seed.

        Raises:
            ProblemError: the tests are malformed.
            SandboxError: the sandbox itself failed; never because of what the program did.
        """
        future = self._ask(program, tests, Options(limits, stop_at_first_failure, on_timeout, fresh))
        try:
            return future.result()
        finally:
            future.cancel()  # a KeyboardInterrupt must not leave the program running

    def submit(self, program: str, tests: Any, **options: Any) -> Future[Verdict]:
        """`run` that does not wait. Cancelling the future kills the program, unless an equal call waits too."""
        return self._ask(program, tests, Options(**options))

    async def arun(
        self,
        program: str,
        tests: Any,
        limits: Limits | None = None,
        stop_at_first_failure: bool = False,
        on_timeout: str = "continue",
        fresh: bool = False,
    ) -> Verdict:
        """`run` for event loops; cancelling it kills the program, unless an equal call waits too."""
        options = Options(limits, stop_at_first_failure, on_timeout, fresh)
        return await asyncio.wrap_future(self._ask(program, tests, options))

    def run_many(self, pairs: Iterable[tuple[str, Any]], progress: bool = False, **options: Any) -> list[Verdict]:
        """Run (program, tests) pairs on all workers; verdicts in the order of the pairs.

        Args:
            progress: show a progress bar on stderr.
            options: as of `run`, for every pair.
        """
        pairs, how = list(pairs), Options(**options)
        room = threading.Semaphore(IN_FLIGHT)
        futures: list[Future[Verdict]] = []
        with _Progress(len(pairs), progress) as bar:

            def done(_: Future[Verdict]) -> None:
                room.release()
                bar.advance()

            try:
                for program, tests in pairs:
                    room.acquire()
                    futures.append(self._ask(program, tests, how))
                    futures[-1].add_done_callback(done)
                return [future.result() for future in futures]
            finally:
                for future in futures:
                    future.cancel()


class _Progress:
    """A bar on stderr, or nothing."""

    def __init__(self, total: int, shown: bool) -> None:
        self._bar = None
        if shown:
            from rich.console import Console
            from rich.progress import MofNCompleteColumn, Progress, TimeRemainingColumn

            columns = (*Progress.get_default_columns()[:-1], MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=Console(stderr=True))
            self._task = self._bar.add_task("programs", total=total)

    def advance(self) -> None:
        if self._bar is not None:
            self._bar.advance(self._task)

    def __enter__(self) -> _Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def settle(future: Future[Verdict], result: Verdict | BaseException) -> None:
    """Give a future its one result, unless its caller has cancelled it."""
    if not future.set_running_or_notify_cancel():
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
