"""The process of every node but the first: it does there what the first node's process says.

Covers: Ray on this node, or this node's part of train-rm; telling that it is up, or why it ended; ending all of it
    when told to, and when the first node's process is gone.
Does not cover: what is done when (lead.py).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from queue import Empty, SimpleQueue
from typing import Any

from acecoder_rl.slurm.children import Child
from acecoder_rl.slurm.job import Job, Order
from acecoder_rl.slurm.lead import GATHER_SECONDS, LOOK, RAY_STOP_SECONDS, STOP_SECONDS
from acecoder_rl.slurm.line import Line, reach
from acecoder_rl.slurm.ray_node import RayEnded, RayNode
from acecoder_rl.training.recipe import RecipeError

# A signal to the job reaches all nodes: the first one ends the training before we take Ray from under it.
PATIENCE = STOP_SECONDS / 2


def follow(job: Job, order: Order) -> int:
    """Serve until told to end; the exit status."""
    order = order.on(job.nodes)
    events: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing is started yet
    try:
        file = order.nodes_folder / f"{job.id}.json"
        line, token = reach(file, lambda line, message: events.put(message), GATHER_SECONDS)
    except (RecipeError, TimeoutError) as error:
        print(f"acecoder-rl: node {job.node}: {error}", file=sys.stderr, flush=True)
        return 1
    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: signals.append(number))
    with contextlib.ExitStack() as stack:
        stack.callback(line.close)
        line.say("hello", node=job.node)
        return _serve(job, order, line, token, events, signals, stack)


def _serve(
    job: Job,
    order: Order,
    line: Line,
    token: str,
    events: SimpleQueue[dict[str, Any] | None],
    signals: list[int],
    stack: contextlib.ExitStack,
) -> int:
    node: RayNode | None = None
    part: Child | None = None
    told = up = False
    until = float("inf")
    while time.monotonic() < until:
        failed = ""
        try:
            if node and not told and node.look() and not up:
                up = True
                line.say("up")
        except RayEnded as ended:
            failed = str(ended)
        if part and not told and (status := part.process.poll()):
            failed = f"its part of the training ended with status {status}; its message is above"
        if signals:
            until = min(until, time.monotonic() + PATIENCE)
        elif failed:  # of itself: Slurm may give all processes of a job the signal that ends it
            told = True
            line.say("failed", text=failed)
        try:
            message = events.get(timeout=LOOK)
        except Empty:
            continue
        if message is None:
            print(f"acecoder-rl: node {job.node}: the first node's process is gone", file=sys.stderr, flush=True)
            return 1
        if message["kind"] == "end":
            return 0
        if message["kind"] == "ray":
            log = order.nodes_folder / f"{job.number}-{job.node}.log"
            node = RayNode(job, order.resources, line.here, token, log, message["address"])
            stack.callback(node.end, RAY_STOP_SECONDS)
        elif message["kind"] == "run":
            given = {"MASTER_ADDR": message["address"], "MASTER_PORT": message["port"], "NODE_RANK": str(job.rank)}
            command = [sys.executable, "-m", "acecoder_rl.cli", *order.arguments(message["resume"])]
            part = Child(command, os.environ | given)
            stack.callback(part.end, STOP_SECONDS)
    return 128 + signal.SIGTERM
