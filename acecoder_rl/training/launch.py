"""Start a run's driver, watch it to its end, and leave nothing behind.

Covers: the driver's process, its log and reports, Ctrl-C and SIGTERM, what is told at the end and on failure.
Does not cover: what the driver does (driver.py), a run as a job of a Ray cluster (ray_job.py).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil

from acecoder_rl.rollouts import steps as rollout_steps
from acecoder_rl.training import metrics
from acecoder_rl.training.driver import Plan
from acecoder_rl.training.errors import RunFailed, Stopped
from acecoder_rl.training.run_folder import RunFolder
from acecoder_rl.training.screen import Screen

# In the environment of the driver and of all that it starts: how they are found again.
RUN = "ACECODER_RL_RUN"
# Ray and vLLM give their processes titles, which are written over the environment unless this is set.
KEPT = {"SPT_NOENV": "1"}
DRIVER = (sys.executable, "-u", "-m", "acecoder_rl.training.driver")
STOP_SECONDS = 20.0
LIBC = ctypes.CDLL(None)  # loaded here: nothing may be between fork and exec


def launch(plan: Plan, run: RunFolder, screen: Screen, driver: Sequence[str] = DRIVER) -> None:
    """Run a plan to its end.

    Args:
        driver: the command that runs a plan; the plan's file is added to it.

    Raises:
        RunFailed: it failed.
        Stopped: a signal came; everything that was started has ended.
    """
    plan.write(run.plan)
    if plan.rollouts is not None:
        rollout_steps.begin(Path(plan.rollouts), run.last_checkpoint() or 0)
    follow([*driver, str(run.plan)], run, screen)


def follow(
    command: Sequence[str],
    run: RunFolder,
    screen: Screen,
    parse: Callable[[str], metrics.Report | None] = metrics.parse,
) -> None:
    """Run a command to its end, with its output in the log and its reports in metrics.jsonl and on the screen.

    Args:
        parse: the report in a line of its output, if it is one.

    Raises:
        RunFailed, Stopped: as `launch`.
    """
    try:
        status = _drive(command, run, screen, parse)
    except Stopped as stopped:
        raise Stopped(stopped.number, f"stopped by {signal.Signals(stopped.number).name}: {lost(run)}") from None
    if status:
        raise RunFailed(f"{failure(run, status)}\n{lost(run)}\nthe whole log: {run.log}")


def _drive(
    command: Sequence[str], run: RunFolder, screen: Screen, parse: Callable[[str], metrics.Report | None]
) -> int:
    """Start the driver and follow it; its exit status."""
    token = uuid.uuid4().hex
    with signals_raise(), run.log.open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | KEPT | {RUN: token},
            start_new_session=True,  # Ctrl-C is for us to pass on, in order
            preexec_fn=end_with_us,
        )
        assert process.stdout is not None
        # What outlives a driver that was killed holds on to its pipe, so it is ended before the pipe's end.
        sweeper = threading.Thread(target=_sweep_after, args=(process, token))
        sweeper.start()
        try:
            for line in process.stdout:
                log.write(line)
                log.flush()
                report = parse(line.decode(errors="replace"))
                if report is not None:
                    metrics.append(run.metrics, report)
                    if report.kind == "train":
                        rollout_steps.over(run.rollouts, report.step, line.decode(errors="replace"))
                    screen.show(report)
        finally:
            _stop(process)
            sweeper.join()
        return process.wait()


def failure(run: RunFolder, status: int) -> str:
    """What to tell of a run that failed: the innermost error of the worker that failed first."""
    if run.failure.exists():
        told = json.loads(run.failure.read_text())
        message = f"{told['type']}: {told['message'].strip()}"
        engine = _engine_error(run)
        return f"{message}\nthe engine's own error: {engine}" if "ngine" in message and engine else message
    if status < 0:
        return f"the driver was killed by {signal.Signals(-status).name}"
    return f"the driver ended with status {status}"


def _engine_error(run: RunFolder) -> str | None:
    """What vLLM logged when an engine failed: its exception only says that one did, and to see above."""
    pattern = re.compile(r"\((?:EngineCore|Worker)\b.*?\] *((?:\w+\.)*\w*(?:Error|Exception): .*)")
    found = [match[1] for line in run.log.read_text(errors="replace").splitlines() if (match := pattern.search(line))]
    return found[0].strip() if found else None


def lost(run: RunFolder) -> str:
    """What stopping now costs, in a sentence."""
    reports = [report for report in metrics.read(run.metrics) if report.kind == "train"]
    kept = run.last_checkpoint() or 0
    done = max(kept, reports[-1].step if reports else 0)
    if not done:
        return "no step had been finished"
    if kept == done:
        return f"step {kept} is saved; --resume goes on from there"
    begin = f"--resume goes on from step {kept}" if kept else "nothing is saved (train.save_steps)"
    again = "1 step has" if done - kept == 1 else f"{done - kept} steps have"
    return f"step {done} was the last; {begin}: {again} to be done again"


@contextmanager
def signals_raise() -> Iterator[None]:
    """SIGINT and SIGTERM raise Stopped in the main thread; once: a second Ctrl-C must not break the clean-up."""

    def stop(number: int, frame: object) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    if threading.current_thread() is not threading.main_thread():
        yield  # tests and notebooks: whoever owns the main thread handles them
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def end_with_us() -> None:
    """SIGTERM when the launcher ends, also by kill -9: a run that nobody watches holds GPUs for nothing."""
    set_pdeathsig = 1
    LIBC.prctl(set_pdeathsig, signal.SIGTERM)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask the driver to end, then end it."""
    if process.poll() is not None:
        return
    process.terminate()
    # Its pipe is read no more: its last words must not block its end.
    threading.Thread(target=lambda: process.stdout and process.stdout.read(), daemon=True).start()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _sweep_after(process: subprocess.Popen[bytes], token: str) -> None:
    """When the driver has ended, end what is left of its: Ray's daemons and workers, vLLM's engines.

    A process that no signal ends (it waits for a device or a file server) is named and left.
    """
    killed = process.wait() < 0
    first = time.monotonic() + (0 if killed else STOP_SECONDS / 2)
    while rest := list(with_token(token)):
        now = time.monotonic()
        if now >= first + STOP_SECONDS:
            print(f"processes that do not end: {[each.pid for each in rest]}", file=sys.stderr)
            return
        if now >= first:
            for each in rest:
                with contextlib.suppress(psutil.Error):
                    each.kill()
        time.sleep(0.1)


def with_token(token: str) -> Iterator[psutil.Process]:
    """Processes that were started with RUN=token in their environment, or by such."""
    mark = f"{RUN}={token}".encode()
    for process in psutil.process_iter():
        try:
            if mark in Path(f"/proc/{process.pid}/environ").read_bytes() and process.status() != "zombie":
                yield process
        except (OSError, psutil.NoSuchProcess):
            continue
