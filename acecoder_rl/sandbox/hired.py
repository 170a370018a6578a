"""A worker process, as its owner sees it.

Covers: starting one without forking the caller, giving it programs, reading its answers, ending it.
Does not cover: which program goes where (dispatch.py), what a worker does (worker.py).
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acecoder_rl.problems import Tests
from acecoder_rl.sandbox import cgroup
from acecoder_rl.sandbox.route import PLANS
from acecoder_rl.sandbox.spawn import remove_scratch
from acecoder_rl.sandbox.verdict import Job, Verdict

START = """
import sys
sys.path.insert(0, {root!r})
from acecoder_rl.sandbox.worker import main
main(int(sys.argv[1]))
"""


@dataclass(eq=False)
class Ticket:
    """A program on its way, and who waits for it."""

    number: int
    job: Job
    tests: Tests
    fresh: bool
    identity: Any = None
    careful: bool = False
    waiting: list[Future[Verdict]] = field(default_factory=list)


class Worker:
    """A worker process as the dispatcher sees it."""

    def __init__(self, config: dict[str, Any]) -> None:
        ours, theirs = socket.socketpair()
        root = str(Path(__file__).parents[2])
        # No preexec_fn: the caller may hold threads and CUDA; nothing of ours runs between fork and exec.
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", START.format(root=root), str(theirs.fileno())],
            pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL, cwd="/", start_new_session=True,
            env={"PATH": os.defpath, "TMPDIR": tempfile.gettempdir(), "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip
        theirs.close()
        self.sock = ours
        self.ready = False
        self.ticket: Ticket | None = None
        self.fresh = False  # it keeps interpreters for fresh runs
        self.plans: OrderedDict[str, None] = OrderedDict()
        self.buffer = bytearray()
        self.send(config)

    def send(self, message: Any) -> None:
        data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        try:
            self.sock.sendall(len(data).to_bytes(4, "little") + data)
        except (BrokenPipeError, ConnectionResetError):
            return  # it has died: reading from it will say so

    def give(self, ticket: Ticket) -> None:
        """Send a program; its tests only where the worker does not have them."""
        key = ticket.tests.digest
        known = key in self.plans
        self.plans[key] = None
        self.plans.move_to_end(key)
        while len(self.plans) > PLANS:  # in step with Worker.route in worker.py
            self.plans.popitem(last=False)
        self.ticket = ticket
        self.fresh |= ticket.fresh
        tests = None if known else ticket.tests
        self.send(("run", ticket.number, key, tests, ticket.job, ticket.careful, ticket.fresh))

    def rest(self) -> None:
        """There is nothing to do: end what is kept for fresh runs."""
        self.fresh = False
        self.send(("rest",))

    def receive(self) -> list[Any] | None:
        """Complete messages that have come; None at end of file."""
        try:
            data = self.sock.recv(1 << 18)
        except ConnectionResetError:
            return None
        if not data:
            return None
        buffer, messages = self.buffer, []
        buffer += data
        while len(buffer) >= 4 and len(buffer) >= 4 + (size := int.from_bytes(buffer[:4], "little")):
            messages.append(pickle.loads(bytes(buffer[4 : 4 + size])))
            del buffer[: 4 + size]
        return messages

    def hang_up(self) -> None:
        """Close the connection, on which the worker ends itself and its jail."""
        with contextlib.suppress(OSError):  # closed before
            self.sock.shutdown(socket.SHUT_RDWR)  # close() alone would not do where a fork holds it too
        self.sock.close()

    def end(self) -> None:
        """Hang up and wait for the worker's end; kill it if it does not come."""
        self.hang_up()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        if self.process.returncode:
            cgroup.remove_stale(2.0)  # it could not clean up after itself
            remove_scratch(self.process.pid)
