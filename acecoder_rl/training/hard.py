"""The paper's choice of hard problems: by the pass rates that a row's own `inferences` have.

Covers: rows whose mean pass rate is at most the median of the means, and of those the ones whose spread is at
    least the median of their spreads: about a quarter, ties kept. The arithmetic is numpy's, so the choice is
    the original's to the last row.
Does not cover: reading the rows (sources.py). Rows without usable pass rates are left out and counted; in the
    original one of them makes every median NaN, and nothing is kept.
Memory: two numbers a row.
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


@dataclass(frozen=True)
class Choice:
    """What `choose` made of the rows.

    Attributes:
        chosen: 1 a row that was chosen, 0 otherwise, in the rows' order.
        usable: rows with pass rates.
        others: of these, the rows with samples of none of MODELS, whose samples all count, a model each.
    """

    chosen: bytearray
    usable: int
    others: Counter[str]


def choose(rows: Iterable[tuple[str, dict[str, Any]]]) -> Choice:
    """Which rows are hard.

    Args:
        rows: (where, record) each.

    Raises:
        ProblemError: `inferences` are malformed.
    """
    import numpy

    means, spreads, numbers = array("d"), array("d"), array("q")
    others: Counter[str] = Counter()
    count = 0
    for number, (where, record) in enumerate(rows):
        rates, other = _pass_rates(record.get("inferences"), At(where, "inferences"))
        if rates:
            means.append(float(numpy.mean(rates)))
            spreads.append(float(numpy.std(rates)))
            numbers.append(number)
            others.update(other)
        count = number + 1
    chosen = bytearray(count)
    if numbers:
        mean, spread = numpy.array(means), numpy.array(spreads)
        low = mean <= numpy.percentile(mean, 50)
        hard = low & (spread >= numpy.percentile(spread[low], 50))
        for number in numpy.array(numbers)[hard]:
            chosen[number] = 1
    return Choice(chosen, len(numbers), others)


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
