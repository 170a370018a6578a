"""What a run made, on one screen: the rows of each stage, what went out and why, seconds, cost.

Covers: the table at the end of `acecoder-rl synthesize`.
Does not cover: the page with figures and examples (report.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from acecoder_rl.synthesis.dataset import TABLES
from acecoder_rl.synthesis.stage_table import STAGES
from acecoder_rl.synthesis.state import State, state_of

REASONS = 4  # shown of a stage: the most frequent


def print_funnel(folder: Path, console: Console | None = None) -> None:
    """The table, and where things are, on stdout."""
    console = console or Console()
    if not console.is_terminal:  # a file has no width of its own
        console = Console(file=console.file, width=120)
    table = Table("stage", box=None, header_style="bold", pad_edge=False)
    for name in ("rows in", "rows out", "seconds", "USD"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("dropped", overflow="fold")
    for name in STAGES:
        if (state := state_of(folder, name)) is not None:
            table.add_row(name, *cells(state))
    console.print(table)
    for title, path in places(folder):
        console.print(f"{title:8} {path}", markup=False, highlight=False, soft_wrap=True)


def cells(state: State) -> list[str]:
    """A stage's row."""
    most = sorted(state.dropped.items(), key=lambda item: -item[1])
    told = [f"{reason} {count}" for reason, count in most[:REASONS]]
    if rest := sum(count for _, count in most[REASONS:]):
        told.append(f"others {rest}")
    if state.state != "finished":
        told.insert(0, "not finished")
    cost = dollars(state.cost) if state.cost else ""
    return [f"{state.read:,}", f"{state.kept:,}", f"{state.seconds:,.1f}", cost, ", ".join(told)]


def dollars(cost: float) -> str:
    """USD, with more places where it is little."""
    return f"{cost:,.2f}" if cost >= 1 or not cost else f"{cost:.4f}"


def places(folder: Path) -> Iterator[tuple[str, Path]]:
    """What a user looks for, where it is there."""
    # A dataset whose stages were forgotten (--from) is kept until there is another, but it is not this run's.
    finished = {name for name in STAGES if (state := state_of(folder, name)) and state.state == "finished"}
    for title, name in (("dataset", "dataset"), ("report", "report.html"), ("folder", ".")):
        if (folder / name).exists() and (name != "dataset" or finished & set(TABLES)):
            yield title, folder / name
