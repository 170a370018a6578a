"""The tables of `acecoder-rl bench sandbox`.

Covers: `show`, from the figures as sandbox.py's JSON holds them.
Does not cover: measuring.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

NAMES = {
    "inprocess": "plain exec",
    "floor": "fork floor",
    "sandbox": "this sandbox",
    "evalplus": "EvalPlus 0.3.1",
}
RATIOS = {
    "cpu_vs_floor": "CPU a program / the fork floor's",
    "overhead_vs_evalplus": "CPU a program above plain exec / EvalPlus's",
    "hang_cpu_vs_test_seconds": "CPU of one hanging in each of {hanging_tests} tests / test_seconds",
}


def show(figures: dict[str, Any]) -> None:
    """Print the figures to stdout."""
    console = Console()
    if not console.is_terminal:  # a file has no width of its own, and 80 columns break every heading
        console = Console(width=110)
    settings, machine = figures["settings"], figures["machine"]
    title = (
        f"{settings['programs']} programs, {settings['tests']} tests, {settings['workers']} workers, "
        f"isolation {settings['isolation']}"
    )
    table = Table("executor", title=title, title_justify="left")
    for heading in ("CPU ms", "above plain", "programs/s", "tests/s", "start CPU ms", "unlike plain"):
        table.add_column(heading, justify="right")
    plain = figures["medians"]["inprocess"]["cpu_ms"]
    for name, row in figures["medians"].items():
        differs = figures["agreement"].get(name, {}).get("programs", "")
        above = "" if name == "inprocess" else f"{row['cpu_ms'] - plain:.2f}"
        table.add_row(
            NAMES[name],
            f"{row['cpu_ms']:.2f}",
            above,
            f"{row['programs_per_s']:.0f}",
            f"{row['tests_per_s']:.0f}",
            f"{row['start_cpu_ms']:.0f}",
            str(differs),
        )
    console.print(table)

    ratios = Table("ratio", title="against the bars", title_justify="left")
    for heading in ("measured", "bar", ""):
        ratios.add_column(heading, justify="right")
    for name, value in figures["ratios"].items():
        bar = figures["bars"][name]
        reached = "ok" if value <= bar else "over"
        ratios.add_row(RATIOS[name].format(**settings), f"{value:.2f}", f"{bar:g}", reached)
    console.print(ratios)

    loops = Table(
        "executor", title=f"{settings['loop_programs']} programs, 10 % of them endless loops", title_justify="left"
    )
    for heading in ("programs/s", "CPU ms", "wrong verdicts", "CPU s, one hanging"):
        loops.add_column(heading, justify="right")
    for name, row in figures["loops"].items():
        loops.add_row(
            NAMES[name],
            f"{row['programs_per_s']:.1f}",
            f"{row['cpu_ms']:.0f}",
            str(row["wrong_verdicts"]),
            f"{figures['hang_cpu_seconds'][name]:.1f}",
        )
    console.print(loops)

    speeds = ", ".join(f"{row['workers']}: {row['programs_per_s']:.0f}" for row in figures["scaling"])
    lines = [
        f"programs/s by workers: {speeds}; recommended: {figures['recommended_workers']}",
        f"{machine['cores']} cores, Python {machine['python']}, Linux {machine['kernel']}, load "
        f"{machine['load_before']} before and {machine['load_after']} after; medians of "
        f"{settings['rounds']} rounds, the executors in turn in each; ratios are taken within a round",
        "CPU is a program's, of the whole process tree, less start-up; every executor runs every test; "
        "the floor forks a warm interpreter for each program, without protection; 'unlike plain' counts "
        "programs whose verdict is not that of plain exec in one process",
    ]
    if figures["left_processes"]:
        lines.append(f"{figures['left_processes']} processes were still alive 10 s after their phase")
    for example in figures["agreement"]["sandbox"]["examples"]:
        lines.append(f"differs from plain exec: {example}")
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)
