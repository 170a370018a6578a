"""What this machine lets the sandbox do, and so which isolation level it can have.

Covers: really trying namespaces, a private root, Landlock and seccomp (trial.py, in a process of its
    own); cores, memory and cgroups granted; containers; the cap by ACECODER_SANDBOX_ISOLATION.
Does not cover: the words for what is refused (mends.py); the jail itself (jail.py).
The caller may hold CUDA and 50 threads: it is never forked, and the probe takes about 50 ms.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acecoder_rl.sandbox import mends
from acecoder_rl.sandbox.granted import granted_cores, granted_memory_mb, memory_cgroup, read
from acecoder_rl.sandbox.verdict import SandboxError

__all__ = ["CAP_VARIABLE", "LEVELS", "Host", "best_level", "granted_cores", "probe", "why_not"]

LEVELS = ("namespaces", "landlock", "none")  # best first
CAP_VARIABLE = "ACECODER_SANDBOX_ISOLATION"
# The jail's seccomp filter and raw system calls are written for these.
ARCHITECTURES = ("x86_64", "aarch64")
TRIAL_SECONDS = 60.0  # it takes 0.1 s, but more than 10 on a machine with too much to do
SYSCTLS = (
    "user.max_user_namespaces",
    "user.max_mnt_namespaces",
    "user.max_pid_namespaces",
    "user.max_net_namespaces",
    "user.max_ipc_namespaces",
    "user.max_uts_namespaces",
    "kernel.unprivileged_userns_clone",
    "kernel.apparmor_restrict_unprivileged_userns",
)


@dataclass(frozen=True)
class Host:
    """What the probe found.

    Attributes:
        system, kernel, arch: as uname says.
        uid: the effective user.
        container: "docker", "podman", "kubernetes", "apptainer", "lxc", "container" (of another kind) or "".
        job: "slurm" inside a job of that kind, else "".
        cores, memory_mb: granted to this process; memory 0 if unknown.
        namespaces: all the jail's namespaces and a private root were made.
        namespaces_by: "user" (a user namespace) or "root" (real privilege), "" if refused.
        own_uid: a program gets a user id that is not its worker's.
        refused_step, refused_errno: what failed if not `namespaces`; errno 0 if it was not a system call.
        landlock_abi: 0 if there is none; landlock_errno says why.
        seccomp: filters can be installed.
        schedstat: CPU and waiting time of a non-dumpable process of ours can be read.
        hidepid: /proc hides the processes of others.
        memory_cgroup, memory_cgroup_version: this process's group, "v1" or "v2", "" if none.
        sysctls: those that bear on namespaces, as far as the kernel has them.
        seccomp_confined: a filter already binds this process (a container's, for example).
        apparmor: the AppArmor or SELinux label of this process, "" if there is none.
        cap: the level ACECODER_SANDBOX_ISOLATION allows at best, "" if unset.
    """

    system: str = "Linux"
    kernel: str = ""
    arch: str = "x86_64"
    uid: int = 0
    container: str = ""
    job: str = ""
    cores: int = 1
    memory_mb: int = 0
    namespaces: bool = False
    namespaces_by: str = ""
    own_uid: bool = False
    refused_step: str = ""
    refused_errno: int = 0
    landlock_abi: int = 0
    landlock_errno: int = 0
    seccomp: bool = False
    schedstat: bool = False
    hidepid: bool = False
    memory_cgroup: str = ""
    memory_cgroup_version: str = ""
    sysctls: dict[str, int] = field(default_factory=dict)
    seccomp_confined: bool = False
    apparmor: str = ""
    cap: str = ""

    @property
    def supported(self) -> bool:
        """Linux on an architecture the jail is written for."""
        return self.system == "Linux" and self.arch in ARCHITECTURES


def probe(root: str = "/", trial: dict[str, Any] | None = None) -> Host:
    """Find out what this machine offers.

    Args:
        root: where /proc, /sys and the marks of containers are read.
        trial: what trial.py prints; None tries for real.
    """
    cap = level_cap()
    machine = os.uname()
    if trial is None:
        supported = machine.sysname == "Linux" and machine.machine in ARCHITECTURES
        trial = try_for_real() if supported else {"ok": False, "step": "architecture"}
    version, group = memory_cgroup(root)
    status = dict(line.partition(":")[::2] for line in read(root, "/proc/self/status").splitlines())
    return Host(
        system=machine.sysname,
        kernel=platform.release(),
        arch=machine.machine,
        uid=os.geteuid(),
        container=container_kind(root),
        job="slurm" if os.environ.get("SLURM_JOB_ID") else "",
        cores=granted_cores(root),
        memory_mb=granted_memory_mb(root),
        namespaces=bool(trial.get("ok")),
        namespaces_by=trial.get("by", "user") if trial.get("ok") else "",
        own_uid=bool(trial.get("own_uid")),
        refused_step=trial.get("step", ""),
        refused_errno=trial.get("errno", 0),
        landlock_abi=trial.get("landlock_abi", 0),
        landlock_errno=trial.get("landlock_errno", 0),
        seccomp=bool(trial.get("seccomp")),
        schedstat=bool(trial.get("schedstat")),
        hidepid=hides_processes(root),
        memory_cgroup=group,
        memory_cgroup_version=version,
        sysctls=read_sysctls(root),
        seccomp_confined=status.get("Seccomp", "0").strip() == "2",
        apparmor=read(root, "/proc/self/attr/current").strip("\0"),
        cap=cap,
    )


def best_level(host: Host) -> str:
    """The best level the host can have, not above its cap."""
    at_best = LEVELS.index(host.cap) if host.cap else 0
    return next(level for level in LEVELS[at_best:] if host_offers(level, host))


def why_not(level: str, host: Host) -> str:
    """Why `level` cannot be had and how to mend it, in a sentence or two; "" if it can."""
    if level not in LEVELS:
        return f"the isolation level {level!r} is unknown: give one of {', '.join(LEVELS)}"
    if not host_offers(level, host):
        reason, mend = mends.namespaces(host) if level == "namespaces" else mends.landlock(host)
    elif host.cap and LEVELS.index(host.cap) > LEVELS.index(level):
        reason, mend = f"{CAP_VARIABLE}={host.cap} caps it", f"unset {CAP_VARIABLE}"
    else:
        return ""
    best = best_level(host)
    return (
        f"isolation {level!r} cannot be had here: {reason}. Mend: {mend}. "
        f"Or accept less with require={best!r}; `acecoder-rl doctor` says what that costs"
    )


def host_offers(level: str, host: Host) -> bool:
    """True if the host can do `level`, whatever its cap says."""
    if level == "none":
        return True
    # Both need the system-call filter: without it, a program could fork and signal others.
    offered = host.namespaces if level == "namespaces" else host.landlock_abi > 0
    return host.supported and host.seccomp and offered


def level_cap() -> str:
    cap = os.environ.get(CAP_VARIABLE, "")
    if cap and cap not in LEVELS:
        raise SandboxError(f"{CAP_VARIABLE} is {cap!r}: set it to {', '.join(LEVELS)}, or unset it")
    return cap


def try_for_real() -> dict[str, Any]:
    """Run trial.py; a trial that cannot run is one that was refused."""
    # `or`: an embedded interpreter has no name.
    command = [sys.executable or "python3", "-I", "-S", str(Path(__file__).with_name("trial.py"))]
    try:
        run = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TRIAL_SECONDS,
            close_fds=True,
            check=False,
        )
        return json.loads(run.stdout)
    except subprocess.TimeoutExpired:
        return {"ok": False, "step": f"{mends.TRIAL}no answer in {TRIAL_SECONDS:g} s"}
    except OSError as error:
        return {"ok": False, "step": f"{mends.TRIAL}{error}"}
    except ValueError:
        said = run.stderr.decode(errors="replace").strip().splitlines()[-1:]
        return {"ok": False, "step": f"{mends.TRIAL}exit status {run.returncode} {' '.join(said)}".strip()}


def read_sysctls(root: str) -> dict[str, int]:
    texts = {name: read(root, "/proc/sys/" + name.replace(".", "/")) for name in SYSCTLS}
    return {name: int(text) for name, text in texts.items() if text.isdigit()}


def hides_processes(root: str) -> bool:
    """True if /proc is mounted with hidepid=1, 2, 4 or their names."""
    lines = [line.split() for line in read(root, "/proc/self/mountinfo").splitlines()]
    options = [fields[-1].split(",") for fields in lines if len(fields) > 4 and fields[4] == "/proc"]
    return any(
        option.startswith("hidepid=") and option not in ("hidepid=0", "hidepid=off")
        for option in (options[-1] if options else ())
    )


def container_kind(root: str) -> str:
    """The kind of container this process is in, by the marks each leaves."""
    present = Path(root).joinpath
    if os.environ.get("KUBERNETES_SERVICE_HOST") or present("var/run/secrets/kubernetes.io").exists():
        return "kubernetes"
    if os.environ.get("APPTAINER_CONTAINER") or os.environ.get("SINGULARITY_CONTAINER"):
        return "apptainer"
    if present("run/.containerenv").exists():
        return "podman"
    if present(".dockerenv").exists():
        return "docker"
    if present(".singularity.d").exists():
        return "apptainer"
    groups = read(root, "/proc/1/cgroup")
    words = {"kubepods": "kubernetes", "docker": "docker", "libpod": "podman", "lxc": "lxc"}
    for word, kind in words.items():
        if word in groups:
            return kind
    name = os.environ.get("container", "")  # noqa: SIM112 (systemd, podman and lxc write it so)
    return {"": "", "lxc": "lxc", "podman": "podman"}.get(name, "container")
