"""One phase of a benchmark, in a process of its own so that all its CPU can be counted when it ends.

Covers: running a job's programs by plain exec, the fork floor, our sandbox, the stages of a synthesis or
EvalPlus; adopting orphaned descendants, so that their CPU is counted too and any that outlive the phase are noticed.
Does not cover: measuring (measure.py), which starts this file as `python -P phases.py JOB RESULT`.
Stand-alone at import: EvalPlus's own interpreter runs it as well.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
# What the programs import: a warm interpreter has it already.
WARM_MODULES = ("collections", "functools", "itertools", "math", "re", "typing")
REAP_SECONDS = 10.0
PR_SET_CHILD_SUBREAPER = 36

Result = dict[str, Any]  # "wall" seconds, "outcomes" per program, and what else a phase knows


def inprocess(job: dict[str, Any]) -> Result:
    """Plain exec of program and asserts, all in this one process."""
    from importlib import import_module

    for module in WARM_MODULES:
        import_module(module)
    sys.path.insert(0, job["path"])
    from acecoder_rl.bench.floor import run

    sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    for program in job["warmup"]:
        run(*_text(job, program))
    begun = time.monotonic()
    outcomes = [run(*_text(job, program)) for program in job["programs"]]
    return {"wall": time.monotonic() - begun, "outcomes": outcomes}


def floor(job: dict[str, Any]) -> Result:
    """A fork of a minimal warm interpreter for each program; one such interpreter a worker."""
    shares = _shares(job)
    with tempfile.TemporaryDirectory() as directory:
        children = []
        for number, share in enumerate(shares):
            frames = [marshal.dumps(_text(job, program)) for program in (*job["warmup"], *share)]
            given, got = Path(directory, f"{number}.in"), Path(directory, f"{number}.out")
            given.write_bytes(b"".join(len(frame).to_bytes(4, "little") + frame for frame in frames))
            warmup = str(len(job["warmup"]))
            command = [sys.executable, "-I", "-S", str(HERE / "floor.py"), warmup, *WARM_MODULES]
            with given.open("rb") as stdin, got.open("wb") as stdout:
                children.append((subprocess.Popen(command, stdin=stdin, stdout=stdout, env={}), got))
        times, merged = [], []
        for child, got in children:
            if child.wait():
                raise RuntimeError(f"the fork floor ended with status {child.returncode}")
            data = got.read_bytes()
            times.append(memoryview(data)[-16:].cast("d").tolist())
            outcomes, at = [], 0
            while at < len(data) - 16:
                size = int.from_bytes(data[at : at + 4], "little")
                outcomes.append(data[at + 4 : at + 4 + size])
                at += 4 + size
            merged.append(outcomes[len(job["warmup"]) :])
    wall = max(end for _, end in times) - min(begun for begun, _ in times)
    return {"wall": wall, "outcomes": _merge(merged)}


def sandbox(job: dict[str, Any]) -> Result:
    """Ours: tests parsed once per problem, every program handed over at once, default limits."""
    sys.path.insert(0, job["path"])
    from acecoder_rl.problems import parse_tests
    from acecoder_rl.sandbox import Sandbox, SandboxError

    try:
        return _sandbox(job, Sandbox(workers=job["workers"]), parse_tests)
    except SandboxError as error:
        raise SystemExit(str(error)) from None


def _sandbox(job: dict[str, Any], made: Any, parse_tests: Any) -> Result:
    with made as box:
        box.run_many([(code, parse_tests(list(job["asserts"][problem]))) for code, problem in job["warmup"]])
        begun = time.monotonic()
        needed = sorted({problem for _, problem in job["programs"]})
        parsed = {problem: parse_tests(list(job["asserts"][problem])) for problem in needed}
        verdicts = box.run_many([(code, parsed[problem]) for code, problem in job["programs"]])
        wall = time.monotonic() - begun
        isolation = box.isolation
    outcomes = [bytes(outcome.status == "passed" for outcome in verdict.outcomes) for verdict in verdicts]
    return {"wall": wall, "outcomes": outcomes, "isolation": str(isolation)}


def synthesis(job: dict[str, Any]) -> Result:
    """Stages verify and sample of a synthesis run on prepared answers, with all that they read and write."""
    sys.path.insert(0, job["path"])
    from acecoder_rl.bench.synthesis_phase import run
    from acecoder_rl.sandbox import SandboxError

    try:
        return run(job)
    except SandboxError as error:
        raise SystemExit(str(error)) from None


def evalplus(job: dict[str, Any]) -> Result:
    """EvalPlus's checker in a process pool, as its `evaluate` does; all tests run, as in the other phases."""
    from concurrent.futures import ProcessPoolExecutor

    from evalplus.eval import untrusted_check

    def submit(pool, programs):
        futures = []
        for code, problem in programs:
            inputs, expected = zip(*job["cases"][problem], strict=True)
            futures.append(
                pool.submit(
                    untrusted_check,
                    "humaneval",
                    code,
                    list(inputs),
                    job["names"][problem],
                    expected=list(expected),
                    atol=0,
                    ref_time=[0.0] * len(inputs),
                    fast_check=False,
                )
            )
        return [future.result() for future in futures]

    with ProcessPoolExecutor(max_workers=job["workers"]) as pool:
        submit(pool, job["warmup"])
        begun = time.monotonic()
        results = submit(pool, job["programs"])
        wall = time.monotonic() - begun
    outcomes = []
    for (status, details), (_, problem) in zip(results, job["programs"], strict=True):
        padded = bytes(map(bool, details)).ljust(len(job["cases"][problem]), b"\0")
        # Its verdict is the status; the details alone could all be true on a time-out.
        outcomes.append(padded if status == "pass" or not all(padded) else bytes(len(padded)))
    return {"wall": wall, "outcomes": outcomes}


def _shares(job: dict[str, Any]) -> list[list[Any]]:
    return [job["programs"][number :: job["workers"]] for number in range(job["workers"])]


def _merge(shares: list[list[bytes]]) -> list[bytes]:
    merged: list[bytes] = [b""] * sum(map(len, shares))
    for number, share in enumerate(shares):
        merged[number :: len(shares)] = share
    return merged


def _text(job: dict[str, Any], program: tuple[str, int]) -> tuple[str, tuple[str, ...]]:
    return program[0], job["asserts"][program[1]]


def _reap() -> int:
    """Wait for adopted descendants; how many are still alive after a while."""
    deadline = time.monotonic() + REAP_SECONDS
    while time.monotonic() < deadline:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                time.sleep(0.002)
        except ChildProcessError:
            return 0
    return len(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def main() -> None:
    # A descendant whose parent dies without waiting would be handed to init, its CPU time lost to us.
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError("prctl(PR_SET_CHILD_SUBREAPER) failed: CPU time could not be counted")
    job = pickle.loads(Path(sys.argv[1]).read_bytes())
    phases = {"inprocess": inprocess, "floor": floor, "sandbox": sandbox, "evalplus": evalplus, "synthesis": synthesis}
    result = phases[job["phase"]](job)
    result["left"] = _reap()
    Path(sys.argv[2]).write_bytes(pickle.dumps(result))


if __name__ == "__main__":
    main()
