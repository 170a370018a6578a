"""`acecoder-rl doctor`: what this machine offers, what each missing piece costs, and how to mend it.

Covers: the sandbox's isolation and measuring, cores, memory and GPUs, the packages that training needs,
    and one program run for real.
Does not cover: finding the facts (sandbox/host.py, gpus.py), the mends (sandbox/mends.py), all nodes of a Slurm job in
    one table (doctor_nodes.py, doctor_table.py).
"""

from __future__ import annotations

import json as json_module
import os
import platform
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from acecoder_rl import __version__
from acecoder_rl.doctor_nodes import Step, deliver, gather, slurm_step
from acecoder_rl.doctor_packages import Check, training
from acecoder_rl.gpus import find_gpus
from acecoder_rl.sandbox import mends
from acecoder_rl.sandbox.cgroup import MemoryGroup
from acecoder_rl.sandbox.host import CAP_VARIABLE, LEVELS, Host, best_level, probe
from acecoder_rl.sandbox.verdict import Limits, SandboxError

Level = Literal["namespaces", "landlock", "none"]
SELF_TEST_SECONDS = 20.0  # it ends with the verdict; a busy node takes its time
# What is lost at each level below "namespaces".
COSTS = {
    "landlock": "programs share the host's processes, network and directory tree; Landlock keeps them from "
    "its files and TCP, but their /tmp is a host directory without a size cap, and Limits.processes stays 1",
    "none": "programs can read and write whatever this user can, held by seccomp and rlimits alone: run only "
    "programs that you trust",
}


def doctor(json: bool = False, require: Level = "namespaces", folder: Path | None = None) -> int:
    """Print the report; in a Slurm step of several tasks, the first task prints one for all nodes.

    Args:
        require: the isolation that programs must run at.
        folder: that the nodes should share, or the nearest above it that is there; None = the present one.

    Returns:
        0 if programs run at `require` or better, 1 if only at less (a node that does not answer, or does not share
        the folder, counts as one), 2 on bad settings.
    """
    started = time.perf_counter()
    step = slurm_step()
    if step is not None and step.local > 0:
        return 0  # another task of this node reports
    try:
        host = probe()
    except SandboxError as error:
        print(error, file=sys.stderr)
        return 2
    level = best_level(host)
    test = self_test()
    checks = [*machine(host), *sandbox(host, memory_groups()), test, *training()]
    code = 0 if LEVELS.index(level) <= LEVELS.index(require) and test.status == "ok" else 1
    report = {
        "level": level,
        "exit_status": code,
        "host": asdict(host),
        "checks": [asdict(check) for check in checks],
    }
    if step is not None:
        return _of_all(step, report, json, require, folder)
    if json:
        print(json_module.dumps(report, indent=2))
    else:
        show(checks, level, time.perf_counter() - started, require)
        if int(os.environ.get("SLURM_JOB_NUM_NODES") or 1) > 1:
            print("This Slurm job has more nodes; all of them: srun --ntasks-per-node=1 acecoder-rl doctor")
    return code


def _of_all(step: Step, report: dict[str, Any], json: bool, require: Level, folder: Path | None) -> int:
    place = (folder or Path()).absolute()
    place = next(each for each in (place, *place.parents) if each.is_dir())
    if step.rank > 0:
        if deliver(step, report, place):
            return 0  # the first task has it from here; srun may end a job when any task fails
        print(f"{step.node}: the first task, on {step.nodes[0]}, cannot be reached over TCP", file=sys.stderr)
        return 1
    from acecoder_rl.doctor_table import show_nodes, status_of

    reports = gather(step, report, place)
    code = status_of(reports, require)
    if json:
        print(json_module.dumps({"exit_status": code, "nodes": reports}, indent=2))
    else:
        show_nodes(reports, require, step.name.partition(".")[0])
    return code


def machine(host: Host) -> list[Check]:
    """The machine and what of it was granted."""
    where = host.container and f", in a {host.container} container"
    where += ", in a Slurm job" if host.job else ""
    present = os.cpu_count() or 1
    cut = f" of {present} (affinity, CPU quota or job)" if host.cores < present else ""
    checks = [
        Check("machine", "system", "ok", f"{host.system} {host.kernel} on {host.arch}, uid {host.uid}{where}"),
        Check("machine", "python", "ok", f"{platform.python_version()}, {sys.executable}"),
        Check("machine", "acecoder-rl", "ok", f"{__version__}, {Path(__file__).parent}"),
        Check("machine", "cores", "ok", f"{host.cores}{cut}: the sandbox starts {host.cores} workers"),
    ]
    if not host.supported:
        reason, mend = mends.unsupported(host)
        checks[0] = Check("machine", "system", "missing", reason, "the sandbox does not run", mend)
    needed = host.cores * Limits().memory_mb
    memory = f"{host.memory_mb} MiB" if host.memory_mb else "unknown"
    if host.memory_mb and host.memory_mb < needed:
        mend = f"Sandbox(workers={max(1, host.memory_mb // Limits().memory_mb)}), or a smaller Limits.memory_mb"
        costs = f"{host.cores} programs of {Limits().memory_mb} MiB at once would not fit"
        checks.append(Check("machine", "memory", "warn", memory, costs, mend))
    else:
        checks.append(Check("machine", "memory", "ok", memory))
    gpus = find_gpus()
    checks.append(Check("machine", "gpus", "ok", "none" if gpus.count == 0 else str(gpus)))
    if gpus.driver:
        checks.append(Check("machine", "gpu driver", "ok", gpus.driver))
    return checks


