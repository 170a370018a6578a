"""The Parquet files of a stage: written whole or not at all, read in small batches.

Covers: temporary file, fsync, rename; figures in a part's footer; a digest of rows that no footer changes.
Does not cover: which parts there should be (stages.py).
Memory: one part when it is written, a few rows when it is read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acecoder_rl.records import InputError

if TYPE_CHECKING:
    import pyarrow

_KEY = b"acecoder_rl"  # in a part's footer
_BATCH = 64  # rows read at once: those with samples hold many kilobytes each

Row = dict[str, Any]


def anew(name: str) -> str:
    """The mend for a stage that cannot go on."""
    return f"--from {name} makes this stage and those after it anew"


def write_part(path: Path, rows: list[Row], schema: pyarrow.Schema, told: dict[str, Any]) -> None:
    """Write a part.

    Args:
        told: plain JSON that stands in its footer, for `told_by`.
    """
    import pyarrow
    import pyarrow.parquet

    schema = schema.with_metadata({_KEY: json.dumps(told)})
    try:
        table = pyarrow.Table.from_pylist(rows, schema=schema)
    except UnicodeEncodeError:  # half a character, which JSON can hold and a model may write
        table = pyarrow.Table.from_pylist(_utf8(rows), schema=schema)
    half = path.with_name(path.name + ".tmp")
    pyarrow.parquet.write_table(table, half, compression="zstd")
    commit(half, path)


def commit(half: Path, path: Path) -> None:
    """Give a finished file its name, so that it is there for good, also when the machine loses power."""
    with half.open("rb") as file:
        os.fsync(file.fileno())
    half.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def told_by(path: Path) -> dict[str, Any]:
    """What `write_part` was told."""
    with _open(path) as file:
        return json.loads(file.schema_arrow.metadata[_KEY])


def read_part(path: Path, columns: Sequence[str] | None = None) -> Iterator[Row]:
    """The rows of a part, or some of their columns."""
    with _open(path) as file:
        for batch in file.iter_batches(batch_size=_BATCH, columns=None if columns is None else list(columns)):
            yield from batch.to_pylist()


def digest(paths: list[Path]) -> str:
    """Of the rows of parts. Their footers do not count: they tell seconds, which no two runs share."""
    hashed = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            file.seek(-8, os.SEEK_END)
            left = file.tell() - int.from_bytes(file.read(4), "little")
            file.seek(0)
            while left and (block := file.read(min(left, 1 << 20))):
                hashed.update(block)
                left -= len(block)
    return hashed.hexdigest()[:16]


def _utf8(value: Any) -> Any:
    """Texts without what UTF-8 cannot hold."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_utf8(each) for each in value]
    return {key: _utf8(each) for key, each in value.items()} if isinstance(value, dict) else value


def _open(path: Path) -> Any:
    import pyarrow
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowException as error:
        raise InputError(f"{path} is damaged ({error}): {anew(path.parent.name)}") from None
