"""Stage `report`: one HTML page about a run, RUN/report.html.

Covers: figures (report_figures.py), a table of the stages with seconds, tokens and cost, a browser of examples
    (report_examples.py). It needs nothing beside the file, no network either. A run in the middle has one as well.
Does not cover: the dataset's card (card.py), the table that a command prints (funnel.py).
Reads the stages' stage.json and Parquet files, streamed. A page that tells of the same is left alone.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Annotated

from pydantic import Field

from acecoder_rl import __version__
from acecoder_rl.synthesis.parts import commit
from acecoder_rl.synthesis.report_examples import examples
from acecoder_rl.synthesis.report_figures import figures
from acecoder_rl.synthesis.report_numbers import STAGES, numbers, paths_so_far
from acecoder_rl.synthesis.report_page import page
from acecoder_rl.synthesis.state import STATE
from acecoder_rl.training.recipe import RecipeError, Section

PAGE = "report.html"


class ReportSettings(Section):
    """What the page shows.

    Attributes:
        examples: questions in its browser.
        seed: of their choice.
    """

    examples: Annotated[int, Field(ge=0, le=1000)] = 200
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42


def check() -> None:
    """Raises RecipeError where plotly is missing."""
    if importlib.util.find_spec("plotly") is None:
        raise RecipeError(
            ["stage report needs the package plotly, which is not installed: pip install plotly, or run seeds..hard"]
        )


def run(folder: Path, settings: ReportSettings) -> Path:
    """Write the page, if it would be another one; returns it.

    Args:
        folder: of the run.

    Raises:
        RecipeError: plotly is missing.
        InputError: a file of the run is damaged.
    """
    check()
    target, mark = folder / PAGE, f"<!-- {_digest(folder, settings)} -->\n"
    if target.exists():
        with target.open(encoding="utf-8") as file:
            if file.readline() == mark:
                return target
    counted = numbers(folder)
    shown = examples(folder, settings.examples, settings.seed)
    half = target.with_name(PAGE + ".tmp")
    half.write_text(
        mark + page(folder.resolve().name, figures(counted), counted.states, shown), encoding="utf-8", errors="replace"
    )
    commit(half, target)
    return target


def _digest(folder: Path, settings: ReportSettings) -> str:
    """Of all that the page tells of."""
    told: list[object] = [__version__, folder.resolve().name, settings.model_dump()]
    for name in STAGES:
        state = folder / name / STATE
        told += [name, len(list(paths_so_far(folder, name))), state.read_text() if state.exists() else None]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()
