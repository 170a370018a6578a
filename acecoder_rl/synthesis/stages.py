"""A stage of the pipeline: rows in, in chunks, and a folder of Parquet parts out, that survives kill -9 at any moment.

Covers: parts written whole (temporary file, fsync, rename) with what their chunk dropped and counted; going on at the
    first missing part; settings or input that changed; one process a run folder; reading a stage's rows back.
Does not cover: what the stages do (their modules), their order (run.py).
Memory: one chunk of rows and one part; no table is ever loaded.
"""

from __future__ import annotations

import fcntl
import hashlib
import itertools
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acecoder_rl.records import InputError

if TYPE_CHECKING:
    import pyarrow

STATE = "stage.json"
_KEY = b"acecoder_rl"  # of a part's footer: what its chunk counted
_BATCH = 64  # rows read at once: those with samples hold many kilobytes each

Row = dict[str, Any]
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


@dataclass
class State:
    """What stands in a stage's stage.json.

    Attributes:
        state: "running" or "finished".
        settings: what it was made with.
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
        settings: plain JSON; must be the same when the stage is resumed.
        total: rows of the source, where known.
        on_done: told the rows of the input that are done, and `total`, at the start and after each chunk.
        input: plain JSON, the fingerprint of the source: `fingerprint_of` for a stage.
        replay: the process remembers earlier chunks: those that are done are given to it again.

    Raises:
        InputError: settings or input are others than those that the stage was begun with; a part is missing.
    """
    settings, input = json.loads(json.dumps([settings, input]))
    here = folder / name
    state = state_of(folder, name)
    if state is None:
        here.mkdir(parents=True, exist_ok=True)
        state = State("running", settings, input, chunk_size)
        _write_state(here, state)
    else:
        _check(here, state, settings, input)
    if state.state == "finished":
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
        _write_table(here / f"dropped-{number:05}.parquet", gone, _dropped_schema())
        _write_table(here / f"part-{number:05}.parquet", made.rows, schema.with_metadata({_KEY: json.dumps(told)}))
        state.add(told)
        _write_state(here, state)
        on_done(state.read, total)
    state.state = "finished"
    state.output = _digest([here / f"part-{number:05}.parquet" for number in range(state.parts)])
    _write_state(here, state)
    on_done(state.read, state.read)
    return state


def state_of(folder: Path, name: str) -> State | None:
    """A stage's state; None when it has not begun. Of a running one, the counts may lag one part behind."""
    path = folder / name / STATE
    try:
        return State(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} is no state of a stage ({error}): {_anew(name)}") from None


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
        yield from _rows(path, columns)


def dropped_of(folder: Path, name: str) -> Iterator[Dropped]:
    """What a finished stage dropped, in order."""
    for path in parts_of(folder, name):
        for row in _rows(path.with_name(path.name.replace("part-", "dropped-")), None):
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
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # dies with its holder
        except BlockingIOError:
            raise InputError(f"{folder} is in use by another process: wait for it, or give another folder") from None
        yield


def _finished(folder: Path, name: str) -> State:
    state = state_of(folder, name)
    if state is None or state.state != "finished":
        how = "has not begun" if state is None else "is not finished"
        raise InputError(f"{folder}: stage {name} {how}: run it first")
    for number in range(state.parts):
        if not (path := folder / name / f"part-{number:05}.parquet").exists():
            raise InputError(f"{path} is missing: {_anew(name)}")
    return state


def _found(here: Path, state: State) -> State:
    """The state by the parts that are there, up to the first missing one; what a kill left beside them is deleted."""
    found = State("running", state.settings, state.input, state.chunk_size)
    for number in itertools.count():
        path = here / f"part-{number:05}.parquet"
        if not path.exists():
            break
        found.add(json.loads(_open(path).schema_arrow.metadata[_KEY]))
    for path in here.iterdir():
        later = path.suffix == ".parquet" and int(path.stem.rpartition("-")[2]) >= found.parts
        if later or path.suffix == ".tmp":
            path.unlink()
    return found


def _check(here: Path, state: State, settings: dict[str, Any], input: Any) -> None:
    name = here.name
    for title, before, now in (("settings", state.settings, settings), ("input", state.input, input)):
        difference = _difference(before, now)
        if difference is None:
            continue
        where, was, is_now = difference
        what = f"{name}.{where}" if title == "settings" and where else f"the input of {name}"
        shown = f"{was!r}, and is now {is_now!r}" if title == "settings" else "another"
        raise InputError(
            f"{here}: {what} was {shown}: {_anew(name)} (answers of models stay in the cache), give the former "
            "value, or another folder"
        )
    if state.state == "finished":
        _finished(here.parent, name)


def _difference(before: Any, now: Any, where: str = "") -> tuple[str, Any, Any] | None:
    """The first place where two JSON values differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in now | before:
            inner = _difference(before.get(key), now.get(key), f"{where}.{key}".lstrip("."))
            if inner:
                return inner
        return None
    return None if before == now else (where, before, now)


def _anew(name: str) -> str:
    return f"--from {name} makes this stage and those after it anew"


def _dropped_schema() -> pyarrow.Schema:
    import pyarrow

    return pyarrow.schema([(column, pyarrow.string()) for column in ("id", "reason", "detail")])


def _write_table(path: Path, rows: list[Row], schema: pyarrow.Schema) -> None:
    import pyarrow
    import pyarrow.parquet

    half = path.with_name(path.name + ".tmp")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), half, compression="zstd")
    _commit(half, path)


def _write_state(here: Path, state: State) -> None:
    half = here / (STATE + ".tmp")
    half.write_text(json.dumps(vars(state), indent=1) + "\n")
    _commit(half, here / STATE)


def _commit(half: Path, path: Path) -> None:
    with half.open("rb") as file:
        os.fsync(file.fileno())
    half.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _open(path: Path) -> Any:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowException as error:
        raise InputError(f"{path} is damaged ({error}): {_anew(path.parent.name)}") from None


def _rows(path: Path, columns: Sequence[str] | None) -> Iterator[Row]:
    with _open(path) as file:
        for batch in file.iter_batches(batch_size=_BATCH, columns=None if columns is None else list(columns)):
            yield from batch.to_pylist()


def _digest(paths: list[Path]) -> str:
    """Of the parts' data. Their footers tell seconds, which no two runs share."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            file.seek(-8, os.SEEK_END)
            left = file.tell() - int.from_bytes(file.read(4), "little")
            file.seek(0)
            while left and (block := file.read(min(left, 1 << 20))):
                digest.update(block)
                left -= len(block)
    return digest.hexdigest()[:16]
