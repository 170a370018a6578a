"""The first node's process: it gathers the nodes, starts the run on them, watches all of it, ends all of it.

Covers: Ray over the nodes and `acecoder-rl train` in it; `acecoder-rl train-rm` on every node; a node that is lost,
    the time limit, what a requeued job goes on from.
Does not cover: the other nodes' side (follow.py), requeueing itself (slurm/run.sh: containers have no scontrol).
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from acecoder_rl.slurm.children import Child
from acecoder_rl.slurm.job import Job, Order
from acecoder_rl.slurm.line import Line, Place, addresses
from acecoder_rl.slurm.ray_node import RayEnded, RayNode, environment
from acecoder_rl.training import metrics
from acecoder_rl.training.recipe import RecipeError

REQUEUE = 75  # this process's status when the job is to be requeued
GATHER_SECONDS = 300.0  # for all nodes to come: Python is slow to start from a busy file server
RAY_SECONDS = 600.0  # for Ray to be up on all of them
# For the training to stop in order: its launcher gives the driver 20 s, and what that leaves 20 more (launch.py).
STOP_SECONDS = 45.0
RAY_STOP_SECONDS = 10.0
LEAVE_SECONDS = 30.0  # for the other nodes to end
EXPLAIN_SECONDS = 5.0  # a training that fails may do so because a node was lost, of which we hear a little later
LOOK = 0.2


class Ends(Exception):
    """The run ends before the training does.

    Args:
        status: of this process.
        message: why.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Event:
    """What happened: message of a node, or a signal.

    Attributes:
        kind: hello, up, failed, gone (a node); limit, stop (a signal).
        node: whose.
        text: what it says.
        number: of the signal.
        line: to the node.
    """

    kind: str
    node: str = ""
    text: str = ""
    number: int = 0
    line: Line | None = None


Events = SimpleQueue  # of Event; its put may be called in a signal handler


def lead(job: Job, order: Order) -> int:
    """Run it; the exit status: 0, the training's own, 1 when a node is lost, REQUEUE, 128 + a signal."""
    events: Events[Event] = SimpleQueue()
    _hear_signals(events)
    try:
        order = order.on(job.nodes)
        resume = _begin(job, order)
    except RecipeError as error:
        _tell(str(error))
        return 2
    before = order.run.last_checkpoint()
    with _Run(job, order, events) as run:
        try:
            status = run.all(resume)
        except Ends as ends:
            _tell(str(ends))
            status = ends.status
    if status == REQUEUE:
        return _requeue(order, before)
    return status


