"""What the tables of a synthesis run cost at AceCode's size: `python -m acecoder_rl.bench.synthesis_tables`.

Covers: `tables`: seconds, CPU seconds and peak memory of build, pairs and hard, and beside them of the published folder
    (prompt files, card), over generated samples: 87,000 questions with 16 tests and 16 programs each, in a process of
    its own.
Does not cover: models and the sandbox (synthesis.py). The texts are of the size and the variety of real ones, and mean
    nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from acecoder_rl.bench.measure import BenchError
from acecoder_rl.sandbox.granted import granted_cores

QUESTIONS, PROGRAMS, TESTS = 87_000, 16, 16
BARS = {"minutes": 10.0, "peak_gb": 4.0}  # of JUDGED together
JUDGED = ("build", "pairs", "hard")
SECONDS = 7200.0
TEXT = """given list integers return string number values each element function write that takes sorted order whose
sum greater than first second length input contains only lowercase letters may assume empty otherwise result index
consider following pairs window maximum minimum distinct remove duplicates count occurrences dictionary keys"""
WORDS = TEXT.split()

Figures = dict[str, Any]


def tables(questions: int = QUESTIONS) -> Figures:
    """The figures, as JSON holds them; takes some 2 GB of the temporary folder at full size.

    "minutes", "cpu_minutes" and "peak_gb" are those of build, pairs and hard, which the bars are for.

    Raises:
        BenchError: a stage failed.
    """
    with tempfile.TemporaryDirectory(prefix="acecoder-bench-") as folder:
        for phase in ("make", "measure"):
            command = [sys.executable, "-m", "acecoder_rl.bench.synthesis_tables", "--phase", phase, folder]
            try:
                done = subprocess.run(
                    [*command, "--questions", str(questions)],
                    capture_output=True, text=True, timeout=SECONDS, check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired as error:
                raise BenchError(f"bench: {phase} took more than {SECONDS:.0f} s: try fewer questions") from error
            if done.returncode:
                raise BenchError(f"bench: {phase} ended with status {done.returncode}:\n{done.stderr[-1500:]}")
        figures = json.loads(done.stdout)
    return {
        "machine": {"cores": granted_cores(), "load": round(os.getloadavg()[0], 2)},
        "settings": {"questions": questions, "programs": PROGRAMS, "tests": TESTS},
        **figures,
        "bars": BARS,
    }


def samples(questions: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Rows as stage sample writes them."""
    rng = random.Random(seed)
    for number in range(questions):
        name = f"{rng.choice(WORDS)}_{rng.choice(WORDS)}_{number}"
        ease = rng.random()
        inferences = []
        for index in range(PROGRAMS):
            passed = _passed(rng, ease)
            inferences.append(
                {
                    "model_name": "model",
                    "completion_id": index,
                    "completion": _program(rng, name),
                    "pass_rate": sum(passed) / TESTS,
                    "test_results": passed,
                    "truncated": False,
                }
            )
        yield {
            "id": f"oss_{number}",
            "source": "oss",
            "question": f"Write a function {name}(values, limit). {' '.join(rng.choices(WORDS, k=90))}.",
            "tests": json.dumps([_test(rng, name) for _ in range(TESTS)]),
            "inferences": json.dumps(inferences),
        }


def _passed(rng: random.Random, ease: float) -> list[int]:
    """A program's outcomes: about half of the questions give pairs, some 7 each, as AceCode's do."""
    if rng.random() < 1.4 * ease - 0.2:  # some questions are always answered right, some never
        return [1] * TESTS
    share = 0.0 if rng.random() < 0.7 else rng.triangular(0.1, 1.0, 0.9)
    return [int(rng.random() < share) for _ in range(TESTS)]


def _program(rng: random.Random, name: str) -> str:
    first, second, third, fourth = rng.choices(WORDS, k=4)
    return (
        f'def {name}(values, limit):\n    """{" ".join(rng.choices(WORDS, k=10)).capitalize()}."""\n'
        f"    {first}_list = []\n    {second}_total = {rng.randrange(100)}\n"
        f"    for index, {third}_item in enumerate(values):\n"
        f"        if {third}_item % {rng.randrange(2, 20)} == limit:\n"
        f"            {first}_list.append({third}_item * {rng.randrange(100)})\n"
        f"        {second}_total += {third}_item + index\n"
        f"    {fourth}_result = sorted({first}_list)\n    return {fourth}_result, {second}_total\n"
    )


