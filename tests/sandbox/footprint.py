"""What a sandbox holds on to: processes, descriptors, memory; and what it has left behind on the machine.

Does not cover: processes that escaped from the tree (test_sandbox.py kills the owner for those).
"""

from __future__ import annotations

import gc
import os
import re
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Footprint:
    """Of this process and all below it.

    Attributes:
        processes: how many, zombies included; zombies: how many of them have ended and not been waited for.
        threads: of this process.
        descriptors: all open files of all processes together.
        memory_kb: largest resident size by the place in the tree: caller, worker, candidate's zygote, ...
    """

    processes: int
    zombies: int
    threads: int
    descriptors: int
    memory_kb: dict[str, int]


def footprint() -> Footprint:
    """Of the calling process, when nothing runs in its sandboxes."""
    gc.collect()  # a forgotten sandbox closes now, and not between two looks
    me = psutil.Process()
    settle(me)
    tree = [(me, "caller")] + [(process, _role(process)) for process in me.children(recursive=True)]
    memory: dict[str, int] = {}
    descriptors = 0
    for process, role in tree:
        resident = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        memory[role] = max(memory.get(role, 0), resident >> 10)
        descriptors += len(os.listdir(f"/proc/{process.pid}/fd"))
    zombies = sum(process.status() == psutil.STATUS_ZOMBIE for process, _ in tree)
    return Footprint(len(tree), zombies, threading.active_count(), descriptors, memory)


def settle(process: psutil.Process, seconds: float = 30.0) -> None:
    """Wait until the processes below one are the same for a while, and none of them has ended without being waited for.

    The last programs are killed and reaped after their verdicts; on a busy machine that takes its time.
    """
    deadline = time.monotonic() + seconds
    last, since = None, time.monotonic()
    while time.monotonic() < deadline:
        now = {child.pid: _is_zombie(child) for child in process.children(recursive=True)}
        if now != last or any(now.values()):
            last, since = now, time.monotonic()
        elif time.monotonic() - since > 0.5:
            return
        time.sleep(0.05)


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, of all below it, and of all that these have waited for."""
    settle(psutil.Process(pid))
    tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(sum(process.cpu_times()[:4]) for process in tree)


def left_behind() -> list[str]:
    """Temporary directories and cgroups of sandboxes whose worker has ended."""
    found = [*Path(tempfile.gettempdir()).glob("acecoder-sandbox-*"), *_groups()]
    if Path("/dev/shm").exists():
        found += Path("/dev/shm").glob("*acecoder*")
    dead = []
    for path in found:
        owner = re.search(r"acecoder-(?:sandbox-)?(\d+)-", path.name)
        if not owner or not psutil.pid_exists(int(owner[1])):
            dead.append(str(path))
    return sorted(dead)


def newly_left(before: list[str], seconds: float = 30.0) -> list[str]:
    """What has been left since `before`; waits a little, as other sandboxes of the machine may be ending."""
    deadline = time.monotonic() + seconds
    while (new := sorted(set(left_behind()) - set(before))) and time.monotonic() < deadline:
        time.sleep(0.1)
    return new


def _groups() -> list[Path]:
    top = Path("/sys/fs/cgroup")
    return [Path(where) / name for where, names, _ in os.walk(top) for name in names if name.startswith("acecoder-")]


def _role(process: psutil.Process) -> str:
    """The worker, or which of its jailed interpreters: told by the depth and the age among its siblings."""
    if process.status() == psutil.STATUS_ZOMBIE:
        return "zombie"
    line = process.cmdline()
    if any("sandbox.worker" in part for part in line):
        return "worker"
    above = process.parent()
    if above and any("sandbox.worker" in part for part in above.cmdline()):
        return "waiter"  # outside of the pid namespace, or the zygote itself where there is none
    return "zygote"