class _Run:
    """The run's parts, each ended at the end, the last started first."""

    def __init__(self, job: Job, order: Order, events: Events[Event]) -> None:
        self.job, self.order, self.events = job, order, events
        self.lines: dict[str, Line] = {}
        self.ray: RayNode | None = None
        self.stopping = False
        self.token = secrets.token_hex(16)

    def __enter__(self) -> _Run:
        self._stack = ExitStack()
        self.place = Place(self.order.nodes_folder / f"{self.job.id}.json", self._heard)
        return self

    def __exit__(self, *error: object) -> None:
        """The other nodes end first: srun would take the first to leave for a sign to end the rest."""
        self.stopping = True
        self.place.close()
        for line in self.lines.values():
            line.say("end")
        self._stack.close()
        end = time.monotonic() + LEAVE_SECONDS
        for name, line in self.lines.items():
            if not line.closed.wait(max(0.0, end - time.monotonic())):
                _tell(f"node {name} has not ended after {LEAVE_SECONDS:.0f} s")
            line.close()

    def all(self, resume: bool) -> int:
        """From the nodes' coming to the training's end; its status."""
        self._gather()
        if self.order.command == "train":
            return self._train(resume)
        return self._everywhere(resume)

    def _gather(self) -> None:
        others = self.job.nodes - 1
        end = time.monotonic() + GATHER_SECONDS
        while len(self.lines) < others:
            event = self._next(end)
            if event is None:
                came = ", ".join(sorted(self.lines)) or "none"
                raise Ends(
                    1,
                    f"after {GATHER_SECONDS:.0f} s {others - len(self.lines)} of {others} other nodes have not come "
                    f"(those that have: {came}): see their lines above, and that {self.order.nodes_folder} is on "
                    "storage that all nodes see",
                )
            if event.kind == "hello":
                assert event.line is not None
                event.line.node = event.node
                self.lines[event.node] = event.line
        self.place.close()

    def _train(self, resume: bool) -> int:
        here = next(iter(self.lines.values())).here if self.lines else addresses()[0]
        log = self.order.nodes_folder / f"{self.job.number}-{self.job.node}.log"
        self.ray = RayNode(self.job, self.order.resources, here, self.token, log)
        self._stack.callback(self.ray.end, RAY_STOP_SECONDS)
        end = time.monotonic() + RAY_SECONDS
        while (address := self.ray.look()) is None:
            self._next(time.monotonic() + LOOK)
            self._in_time(end, {self.job.node})
        for line in self.lines.values():
            line.say("ray", address=address, token=self.token)
        waiting = set(self.lines)
        while waiting:
            event = self._next(end)
            waiting -= {event.node} if event and event.kind == "up" else set()
            self._in_time(end, waiting)
        nodes = "1 node" if self.job.nodes == 1 else f"{self.job.nodes} nodes"
        _tell(f"Ray is up on {nodes} ({self._granted()}), at {address}")
        given = environment(here, self.token, self.order.resources.device) | {"RAY_ADDRESS": address}
        return self._follow(resume, given)

    def _everywhere(self, resume: bool) -> int:
        given = dict(os.environ)
        if self.lines and self.order.resources.device != "cpu":  # where it is one process, here
            with socket.socket() as free:
                free.bind(("", 0))
                port = str(free.getsockname()[1])
            given |= {"MASTER_ADDR": next(iter(self.lines.values())).here, "MASTER_PORT": port}
            for line in self.lines.values():
                line.say("run", resume=resume, address=given["MASTER_ADDR"], port=port)
        return self._follow(resume, given)

    def _follow(self, resume: bool, given: dict[str, str]) -> int:
        """The command of acecoder-rl on this node, to its end."""
        child = Child([sys.executable, "-m", "acecoder_rl.cli", *self.order.arguments(resume)], given)
        try:
            while (status := child.process.poll()) is None:
                self._next(time.monotonic() + LOOK)
        except Ends:
            if child.end(STOP_SECONDS) == 0:
                return 0  # it had come to its end
            raise
        finally:
            child.end(STOP_SECONDS)
        if status:  # its own message is above
            end = time.monotonic() + EXPLAIN_SECONDS
            while time.monotonic() < end:
                self._next(end)
        return status if status >= 0 else 128 - status

    def _next(self, end: float) -> Event | None:
        """The next event; None when there is none until `end`, in time.monotonic's seconds.

        Raises:
            Ends: it is one that ends the run, or Ray has ended here.
        """
        while True:
            try:
                if self.ray is not None:
                    self.ray.look()
                event = self.events.get(timeout=max(0.0, min(LOOK, end - time.monotonic())))
                break
            except RayEnded as ended:
                raise Ends(1, f"node {self.job.node} is lost: {ended}") from None
            except Empty:
                if time.monotonic() >= end:
                    return None
        if event.kind == "limit":
            raise Ends(REQUEUE, "the time limit is near")
        if event.kind == "stop":
            raise Ends(128 + event.number, f"stopped by {signal.Signals(event.number).name}")
        if event.kind == "gone":
            raise Ends(1, f"node {event.node} is lost: its process was killed, or it no longer answers")
        if event.kind == "failed":
            raise Ends(1, f"node {event.node} is lost: {event.text}")
        return event

    def _in_time(self, end: float, waiting: set[str]) -> None:
        if waiting and time.monotonic() > end:
            late = ", ".join(sorted(waiting))
            raise Ends(
                1, f"after {RAY_SECONDS:.0f} s Ray is not up on {late}: see the logs in {self.order.nodes_folder}"
            )

    def _heard(self, line: Line, message: dict[str, Any] | None) -> None:
        if message is None:
            if line.node and not self.stopping:
                self.events.put(Event("gone", line.node))
            return
        node = message.get("node") or line.node
        self.events.put(Event(message["kind"], node, message.get("text", ""), line=line))

    def _granted(self) -> str:
        resources = self.order.resources
        if resources.device == "cpu":
            return "GPUs are logical"
        return f"{self.job.gpus if self.job.gpus is not None else 'all'} GPUs and {self.job.cores} cores on this one"


def _hear_signals(events: Events[Event]) -> None:
    """Once each: a second one must not break the clean-up."""

    def hear(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        kind = "limit" if number == signal.SIGUSR1 else "stop"
        events.put(Event(kind, number=number))

    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, hear)


def _begin(job: Job, order: Order) -> bool:
    """Whether to go on from a checkpoint; what a requeued job began without saving a step is put aside."""
    run = order.run
    if not job.restarts:
        return order.resume
    if run.last_checkpoint() is not None:
        return True
    if run.used:
        _tell("the job was requeued before a step was saved: it begins again")
        run.facts.rename(run.path / f"run.{job.restarts}.json")
        if run.metrics.exists():
            metrics.forget_after(run.metrics, 0)
    return False


def _requeue(order: Order, before: int | None) -> int:
    """Only what gets on goes on: else a job would be requeued for ever."""
    after = order.run.last_checkpoint()
    if after is None or after == before:
        _tell("not requeued, as no step was saved in this time: raise --time, or lower train.save_steps")
        return 1
    _tell(f"step {after} is saved; the job is requeued and goes on from there")
    return REQUEUE


def _tell(text: str) -> None:
    for line in text.splitlines():
        print(f"acecoder-rl: {line}", file=sys.stderr, flush=True)
