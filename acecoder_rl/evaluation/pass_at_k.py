"""Completions -> which pass all tests -> pass@k with intervals.

Covers: judging in the sandbox, the unbiased estimator, bootstrap intervals over problems, of one model and of the
    gain from one to another.
Does not cover: sampling (sampling.py).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from acecoder_rl.completions import extract_program
from acecoder_rl.problems import Problem
from acecoder_rl.sandbox.calls import Calls

DRAWS = 10_000
LEVEL = 0.95


@dataclass(frozen=True)
class Judged:
    """A model's completions, judged.

    Attributes:
        ids: of the problems.
        passed: [problems, samples], True where every test passed.
    """

    ids: tuple[str, ...]
    passed: np.ndarray

    def pass_at(self, k: int) -> float:
        """The chance that one of k samples passes, averaged over problems."""
        n = self.passed.shape[1]
        return float(np.mean([pass_at_k(n, int(row.sum()), k) for row in self.passed]))

    def interval(self) -> tuple[float, float]:
        """Of pass@1: 95 %, by drawing problems anew."""
        return _interval(self.passed.mean(axis=1))


def pass_at_k(n: int, passed: int, k: int) -> float:
    """The unbiased estimate from n samples: 1 - C(n - passed, k) / C(n, k) (Chen et al. 2021, section 2.1)."""
    if not 1 <= k <= n:
        raise ValueError(f"k is {k}: give 1 to {n}, the samples a problem")
    return 1.0 - math.comb(n - passed, k) / math.comb(n, k)


def gain(before: Judged, after: Judged) -> tuple[float, tuple[float, float]]:
    """How much pass@1 rose, with its 95 % interval; both were asked the same problems, which are drawn in pairs."""
    if before.ids != after.ids:
        raise ValueError("before and after were judged on different problems: evaluate both on the same file")
    difference = after.passed.mean(axis=1) - before.passed.mean(axis=1)
    return float(difference.mean()), _interval(difference)


def judge(completions: Path, sandbox: Calls, assistant_prefix: str = "", progress: bool = False) -> Judged:
    """Run a file of sampling.py.

    Args:
        assistant_prefix: how the completions begin, as in the prompts.

    Raises:
        ValueError: the file has no completions, or not as many for every problem.
        SandboxError: the sandbox failed; a completion's fault never raises.
    """
    rows = [json.loads(line) for line in completions.read_text().splitlines()]
    counts = {len(row["completions"]) for row in rows} or {0}
    if len(counts) > 1 or 0 in counts:
        raise ValueError(
            f"{completions}: the problems have {' or '.join(map(str, sorted(counts)))} completions: "
            "sample all of them with one number of samples, at least 1"
        )
    problems = [Problem.from_label(row["label"]) for row in rows]
    pairs = [
        (extract_program(assistant_prefix + text, problem.tests).code, problem)
        for row, problem in zip(rows, problems, strict=True)
        for text in row["completions"]
    ]
    passed = np.zeros(len(pairs), dtype=bool)
    for limits in {problem.limits for problem in problems}:  # a problem's own outrank the sandbox's
        run = [at for at, (code, problem) in enumerate(pairs) if code and problem.limits == limits]
        verdicts = sandbox.run_many(
            [(pairs[at][0], pairs[at][1].tests) for at in run],
            progress=progress,
            limits=limits,
            stop_at_first_failure=True,
        )
        passed[run] = [verdict.passed for verdict in verdicts]
    return Judged(tuple(p.id for p in problems), passed.reshape(len(problems), -1))


def _interval(values: np.ndarray) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(values), (DRAWS, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
