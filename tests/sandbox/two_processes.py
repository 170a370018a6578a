"""A judge and a candidate in two plain forked processes, without jail or limits.

Does not cover: the worker, which in the product forks, meters and kills them.
"""

from __future__ import annotations

import json
import marshal
import os
import signal
import socket
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

from acecoder_rl.sandbox.inside import judge, rpc
from acecoder_rl.sandbox.inside.wire import recv_frame, send_frame


class Report(NamedTuple):
    """What the judge said of one test."""

    status: str
    message: str
    claimed: bool


def serve_program(program: str) -> Callable[[socket.socket], None]:
    """A candidate that loads `program` and answers for it."""

    def candidate(sock: socket.socket) -> None:
        module = sys.modules["solution"] = ModuleType("solution")
        exec(compile(program, "<solution>", "exec", dont_inherit=True), module.__dict__)
        rpc.serve(sock, module.__dict__)

    return candidate


def fork(work: Callable[..., None], *sockets: socket.socket) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work(*sockets)
        finally:
            os._exit(0)
    for sock in sockets:
        sock.close()
    return pid


def judge_tests(
    program: str | Callable[[socket.socket], None],
    tests: list[str],
    setup: str = "",
    kind: str = "assert",
    entry_point: str | None = None,
    seconds: float = 120.0,
) -> list[Report]:
    """Reports of tests in order; those that were not run are missing.

    Args:
        program: its source, or a function that acts as the candidate process on its socket.
    """
    ours, worker = socket.socketpair()
    theirs, candidate = socket.socketpair()
    work = serve_program(program) if isinstance(program, str) else program
    pids = [fork(lambda sock: (theirs.close(), ours.close(), worker.close(), work(sock)), candidate)]
    pids.append(fork(lambda *socks: (worker.close(), judge.main(*socks)), theirs, ours))
    worker.settimeout(seconds)
    reports, started, ended = [], None, False
    try:
        assert recv_frame(worker) == b"H"
        spec = {"kind": kind, "setup": setup, "tests": tests, "start": 0, "entry_point": entry_point}
        send_frame(worker, marshal.dumps(spec))
        while (frame := recv_frame(worker)) is not None:
            event = json.loads(frame)
            if event[0] == "start":
                started = event[1]
            elif event[0] == "done":
                assert event[1] == started == len(reports)
                reports.append(Report(*event[2:]))
            else:
                ended = True
        assert ended == (len(reports) == len(tests) and reports[-1].status != "crashed")
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        worker.close()
    return reports


def statuses(program: str | Callable[[socket.socket], None], tests: list[str], **more: Any) -> list[str]:
    return [report.status for report in judge_tests(program, tests, **more)]
