"""Honest programs get the verdict that plain exec gives: MBPP's solutions, and each with one mutation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from acecoder_rl.bench.mutants import mutants
from acecoder_rl.problems import Problem
from acecoder_rl.sandbox import Limits, Sandbox
from tests.plain import plain_exec

MBPP = Path(__file__).parents[3] / "shared" / "data" / "mbpp.jsonl"
needs_mbpp = pytest.mark.skipif(not MBPP.exists(), reason="the MBPP file is not there")


def differences(rows: list[dict], programs: list[str], sandbox: Sandbox, seconds: float) -> list[tuple]:
    """(task id, plain exec's verdict, the sandbox's) where they differ, as far as plain exec came."""
    problems = [Problem.from_record(row) for row in rows]
    verdicts = sandbox.run_many([(p, problem.tests) for p, problem in zip(programs, problems, strict=True)])
    found = []
    for row, program, verdict in zip(rows, programs, verdicts, strict=True):
        plain = plain_exec(program, row["test_setup_code"], row["test_list"], seconds)
        ours = [outcome.status == "passed" for outcome in verdict.outcomes]
        if ours[: len(plain)] != plain:
            found.append((row["task_id"], plain, verdict))
    return found


def read() -> list[dict]:
    return [json.loads(line) for line in MBPP.read_text().splitlines()]


@needs_mbpp
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::SyntaxWarning")
@pytest.mark.parametrize("share", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_mbpp_solutions_agree_with_plain_exec(share):
    rows = read()[::share]
    with Sandbox() as sandbox:
        different = differences(rows, [row["code"] for row in rows], sandbox, 20.0)
    assert len(different) <= 0.005 * len(rows), different


@needs_mbpp
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::SyntaxWarning")
@pytest.mark.parametrize("share", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_mbpp_mutants_agree_with_plain_exec(share):
    rows = read()[::share]
    changed = [(mutants(row["code"], 1, row["task_id"]) or [row["code"]])[0] for row in rows]
    with Sandbox(limits=Limits(test_seconds=1.0)) as sandbox:
        different = differences(rows, changed, sandbox, 0.5)
    assert len(different) <= 0.005 * len(rows), different
