"""A real Slurm with two nodes on this machine: its own munge key, ports and directory, so that two never meet.

Covers: installing Debian's packages where they are missing, starting, asking, ending all that it started.
Does not cover: what runs in it. Confinement (cgroups, affinity) is not this Slurm's: nodes claim 8 CPUs and 8 GPUs.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
import pytest

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "munge")
PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "squeue", "munged")
NODES = ("n1", "n2")
SBIN = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
CONF = """
ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=20
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=5,bf_interval=5
KillWait=30
MessageTimeout=60
TCPTimeout=30
BatchStartTimeout=120
UnkillableStepTimeout=600
GresTypes=gpu
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=8 RealMemory=24000 Gres=gpu:8
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=8 RealMemory=24000 Gres=gpu:8
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


class Cluster:
    """Slurm's daemons; `environment` is what its commands need.

    Raises:
        pytest.skip.Exception: there is no Slurm here, and none can be had.
    """

    def __init__(self) -> None:
        _need_programs()
        # Short: munge's socket stands in it.
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        self.environment = {"SLURM_CONF": f"{self.folder}/slurm.conf", "PATH": SBIN}
        self._daemons: list[subprocess.Popen[bytes]] = []
        try:
            self._configure()
            self._start()
        except BaseException:
            self.close()
            raise

    def ask(self, *command: str, **options: object) -> str:
        """A Slurm command's output; AssertionError with what it said where it fails."""
        done = subprocess.run(command, env=os.environ | self.environment, capture_output=True, text=True, **options)  # type: ignore[call-overload]
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def job(self, number: str) -> dict[str, str]:
        """What `scontrol show job` says."""
        return dict(
            word.split("=", 1) for word in self.ask("scontrol", "-o", "show", "job", number).split() if "=" in word
        )

    def processes(self, number: str, node: str = "", word: str = "") -> list[psutil.Process]:
        """Processes of a job on either node, or on one, with a word in their command; Slurm's own are none of them."""
        marks = {f"SLURM_JOB_ID={number}".encode(), f"SLURM_CONF={self.folder}/slurm.conf".encode()}
        if node:
            marks.add(f"SLURMD_NODENAME={node}".encode())
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(OSError, psutil.Error):
                environ = set(Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0"))
                ours = process.name() not in PROGRAMS and process.status() != "zombie"
                if ours and marks <= environ and word in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def left(self, number: str, seconds: float = 240) -> list[str]:
        """What is still there of a job that has ended, a little later: some end by seeing that others have."""
        with contextlib.suppress(TimeoutError):
            _until(lambda: not self.processes(number), seconds)
        found = []
        for process in self.processes(number):
            with contextlib.suppress(psutil.Error):
                found.append(f"{process.pid} {' '.join(process.cmdline())[:150]}")
        return found

    def cancel(self, *numbers: str) -> None:
        """End jobs, and wait for that; those that have ended are left alone."""
        known = self.ask("squeue", "-h", "-o", "%A", timeout=240).split()
        if jobs := [number for number in dict.fromkeys(numbers) if number in known]:
            for signal in ("--signal=KILL", "--full"), ():
                with contextlib.suppress(AssertionError):  # it has ended meanwhile
                    self.ask("scancel", *signal, *jobs, timeout=240)
            _until(lambda: not set(jobs) & set(self.ask("squeue", "-h", "-o", "%A", timeout=240).split()), 480)

    def close(self) -> None:
        """End the daemons and all jobs, and delete the directory."""
        with contextlib.suppress(AssertionError, OSError, TimeoutError, subprocess.TimeoutExpired):
            self.cancel(*self.ask("squeue", "-h", "-o", "%A", timeout=240).split())
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in reversed(self._daemons):
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()
        # slurmstepd are no children of ours.
        for process in psutil.process_iter(["pid"]):
            with contextlib.suppress(OSError, psutil.Error):
                if f"SLURM_CONF={self.folder}/".encode() in Path(f"/proc/{process.pid}/environ").read_bytes():
                    process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _configure(self) -> None:
        self.folder.chmod(0o755)
        for name in ("state", *NODES):
            (self.folder / name).mkdir()
        host = socket.gethostname().partition(".")[0]
        (self.folder / "slurm.conf").write_text(CONF.format(host=host, folder=self.folder, ports=_free_ports(3)))
        for node in NODES:
            for number in range(8):
                os.mknod(self.folder / f"{node}-{number}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        (self.folder / "gres.conf").write_text(
            "".join(f"NodeName={node} Name=gpu File={self.folder}/{node}-[0-7]\n" for node in NODES)
        )
        (self.folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n" if _slurm() >= (23, 11) else "")
        (self.folder / "munge.key").write_bytes(os.urandom(128))
        (self.folder / "munge.key").chmod(0o400)

    def _start(self) -> None:
        at = self.folder
        files = {"socket": "socket", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        munge = [f"--{option}={at}/munge.{suffix}" for option, suffix in files.items()]
        self._daemon("munged", "--foreground", "--force", *munge)
        _until((at / "munge.socket").exists, 240)
        self._daemon("slurmctld", "-D", "-c", "-f", f"{at}/slurm.conf")
        for node in NODES:
            self._daemon("slurmd", "-D", "-f", f"{at}/slurm.conf", "-N", node)
        try:
            _until(self._idle, 480)
        except TimeoutError:
            raise AssertionError(f"Slurm does not come up: {self._said()}") from None

    def _idle(self) -> bool:
        dead = [daemon.args for daemon in self._daemons if daemon.poll() is not None]
        assert not dead, f"{dead} ended: {self._said()}"
        done = subprocess.run(
            ["sinfo", "-h", "-N", "-o", "%T"], env=os.environ | self.environment, capture_output=True, text=True
        )
        return done.stdout.split() == ["idle", "idle"]

    def _said(self) -> str:
        return "\n".join(file.read_text(errors="replace")[-2000:] for file in sorted(self.folder.glob("*.log")))

    def _daemon(self, *command: str) -> None:
        with (self.folder / f"{command[0]}{len(self._daemons)}.out.log").open("wb") as log:
            # slurmd's jobs must not be in pytest's terminal session.
            self._daemons.append(
                subprocess.Popen(
                    command,
                    env=os.environ | self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )


def _need_programs() -> None:
    if os.getuid() != 0:
        pytest.skip("a Slurm of one's own needs root (device files, and jobs that slurmd starts)")
    if _missing():
        # One at a time: test sessions may begin together.
        with open("/tmp/acecoder-rl-apt.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _missing() and shutil.which("apt-get"):
                quiet = {"env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}, "capture_output": True}
                for command in (("update",), ("install", "-y", "--no-install-recommends", *PACKAGES)):
                    subprocess.run(["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", *command], **quiet)  # type: ignore[call-overload]
    if missing := _missing():
        pytest.skip(f"no Slurm here, and apt-get has not brought it: {', '.join(missing)} missing")


def _missing() -> list[str]:
    return [program for program in PROGRAMS if not shutil.which(program, path=SBIN)]


def _slurm() -> tuple[int, ...]:
    said = subprocess.run(["slurmd", "-V"], env=os.environ | {"PATH": SBIN}, capture_output=True, text=True)
    return tuple(map(int, said.stdout.split()[1].split(".")[:2]))


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _until(there, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not there():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.1)
