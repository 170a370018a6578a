"""Ray on this node, for this job alone: it meets no other job's Ray, and ends with our process.

Covers: `ray start --block` with ports that the kernel gives, a directory and a token of the job's own, CPUs and GPUs
    as Slurm granted them; when it is up; why it ended; what it leaves in the log.
Does not cover: what runs in it (acecoder_rl/training), the nodes together (lead.py).
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil

from acecoder_rl.slurm.children import Child
from acecoder_rl.slurm.job import Job
from acecoder_rl.training.driver import RAY

# What Ray itself takes where it is told 0: any port that is free, bound at once.
PORTS = (
    "node-manager-port",
    "object-manager-port",
    "runtime-env-agent-port",
    "dashboard-agent-grpc-port",
    "dashboard-agent-listen-port",
    "metrics-export-port",
    "min-worker-port",
    "max-worker-port",
)
# Its sockets stand 70 characters below, and a socket's path may have 107.
LONGEST_TEMP = 24
# Ray gives itself 30 s to come up, which is not enough where Python starts slowly.
TRIES = 4
PATIENCE = {"RAY_raylet_start_wait_time_s": "120"}
UP = "ray_current_cluster"  # written by Ray when all of it runs on this node; holds the cluster's address
SAYS_WHY = re.compile(r"(\w+) \[exit code=(-?\d+)\]")
LOGS = ("raylet.out", "raylet.err", "gcs_server.out", "gcs_server.err")
STATE = "[state-dump]"  # hundreds of lines a minute
LAST_LINES = 20
CPU_OBJECT_STORE = 512 * 2**20


class RayEnded(RuntimeError):
    """Ray on this node has ended; the message tells why."""


class RayNode:
    """It, while it runs.

    Args:
        job: whose node.
        resources: the recipe's section.
        here: this node's address.
        token: that all processes of this Ray have; without it nobody can run code in it.
        log: where it and we write.
        join: the first node's Ray; None starts that.
    """

    def __init__(self, job: Job, resources: Any, here: str, token: str, log: Path, join: str | None = None) -> None:
        self._log = log
        self._environment = environment(here, token, resources.device)
        self._arguments = [
            "--block",
            "--disable-usage-stats",
            "--log-color=false",
            f"--node-ip-address={here}",
            f"--node-name={job.node}",
            *(f"--{port}=0" for port in PORTS),
            *_granted(job, resources),
            *([f"--address={join}"] if join else ["--head", "--port=0", "--include-dashboard=false"]),
        ]
        self._prefix = f"ray-{job.number}-"
        self._tries = 0
        self._address: str | None = None
        self._start()

    def look(self) -> str | None:
        """The address of the whole Ray, once this node's part of it is up; None before.

        Raises:
            RayEnded: it has ended.
        """
        if self._address is None and (self._temp / UP).exists():
            self._address = (self._temp / UP).read_text().strip() or None
        if self._child.process.poll() is None:
            return self._address
        if self._address is not None or self._tries == TRIES:
            raise RayEnded(f"Ray ended on this node: {self._why()}; its log is {self._log}")
        self.end(0)
        self._start()
        return None

    def end(self, seconds: float) -> None:
        """End it and all that ran in it; its own logs' last lines are kept if it ended by itself."""
        by_itself = self._child.process.poll() is not None
        self._child.end(seconds)
        if by_itself:
            self._keep_logs()
        shutil.rmtree(self._temp, ignore_errors=True)

    def _start(self) -> None:
        self._tries += 1
        self._temp = Path(tempfile.mkdtemp(prefix=self._prefix, dir=_short_temp()))
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", f"--temp-dir={self._temp}", *self._arguments]
        # SIGKILL: its daemons have the same from it, and it would take a minute over ending them one by one.
        self._child = Child(command, self._environment, self._log, orphaned=signal.SIGKILL)

    def _why(self) -> str:
        """As far as it says."""
        text = self._log.read_text(errors="replace")
        status = self._child.process.returncode
        if status == 1 and (parts := SAYS_WHY.findall(text[text.rfind("exited unexpectedly") :])):
            return ", ".join(f"its {name} ended with {code}" for name, code in parts)
        return f"killed by signal {-status}" if status < 0 else f"`ray start` ended with status {status}"

    def _keep_logs(self) -> None:
        with self._log.open("a") as log:
            for path in sorted(self._temp.glob("session_2*/logs/*")):
                if path.name in LOGS:
                    lines = [line for line in path.read_text(errors="replace").splitlines() if STATE not in line]
                    log.write("\n".join([f"--- the end of {path.name}", *lines[-LAST_LINES:], ""]))


def environment(here: str, token: str, device: str) -> dict[str, str]:
    """What Ray and the training have in their environment.

    Args:
        here: this node's address.
        token: of the job's Ray.
        device: the recipe's.
    """
    found = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    if device == "cpu":  # whose GPUs are logical
        found.pop("CUDA_VISIBLE_DEVICES", None)
    ours = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token, "RAY_START_HOOK": f"{__name__}.without_client"}
    # Gloo looks its own address up by the host's name, which many clusters map to 127.0.1.1.
    defaults = {**RAY, **PATIENCE, **({"GLOO_SOCKET_IFNAME": name} if (name := _interface(here)) else {})}
    return {**defaults, **found, **ours}


def without_client(parameters: Any, head: bool) -> None:
    """Ray's own hook: no Ray Client server, which nobody here needs, and which has no port but a fixed one."""
    parameters.ray_client_server_port = None


def _granted(job: Job, resources: Any) -> list[str]:
    if resources.device == "cpu":
        # OpenRLHF asks one CPU and one GPU an actor; both are counted only, never bound (training/driver.py).
        gpus = resources.gpus_per_node
        return [f"--num-gpus={gpus}", f"--num-cpus={2 * gpus + 4}", f"--object-store-memory={CPU_OBJECT_STORE}"]
    return [f"--num-cpus={job.cores}", *([f"--num-gpus={job.gpus}"] if job.gpus is not None else [])]


def _short_temp() -> str:
    found = tempfile.gettempdir()
    return found if len(found) <= LONGEST_TEMP else "/tmp"


def _interface(address: str) -> str | None:
    for name, found in psutil.net_if_addrs().items():
        if any(each.family == socket.AF_INET and each.address == address for each in found):
            return name
    return None
