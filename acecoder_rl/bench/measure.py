"""Run one phase in a fresh process and count the CPU of its whole process tree.

Covers: `run_phase` (CPU from wait4, so every descendant that was waited for counts; phases.py adopts
orphans), `Phase`, `BenchError`.
Does not cover: what the phases do (phases.py); statistics over rounds (sandbox.py).
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from acecoder_rl.bench.workload import Workload, build_workload

HERE = Path(__file__).parent
WARMUP_PER_WORKER = 4


class BenchError(RuntimeError):
    """A phase could not be run: the message names the phase, the cause and the mend."""


@dataclass(frozen=True)
class Phase:
    """What one run of a phase took.

    Attributes:
        cpu_seconds: CPU of the process tree from start to end, start-up and warm-up included; not what the phase
            says was preparation.
        wall_seconds: from the first measured program to the last.
        outcomes: per program one byte a test, 1 = passed.
        isolation: the level that our sandbox ran at; "" for the other phases.
        left: descendants still alive 10 s after the phase was done.
    """

    cpu_seconds: float
    wall_seconds: float
    outcomes: list[bytes]
    isolation: str
    left: int


def run_phase(
    name: str, workload: Workload, workers: int, python: str = sys.executable, timeout: float = 1800.0
) -> Phase:
    """Run `workload` by phase `name` with `workers` workers; an empty workload gives the start-up cost."""
    warm = build_workload(WARMUP_PER_WORKER * workers)
    # The warm-up has the workload's problems only if both come from the catalogue: keep them apart.
    shift = len(workload.problems)
    problems = (*workload.problems, *warm.problems)
    job = {
        "phase": name,
        "workers": workers,
        "path": str(HERE.parent.parent),
        "programs": [(program.code, program.problem) for program in workload.programs],
        "warmup": [("# Warm-up\n" + program.code, program.problem + shift) for program in warm.programs],
        "asserts": [problem.asserts for problem in problems],
        "cases": [problem.cases for problem in problems],
        "names": [problem.name for problem in problems],
    }
    # One hash seed: the order of sets must not differ between the executors.
    env = {**os.environ, "PYTHONHASHSEED": "0"}
    if python != sys.executable:
        env.pop("PYTHONPATH", None)
    with tempfile.TemporaryDirectory(prefix="acecoder-bench-") as directory:
        job_file, result_file, errors = (Path(directory, file) for file in ("job", "result", "stderr"))
        job_file.write_bytes(pickle.dumps(job))
        with errors.open("wb") as stderr:
            process = subprocess.Popen(
                [python, "-P", str(HERE / "phases.py"), str(job_file), str(result_file)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=env,
                start_new_session=True,
            )
            cpu = _wait(process, name, timeout)
        if process.returncode or not result_file.exists():
            said = errors.read_text(errors="replace").strip()[-1500:]
            raise BenchError(f"bench: phase {name} ended with status {process.returncode}:\n{said}")
        result = pickle.loads(result_file.read_bytes())
    cpu -= result.get("untimed_cpu", 0.0)
    return Phase(cpu, result["wall"], result["outcomes"], result.get("isolation", ""), result["left"])


def _wait(process: subprocess.Popen[bytes], name: str, timeout: float) -> float:
    """CPU seconds of the ended process and of all its descendants that were waited for."""
    deadline = time.monotonic() + timeout
    try:
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                process.returncode = os.waitstatus_to_exitcode(status)
                return usage.ru_utime + usage.ru_stime
            if time.monotonic() > deadline:
                raise BenchError(f"bench: phase {name} took more than {timeout:.0f} s: try fewer --programs")
            time.sleep(0.01)
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