def sandbox(host: Host, memory_groups: bool) -> list[Check]:
    """What the kernel and the container let the jail do."""

    def check(name: str, ok: bool, found: str, costs: str, refusal: tuple[str, str]) -> Check:
        reason, mend = refusal
        return Check("sandbox", name, "ok", found) if ok else Check("sandbox", name, "missing", reason, costs, mend)

    by = "by user namespace" if host.namespaces_by == "user" else "by root's privilege, no user namespace"
    found = f"user, mount, pid, net, ipc, uts and a private root, {by}"
    lost = COSTS["landlock" if host.landlock_abi and host.seccomp else "none"]
    checks = [check("namespaces", host.namespaces, found, lost, mends.namespaces(host))]
    if host.namespaces:
        who = "of its own" if host.own_uid else "its worker's (usual without root)"
        costs = "" if host.own_uid else "a program that got out of its jail would be this user"
        checks.append(Check("sandbox", "program's uid", "ok", who, costs))
    lost = "no second wall behind the namespaces" if host.namespaces else COSTS["none"]
    checks.append(check("landlock", host.landlock_abi > 0, f"ABI {host.landlock_abi}", lost, mends.landlock(host)))
    if 0 < host.landlock_abi < 6:
        free = "signals and abstract sockets" if host.landlock_abi >= 4 else "TCP, signals and abstract sockets"
        lost = f"{free} are left to seccomp and namespaces (Linux 6.12 has ABI 6)"
        checks[-1] = Check("sandbox", "landlock", "ok", f"ABI {host.landlock_abi}", lost)
    lost = "programs may fork, exec, open sockets and try every system call of the kernel"
    checks.append(check("seccomp", host.seccomp, "filters", lost, mends.seccomp(host)))
    lost = "waiting for a busy core counts as blocking: right answers may time out on a busy machine"
    checks.append(check("times", host.schedstat, "CPU and run-queue time of programs", lost, mends.times(host)))
    if memory_groups:
        found = f"{host.memory_cgroup_version}, {host.memory_cgroup}"
        checks.append(Check("sandbox", "memory cgroup", "ok", found))
    else:  # The rlimits stand in for it.
        reason, mend = mends.memory_cgroup(host)
        lost = "RLIMIT_AS bounds each process, the size of /tmp its files, but nothing their sum"
        checks.append(Check("sandbox", "memory cgroup", "warn", reason, lost, mend))
    if host.cap and host.cap != "namespaces":
        setting = f"{CAP_VARIABLE}={host.cap}"
        checks.append(Check("sandbox", "cap", "warn", setting, COSTS[host.cap], f"unset {CAP_VARIABLE}"))
    return checks


def memory_groups() -> bool:
    """True if a group with a memory limit can be made: tried, as permissions tell too little of it."""
    group = MemoryGroup.create("doctor", 64 << 20)
    if group:
        group.remove()
    return group is not None


def self_test() -> Check:
    """Run one program for real; a sandbox that does not answer is reported, not waited for."""
    answer: list[Check] = []

    def run() -> None:
        try:
            from acecoder_rl.sandbox import Sandbox

            with Sandbox(workers=1, require="none") as sandbox:
                verdict = sandbox.run("def add(a, b):\n    return a + b\n", ["assert add(1, 2) == 3"])
        except Exception as error:  # Whatever went wrong is what the report is for.
            answer.append(Check("sandbox", "self-test", "missing", f"{type(error).__name__}: {error}", *broken))
            return
        outcome = verdict.outcomes[0]
        if verdict.passed:
            found = f"1 of 1 tests passed at isolation {sandbox.isolation!r}"
            answer.append(Check("sandbox", "self-test", "ok", found))
        else:
            found = f"a right program got {outcome.status}: {outcome.message or verdict.message}"
            answer.append(Check("sandbox", "self-test", "missing", found, *broken))

    broken = ("no verdict can be trusted here", "report it with the output of `acecoder-rl doctor --json`")
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(SELF_TEST_SECONDS)
    late = Check("sandbox", "self-test", "missing", f"no verdict within {SELF_TEST_SECONDS:g} s", *broken)
    return answer[0] if answer else late


def show(checks: list[Check], level: str, seconds: float, require: Level = "namespaces") -> None:
    """The report for people, on stdout."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    marks = {"ok": ("ok", "green"), "warn": ("warn", "yellow"), "missing": ("missing", "red")}
    table = Table.grid(padding=(0, 1))
    table.add_column(width=7)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    section = ""
    for check in checks:
        if check.section != section:
            section = check.section
            table.add_row("", "", "")
            table.add_row("", Text(section, style="bold"), "")
        word, colour = marks[check.status]
        table.add_row(Text(word, style=colour), check.name, Text(check.found))
        for label, text in (("costs", check.costs), ("mend", check.mend)):
            if text:
                table.add_row("", "", Text(f"{label}: {text}", style="dim" if label == "costs" else ""))
    console.print(table)
    if any(check.name == "self-test" and check.status != "ok" for check in checks):
        console.print(Text("\nThe self-test failed: the sandbox cannot be used here.", style="bold red"))
        return
    style = "green" if LEVELS.index(level) <= LEVELS.index(require) else "yellow"
    console.print(Text(f"\nPrograms run here at isolation {level!r}", style=f"bold {style}"), f"({seconds:.2f} s).")
    if LEVELS.index(level) > LEVELS.index(require):
        console.print(Text(f"{require!r} is required.", style="bold yellow"))
    if level != "namespaces":
        console.print(Text(f"Costs: {COSTS[level]}. Sandbox(require={level!r}) accepts that."))
