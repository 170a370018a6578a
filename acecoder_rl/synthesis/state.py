"""What a stage knows of itself: its stage.json, and whether it may go on with what it has.

Covers: counts, settings and fingerprints; the field that differs, by name, when settings or input changed.
Does not cover: the rows (parts.py).
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acecoder_rl.records import InputError
from acecoder_rl.synthesis.parts import anew, commit

STATE = "stage.json"


@dataclass
class State:
    """What stands in a stage's stage.json.

    Attributes:
        state: "running" or "finished".
        settings: what it was made with; a name that begins with "/" is no field of the stage's own section.
        input: fingerprint of what it read.
        chunk_size: rows of the input a part.
        parts: that are written.
        read, kept: rows.
        dropped: rows by reason.
        counts, cost: summed over the chunks.
        seconds: of work, over all processes that did it.
        output: fingerprint of the rows, once finished.
    """

    state: str
    settings: dict[str, Any]
    input: Any
    chunk_size: int
    parts: int = 0
    read: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    cost: float = 0.0
    seconds: float = 0.0
    output: str | None = None

    def add(self, told: dict[str, Any]) -> None:
        """Take in what a part tells of its chunk."""
        self.parts += 1
        self.read += told["read"]
        self.kept += told["kept"]
        self.dropped = dict(Counter(self.dropped) + Counter(told["dropped"]))
        self.counts = {
            name: self.counts.get(name, 0) + told["counts"].get(name, 0) for name in self.counts | told["counts"]
        }
        self.cost += told["cost"]
        self.seconds += told["seconds"]


def state_of(folder: Path, name: str) -> State | None:
    """A stage's state; None when it has not begun. Of a running one, the counts may lag one part behind."""
    path = folder / name / STATE
    try:
        return State(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is no state of a stage ({error}): {anew(name)}") from None


def begun(folder: Path, name: str) -> State | None:
    """A stage's state, once rows are written. Before that no setting binds it: a recipe that names a dataset which is
    not to be had, or a column that is not there, can be mended.

    Raises:
        InputError: there are rows, and no state.
    """
    state, written = state_of(folder, name), (folder / name / "part-00000.parquet").exists()
    if state is None and written:
        raise InputError(f"{folder / name} has rows, but no {STATE} that tells how they were made: {anew(name)}")
    return state if written or (state is not None and state.state == "finished") else None


def write_state(here: Path, state: State) -> None:
    """Write a stage's stage.json in its folder, whole or not at all."""
    half = here / (STATE + ".tmp")
    half.write_text(json.dumps(vars(state), indent=1) + "\n")
    commit(half, here / STATE)


def check(here: Path, state: State, settings: dict[str, Any], input: Any) -> None:
    """Whether a stage that has begun may go on.

    Raises:
        InputError: settings or input are others; the message names the first field that differs.
    """
    name = here.name
    for title, before, now in (("settings", state.settings, settings), ("input", state.input, input)):
        difference = _difference(before, now)
        if difference is None:
            continue
        where, was, is_now = difference
        field = where.removeprefix("/") if where.startswith("/") else f"{name}.{where}"
        what = field if title == "settings" else f"the input of {name}"
        shown = f"{was!r}, and is now {is_now!r}" if title == "settings" else "another one"
        raise InputError(
            f"{here}: {what} was {shown}: give the former, or another folder, or {anew(name)} "
            "(answers of models stay in the cache)"
        )


def _difference(before: Any, now: Any, where: str = "") -> tuple[str, Any, Any] | None:
    """The first place where two JSON values differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in now | before:
            inner = _difference(before.get(key), now.get(key), f"{where}.{key}".lstrip("."))
            if inner:
                return inner
        return None
    return None if before == now else (where, before, now)
