"""The thread that hands programs to workers.

Covers: the queue, sharing of equal runs, cancelling, restarting workers that died and running
their program once more.
Does not cover: what the user calls (pool.py), what a worker does (worker.py).
Whatever becomes of the thread, whoever waits for a verdict gets it or a SandboxError.
"""

from __future__ import annotations

import itertools
import os
import selectors
import signal
import socket
import threading
import traceback
import weakref
from collections import deque
from concurrent.futures import Future
from typing import Any

from acecoder_rl.problems import Tests
from acecoder_rl.sandbox.calls import settle
from acecoder_rl.sandbox.hired import Ticket, Worker
from acecoder_rl.sandbox.verdict import Job, SandboxError, Verdict

RESTARTS_IN_A_ROW = 3
LIVE: weakref.WeakSet[Dispatcher] = weakref.WeakSet()


class Dispatcher:
    """Queue and workers. All state but `lock`-guarded fields belongs to the thread."""

    def __init__(self, size: int, config: dict[str, Any]) -> None:
        self.size, self.config = size, config
        self.pid = os.getpid()
        # Reentrant: the garbage collector may close a forgotten Sandbox on any line of ours.
        self.lock = threading.RLock()
        self.queue: deque[Ticket] = deque()
        self.open: dict[Any, Ticket] = {}
        self.cancelled: set[int] = set()
        self.closed = self.ended = False
        self.failure = ""
        self.numbers = itertools.count(1)
        self.workers: list[Worker] = []
        self.losses = 0
        self.selector = selectors.DefaultSelector()
        self.woken = False
        self.wake_out, self.wake_in = socket.socketpair()
        self.wake_in.setblocking(False)
        self.selector.register(self.wake_out, selectors.EVENT_READ)
        self.started: Future[None] = Future()
        self.thread = threading.Thread(target=self._loop, name="acecoder-sandbox", daemon=True)
        LIVE.add(self)

    def start(self) -> None:
        """Start the workers and wait until they are ready.

        Raises:
            SandboxError: one cannot start.
        """
        try:
            for _ in range(self.size):
                self._add_worker()
            self.thread.start()
            self.started.result()
        except BaseException:
            self.close()
            raise

    def submit(self, job: Job, tests: Tests, fresh: bool, dedupe: bool) -> Future[Verdict]:
        """Queue a program; the future gets its Verdict or a SandboxError, and may be cancelled."""
        future: Future[Verdict] = Future()
        identity = None if fresh or not dedupe else (job, tests.digest)
        with self.lock:
            if self.closed:
                raise SandboxError(self.failure or "this Sandbox is closed")
            ticket = self.open.get(identity) if identity else None
            if ticket is None:
                ticket = Ticket(next(self.numbers), job, tests, fresh, identity)
                if identity:
                    self.open[identity] = ticket
                self.queue.append(ticket)
            ticket.waiting.append(future)
        future.add_done_callback(lambda done: self._cancel(ticket, done) if done.cancelled() else None)
        self._wake()
        return future

    def _cancel(self, ticket: Ticket, future: Future[Verdict]) -> None:
        """`future` is no longer wanted; kills the program if nobody else waits for it."""
        with self.lock:
            if future not in ticket.waiting:
                return  # its verdict came first
            ticket.waiting.remove(future)
            if ticket.waiting:
                return
            self._forget(ticket)
            self.cancelled.add(ticket.number)
        self._wake()

    def close(self) -> None:
        """End the thread and the workers."""
        if os.getpid() != self.pid:
            return  # a forked copy, at its exit: the workers are not its own
        with self.lock:
            self.closed = True
        self._wake()
        if self.thread.ident is None:
            self._end_all()
        elif threading.current_thread() is not self.thread:
            self.thread.join()

    def leave(self) -> None:
        """In a forked copy of the owner: let go of what would keep the workers from seeing its end."""
        for worker in self.workers:
            worker.sock.close()
        for sock in (self.wake_in, self.wake_out, self.selector):
            sock.close()

    # -- the thread ------------------------------------------------------------------------------

    def _loop(self) -> None:
        try:
            while not self.closed:
                self._turn()
        except Exception as error:  # a bug of ours
            traceback.print_exc()
            self._fail(f"{type(error).__name__} in the sandbox's thread: {error}")
        finally:
            self._end_all()

    def _turn(self) -> None:
        for key, _ in self.selector.select():
            if key.fileobj is self.wake_out:
                self.wake_out.recv(65536)
                self.woken = False  # what is asked from here on is seen below, or wakes us again
            else:
                self._hear(key.data)
        if not self.started.done() and self.workers and all(worker.ready for worker in self.workers):
            self.started.set_result(None)
        self._cancel_running()
        self._hand_out()

    def _hear(self, worker: Worker) -> None:
        messages = worker.receive()
        if messages is None:
            return self._lost(worker)
        for kind, number, *result in messages:
            if kind == "ready":
                worker.ready = True
            elif kind == "dead":
                self._fail(str(number))
            else:
                ticket, worker.ticket = worker.ticket, None
                self.losses = 0
                assert ticket is not None and ticket.number == number
                if kind == "done":
                    self._resolve(ticket, result[0])
                elif kind == "error":
                    worker.plans.pop(ticket.tests.digest, None)  # as the worker does
                    if ticket.careful:
                        self._resolve(ticket, SandboxError(result[0]))
                    else:
                        self._again(ticket)
        return None

    def _lost(self, worker: Worker) -> None:
        """A worker died: start another, and run its program once more, carefully."""
        self.selector.unregister(worker.sock)
        self.workers.remove(worker)
        worker.end()
        status = worker.process.returncode
        if not self.started.done():
            return self._fail(f"a sandbox worker ended while starting (status {status}): run `acecoder-rl doctor`")
        # Comparing the program's answer took too long (worker.py): that tells nothing about the machine.
        if -status not in (signal.SIGPROF, signal.SIGXCPU):
            self.losses += 1
        if worker.ticket:
            if worker.ticket.careful:
                message = f"a sandbox worker was lost twice on one program (status {status})"
                self._resolve(worker.ticket, SandboxError(message))
            else:
                self._again(worker.ticket)
        if self.losses > RESTARTS_IN_A_ROW * self.size:
            return self._fail(f"sandbox workers keep dying (status {status}): run `acecoder-rl doctor`")
        try:
            self._add_worker()
        except SandboxError as error:
            self._fail(str(error))
        return None

    def _again(self, ticket: Ticket) -> None:
        with self.lock:
            if ticket.waiting:
                ticket.careful = True
                self.queue.appendleft(ticket)

    def _hand_out(self) -> None:
        for worker in self.workers:
            if not worker.ready or worker.ticket:
                continue
            with self.lock:
                while self.queue and self.queue[0].number in self.cancelled:
                    self.cancelled.discard(self.queue.popleft().number)
                ticket = self.queue.popleft() if self.queue else None
            if ticket:
                worker.give(ticket)
            elif worker.fresh:
                worker.rest()

    def _cancel_running(self) -> None:
        with self.lock:
            running = [worker for worker in self.workers if worker.ticket and worker.ticket.number in self.cancelled]
            for worker in running:
                assert worker.ticket is not None
                self.cancelled.discard(worker.ticket.number)
        for worker in running:
            assert worker.ticket is not None
            worker.send(("cancel", worker.ticket.number))

    def _add_worker(self) -> None:
        try:
            worker = Worker(self.config)
        except OSError as error:
            raise SandboxError(
                f"a sandbox worker cannot start ({error}): raise the process and file limits (ulimit -u, -n)"
            ) from error
        self.workers.append(worker)
        self.selector.register(worker.sock, selectors.EVENT_READ, worker)

    def _resolve(self, ticket: Ticket, result: Verdict | SandboxError) -> None:
        with self.lock:
            self._forget(ticket)
            self.cancelled.discard(ticket.number)
            waiting, ticket.waiting = ticket.waiting, []
        for future in waiting:
            settle(future, result)

    def _forget(self, ticket: Ticket) -> None:
        if ticket.identity and self.open.get(ticket.identity) is ticket:
            del self.open[ticket.identity]

    def _fail(self, message: str) -> None:
        """The sandbox cannot go on: its thread ends."""
        with self.lock:
            self.failure, self.closed = self.failure or message, True

    def _end_all(self) -> None:
        message = self.failure or "this Sandbox was closed"
        with self.lock:
            self.ended = self.closed = True
            tickets = [worker.ticket for worker in self.workers if worker.ticket] + list(self.queue)
            self.queue.clear()
        for ticket in tickets:
            self._resolve(ticket, SandboxError(message))
        for worker in self.workers:
            worker.hang_up()
        while self.workers:
            self.workers.pop().end()
        for sock in (self.selector, self.wake_in, self.wake_out):
            sock.close()
        if not self.started.done():
            self.started.set_exception(SandboxError(message))

    def _wake(self) -> None:
        with self.lock:
            if not self.ended and not self.woken:
                self.woken = True
                self.wake_in.send(b"x")


def _leave_all() -> None:
    for dispatcher in list(LIVE):
        dispatcher.leave()


os.register_at_fork(after_in_child=_leave_all)
