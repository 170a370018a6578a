"""The figures of a run's report, counted from its tables: nothing is kept but the counts.

Covers: rows after each stage, tests a question, pass rates of programs and questions; stages that are running.
Does not cover: drawing them (report_figures.py), examples (report_examples.py).
"""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acecoder_rl.synthesis.hard import RATES
from acecoder_rl.synthesis.parts import read_part
from acecoder_rl.synthesis.state import State, state_of

STAGES = ("seeds", "imagine", "verify", "sample", "build", "pairs", "hard")
STEPS = 20  # of a histogram of pass rates: exactly 0 and exactly 1 have bars of their own


@dataclass
class Numbers:
    """What there is to draw.

    Attributes:
        states: of the stages that have begun.
        imagined, kept: number of tests -> questions with so many, before and after stage verify.
        rates: model -> pass rate in twentieths -> programs.
        means: mean pass rate of a question's programs in twentieths -> questions.
    """

    states: dict[str, State]
    imagined: Counter[int] = field(default_factory=Counter)
    kept: Counter[int] = field(default_factory=Counter)
    rates: dict[str, Counter[int]] = field(default_factory=dict)
    means: Counter[int] = field(default_factory=Counter)

    def funnel(self) -> dict[str, int]:
        """Rows that are left, by what they have come through."""
        shown = {"rows of the sources": self.states["seeds"].read} if "seeds" in self.states else {}
        for name, title in (
            ("seeds", "seeds"),
            ("imagine", "questions imagined"),
            ("verify", "with tests to trust"),
            ("sample", "with programs"),
            ("build", "in the dataset"),
        ):
            if name in self.states:
                shown[title] = self.states[name].kept
        if "pairs" in self.states:
            shown["with a pair"] = self.states["pairs"].counts.get("questions", 0)
        if "hard" in self.states and self.states["hard"].settings.get("source") is None:
            shown["hard"] = self.states["hard"].kept
        return shown


def numbers(folder: Path) -> Numbers:
    """Count a run's rows, as far as they are."""
    found = Numbers({name: state for name in STAGES if (state := state_of(folder, name))})
    if "verify" in found.states:
        for row in rows_so_far(folder, "verify", ("tests", "imagined")):
            found.imagined[row["imagined"]] += 1
            found.kept[len(json.loads(row["tests"]))] += 1
    else:
        for row in rows_so_far(folder, "imagine", ("tests",)):
            found.imagined[len(json.loads(row["tests"]))] += 1
    for inferences in _inferences(folder, found.states):
        rates = []
        for each in inferences:
            model = each["model_name"] or "?"
            found.rates.setdefault(model, Counter())[_step(each["pass_rate"])] += 1
            rates.append(each["pass_rate"])
        if rates:
            found.means[_step(sum(rates) / len(rates))] += 1
    return found


def paths_so_far(folder: Path, name: str, kind: str = "part") -> Iterator[Path]:
    """The Parquet files that a stage has written, running or not.

    Args:
        kind: "part" or "dropped".
    """
    for number in itertools.count():
        if not (folder / name / f"part-{number:05}.parquet").exists():  # the commit point of both
            return
        yield folder / name / f"{kind}-{number:05}.parquet"


def rows_so_far(folder: Path, name: str, columns: Sequence[str] | None, kind: str = "part") -> Iterator[dict[str, Any]]:
    """What a stage has written, or some columns of it."""
    for path in paths_so_far(folder, name, kind):
        yield from read_part(path, columns)


def _inferences(folder: Path, states: dict[str, State]) -> Iterator[list[dict[str, Any]]]:
    """Of each question; of the dataset where it is whole, since its pass rates are read without the programs."""
    if "build" in states and states["build"].state == "finished":
        for row in rows_so_far(folder, "build", RATES):
            yield row["inferences"]
    else:
        for row in rows_so_far(folder, "sample", ("inferences",)):
            yield json.loads(row["inferences"])


def _step(rate: float) -> int:
    """The bar of a pass rate: the nearest, but only 0 and 1 themselves are in the first and the last."""
    return round(rate) * STEPS if rate in (0, 1) else min(max(round(rate * STEPS), 1), STEPS - 1)
