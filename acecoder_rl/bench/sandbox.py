"""`acecoder-rl bench sandbox`: what a program costs here, as ratios against a floor and against EvalPlus.

Covers: `run_bench`: rounds of all executors in turn on the same programs and their medians, agreement of
verdicts, 10 % endless loops, a program that hangs in every test, the number of workers worth having.
Does not cover: the measuring (measure.py), the executors (phases.py), the programs (workload.py), the
tables (report.py).
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from acecoder_rl.bench.measure import BenchError, Phase, run_phase
from acecoder_rl.bench.report import show
from acecoder_rl.bench.rival import evalplus_python
from acecoder_rl.bench.workload import DEFAULT_PROGRAMS, Workload, build_workload, hanging_program
from acecoder_rl.sandbox.granted import granted_cores
from acecoder_rl.sandbox.verdict import Limits

RIVALS = ("evalplus",)
ROUNDS = 3
LOOP_PROGRAMS = 60
QUICK_PROGRAMS, QUICK_LOOP_PROGRAMS = 90, 20
LOOP_EVERY = 10
HANGING_TESTS = 8
SCALING_PROGRAMS = 180  # a worker
# The smallest number of workers that is within this of the best is the recommended one.
GOOD_ENOUGH = 0.95
BARS = {"cpu_vs_floor": 1.3, "overhead_vs_evalplus": 0.55, "hang_cpu_vs_test_seconds": 2.0}

Figures = dict[str, Any]


def run_bench(
    workers: int | None = None,
    programs: int = DEFAULT_PROGRAMS,
    against: str | None = None,
    json_path: Path | None = None,
    quick: bool = False,
) -> int:
    """Measure, print a table, write `json_path`. 0: measured; 1: a phase failed or verdicts differ; 2: usage.

    `quick` is one round of fewer programs: a look, not a figure to quote.
    """
    cores = granted_cores()
    workers = cores if workers is None else workers
    for name, value in (("--workers", workers), ("--programs", programs)):
        if value < 1:
            _say(f"{name} is {value}: give 1 or more")
            return 2
    if against is not None and against not in RIVALS:
        _say(f"--against is {against!r}: give one of {', '.join(RIVALS)}, or leave it out")
        return 2
    programs = min(programs, QUICK_PROGRAMS) if quick else programs
    try:
        figures = measure(
            workers,
            programs,
            against,
            rounds=1 if quick else ROUNDS,
            cores=cores,
            loop_programs=QUICK_LOOP_PROGRAMS if quick else LOOP_PROGRAMS,
        )
        if json_path:
            json_path.write_text(json.dumps(figures, indent=1) + "\n")
    except (BenchError, OSError) as error:
        _say(str(error))
        return 1
    show(figures)
    return 1 if figures["agreement"]["sandbox"]["programs"] or figures["left_processes"] else 0


def measure(workers: int, programs: int, against: str | None, rounds: int, cores: int, loop_programs: int) -> Figures:
    """All figures, as the JSON holds them."""
    executors: dict[str, Callable[[Workload, int], Phase]] = {
        "inprocess": lambda work, _: run_phase("inprocess", work, 1),
        "floor": lambda work, count: run_phase("floor", work, count),
        "sandbox": lambda work, count: run_phase("sandbox", work, count),
    }
    if against:
        _say("setting up EvalPlus ...")
        python = evalplus_python()
        executors["evalplus"] = lambda work, count: run_phase("evalplus", work, count, python)
    workload = build_workload(programs)
    begun = time.time()
    load_before = os.getloadavg()[0]
    last: dict[str, Phase] = {}
    taken: dict[str, list[Figures]] = {name: [] for name in executors}
    for number in range(rounds):
        _say(f"round {number + 1} of {rounds}, {programs} programs ...")
        # Back and forth: a machine that gets slower or faster meanwhile favours none of them.
        for name in list(executors)[:: 1 if number % 2 == 0 else -1]:
            row, last[name] = _run(executors[name], workload, workers)
            taken[name].append(row)
    _say(f"{loop_programs} programs, every {LOOP_EVERY}th an endless loop; one that hangs in each test ...")
    hostile = [name for name in ("sandbox", "evalplus") if name in executors]
    loops = {name: _loops(executors[name], workers, loop_programs) for name in hostile}
    hang = {name: _run(executors[name], hanging_program(HANGING_TESTS), 1)[0]["cpu_ms"] / 1e3 for name in hostile}
    _say("the number of workers ...")
    scaling = [_scale(executors["sandbox"], count) for count in _counts(max(cores, workers))]
    medians = {
        name: {key: statistics.median(row[key] for row in rows) for key in rows[0]} for name, rows in taken.items()
    }
    limits = Limits()
    return {
        "machine": {
            "cores": cores,
            "python": platform.python_version(),
            "kernel": platform.release(),
            "load_before": round(load_before, 2),
            "load_after": round(os.getloadavg()[0], 2),
        },
        "settings": {
            "workers": workers,
            "programs": programs,
            "tests": workload.tests,
            "rounds": rounds,
            "loop_programs": loop_programs,
            "hanging_tests": HANGING_TESTS,
            "against": against,
            "test_seconds": limits.test_seconds,
            "isolation": last["sandbox"].isolation,
            "seconds": round(time.time() - begun, 1),
        },
        "rounds": taken,
        "medians": medians,
        "ratios": _ratios(taken, hang["sandbox"] / limits.test_seconds),
        "bars": BARS,
        "agreement": {
            name: _differences(workload, last["inprocess"], phase, by_test=name != "evalplus")
            for name, phase in last.items()
            if name != "inprocess"
        },
        "loops": loops,
        "hang_cpu_seconds": hang,
        "scaling": scaling,
        "recommended_workers": _recommended(scaling),
        "left_processes": sum(phase.left for phase in last.values()),
    }


def _run(
    executor: Callable[[Workload, int], Phase],
    workload: Workload,
    workers: int,
) -> tuple[Figures, Phase]:
    """Figures of the programs alone: the start-up cost is measured by a run without any, and taken off."""
    start = executor(workload.head(0), workers)
    phase = executor(workload, workers)
    count = len(workload.programs)
    return {
        "cpu_ms": (phase.cpu_seconds - start.cpu_seconds) / count * 1e3,
        "programs_per_s": count / phase.wall_seconds,
        "tests_per_s": workload.tests / phase.wall_seconds,
        "start_cpu_ms": start.cpu_seconds * 1e3,
    }, phase


def _loops(executor: Callable[[Workload, int], Phase], workers: int, programs: int) -> Figures:
    workload = build_workload(programs, LOOP_EVERY)
    figures, phase = _run(executor, workload, workers)
    wrong = sum(
        all(got) != (program.variant == "right") for program, got in zip(workload.programs, phase.outcomes, strict=True)
    )
    return {**figures, "wrong_verdicts": wrong}


def _scale(executor: Callable[[Workload, int], Phase], workers: int) -> Figures:
    """The better of two runs: other work on the machine only ever slows one down."""
    workload = build_workload(SCALING_PROGRAMS * workers)
    runs = [_run(executor, workload, workers)[0] for _ in range(2)]
    best = max(runs, key=lambda row: row["programs_per_s"])
    return {"workers": workers, "programs_per_s": best["programs_per_s"], "cpu_ms": best["cpu_ms"]}


def _counts(most: int) -> list[int]:
    return sorted({most, *(1 << power for power in range(most.bit_length()) if 1 << power <= most)})


def _recommended(scaling: Sequence[Figures]) -> int:
    best = max(row["programs_per_s"] for row in scaling)
    return next(row["workers"] for row in scaling if row["programs_per_s"] >= GOOD_ENOUGH * best)


def _ratios(taken: dict[str, list[Figures]], hang: float) -> dict[str, float]:
    """Each ratio is taken within a round; the median of the rounds is the figure."""
    cpu = {name: [row["cpu_ms"] for row in rows] for name, rows in taken.items()}
    pairs = zip(cpu["sandbox"], cpu["floor"], strict=True)
    ratios = {"cpu_vs_floor": [ours / floor for ours, floor in pairs]}
    if "evalplus" in cpu:
        ratios["overhead_vs_evalplus"] = [
            (ours - plain) / (theirs - plain)
            for ours, theirs, plain in zip(cpu["sandbox"], cpu["evalplus"], cpu["inprocess"], strict=True)
        ]
    return {name: statistics.median(values) for name, values in ratios.items()} | {"hang_cpu_vs_test_seconds": hang}


def _differences(workload: Workload, plain: Phase, phase: Phase, by_test: bool) -> Figures:
    """Where an executor's verdicts are not those of plain exec; EvalPlus has no `isinstance` or `len` tests,
    it compares the value: so its programs count as equal if passed or not passed by both.
    """
    tests, programs, examples = 0, 0, []
    for number, program in enumerate(workload.programs):
        expected, got = plain.outcomes[number], phase.outcomes[number]
        differing = sum(a != b for a, b in zip(expected, got, strict=True))
        tests += differing
        if all(expected) != all(got) or (by_test and differing):
            programs += 1
            examples.append(
                f"{workload.problems[program.problem].name}, {program.variant}, number {number}: "
                f"{sum(got)} tests passed, by plain exec {sum(expected)}"
            )
    return {"programs": programs, "tests": tests, "examples": examples[:10]}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
