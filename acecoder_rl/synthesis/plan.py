"""What a run would do: its stages, how far each is, whom it asks, what that costs at most.

Covers: `--dry-run`. Nothing is started, asked or written.
Does not cover: what a run will cost: most stages keep fewer rows than come in, answers are shorter than they may be.
"""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console
from rich.table import Table

from acecoder_rl.synthesis import ready, seeds
from acecoder_rl.synthesis.endpoint_requests import most_tokens_in
from acecoder_rl.synthesis.funnel import dollars
from acecoder_rl.synthesis.models import Endpoint, Request
from acecoder_rl.synthesis.recipe import Recipe
from acecoder_rl.synthesis.run import check_anew, check_settings, folder_of
from acecoder_rl.synthesis.stage_table import PROMPTED, STAGES, answers_a_row
from acecoder_rl.synthesis.stages import rows_of
from acecoder_rl.synthesis.state import State, state_of
from acecoder_rl.training.load import resolved_yaml

MILLION = 1_000_000
NOTE = """\
"At most": no stage drops a row, every answer is as long as it may be, and a byte of a prompt is a token. A run costs a
fraction of it. What is unknown is known once stage seeds has run, which costs nothing. --max-cost USD stops before more
than that is spent.
"""


def explain(recipe: Recipe, stages: list[str], anew: str | None = None, max_cost: float | None = None) -> str:
    """The resolved recipe, and a table of the stages; arguments as of `run.synthesize`.

    Raises:
        RecipeError, InputError: something that they need is missing, as far as that is seen without asking anyone.
    """
    check_anew(stages, anew)
    ready.check_sections(recipe, stages)
    check_settings(recipe, stages, anew)
    folder = folder_of(recipe)
    names = list(STAGES)
    kept = {name: state for name in names if (state := state_of(folder, name))}
    if anew is not None:
        kept = {name: state for name, state in kept.items() if names.index(name) < names.index(anew)}
    todo = [name for name in stages if name not in kept or kept[name].state != "finished"]
    ready.check(recipe, todo, max_cost, reach=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("stage", "so far", "rows in", "asks", "answers", "USD at most"):
        table.add_column(column, overflow="fold")
    costs: list[float | None] = []
    for name in stages:
        most = _rows_in(recipe, kept, name)
        asked, answers, cost = _asked(recipe, folder, kept, name, most) if name in todo else ("", "", 0.0)
        costs.append(cost)
        shown = "unknown" if cost is None else dollars(cost) if cost or answers else ""
        rows = "" if name == "report" else "unknown" if most is None else f"{most:,}"
        table.add_row(name, _so_far(kept.get(name)), rows, asked, answers, shown)
    file = io.StringIO()
    Console(file=file, width=120).print(table)
    known = sum(cost or 0.0 for cost in costs)
    total = f"all together at most {dollars(known)} USD" + (", and what is unknown" if None in costs else "")
    return f"{resolved_yaml(recipe)}\n{file.getvalue()}\n{total}\n{NOTE}"


def _so_far(state: State | None) -> str:
    if state is None:
        return "nothing"
    return f"{state.state}, {state.read:,} rows"


def _rows_in(recipe: Recipe, kept: dict[str, State], name: str) -> int | None:
    """The most rows that may come in; None = nobody knows yet."""
    if name == "hard" and recipe.hard.source is not None:
        return None
    before = STAGES[name].reads
    if before is None:
        if name in kept and kept[name].state == "finished":
            return kept[name].read
        return seeds.total(recipe.seeds) if name == "seeds" and recipe.seeds else None
    state = kept.get(before)
    return state.kept if state is not None and state.state == "finished" else _rows_in(recipe, kept, before)


def _asked(
    recipe: Recipe, folder: Path, kept: dict[str, State], name: str, rows: int | None
) -> tuple[str, str, float | None]:
    """Whom a stage asks, for how many answers, and the USD at most; None = unknown."""
    models = recipe.asked(name)
    if not models:
        return "", "", 0.0
    each = answers_a_row(recipe, name) // len(models)
    shown = ", ".join(
        f"{key} ({model.model if isinstance(model, Endpoint) else model.path})" for key, model in models.items()
    )
    if rows is None:
        return shown, f"{each * len(models)} a row", None
    tokens_in = _tokens_in(recipe, folder, kept, name, rows)
    cost: float | None = 0.0
    for model in models.values():
        if not isinstance(model, Endpoint):
            continue
        if model.price_in is None or model.price_out is None or tokens_in is None or cost is None:
            cost = None
            continue
        requests = -(-each // model.samples_per_request)
        tokens_out = rows * each * getattr(recipe, name).max_tokens
        cost += (requests * tokens_in * model.price_in + tokens_out * model.price_out) / MILLION
    return shown, f"{rows * each * len(models):,}", cost


def _tokens_in(recipe: Recipe, folder: Path, kept: dict[str, State], name: str, rows: int) -> int | None:
    """Of a prompt for each row, together, at most; None = unknown before there are seeds."""
    section = getattr(recipe, name)
    prompts = PROMPTED[name].prompts_of(section)
    frame = Request([{"role": "user", "content": max((prompt.text for prompt in prompts), key=len)}] * 2)
    if name == "imagine":
        if "seeds" not in kept or kept["seeds"].state != "finished":
            return None
        each = most_tokens_in(frame) + len((section.system_prompt or "").encode())
        texts = (row["program"] + (row["instruction"] or "") for row in rows_of(folder, "seeds"))
        return rows * each + sum(len(text.encode(errors="replace")) for text in texts)
    # A question with its tests has been one answer.
    most = recipe.imagine.max_tokens if recipe.imagine else section.max_tokens
    return rows * (most_tokens_in(frame) + most)
