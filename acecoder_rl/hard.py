"""Which problems are hard, by the pass rates that a row's own `inferences` have.

Covers: the paper's choice: rows whose mean pass rate is at most the median of the means, and of those the ones whose
    spread (population standard deviation) is at least the median of their spreads: about a quarter, ties kept. The
    arithmetic is numpy's, so the choice is the original's to the last row. Or a band of mean pass rates.
Does not cover: reading the rows (training/sources.py, synthesis/hard.py). Rows without usable pass rates are left out
    and counted; in the original one of them makes every median NaN, and nothing is kept.
Memory: a few numbers a row.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from acecoder_rl.cases import At, shown

# Whose samples the original counts. The public dataset has those of the first.
MODELS = ("qwen_coder_2.5", "llama3_instruct")
# Means are sums of shares of tests: (0.1 + 0.2 + 0.3) / 3 is not quite 0.2, but belongs to a band that ends there.
SAME = 1e-9


@dataclass(frozen=True)
class Choice:
    """What `choose` made of the rows.

    Attributes:
        chosen: 1 a row that was chosen, 0 otherwise, in the rows' order.
        reasons: why a row was not chosen, "" where it was: "no_inferences"; by the medians "easy" (the mean is above)
            or "alike" (the spread is below); by a band "below_band", "above_band".
        usable: rows with pass rates.
        others: of these, the rows with samples of none of MODELS, whose samples all count, a model each.
    """

    chosen: bytearray
    reasons: list[str]
    usable: int
    others: Counter[str]


def choose(rows: Iterable[tuple[str, dict[str, Any]]], band: tuple[float, float] | None = None) -> Choice:
    """Which rows are hard.

    Args:
        rows: (where, record) each.
        band: lowest and highest mean pass rate, both in it; None = by the medians of mean and spread.

    Raises:
        ProblemError: `inferences` are malformed.
    """
    import numpy

    means, spreads = array("d"), array("d")
    others: Counter[str] = Counter()
    for where, record in rows:
        rates, other = _pass_rates(record.get("inferences"), At(where, "inferences"))
        means.append(float(numpy.mean(rates)) if rates else math.nan)
        spreads.append(float(numpy.std(rates)) if rates else math.nan)
        others.update(other)
    mean, spread = numpy.array(means), numpy.array(spreads)
    used = ~numpy.isnan(mean)
    if band is not None:
        tests = {"below_band": mean < band[0] - SAME, "above_band": mean > band[1] + SAME}
    elif used.any():
        low = used & (mean <= numpy.percentile(mean[used], 50))
        tests = {"easy": used & ~low, "alike": low & (spread < numpy.percentile(spread[low], 50))}
    else:
        tests = {}
    reasons = [""] * len(means)
    for reason, true in {"no_inferences": ~used, **tests}.items():
        for number in numpy.flatnonzero(true):
            reasons[number] = reason
    return Choice(bytearray(not reason for reason in reasons), reasons, int(used.sum()), others)


def _pass_rates(inferences: Any, at: At) -> tuple[list[float], list[str]]:
    """The pass rates that count, and the name of whose they are where that is none of MODELS."""
    if inferences is None:
        return [], []
    if not isinstance(inferences, list) or not all(isinstance(item, dict) for item in inferences):
        at.fail(f"is {shown(inferences)}: give a list of objects with model_name and pass_rate")
    rates: list[tuple[Any, float]] = []
    for index, item in enumerate(inferences):
        rate = item.get("pass_rate")
        if rate is None or (isinstance(rate, float) and math.isnan(rate)):
            continue
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate <= 1:
            at[index]["pass_rate"].fail(f"is {shown(rate)}: give a number from 0 to 1")
        rates.append((item.get("model_name"), rate))
    named = [rate for model, rate in rates if model in MODELS]
    if named or not rates:
        return named, []
    return [rate for _, rate in rates], [str(rates[0][0])]
