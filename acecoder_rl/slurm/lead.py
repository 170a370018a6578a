"""The first node's process: it gathers the nodes, starts the run on them, watches all of it, ends all of it.

Covers: Ray over the nodes and `acecoder-rl train` in it; `acecoder-rl train-rm` on every node; a node that is lost,
    the time limit, what a requeued job goes on from.
Does not cover: the other nodes' side (follow.py), requeueing itself (slurm/run.sh: containers have no scontrol).
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from contextlib import ExitStack, suppress
from queue import Empty, SimpleQueue
from typing import Any

from acecoder_rl.slurm.children import Child
from acecoder_rl.slurm.events import Ends, Event, Events, hear_signals
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
SIGNAL_SECONDS = 1.0
LOOK = 0.2


def lead(job: Job, order: Order) -> int:
    """Run it; the exit status: 0, the training's own, 1 when a node is lost, REQUEUE, 128 + a signal."""
    events: Events[Event] = SimpleQueue()
    hear_signals(events)
    try:
        order = order.on(job.nodes)
        order.nodes_folder.mkdir(parents=True, exist_ok=True)
        resume = _begin(job, order)
        parts = _Run(job, order, events)
    except RecipeError as error:
        _tell(str(error))
        return 2
    except OSError as error:
        _tell(f"logging.folder: {error}: give another with --set logging.folder=...")
        return 2
    before = order.run.last_checkpoint()
    with parts as run:
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
        self._stack = ExitStack()
        self.place = Place(order.nodes_folder / f"{job.id}.json", self._heard)

    def __enter__(self) -> _Run:
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
                self.lines[event.node] = event.line
        self.place.close()

    def _train(self, resume: bool) -> int:
        here = next(iter(self.lines.values())).here if self.lines else addresses()[0]
        log = self.order.nodes_folder / f"{self.job.number}-{self.job.node}.log"
        self.ray = RayNode(self.job, self.order.resources, here, self.place.token, log)
        self._stack.callback(self.ray.end, RAY_STOP_SECONDS)
        end = time.monotonic() + RAY_SECONDS
        while (address := self.ray.look()) is None:
            self._next(time.monotonic() + LOOK)
            self._in_time(end, {self.job.node})
        for line in self.lines.values():
            line.say("ray", address=address)
        waiting = set(self.lines)
        while waiting:
            event = self._next(end)
            waiting -= {event.node} if event and event.kind == "up" else set()
            self._in_time(end, waiting)
        nodes = "1 node" if self.job.nodes == 1 else f"{self.job.nodes} nodes"
        _tell(f"Ray is up on {nodes} ({self._granted()}), at {address}")
        given = environment(here, self.place.token, self.order.resources.device) | {"RAY_ADDRESS": address}
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
                event = self._signal()
                if event is None:
                    raise Ends(1, f"node {self.job.node} is lost: {ended}") from None
                break
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

    def _signal(self) -> Event | None:
        """That came a moment ago: Slurm may give all processes of a job the signal that ends it, Ray's first."""
        end = time.monotonic() + SIGNAL_SECONDS
        while (left := end - time.monotonic()) > 0:
            with suppress(Empty):
                event = self.events.get(timeout=left)
                if event.kind in ("limit", "stop"):
                    return event
        return None

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
        if message["kind"] == "hello":
            line.node = message["node"]
        self.events.put(Event(message["kind"], line.node, message.get("text", ""), line=line))

    def _granted(self) -> str:
        resources = self.order.resources
        if resources.device == "cpu":
            return "GPUs are logical"
        return f"{self.job.gpus if self.job.gpus is not None else 'all'} GPUs and {self.job.cores} cores on this one"


def _begin(job: Job, order: Order) -> bool:
    """Whether to go on from a checkpoint; what a requeued job began without saving a step is put aside."""
    run = order.run
    ours = order.nodes_folder / f"{job.number}.begun"
    if not job.restarts or not ours.exists():  # requeued before it came here: what the folder holds is another run's
        if order.resume or not (run.used or run.last_checkpoint() is not None):
            ours.touch()
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
