"""`srun acecoder-rl doctor`: the reports of all nodes of a Slurm step, gathered by its first task.

Covers: who reports to whom, over TCP between the nodes, as Ray will talk, too; a folder that all see and write; how
    far the clocks are apart; nodes that do not answer.
Does not cover: what a report says (doctor.py), comparing them (doctor_table.py), starting the tasks (srun does, in
    the container or not: nothing of Slurm's is called here).
"""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import threading
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

WAIT_SECONDS = 60.0  # for the other tasks: Python starts slowly from a cold file server
HELLO_SECONDS = 3.0  # for whoever has a port to say who it is
TALK_SECONDS = 20.0  # for one answer
SEEN_SECONDS = 5.0  # for a new file to be seen on another node
PORTS = 10  # tried, from one that the step's number chooses, below those that the kernel hands out
LONGEST = 1 << 20  # bytes of a message
Report = dict[str, Any]


@dataclass(frozen=True)
class Step:
    """This task's place in a Slurm step of several tasks.

    Attributes:
        name: job.step.
        rank: of the task, 0 = the one that gathers.
        local: its rank on its node; the first of each node reports.
        node: this node's name.
        nodes: all of them, the first task's first.
    """

    name: str
    rank: int
    local: int
    node: str
    nodes: tuple[str, ...]

    @property
    def ports(self) -> list[int]:
        """Where the first task may listen."""
        first = 20000 + zlib.crc32(self.name.encode()) % 12000
        return [first + number for number in range(PORTS)]


def slurm_step(environ: Mapping[str, str] = os.environ) -> Step | None:
    """The step that srun started this task in; None = none, or one of a single task."""
    tasks, nodes = environ.get("SLURM_STEP_NUM_TASKS", ""), hosts(environ.get("SLURM_STEP_NODELIST", ""))
    if not tasks.isdigit() or int(tasks) < 2 or not nodes:
        return None
    return Step(
        f"{environ.get('SLURM_JOB_ID', '')}.{environ.get('SLURM_STEP_ID', '')}",
        int(environ.get("SLURM_PROCID", "0")),
        int(environ.get("SLURM_LOCALID", "0")),
        environ.get("SLURMD_NODENAME") or socket.gethostname(),
        tuple(nodes),
    )


def hosts(text: str) -> list[str]:
    """The names in a list of Slurm's: "n[08-10],login" -> n08, n09, n10, login."""
    names: list[str] = []
    for item in re.findall(r"(?:[^,\[]|\[[^\]]*\])+", text):
        head, bracket, rest = item.partition("[")
        numbers, _, tail = rest.partition("]")
        if not bracket:
            names.append(head)
            continue
        for span in numbers.split(","):
            low, _, high = span.partition("-")
            for number in range(int(low), int(high or low) + 1):
                names += [f"{head}{number:0{len(low)}d}{more}" for more in (hosts(tail) or [""])]
    return names


def gather(step: Step, report: Report, folder: Path) -> list[Report]:
    """As the first task: all nodes' reports, this one's first. A node that does not answer has only `error`.

    Args:
        folder: should be seen and written by all.
    """
    mark = _mark(step, folder)
    hello = {"step": step.name, "secret": secrets.token_hex(16)}
    own = report | {"node": step.node, "skew": 0.0, "folder": "ok"}
    try:
        _write(mark, hello["secret"])
    except OSError as error:
        own["folder"] = f"{folder} cannot be written: {error.strerror}"
    found: dict[str, Report] = {step.node: own}
    talks = []
    try:
        with _listen(step.ports) as listener:
            end = time.monotonic() + WAIT_SECONDS
            while len(found) < len(step.nodes) and (left := end - time.monotonic()) > 0:
                listener.settimeout(min(left, 0.2))
                with suppress(TimeoutError):
                    talks.append(threading.Thread(target=_hear, args=(listener.accept()[0], hello, mark, found)))
                    talks[-1].start()
        for talk in talks:
            talk.join(TALK_SECONDS)
    finally:
        mark.unlink(missing_ok=True)
    late = f"no report within {WAIT_SECONDS:g} s: it did not start there, or cannot reach {step.node} over TCP"
    return list(found.values()) + [{"node": node, "error": late} for node in step.nodes if node not in found]


