"""`acecoder-rl bench synthesis`: what a synthesis run costs beyond its models.

Covers: `run_bench_synthesis`: stages verify and sample on prepared answers, as a ratio of the sandbox's own rate on
    the same programs; the tables of a run of AceCode's size (synthesis_tables.py); runs that are killed
    (synthesis_kills.py).
Does not cover: models, which take most of the time and the money of a run.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from acecoder_rl.bench import synthesis_kills, synthesis_tables
from acecoder_rl.bench.measure import BenchError, run_phase
from acecoder_rl.bench.workload import TESTS_PER_PROBLEM, Workload, build_questions
from acecoder_rl.sandbox.granted import granted_cores

QUESTIONS, PROGRAMS = 1000, 16
QUICK_QUESTIONS, QUICK_TABLE_QUESTIONS = 64, 2000
BASE_EVERY = 4  # the sandbox alone has the runs of every fourth question, before and after
RUNS_OF_VERIFY = 2  # a question: the oracle's program, and the same again as a fresh run
BARS = {"rate": 0.85}

Figures = dict[str, Any]


def run_bench_synthesis(json_path: Path | None = None, quick: bool = False, only: str | None = None) -> int:
    """Measure, print tables, write `json_path`. 0: measured; 1: a phase failed, or rows are not what they must be.

    Args:
        quick: fewer questions and kills: a look, not a figure to quote.
        only: "scoring", "tables" or "kills".
    """
    figures: Figures = {}
    failed = False
    try:
        if only in (None, "scoring"):
            figures["scoring"] = scoring(QUICK_QUESTIONS if quick else QUESTIONS)
            show_scoring(figures["scoring"])
        if only in (None, "tables"):
            _say("build, pairs, hard ...")
            figures["tables"] = synthesis_tables.tables(QUICK_TABLE_QUESTIONS if quick else synthesis_tables.QUESTIONS)
            synthesis_tables.show(figures["tables"])
        if only in (None, "kills"):
            _say("a small run, killed and gone on with ...")
            figures["kills"] = synthesis_kills.kills(quick=quick)
            synthesis_kills.show(figures["kills"])
    except (BenchError, OSError) as error:
        _say(str(error))
        failed = True
    if json_path:  # also what was measured before a failure: it may have taken an hour
        json_path.write_text(json.dumps(figures, indent=1) + "\n")
    wrong = figures.get("scoring", {}).get("differing", 0)
    return int(failed or bool(wrong) or ("kills" in figures and not synthesis_kills.ok(figures["kills"])))


def scoring(questions: int, programs: int = PROGRAMS, workers: int | None = None) -> Figures:
    """The stages' rate and CPU a program, against the sandbox's alone, before and after them."""
    workers = workers or granted_cores()
    workload = build_questions(questions, programs)
    base, of_base = _base(workload)
    load_before = os.getloadavg()[0]
    runs: list[tuple[str, Workload, int]] = [
        ("sandbox", base, len(base.programs)),
        ("synthesis", workload, len(workload.programs) + RUNS_OF_VERIFY * questions),
        ("sandbox", base, len(base.programs)),
    ]
    found: dict[str, list[Figures]] = {"sandbox": [], "synthesis": []}
    outcomes: dict[str, list[bytes]] = {}
    for name, work, count in runs:
        _say(f"{'verify and sample' if name == 'synthesis' else 'the sandbox alone'}, {count} runs of programs ...")
        idle, phase = run_phase(name, work.head(0), workers), run_phase(name, work, workers)
        found[name].append(
            {
                "runs": count,
                "seconds": phase.wall_seconds,
                "runs_per_s": count / phase.wall_seconds,
                "samples_per_s": len(work.programs) / phase.wall_seconds,
                "cpu_ms": (phase.cpu_seconds - idle.cpu_seconds) / count * 1e3,
            }
        )
        outcomes[name], isolation = phase.outcomes, phase.isolation
    alone, (stages,) = found["sandbox"], found["synthesis"]
    rate = statistics.harmonic_mean([row["runs_per_s"] for row in alone])
    cpu = statistics.mean(row["cpu_ms"] for row in alone)
    judged = outcomes["synthesis"] if len(outcomes["synthesis"]) == len(workload.programs) else []
    alike = [one == judged[at] for at, one in zip(of_base, outcomes["sandbox"], strict=False)] if judged else []
    return {
        "machine": {"cores": granted_cores(), "python": platform.python_version(), "kernel": platform.release(),
                    "load_before": round(load_before, 2), "load_after": round(os.getloadavg()[0], 2)},
        "settings": {"questions": questions, "programs": programs, "tests": TESTS_PER_PROBLEM, "workers": workers,
                     "isolation": isolation},
        "sandbox": alone,
        "stages": stages,
        "rate": stages["runs_per_s"] / rate,
        "samples_rate": stages["samples_per_s"] / rate,
        "cpu": cpu / stages["cpu_ms"],
        "differing": len(of_base) - sum(alike),  # both must have judged every program alike
        "bars": BARS,
    }  # fmt: skip


def _base(workload: Workload) -> tuple[Workload, list[int]]:
    """What the sandbox runs alone: of some questions the same that the stages run, the oracle's programs last; and the
    numbers of the others in `workload`."""
    # Of all functions alike: some take many times as long as others.
    questions = sorted(range(len(workload.problems)), key=lambda question: workload.problems[question].name)
    chosen = set(questions[::BASE_EVERY])
    numbers = [at for at, program in enumerate(workload.programs) if program.problem in chosen]
    samples = [workload.programs[at] for at in numbers]
    first = {program.problem: program for program in reversed(samples)}
    runs = [
        replace(program, code=f"# Run {number} of verify\n{program.code}")
        for number in range(RUNS_OF_VERIFY)
        for program in first.values()
    ]
    return Workload(workload.problems, (*samples, *runs)), numbers


def show_scoring(figures: Figures) -> None:
    """Print the figures to stdout."""
    console = Console()
    if not console.is_terminal:  # a file has no width of its own, and 80 columns break every heading
        console = Console(width=110)
    settings, machine = figures["settings"], figures["machine"]
    title = (
        f"{settings['questions']} questions, {settings['programs']} programs and {settings['tests']} tests each, "
        f"{settings['workers']} workers, isolation {settings['isolation']}"
    )
    table = Table("", title=title, title_justify="left")
    for heading in ("runs of programs", "seconds", "runs/s", "CPU ms a run"):
        table.add_column(heading, justify="right")
    before, after = figures["sandbox"]
    for name, row in (
        ("the sandbox alone, before", before),
        ("stages verify and sample", figures["stages"]),
        ("the sandbox alone, after", after),
    ):
        cells = (f"{row['runs']}", f"{row['seconds']:.1f}", f"{row['runs_per_s']:.0f}", f"{row['cpu_ms']:.2f}")
        table.add_row(name, *cells)
    console.print(table)
    bar = figures["bars"]["rate"]
    lines = (
        f"the stages' rate / the sandbox's: {figures['rate']:.2f}, bar >= {bar:g}: "
        f"{'ok' if figures['rate'] >= bar else 'missed'} ({figures['samples_rate']:.2f} if the runs of verify, two a "
        f"question, are not counted; by CPU {figures['cpu']:.2f})",
        f"{figures['differing']} programs judged otherwise by the stages",
        f"{machine['cores']} cores, Python {machine['python']}, Linux {machine['kernel']}, load "
        f"{machine['load_before']} before and {machine['load_after']} after; answers are prepared, no model is asked; "
        "the stages' seconds are all that a user waits for: Parquet, JSON, the cache of answers, extraction of "
        "programs, the tests' rules",
    )
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
