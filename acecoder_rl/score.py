"""Verdicts for a file of completions: `acecoder-rl score`.

Covers: running the jobs of a file in the sandbox with flat memory, one result row a completion in input
order, resuming, the summary.
Does not cover: what a row holds (jobs.py, score_rows.py), files (records.py, results.py), the command line (cli.py).
Hostile input: programs run in the sandbox only; a row of any shape is a result or a bad row with a reason.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from acecoder_rl.jobs import Bad, Job, iter_jobs
from acecoder_rl.records import InputError, check_readable, count_rows, iter_rows
from acecoder_rl.results import Results
from acecoder_rl.rollouts.log import RolloutLog
from acecoder_rl.sandbox import Limits, Sandbox, Verdict
from acecoder_rl.score_rows import no_program, result_row, result_schema, rollout
from acecoder_rl.summary import Summary

IN_FLIGHT_A_WORKER = 128  # far more than run at once, so that a slow program at the head starves nobody
IN_FLIGHT_BYTES = 64 << 20  # problems with megabytes of tests exist
OnRow = Callable[[int, Summary], None]


@dataclass(frozen=True)
class ScoreOptions:
    """What to score, and how.

    Args:
        source: JSONL or Parquet of completions; "-" reads JSONL from stdin.
        output: JSONL, Parquet by its ending, "-" for stdout; None keeps the summary only.
        problems: file of problems joined by id; None when each row carries its own tests.
        completion_field: None tries jobs.COMPLETION_FIELDS in order.
        id_field: None tries shapes.ID_FIELDS, or for a join jobs.JOIN_FIELDS, in order.
        limits: the fields of `Limits` to set; they outrank limits that a problem carries.
        require: the isolation the host must have.
        python: the interpreter that runs the programs; None for ours.
        preload: modules that are imported before a program starts.
        workers: None takes the cores this process may use.
        resume: go on where an earlier run stopped.
        overwrite: drop an earlier output.
        strict: stop at the first bad row.
        rollouts: folder of a rollout log to write as well; None for none.
        shard: (2, 3) scores the second third of the rows; the outputs of all shards, one behind the other, are the
            output of the whole.
    """

    source: Path
    output: Path | None = None
    problems: Path | None = None
    completion_field: str | None = None
    id_field: str | None = None
    limits: dict[str, Any] = field(default_factory=dict)
    require: str = "namespaces"
    python: str | None = None
    preload: tuple[str, ...] = ()
    workers: int | None = None
    resume: bool = False
    overwrite: bool = False
    strict: bool = False
    rollouts: Path | None = None
    shard: tuple[int, int] | None = None

    def settings(self) -> dict[str, Any]:
        """What a resumed run must share with the one before."""
        kept = asdict(self)
        for name in ("output", "workers", "resume", "overwrite", "strict", "rollouts"):
            del kept[name]
        if self.shard is None:
            del kept["shard"]  # outputs begun before there were shards can be resumed
        else:
            kept["shard"] = "{}/{}".format(*self.shard)
        kept["limits"] = asdict(Limits(**self.limits))
        kept["limits_given"] = sorted(self.limits)  # the others give way to a problem's own
        kept["preload"] = list(self.preload)
        for name in ("source", "problems"):
            path: Path | None = kept[name]
            kept[name] = None if path is None else path.name
            kept[f"{name}_bytes"] = path.stat().st_size if path is not None and path.is_file() else None
        return kept


def score(options: ScoreOptions, on_row: OnRow | None = None) -> tuple[Summary, str]:
    """Scores a file; returns the summary and the jail's level.

    `on_row(input row, summary)` is called after each result. Raises InputError for bad usage or input and
    SandboxError when the sandbox fails; what is written by then stays and can be resumed.
    """
    for path in (options.source, options.problems):
        if path is not None:
            check_readable(path)
    rows = shard_rows(options)
    try:
        limits, settings = Limits(**options.limits), options.settings()
        results = Results(options.output, settings, resume=options.resume, overwrite=options.overwrite)
        sandbox = Sandbox(
            options.workers, limits, require=options.require, python=options.python, preload=options.preload
        )
    except ValueError as error:  # an InputError already, or an argument out of range
        raise InputError(str(error)) from None
    summary = Summary()
    log = RolloutLog(options.rollouts) if options.rollouts is not None else None
    with sandbox:
        try:
            results.open()
            for row in results.earlier():
                summary.add(row)
            for bad in results.earlier_bad():
                summary.add_bad(bad)
            if not results.finished:
                asyncio.run(_Run(sandbox, options, results, summary, on_row, rows, log).all())
            results.finish(result_schema)
        finally:
            results.close()
            if log is not None:
                log.close()
    if not summary.rows and (rows is None or rows or summary.bad):
        why = f"{summary.bad[0]['where']} {summary.bad[0]['reason']}" if summary.bad else "it is empty"
        raise InputError(f"{options.source}: no row could be scored: {why}")
    return summary, sandbox.isolation


def shard_rows(options: ScoreOptions) -> range | None:
    """The numbers of the rows to score; None for all of them. The last shard goes on to the end of the file.

    Raises:
        InputError: the shard does not exist, or there is no file to count the rows of.
    """
    if options.shard is None:
        return None
    number, of = options.shard
    if not 1 <= number <= of:
        raise InputError(f"--shard {number}/{of}: give 1/{max(of, 1)} to {max(of, 1)}/{max(of, 1)}")
    if str(options.source) == "-":
        raise InputError("--shard needs a file whose rows can be counted, and stdin cannot: give FILE")
    rows = count_rows(options.source)
    if rows is None:
        rows = sum(1 for _ in iter_rows(options.source))
    return range(rows * (number - 1) // of, rows * number // of if number < of else sys.maxsize)


class _Window:
    """Bounds what is in flight, by number and by bytes."""

    def __init__(self, workers: int) -> None:
        self._most, self._least = IN_FLIGHT_A_WORKER * workers, 2 * workers
        self._jobs = self._bytes = 0
        self._closed = False
        self._changed = threading.Condition()

    def enter(self, size: int) -> bool:
        """Waits for room; False when there will be none, because the run is over."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._room(size))
            self._jobs, self._bytes = self._jobs + 1, self._bytes + size
            return not self._closed

    def leave(self, size: int) -> None:
        with self._changed:
            self._jobs, self._bytes = self._jobs - 1, self._bytes - size
            self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _room(self, size: int) -> bool:
        return self._jobs < self._least or (self._jobs < self._most and self._bytes + size <= IN_FLIGHT_BYTES)


