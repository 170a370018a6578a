"""LiveCodeBench: code generation, by release and date.

Covers: its public rows (stdin and functional tests, packed or plain), its own chat prompt, what its grader puts before
    every program.
Does not cover: its few-shot prompt for base models: they continue the chat's text.
Source: LiveCodeBench, lcb_runner/prompts/code_generation.py and evaluation/testing_util.py; a program has 6 s a test.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from acecoder_rl.cases import At, shown
from acecoder_rl.evaluation.benchmarks import files
from acecoder_rl.evaluation.benchmarks.items import Benchmark, Item
from acecoder_rl.problems import Problem
from acecoder_rl.records import InputError
from acecoder_rl.sandbox import Limits

REPOSITORY = "livecodebench/code_generation_lite"
RELEASES = tuple(f"release_v{number}" for number in range(1, 7))
FILES = ("test.jsonl", *(f"test{number}.jsonl" for number in range(2, 7)))  # a release has those up to its own
LIMITS = Limits(test_seconds=6.0, program_seconds=300.0, wall_seconds=600.0, memory_mb=4096)
SYSTEM = (
    "You are an expert Python programmer. You will be given a question (problem specification) and will generate a "
    "correct Python program that matches the specification and passes all tests."
)
STARTER = (
    "You will use the following starter code to write the solution to the problem and enclose your code within "
    "delimiters."
)
NO_STARTER = (
    "Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test on the sample "
    "inputs). Enclose your code within delimiters as follows. Ensure that when the python program runs, it reads the "
    "inputs, runs the algorithm and writes output to STDOUT."
)
# A base model goes on with another question when it has answered.
STOPS = ("\n### Question",)
MODULES = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics"),
    *("itertools", "functools", "operator", "io", "sys", "json"),
)
BEFORE = (
    "".join(f"from {name} import *\n" for name in (*MODULES, "builtins", "typing"))
    + "".join(f"import {name}\n" for name in MODULES)
    + "sys.setrecursionlimit(50000)\n"
)


def load(given: Sequence[Path], release: str, first: date | None, last: date | None) -> Benchmark:
    """The problems of a release whose contests were in a window.

    Args:
        given: the release's files; None of them tells its release, so that is the user's word.
        first, last: both within the window; None for open ends.

    Raises:
        InputError, ProblemError: the data is not here, or malformed; no such release; the window is empty.
    """
    if release not in RELEASES:
        raise InputError(f"--release is {release!r}: give one of {', '.join(RELEASES)}")
    if first and last and first > last:
        raise InputError(f"the window is from {first} to {last}: give --from before --to")
    names = FILES[: RELEASES.index(release) + 1]
    base = f"https://huggingface.co/datasets/{REPOSITORY}/resolve/main"
    hub = files.Hub(REPOSITORY, files=names)
    found = files.find("livecodebench", given, [], hub, [f"{base}/{name}" for name in names])
    items, dates, kept = [], [], []
    for where, row in found.rows:
        when = contest_date(row, At(where))
        dates.append(when)
        if (first and when < first) or (last and when > last):
            continue
        kept.append((where, row))
        items.append(_item(row, where))
    if not items:
        have = f"{min(dates)} to {max(dates)}" if dates else "none"
        raise InputError(f"no problem of {found.source} is from {first or 'ever'} to {last or 'now'}: it has {have}")
    about: dict[str, Any] = {"release": release, "from": str(first or min(dates)), "to": str(last or max(dates))}
    about["content"] = files.digest(kept)
    return Benchmark(
        "livecodebench", tuple(items), found.source, LIMITS, system=SYSTEM, stops=STOPS, about=about, preload=MODULES
    )


def contest_date(row: dict[str, Any], at: At) -> date:
    """The day of a problem's contest."""
    value = row.get("contest_date")
    if hasattr(value, "date"):  # Parquet's
        return value.date()
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        at["contest_date"].fail(f"is {shown(value)}: give a date such as 2024-09-01")


def _item(row: dict[str, Any], where: str) -> Item:
    problem = Problem.from_record(row, where=where)
    starter = row.get("starter_code") or ""
    shape = f"{STARTER}\n```python\n{starter}\n```" if starter else f"{NO_STARTER}\n```python\n# YOUR CODE HERE\n```"
    text = (
        f"### Question:\n{problem.question}\n\n### Format: {shape}\n\n"
        "### Answer: (use the provided format with backticks)\n\n"
    )
    return Item(problem.id, text, f"{SYSTEM}\n\n{text.rstrip()}", "", problem, before=BEFORE)
