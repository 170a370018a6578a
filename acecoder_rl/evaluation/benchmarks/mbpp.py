"""MBPP and MBPP+.

Covers: Google's rows (full: its test split, task ids 11 to 510; sanitized: the same), EvalPlus's (inputs and a
    reference); prompts as EvalPlus has them: the task and its first test in a docstring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from acecoder_rl.cases import At
from acecoder_rl.evaluation.benchmarks import files, humaneval, plus, prompts
from acecoder_rl.evaluation.benchmarks.items import Benchmark, Item
from acecoder_rl.problems import Problem
from acecoder_rl.records import InputError
from acecoder_rl.training.prompts import first_test

PLUS_FILE = "MbppPlus-v0.2.0.jsonl"
PLUS_ADDRESS = "https://github.com/evalplus/mbppplus_release/releases/download/v0.2.0/MbppPlus.jsonl.gz"
ADDRESS = "https://github.com/google-research/google-research/raw/master/mbpp/mbpp.jsonl"
TEST_SPLIT = range(11, 511)
# A test of task 123 takes the reference 4 s; EvalPlus gives a program four times what the reference takes.
LIMITS = replace(humaneval.LIMITS, test_seconds=12.0)
STOPS = (*prompts.STOPS, '\n"""', "\nassert")


def load(given: Sequence[Path], with_plus: bool) -> Benchmark:
    """MBPP, or MBPP+.

    Raises:
        InputError, ProblemError: the data is not here, or malformed.
    """
    name = "mbpp+" if with_plus else "mbpp"
    cached = [files.from_environment("MBPP_OVERRIDE_PATH"), files.in_evalplus_cache(PLUS_FILE)]
    hub = None if with_plus else files.Hub("google-research-datasets/mbpp", "test", "full")
    found = files.find(name, given, cached, hub, [PLUS_ADDRESS] if with_plus else [ADDRESS])
    items, kinds = [], set()
    for where, row in found.rows:
        if plus.is_plus(row):
            kinds.add("EvalPlus's inputs")
            problem, more, reference = plus.read("mbpp", row, At(where), with_plus)
            code = problem.question.strip()
        else:
            if with_plus:
                raise InputError(f"{where} has no base_input: mbpp+ needs EvalPlus's file: {PLUS_ADDRESS}")
            if row.get("task_id") not in TEST_SPLIT:
                continue
            kinds.add("MBPP's asserts")
            problem, more, reference = Problem.from_record(row, where=where), (), row.get("code")
            code = f'"""\n{problem.question.strip()}\n{first_test(problem, where)}\n"""'
        items.append(_item(problem, more, reference, code))
    if not items:
        raise InputError(
            f"{found.source} has no problem of MBPP's test split (task ids 11 to 510): give the whole file"
        )
    about = {"tests": " and ".join(sorted(kinds)), "content": files.digest(found.rows)}
    return Benchmark(name, tuple(items), found.source, LIMITS, prefix=prompts.PREFIX, stops=STOPS, about=about)


def _item(problem: Problem, more: Any, reference: str | None, code: str) -> Item:
    number = problem.id.rpartition("/")[2]
    others = (number, f"Mbpp/{number}")
    return Item(problem.id, prompts.chat(code), code, code + "\n", problem, more, reference, others)