def deliver(step: Step, report: Report, folder: Path, environ: Mapping[str, str] = os.environ) -> bool:
    """As another node's task: hand the report to the first task; False = it could not be reached."""
    end = time.monotonic() + WAIT_SECONDS
    # Where names do not resolve: a batch script starts its steps from the first node; several nodes on one machine.
    places = [*_addresses(step.nodes[0]), environ.get("SLURM_LAUNCH_NODE_IPADDR", ""), "127.0.0.1"]
    while time.monotonic() < end:
        for place in dict.fromkeys(filter(None, places)):
            if any(_talk(place, port, step, report, folder) for port in step.ports):
                return True
        time.sleep(0.2)
    return False


def _addresses(name: str) -> list[str]:
    """Of a node. Asked once: a name server that does not answer takes many seconds to say so."""
    with suppress(OSError):
        return [str(place[0]) for *_, place in socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)]
    return []


def _listen(ports: list[int]) -> socket.socket:
    for port in ports:
        with suppress(OSError):
            return socket.create_server(("", port), backlog=1024)
    raise OSError(f"ports {ports[0]} to {ports[-1]} are all in use on this node: run it again, in a new step")


def _mark(step: Step, folder: Path) -> Path:
    return folder / f".acecoder-rl-doctor-{step.name}"


def _hear(connection: socket.socket, hello: dict[str, str], mark: Path, found: dict[str, Report]) -> None:
    """Ask one task for its report; whatever else connects is left alone."""
    with suppress(OSError, ValueError, KeyError, TypeError), connection:
        connection.settimeout(TALK_SECONDS)
        with connection.makefile("rb") as reader:
            asked = time.time()
            _send(connection, hello)
            answer = _receive(reader)
            heard = time.time()
            skew, doubt = answer["time"] - (asked + heard) / 2, (heard - asked) / 2
            if answer["step"] != hello["step"]:
                return
            said = _receive(reader)
            if said["folder"] == "ok" and not _holds(Path(f"{mark}.{said['node']}"), hello["secret"]):
                said["folder"] = "what it writes there is not seen by the first node"
            said["skew"] = 0.0 if abs(skew) <= doubt else skew
            found[str(said["node"])] = said
            _send(connection, {"thanks": True})


def _talk(place: str, port: int, step: Step, report: Report, folder: Path) -> bool:
    """Give the report to whoever listens there, if it is the first task; True = it has it."""
    own = Path(f"{_mark(step, folder)}.{step.node}")
    with (
        suppress(OSError, ValueError),
        socket.create_connection((place, port), HELLO_SECONDS) as connection,
        connection.makefile("rb") as reader,
    ):
        hello = _receive(reader)
        if hello.get("step") != step.name:
            return False  # another program's port
        connection.settimeout(TALK_SECONDS)
        _send(connection, {"step": step.name, "time": time.time()})
        try:
            shared = _shared(_mark(step, folder), own, str(hello.get("secret")))
            _send(connection, report | {"node": step.node, "folder": shared})
            return "thanks" in _receive(reader)
        finally:
            own.unlink(missing_ok=True)
    return False


def _shared(mark: Path, own: Path, secret: str) -> str:
    if not _holds(mark, secret):
        return f"{mark.parent} is not the first node's folder"
    try:
        _write(own, secret)
    except OSError as error:
        return f"{mark.parent} cannot be written: {error.strerror}"
    return "ok"


def _write(file: Path, secret: str) -> None:
    """Make it: in a folder of many users, what stands there already may lead elsewhere."""
    with file.open("x") as new:
        new.write(secret)


def _holds(file: Path, secret: str) -> bool:
    end = time.monotonic() + SEEN_SECONDS
    while True:
        with suppress(OSError):
            if file.read_text() == secret:
                return True
        if time.monotonic() > end:
            return False
        time.sleep(0.1)


def _send(connection: socket.socket, message: dict[str, Any]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


def _receive(reader: BinaryIO) -> dict[str, Any]:
    message = json.loads(reader.readline(LONGEST))
    if not isinstance(message, dict):
        raise ValueError("no message of ours")
    return message
