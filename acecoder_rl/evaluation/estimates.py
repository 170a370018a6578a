"""What best-of-k gives, exactly, from N candidates a problem and their scores; with intervals over problems.

Covers: best-of-k, the oracle, the chance that a right candidate outranks a wrong one, the report's figures.
Does not cover: where candidates, verdicts and scores come from (best_of_n.py), tables and plots (best_of_n_shown.py).

Best-of-k is not read off one arbitrary subset (the first k), but is its expectation over all k-subsets of a problem's
N candidates. Let the different scores be s_1 < ... < s_G, the candidates with score s_g number m_g, those with a lower
one L_g = m_1 + ... + m_(g-1), and v_g be the mean value (1 or 0, or a pass rate) of those with score s_g. The best of
a random k-subset has score s_g with chance (C(L_g + m_g, k) - C(L_g, k)) / C(N, k), and candidates that tie share the
pick evenly, so

    E[best of k] = sum over g of (C(L_g + m_g, k) - C(L_g, k)) / C(N, k) * v_g

For k = 1 that is the average of the samples, for k = N the value of the top candidate. With the values themselves as
scores it is the oracle: of 1 and 0 it is pass@k (Chen et al. 2021).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from acecoder_rl.evaluation.pass_at_k import DRAWS, LEVEL

BLOCK = 1 << 22  # drawn problems at once: 32 MB
METRICS = ("all_pass", "pass_rate")


@dataclass(frozen=True)
class Ranked:
    """One problem's candidates in the order they came.

    Attributes:
        scores: of the reward model, finite, any scale; higher is better.
        passed: whether all tests passed.
        pass_rates: 0 to 1.
    """

    scores: Sequence[float]
    passed: Sequence[bool]
    pass_rates: Sequence[float]

    def values(self, metric: str) -> np.ndarray:
        """Of each candidate, by "all_pass" or "pass_rate"."""
        return np.asarray(self.passed if metric == "all_pass" else self.pass_rates, dtype=float)


def best_of_k(scores: Sequence[float] | np.ndarray, values: Sequence[float] | np.ndarray, k: int) -> float:
    """The expected value of the top-scored of k random candidates; formula above.

    Args:
        scores, values: of N candidates.
        k: 1 to N.

    Raises:
        ValueError: k is out of range, the lengths differ, or a score is not finite.
    """
    count = len(scores)
    if len(values) != count:
        raise ValueError(f"{count} scores, but {len(values)} values: give one of each a candidate")
    if not 1 <= k <= count:
        raise ValueError(f"k is {k}: give 1 to {count}, the candidates of the problem")
    scores, values = np.asarray(scores, dtype=float), np.asarray(values, dtype=float)
    if not np.isfinite(scores).all():
        raise ValueError(f"the scores {scores.tolist()} are not all finite: nothing can be ranked by them")
    subsets, below, expected = math.comb(count, k), 0, 0.0
    for score in np.unique(scores):
        tied = values[scores == score]
        upto = below + len(tied)
        # Exact integers until the one division: C(128, 64) has 38 digits.
        expected += (math.comb(upto, k) - math.comb(below, k)) / subsets * float(tied.mean())
        below = upto
    return expected


def outranks(scores: Sequence[float], passed: Sequence[bool]) -> float | None:
    """The chance that a passing candidate outranks a failing one (AUC; ties count half).

    None where all pass or none does: there is no such pair.
    """
    scores, passed = np.asarray(scores, dtype=float), np.asarray(passed, dtype=bool)
    right, wrong = scores[passed], scores[~passed]
    if not len(right) or not len(wrong):
        return None
    above = right[:, None] > wrong[None, :]
    level = right[:, None] == wrong[None, :]
    return float(above.mean() + level.mean() / 2)


def steps(most: int) -> list[int]:
    """1, 2, 4, ... and `most` itself."""
    return sorted({1 << power for power in range(most.bit_length()) if 1 << power <= most} | {most})


def intervals(columns: np.ndarray) -> list[tuple[float, float]]:
    """95 % intervals of the means of columns [problems, statistics], by drawing problems anew.

    One set of draws for all columns, so intervals of a report are of the same imagined problem sets.
    """
    count = len(columns)
    rng, means = np.random.default_rng(0), []
    block = max(1, BLOCK // count)
    for start in range(0, DRAWS, block):
        rows = min(block, DRAWS - start)
        drawn = rng.integers(0, count, (rows, count)) + np.arange(rows)[:, None] * count
        times = np.bincount(drawn.ravel(), minlength=rows * count).reshape(rows, count)
        means.append(times @ columns / count)
    edges = np.quantile(np.concatenate(means), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return [(float(low), float(high)) for low, high in edges.T]


def report(problems: Sequence[Ranked]) -> dict[str, Any]:
    """All figures, as they stand in the JSON.

    Keys: `problems`, `candidates` (the least a problem has: the largest k), `most_candidates`, `none_pass` and
    `all_pass` (problems), `steps` (the k), `metrics` and `outranks`. A metric ("all_pass", "pass_rate") has `first`,
    `average`, `best_of` by k, `oracle` by k and `gain` by k (best-of-k minus average, in pairs), each
    `{"value", "low", "high"}`. `outranks` has the mean of the chance over the problems where some pass and some fail,
    with their number; its value is None where there are none.

    Raises:
        ValueError: no problems, or one without candidates, or a score that is not finite.
    """
    if not problems or not all(len(problem.scores) for problem in problems):
        raise ValueError("a report needs problems, each with a candidate")
    counts = [len(problem.scores) for problem in problems]
    ks = steps(min(counts))
    names, columns = [], []
    for metric in METRICS:
        values = [problem.values(metric) for problem in problems]
        average = np.array([each.mean() for each in values])
        table = {("first",): np.array([each[0] for each in values]), ("average",): average}
        for k in ks:
            best = [best_of_k(p.scores, each, k) for p, each in zip(problems, values, strict=True)]
            table["best_of", str(k)] = np.array(best)
            table["oracle", str(k)] = np.array([best_of_k(each, each, k) for each in values])
            table["gain", str(k)] = table["best_of", str(k)] - average
        names += [(metric, *name) for name in table]
        columns += list(table.values())
    metrics: dict[str, Any] = {}
    means = np.stack(columns, axis=1)
    for name, mean, edges in zip(names, means.mean(axis=0), intervals(means), strict=True):
        at = metrics
        for part in name[:-1]:
            at = at.setdefault(part, {})
        at[name[-1]] = _estimate(mean, edges)
    right = [sum(map(bool, problem.passed)) for problem in problems]
    return {
        "problems": len(problems),
        "candidates": min(counts),
        "most_candidates": max(counts),
        "none_pass": sum(not passed for passed in right),
        "all_pass": sum(passed == count for passed, count in zip(right, counts, strict=True)),
        "steps": ks,
        "metrics": metrics,
        "outranks": _outranks(problems),
    }


def _outranks(problems: Sequence[Ranked]) -> dict[str, Any]:
    found = [outranks(problem.scores, problem.passed) for problem in problems]
    mixed = np.array([each for each in found if each is not None])
    if not len(mixed):
        return {"value": None, "low": None, "high": None, "problems": 0}
    return {**_estimate(mixed.mean(), intervals(mixed[:, None])[0]), "problems": len(mixed)}


def _estimate(mean: float, edges: tuple[float, float]) -> dict[str, float]:
    # Sums of weights are exact to some 1e-16: the figures should not say 0.30000000000000004.
    low, high = edges
    return {"value": round(float(mean), 12), "low": round(low, 12), "high": round(high, 12)}
