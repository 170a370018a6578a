"""A worker process: takes one program at a time from its owner, answers with its verdict.

Covers: the worker's own protection (CPU and memory guard, non-dumpable), its zygotes, its plans.
Does not cover: running a program (run.py), handing out programs (pool.py).
The owner's socket carries frames of 4 bytes length + pickle; both ends are ours. A candidate never
reaches it.
Hostile input: values of candidates are judged here. Judging that runs away is ended by the kernel
(SIGPROF, SIGXCPU); the pool then sends the program again with `careful`, and each judgement gets a process
of its own with a limit.
"""

from __future__ import annotations

import ctypes
import json
import os
import pickle
import random
import resource
import select
import signal
import socket
import sys
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from acecoder_rl.problems import Tests
from acecoder_rl.sandbox.child import Cancelled
from acecoder_rl.sandbox.engines import run_program
from acecoder_rl.sandbox.route import PLANS, Route, plan
from acecoder_rl.sandbox.run import Run, send_frame
from acecoder_rl.sandbox.spawn import Zygote
from acecoder_rl.sandbox.verdict import Job, Outcome, SandboxError

JUDGED_HERE_SECONDS = 1.0  # one answer; an honest one takes milliseconds
JUDGING_CPU_SECONDS = 8  # what judging one program may cost before the kernel ends the worker
STACK_BYTES = 512 << 20  # of each jailed interpreter: recursion is a program's right
NUMPY_BYTES = 512 << 20
MEMORY_BYTES = 8 << 30  # of the worker's address space
FRESH_RUNS = 256  # programs that share interpreters with another hash seed: to start those costs what 25 programs cost
PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4


def main(descriptor: int) -> None:
    """Serve the owner on socket `descriptor` until it closes."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the owner's to act on
    _limit(resource.RLIMIT_AS, MEMORY_BYTES)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_STACK, STACK_BYTES)  # a new process lays out its memory by it
    owner = socket.socket(fileno=descriptor)
    config = receive(owner)
    if config is None:
        return
    worker = Worker(owner, config)
    try:
        worker.zygote("candidate")
    except SandboxError as error:
        worker.reply(("dead", str(error)))
        return
    worker.reply(("ready", os.getpid()))
    try:
        while (request := receive(owner)) is not None:
            if request[0] == "run":
                worker.serve(*request[1:])
            elif request[0] == "rest":
                worker.end_fresh()
    finally:
        worker.close()


class Worker:
    """The state of a worker between programs."""

    def __init__(self, owner: socket.socket, config: dict[str, Any]) -> None:
        self.owner, self.config = owner, config
        self.zygotes: dict[str, Zygote] = {}
        self.fresh: Fresh | None = None
        self.plans: OrderedDict[str, Route] = OrderedDict()
        self.current = 0
        # What this process takes by itself, and room for numpy, which it imports when a value needs it.
        self.own_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        self.own_bytes += NUMPY_BYTES

    def zygote(self, role: str) -> Zygote:
        """The zygote of `role`, started on first use."""
        if role not in self.zygotes:
            self.zygotes[role] = Zygote(role, self.config)
        return self.zygotes[role]

    def serve(self, number: int, key: str, tests: Tests | None, job: Job, careful: bool, fresh: bool) -> None:
        """Run job `number` and answer ("done" | "cancelled" | "error", number, result)."""
        self.current = number
        resource.setrlimit(resource.RLIMIT_CPU, (_own_cpu() + JUDGING_CPU_SECONDS, resource.RLIM_INFINITY))
        memory = self.own_bytes + (job.limits.memory_mb << 20)
        guard = partial(in_process if careful else run_here, memory=memory)
        owner = (self.owner, self.on_owner)
        try:
            route = self.route(key, tests)
            zygote = self.fresh_for(hash((key, job.program))).zygote if fresh else self.zygote
            self.reply(("done", number, run_program(Run(job, route, zygote, guard, owner))))
        except Cancelled:
            self.abandon()
            self.reply(("cancelled", number, None))
        except SandboxError as error:
            self.give_up(key)
            self.reply(("error", number, str(error)))
        except Exception as error:  # a bug of ours: the owner hears of it, and this worker goes on
            traceback.print_exc()
            self.give_up(key)
            self.reply(("error", number, f"{type(error).__name__} in a sandbox worker: {error}"))
        self.current = 0

    def route(self, key: str, tests: Tests | None) -> Route:
        """The plan of a problem: made once, then kept."""
        if tests is not None:
            self.plans[key] = plan(tests)
            while len(self.plans) > PLANS:
                self.plans.popitem(last=False)
        self.plans.move_to_end(key)
        return self.plans[key]

    def on_owner(self) -> None:
        """The owner spoke while a program runs: it cancels, or it is gone."""
        request = receive(self.owner)
        if request is None:
            raise SystemExit  # through whoever has something to close
        if request == ("cancel", self.current):
            raise Cancelled

    def fresh_for(self, program: int) -> Fresh:
        """Interpreters with a hash seed that `program`, a hash of it and its tests, has not run with."""
        if self.fresh and (program in self.fresh.ran or len(self.fresh.ran) >= FRESH_RUNS):
            self.end_fresh()
        self.fresh = self.fresh or Fresh(self.config)
        self.fresh.ran.add(program)
        return self.fresh

    def end_fresh(self) -> None:
        if self.fresh:
            self.fresh.close()
        self.fresh = None

    def abandon(self) -> None:
        """End the zygotes with whatever runs in them; the next program gets new ones."""
        self.close()

    def give_up(self, key: str) -> None:
        """After an error: the owner takes neither zygotes nor the plan for good."""
        self.plans.pop(key, None)
        self.abandon()

    def close(self) -> None:
        while self.zygotes:
            self.zygotes.popitem()[1].close()
        self.end_fresh()

    def reply(self, message: tuple[Any, ...]) -> None:
        send_frame(self.owner, pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL))


class Fresh:
    """Zygotes with another hash seed, for programs that each run once in them: how flaky tests are found."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config, self.seed = config, random.SystemRandom().randrange(1, 2**32)
        self.zygotes: dict[str, Zygote] = {}
        self.ran: set[int] = set()

    def zygote(self, role: str) -> Zygote:
        if role not in self.zygotes:
            self.zygotes[role] = Zygote(role, self.config, self.seed)
        return self.zygotes[role]

    def close(self) -> None:
        while self.zygotes:
            self.zygotes.popitem()[1].close()


