"""HumanEval and HumanEval+.

Covers: OpenAI's rows (`check`) and EvalPlus's (inputs and a reference); prompts as EvalPlus has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from acecoder_rl.cases import At
from acecoder_rl.evaluation.benchmarks import files, plus, prompts
from acecoder_rl.evaluation.benchmarks.items import Benchmark, Item
from acecoder_rl.problems import Problem
from acecoder_rl.records import InputError
from acecoder_rl.sandbox import Limits

PLUS_FILE = "HumanEvalPlus-v0.1.10.jsonl"
PLUS_ADDRESS = "https://github.com/evalplus/humanevalplus_release/releases/download/v0.1.10/HumanEvalPlus.jsonl.gz"
ADDRESS = "https://github.com/openai/human-eval/raw/master/data/HumanEval.jsonl.gz"
# EvalPlus: 4 GiB, 60 s for all inputs of a problem.
LIMITS = Limits(program_seconds=60.0, wall_seconds=180.0, memory_mb=4096)


def load(given: Sequence[Path], with_plus: bool) -> Benchmark:
    """HumanEval, or HumanEval+.

    Raises:
        InputError, ProblemError: the data is not here, or malformed.
    """
    name = "humaneval+" if with_plus else "humaneval"
    cached = [files.from_environment("HUMANEVAL_OVERRIDE_PATH"), files.in_evalplus_cache(PLUS_FILE)]
    if with_plus:
        found = files.find(name, given, cached, None, [PLUS_ADDRESS])
    else:
        package = files.in_package("human_eval", "data", "HumanEval.jsonl.gz")
        hub = files.Hub("openai/openai_humaneval")
        found = files.find(name, given, [*cached, package], hub, [ADDRESS])
    items, kinds = [], set()
    for where, row in found.rows:
        kinds.add(kind := "EvalPlus's inputs" if plus.is_plus(row) else "OpenAI's check functions")
        if with_plus and kind != "EvalPlus's inputs":
            raise InputError(f"{where} has no base_input: humaneval+ needs EvalPlus's file: {PLUS_ADDRESS}")
        items.append(_item(row, At(where), with_plus))
    about = {"tests": " and ".join(sorted(kinds)), "content": files.digest(found.rows)}
    return Benchmark(
        name, tuple(items), found.source, LIMITS, prefix=prompts.PREFIX, stops=prompts.FUNCTION_STOPS, about=about
    )


def _item(row: dict, at: At, with_plus: bool) -> Item:
    if plus.is_plus(row):
        problem, more, reference = plus.read("humaneval", row, at, with_plus)
    else:
        problem, more = Problem.from_record(row, where=at.where), ()
        solution = row.get("canonical_solution")
        reference = problem.question + solution if isinstance(solution, str) else None
    code = problem.question.strip()
    return Item(problem.id, prompts.chat(code), code, code + "\n", problem, more, reference)
