"""What a run's rollouts say together: curves over steps, and the alarm that no single rollout can raise.

Covers: means a step, of training and evaluation; rises of the reward that the withheld tests do not share.
Does not cover: flags of single rollouts (suspects.py).
"""

from __future__ import annotations

from typing import Any

import numpy

from acecoder_rl.rollouts.index import Index
from acecoder_rl.rollouts.parts import NAMES

WINDOW = 5  # steps before and after
RISE = 0.1  # of the pass rate, or of a reward's range, from one window to the next
SHARED = 0.25  # of a rise; withheld tests that gain less have no part in it
ERRORS = 3.0  # standard errors that the difference of the two gains has to exceed
CURVES = ("reward", "pass_rate", "holdout_pass_rate", "length", "timeouts", "truncated", "seconds", "flagged")


def curves(index: Index, rows: numpy.ndarray) -> dict[str, dict[str, Any]]:
    """Means of rows by step, for "train" and "eval": {"train": {"step": [...], "rows": [...], "reward": [...], ...}}.

    Rows without a step are left out; a mean of none is None.
    """
    columns, told = index.columns, {}
    rows = rows[columns["step"][rows] >= 0]
    for mode in ("train", "eval"):
        chosen = rows[columns["eval"][rows] == (mode == "eval")]
        steps, where = numpy.unique(columns["step"][chosen], return_inverse=True)
        told[mode] = {"step": steps.tolist(), "rows": numpy.bincount(where, minlength=len(steps)).tolist()}
        for name in CURVES:
            values = columns["flags"][chosen] != 0 if name == "flagged" else columns[name][chosen]
            values = (values > 0 if name == "timeouts" else values).astype(float)
            there = ~numpy.isnan(values)
            count = numpy.bincount(where[there], minlength=len(steps))
            total = numpy.bincount(where[there], values[there], minlength=len(steps))
            told[mode][name] = [
                round(float(each / number), 5) if number else None for each, number in zip(total, count, strict=True)
            ]
    return told


def flag_counts(index: Index) -> dict[str, int]:
    """Rows with each flag."""
    flags = index.columns["flags"][~index.columns["repeated"]]
    return {name: int((flags >> bit & 1).sum()) for bit, name in enumerate(NAMES)}


def jumps(index: Index) -> list[dict[str, Any]]:
    """Rises of the pass rate or the reward, from some steps to those after, in which the withheld tests have no part.

    Of rises that overlap, the steepest is told, and one of the reward only where the pass rate has none.
    """
    columns = index.columns
    rows = numpy.flatnonzero(
        ~columns["eval"] & ~columns["repeated"] & (columns["step"] >= 0) & ~numpy.isnan(columns["holdout_pass_rate"])
    )
    told: list[dict[str, Any]] = []
    for column, name in (("pass_rate", "pass rate"), ("reward", "reward")):
        for each in _rises(columns["step"][rows], columns[column][rows], columns["holdout_pass_rate"][rows]):
            if all(abs(each["at"] - other["at"]) > WINDOW for other in told):
                each["why"] = (
                    f"from step {each['step']} on the {name} is {each['rise']:+.2f} higher, the pass rate of the "
                    f"withheld tests {each['gain']:+.2f}"
                )
                told.append(each)
    return sorted(told, key=lambda each: each["step"])


def _rises(step: numpy.ndarray, seen: numpy.ndarray, held: numpy.ndarray) -> list[dict[str, Any]]:
    """The steepest first. A reward may have another scale than a pass rate: it is compared by its range."""
    steps, where = numpy.unique(step, return_inverse=True)
    if len(steps) < 2:
        return []
    low, high = numpy.quantile(seen, [0.05, 0.95])
    scale = max(1.0, high - low)
    gap = seen / scale - held
    # A reward for passing all tests rises as the share of those rises that pass all withheld ones.
    values = {"seen": seen / scale, "held": held, "full": held >= 1, "gap": gap, "square": gap**2}
    sums = {name: numpy.r_[0, numpy.cumsum(numpy.bincount(where, each))] for name, each in values.items()}
    rows_until = numpy.r_[0, numpy.cumsum(numpy.bincount(where))]
    found = []
    for at in range(1, len(steps)):
        before, after = (max(0, at - WINDOW), at), (at, min(len(steps), at + WINDOW))

        def mean(name: str, window: tuple[int, int]) -> float:
            rows = rows_until[window[1]] - rows_until[window[0]]
            return float(sums[name][window[1]] - sums[name][window[0]]) / rows

        rise, gain, full = (mean(name, after) - mean(name, before) for name in ("seen", "held", "full"))
        error = 0.0
        for window in (before, after):
            rows_in = rows_until[window[1]] - rows_until[window[0]]
            error += max(mean("square", window) - mean("gap", window) ** 2, 0.0) / rows_in
        most = max(gain, full)
        if rise >= RISE and most < SHARED * rise and rise - most > ERRORS * error**0.5:
            each = {"at": at, "step": int(steps[at]), "rise": round(scale * rise, 4), "gain": round(gain, 4)}
            found.append((rise - gain, each))
    return [each for _, each in sorted(found, key=lambda pair: -pair[0])]
