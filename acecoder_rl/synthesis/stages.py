"""A stage of the pipeline: rows in, in chunks, and a folder of Parquet parts out, that survives kill -9 at any moment.

Covers: parts written whole (temporary file, fsync, rename) with what their chunk dropped and counted; going on at the
    first missing part; settings or input that changed; one process a run folder; reading a stage's rows back.
Does not cover: what the stages do (their modules), their order (run.py).
Memory: one chunk of rows and one part; no table is ever loaded.
"""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acecoder_rl.locks import taken
from acecoder_rl.records import InputError
from acecoder_rl.synthesis.parts import Row, anew, digest, read_part, told_by, write_part
from acecoder_rl.synthesis.state import State, begun, check, state_of, write_state

if TYPE_CHECKING:
    import pyarrow

Process = Callable[[list[Row]], "Chunk"]
OnDone = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Dropped:
    """A row that goes no further.

    Attributes:
        id: of the row.
        reason: one of a few short names, such as "few_tests": drops are counted by it.
        detail: whatever explains it; plain JSON.
    """

    id: str
    reason: str
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass
class Chunk:
    """What a stage made of a chunk of rows.

    Attributes:
        rows: kept ones, in the order of the input.
        dropped: the others.
        counts: further figures, summed over the chunks.
        cost: USD that the answers cost when they were paid, cached ones included.
    """

    rows: list[Row]
    dropped: list[Dropped] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    cost: float = 0.0


def run_stage(
    folder: Path,
    name: str,
    schema: pyarrow.Schema,
    source: Iterable[Row],
    process: Process,
    chunk_size: int,
    settings: dict[str, Any],
    total: int | None = None,
    on_done: OnDone = lambda done, total: None,
    *,
    input: Any = None,
    replay: bool = False,
) -> State:
    """Run a stage, or what is left of it; a finished one does nothing.

    Args:
        folder: of the run; the stage's own is below it.
        schema: of the kept rows.
        source: the rows that come in, always the same ones in the same order; read from its start.
        process: makes a chunk of rows, with the same result each time for the same rows.
        chunk_size: rows of the input a part, once the stage has begun: the one it began with.
        settings: plain JSON; must be the same when the stage is resumed, once it has written rows.
        total: rows of the source, where known.
        on_done: told the rows of the input that are done, and `total`, at the start and after each chunk.
        input: plain JSON, the fingerprint of the source: `fingerprint_of` for a stage.
        replay: the process remembers earlier chunks: those that are done are given to it again.

    Raises:
        InputError: settings or input are others than those that the stage was begun with; a part is missing.
    """
    settings, input = json.loads(json.dumps([settings, input]))
    here = folder / name
    state = begun(folder, name)
    if state is None:
        here.mkdir(parents=True, exist_ok=True)
        state = State("running", settings, input, chunk_size)
        write_state(here, state)
    else:
        check(here, state, settings, input)
    if state.state == "finished":
        parts_of(folder, name)  # one may have been deleted
        on_done(state.read, state.read)
        return state
    state = _found(here, state)
    on_done(state.read, total)
    rows = iter(source)
    for number in itertools.count():
        began = time.monotonic()
        chunk = list(itertools.islice(rows, state.chunk_size))
        if not chunk:
            break
        if number < state.parts:
            if replay:
                process(chunk)
            continue
        made = process(chunk)
        told = {
            "read": len(chunk),
            "kept": len(made.rows),
            "dropped": dict(Counter(each.reason for each in made.dropped)),
            "counts": made.counts,
            "cost": made.cost,
            "seconds": round(time.monotonic() - began, 3),
        }
        # The part is the commit point: what it dropped stands before.
        gone = [{"id": each.id, "reason": each.reason, "detail": json.dumps(each.detail)} for each in made.dropped]
        write_part(here / f"dropped-{number:05}.parquet", gone, _dropped_schema(), {})
        write_part(here / f"part-{number:05}.parquet", made.rows, schema, told)
        state.add(told)
        write_state(here, state)
        on_done(state.read, total)
    state.state = "finished"
    state.output = digest([here / f"part-{number:05}.parquet" for number in range(state.parts)])
    write_state(here, state)
    on_done(state.read, state.read)
    return state


def fingerprint_of(folder: Path, name: str) -> str:
    """Of a finished stage's rows: the same rows have the same one.

    Raises:
        InputError: the stage is not finished.
    """
    return _finished(folder, name).output or ""


def rows_of(folder: Path, name: str, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """The rows of a finished stage in order, read as they are asked for.

    Args:
        columns: the ones wanted; None = all.

    Raises:
        InputError: the stage is not finished, or a part is missing.
    """
    for path in parts_of(folder, name):
        yield from read_part(path, columns)


def dropped_of(folder: Path, name: str) -> Iterator[Dropped]:
    """What a finished stage dropped, in order."""
    for path in parts_of(folder, name):
        for row in read_part(path.with_name(path.name.replace("part-", "dropped-"))):
            yield Dropped(row["id"], row["reason"], json.loads(row["detail"]))


def parts_of(folder: Path, name: str) -> list[Path]:
    """The Parquet files of a finished stage's rows."""
    state = _finished(folder, name)
    return [folder / name / f"part-{number:05}.parquet" for number in range(state.parts)]


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """The run folder, made if need be, for this process alone.

    Raises:
        InputError: another process is at it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("ab") as lock:
        if not taken(lock):
            raise InputError(f"{folder} is in use by another process: wait for it, or give another folder")
        yield


def _finished(folder: Path, name: str) -> State:
    state = state_of(folder, name)
    if state is None or state.state != "finished":
        how = "has not begun" if state is None else "is not finished"
        raise InputError(f"{folder}: stage {name} {how}: run it first")
    for number in range(state.parts):
        if not (path := folder / name / f"part-{number:05}.parquet").exists():
            raise InputError(f"{path} is missing: {anew(name)}")
    return state


def _found(here: Path, state: State) -> State:
    """The state by the parts that are there, up to the first missing one; what a kill left beside them is deleted."""
    found = State("running", state.settings, state.input, state.chunk_size)
    for number in itertools.count():
        path = here / f"part-{number:05}.parquet"
        if not path.exists():
            break
        found.add(told_by(path))
    for path in here.glob("*.tmp"):
        path.unlink()
    for path in (*here.glob("part-*.parquet"), *here.glob("dropped-*.parquet")):
        if int(path.stem.rpartition("-")[2]) >= found.parts:
            path.unlink()
    return found


def _dropped_schema() -> pyarrow.Schema:
    import pyarrow

    return pyarrow.schema([(column, pyarrow.string()) for column in ("id", "reason", "detail")])