def run_here(judge: Callable[[], Outcome], limit: float, memory: int) -> tuple[Outcome, float]:
    """Judge in the worker itself: the usual way. What takes long ends the worker (SIGPROF), and the pool
    has it judged with care.

    Returns the outcome and the CPU seconds that it cost.
    """
    return _bounded(judge, min(limit, JUDGED_HERE_SECONDS), memory)


def _bounded(judge: Callable[[], Outcome], limit: float, memory: int) -> tuple[Outcome, float]:
    """Judge within `limit` seconds of CPU and `memory` bytes of address space."""
    began = time.process_time()
    signal.setitimer(signal.ITIMER_PROF, limit)
    _limit(resource.RLIMIT_AS, memory)
    try:
        return judge(), time.process_time() - began
    finally:
        _limit(resource.RLIMIT_AS, MEMORY_BYTES)
        signal.setitimer(signal.ITIMER_PROF, 0)


def in_process(judge: Callable[[], Outcome], limit: float, memory: int) -> tuple[Outcome, float]:
    """Judge in a process of its own, ended at its limit: after judging has cost us a worker."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            outcome, _ = _bounded(judge, limit, memory)
            os.write(writer, json.dumps([outcome.status, outcome.message, outcome.cpu_seconds]).encode())
        finally:
            os._exit(0)  # whatever was raised: never back into the worker's own code
    os.close(writer)
    ready, _, _ = select.select([reader], [], [], 10 + 10 * limit)
    data = os.read(reader, 65536) if ready else b""
    os.close(reader)
    os.kill(child, signal.SIGKILL)
    usage = os.wait4(child, 0)[2]
    seconds = usage.ru_utime + usage.ru_stime
    if not data:
        message = f"comparing the answer took more than {limit:g} s"
        return Outcome("timeout", message, round(seconds, 6)), seconds
    status, message, cpu_seconds = json.loads(data)
    return Outcome(status, message, cpu_seconds), seconds


def receive(sock: socket.socket) -> Any:
    """One frame of the other end, unpickled (both ends are ours); None at end of file."""
    try:
        head = sock.recv(4, socket.MSG_WAITALL)
    except ConnectionResetError:
        return None
    if len(head) < 4:
        return None
    size, data = int.from_bytes(head, "little"), bytearray()
    while len(data) < size:
        part = sock.recv(min(size - len(data), 1 << 20))
        if not part:
            return None
        data += part
    return pickle.loads(bytes(data))


def _own_cpu() -> int:
    return int(time.process_time()) + 1


def _limit(limit: int, value: int) -> None:
    """Set a soft limit, never past what the hard limit allows."""
    hard = resource.getrlimit(limit)[1]
    resource.setrlimit(limit, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


if __name__ == "__main__":
    main(int(sys.argv[1]))