@dataclass
class _Run:
    """One pass over the jobs: a thread reads them, the event loop runs them and writes in order."""

    sandbox: Sandbox
    options: ScoreOptions
    results: Results
    summary: Summary
    on_row: OnRow | None
    rows: range | None = None  # all of them
    log: RolloutLog | None = None

    async def all(self) -> None:
        options = self.options
        processes = self.sandbox.limits.processes
        after = self.results.last
        if self.rows is not None:
            after = max(after, (self.rows.start - 1, sys.maxsize))
        jobs = iter_jobs(
            options.source, options.problems, options.completion_field, options.id_field, processes, after=after
        )
        self._window = _Window(self.sandbox.workers)
        self._loop = asyncio.get_running_loop()
        self._started: asyncio.Queue[tuple[Job | Bad, asyncio.Future[Verdict] | None] | BaseException | None]
        self._started = asyncio.Queue()
        # Input may block (stdin), and a run that fails or is interrupted does not wait for it.
        threading.Thread(target=self._read, args=(jobs,), name="score-reader", daemon=True).start()
        try:
            while (item := await self._started.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                await self._settle(*item)
        finally:
            self._window.close()

    def _read(self, jobs: Iterator[Job | Bad]) -> None:
        try:
            for job in jobs:
                if self.rows is not None and job.row < self.rows.start:
                    continue  # a bad row before them
                if self.rows is not None and job.row >= self.rows.stop:
                    break
                if not self._window.enter(job.size):
                    return
                self._tell(self._start, job)
            self._tell(self._started.put_nowait, None)
        except Exception as error:  # raised again in the event loop
            self._tell(self._started.put_nowait, error)

    def _tell(self, call: Callable[[Any], None], argument: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(call, argument)
        except RuntimeError:
            if not self._loop.is_closed():  # else the run is over, and nobody waits for this
                raise

    def _start(self, job: Job | Bad) -> None:
        verdict = None
        if isinstance(job, Job) and job.program.code:
            limits = replace(job.limits, **self.options.limits) if job.limits is not None else None
            verdict = asyncio.ensure_future(self.sandbox.arun(job.program.code, job.tests, limits=limits))
        self._started.put_nowait((job, verdict))

    async def _settle(self, job: Job | Bad, verdict: asyncio.Future[Verdict] | None) -> None:
        if isinstance(job, Bad):
            if self.options.strict:
                raise InputError(f"{job.where} {job.reason} (--strict stops at the first bad row)")
            if job.row > self.results.last_bad:
                self.results.write_bad(job.to_dict())
                self.summary.add_bad(job.to_dict())
        else:
            found = no_program(job.tests) if verdict is None else await verdict
            if self.log is not None:
                self.log.add(rollout(job, found), wait=True)
            row = result_row(job, found)
            self.results.write(row)
            self.summary.add(row)
        self._window.leave(job.size)
        if self.on_row is not None:
            self.on_row(job.row, self.summary)
