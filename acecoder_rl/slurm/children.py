"""Processes that this one starts and answers for: they end when it does, and none of theirs stays.

Covers: starting, ending by signal, ending what has left its group (by a mark in the environment).
Does not cover: what they are.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from acecoder_rl.training.launch import KEPT, LIBC, RUN, with_token

SET_PDEATHSIG = 1  # of prctl


class Child:
    """A process in a session of its own. To be made in the main thread, whose end is what it ends with.

    Args:
        command: to run.
        environment: its whole environment, to which the mark is added.
        log: where its output is added; None = to ours.
        orphaned: the signal that it gets when this process is killed.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path | None = None,
        orphaned: signal.Signals = signal.SIGTERM,
    ) -> None:
        self._token = uuid.uuid4().hex
        with contextlib.ExitStack() as stack:
            out = stack.enter_context(log.open("ab")) if log else None
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT if out else None,
                env={**environment, **KEPT, RUN: self._token},
                start_new_session=True,  # signals of Slurm's and of the terminal are ours to pass on
                preexec_fn=lambda: _in_child(orphaned),
            )

    def end(self, seconds: float) -> int:
        """SIGTERM, later SIGKILL, to it and then to all that it left; its exit status.

        Args:
            seconds: for its own end; what it left has a few more.
        """
        with contextlib.suppress(ProcessLookupError):
            self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        status = self.process.wait()
        self._sweep()
        return status

    def _sweep(self, seconds: float = 10.0) -> None:
        start = time.monotonic()
        while rest := list(with_token(self._token)):
            waited = time.monotonic() - start
            if waited > seconds:
                print(f"processes that do not end: {[each.pid for each in rest]}", file=sys.stderr, flush=True)
                return
            if waited > seconds / 3:
                for each in rest:
                    with contextlib.suppress(psutil.Error):
                        each.kill()
            time.sleep(0.1)


def _in_child(orphaned: signal.Signals) -> None:
    LIBC.prctl(SET_PDEATHSIG, orphaned)
    # That the time limit is near is for us to know. Slurm's proctrack/linuxproc tells every process of the job, and it
    # would end Ray and the training on the spot.
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
