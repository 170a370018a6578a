"""BigCodeBench: complete and instruct, full and hard.

Covers: its rows (`unittest` tests of `task_func`), which of its packages the sandbox's interpreter lacks, its prompts.
Its tests take the program's objects apart (frames, axes) and replace what it calls, so they share its process, as in
    BigCodeBench itself: a program could cheat there. There is no network in the sandbox.
Source: bigcodebench 0.2.5, generate.py, provider/utility.py, eval/__init__.py.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from acecoder_rl.cases import At, shown
from acecoder_rl.evaluation.benchmarks import files, prompts
from acecoder_rl.evaluation.benchmarks.items import Benchmark, Item
from acecoder_rl.problems import Problem
from acecoder_rl.records import InputError
from acecoder_rl.sandbox import Limits

VERSION = "v0.1.4"
# BigCodeBench gives 240 s and starts processes.
LIMITS = Limits(test_seconds=60.0, program_seconds=240.0, wall_seconds=480.0, memory_mb=8192, processes=64)
SHARED = "import tempfile\ntempfile  # named, it has the sandbox run these tests in the program's own process\n"
NOTE = "BigCodeBench's tests share the program's process and have no network"
FIELDS = ("complete_prompt", "instruct_prompt", "code_prompt", "canonical_solution", "test", "entry_point")
LOOK = """
import importlib, json, os, sys
missing = {}
out, sys.stdout = sys.stdout, open(os.devnull, "w")
for name in json.load(sys.stdin):
    try:
        importlib.import_module(name)
    except BaseException as error:
        missing[name] = f"{type(error).__name__}: {error}"[:120]
out.write(json.dumps(missing))
"""


def load(given: Sequence[Path], split: str, subset: str, python: str | None) -> Benchmark:
    """One of the four.

    Args:
        split: "complete" or "instruct".
        subset: "full" or "hard".
        python: the interpreter whose packages programs have; None is ours.

    Raises:
        InputError, ProblemError: the data is not here, or malformed; packages are missing.
    """
    name = f"bigcodebench-{split}" + ("-hard" if subset == "hard" else "")
    repository = "bigcode/bigcodebench" + ("-hard" if subset == "hard" else "")
    address = f"https://huggingface.co/datasets/{repository}/resolve/main/data/{VERSION}-00000-of-00001.parquet"
    found = files.find(name, given, [], files.Hub(repository, VERSION), [address])
    items, wanted = [], set()
    for where, row in found.rows:
        at = At(where)
        for field in FIELDS:
            if not isinstance(row.get(field), str):
                at[field].fail(f"is {shown(row.get(field))}: give BigCodeBench's file as it is")
        wanted |= imported(row["test"], row["code_prompt"] + row["canonical_solution"])
        items.append(_item(row, where, split))
    missing = lacking(wanted, python)
    if missing:
        told = "".join(f"\n  {package}: {why}" for package, why in sorted(missing.items()))
        raise InputError(
            f"{name} imports what {python or sys.executable} does not have: install it there, or name an interpreter "
            f"that has it by --python (BigCodeBench's own list: Requirements/requirements-eval.txt):{told}"
        )
    about = {"version": VERSION, "content": files.digest(found.rows)}
    return Benchmark(
        name, tuple(items), found.source, LIMITS, prefix=prompts.PREFIX, stops=prompts.FUNCTION_STOPS, about=about,
        note=NOTE,
    )  # fmt: skip


def imported(*sources: str) -> set[str]:
    """The modules that Python text imports from top to bottom; relative ones left out."""
    found = set()
    for source in sources:
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError):
            continue  # told where the tests are read
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module)
    return found


def lacking(modules: Iterable[str], python: str | None) -> dict[str, str]:
    """Those that an interpreter cannot import, with the reason.

    Raises:
        InputError: it does not run.
    """
    command = [python or sys.executable, "-I", "-c", LOOK]
    try:
        done = subprocess.run(
            command, input=json.dumps(sorted(modules)), capture_output=True, text=True, timeout=600, check=True
        )
        return json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise InputError(f"--python {command[0]} does not run ({error}): give a Python 3.9 or newer") from None


def _item(row: dict[str, Any], where: str, split: str) -> Item:
    problem = Problem.from_record({**row, "setup": SHARED, "question": row[f"{split}_prompt"]}, where=where)
    code = row["complete_prompt"].strip()
    text = prompts.chat(code) if split == "complete" else f"{prompts.INSTRUCTION}\n{row['instruct_prompt'].strip()}\n"
    bare = code if split == "complete" else f"{text}```python\n{row['code_prompt'].strip()}"
    head = (row["complete_prompt"] if split == "complete" else row["code_prompt"]).strip() + "\n"
    # BigCodeBench's `calibrated`: the imports of the prompt are there, whether or not an answer repeats them.
    before = row["code_prompt"].rstrip() + "\n    pass\n"
    reference = row["code_prompt"] + row["canonical_solution"]
    return Item(problem.id, text, bare, head, problem, (), reference, before=before)