def _test(rng: random.Random, name: str) -> str:
    values = [rng.randrange(1000) for _ in range(rng.randrange(2, 8))]
    return f"assert {name}({values}, {rng.randrange(10)}) == ({sorted(values)[:2]}, {sum(values)})"


def make(folder: Path, questions: int) -> None:
    """Stage sample, generated."""
    import pyarrow

    from acecoder_rl.synthesis.stages import Chunk, run_stage

    schema = pyarrow.schema([(name, pyarrow.string()) for name in ("id", "source", "question", "tests", "inferences")])
    run_stage(folder, "sample", schema, samples(questions), Chunk, 256, {})


def measure(folder: Path) -> Figures:
    """Build, pairs, hard and the published folder, in this process."""
    from acecoder_rl.synthesis import build, dataset, hard, pairs

    stages: dict[str, Callable[[], Any]] = {
        "build": lambda: build.run(folder),
        "pairs": lambda: pairs.run(folder, pairs.PairsSettings()),
        "hard": lambda: hard.run(folder, hard.HardSettings()),
        "dataset folder": lambda: dataset.publish(folder, build.BuildSettings()),
    }
    figures: dict[str, Figures] = {}
    for name, stage in stages.items():
        began, cpu = time.monotonic(), time.process_time()
        state = stage()
        figures[name] = {
            "seconds": time.monotonic() - began,
            "cpu_seconds": time.process_time() - cpu,
            "peak_gb": _peak(),
            "rows": getattr(state, "kept", None),
        }
    judged = [figures[name] for name in JUDGED]
    return {
        "stages": figures,
        "minutes": sum(stage["seconds"] for stage in judged) / 60,
        "cpu_minutes": sum(stage["cpu_seconds"] for stage in judged) / 60,
        "peak_gb": judged[-1]["peak_gb"],
        "disk_gb": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9,
    }


def _peak() -> float:
    """This process's own peak of memory so far, in GB."""
    # Of a process that was started by exec, VmHWM is its own; ru_maxrss may be its parent's.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def show(figures: Figures) -> None:
    """Print the figures to stdout."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=110)
    settings = figures["settings"]
    title = f"{settings['questions']:,} questions, {settings['programs']} programs and {settings['tests']} tests each"
    table = Table("stage", title=title, title_justify="left")
    for heading in ("seconds", "CPU seconds", "peak GB so far", "rows"):
        table.add_column(heading, justify="right")
    for name, row in figures["stages"].items():
        rows = "" if row["rows"] is None else f"{row['rows']:,}"
        table.add_row(name, f"{row['seconds']:.0f}", f"{row['cpu_seconds']:.0f}", f"{row['peak_gb']:.2f}", rows)
    console.print(table)
    told = f"{', '.join(JUDGED[:-1])} and {JUDGED[-1]} together"
    for name, unit in (("minutes", "minutes"), ("peak_gb", "GB at their peak")):
        bar, value = figures["bars"][name], figures[name]
        console.print(
            f"{told}: {value:.2f} {unit}, bar < {bar:g}: {'ok' if value < bar else 'missed'}", highlight=False
        )
    beside = figures["stages"]["dataset folder"]
    console.print(
        f"the dataset folder with its prompt files, beside: {beside['seconds'] / 60:.2f} minutes, "
        f"{beside['peak_gb']:.2f} GB",
        highlight=False,
    )
    console.print(f"{figures['machine']['cores']} cores, load {figures['machine']['load']}", highlight=False)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--questions", type=int, default=QUESTIONS)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--phase", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.phase:
        phase, folder = options.phase[0], Path(options.phase[1])
        if phase == "make":
            make(folder, options.questions)
        else:
            print(json.dumps(measure(folder)))
        return
    figures = tables(options.questions)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")
    show(figures)


if __name__ == "__main__":
    main()
