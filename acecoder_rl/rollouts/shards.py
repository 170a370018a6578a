"""The files of a rollout log: Parquet, whole or not there.

Covers: names that never meet over hosts and processes, writing by rename, joining a writer's small files into one,
    the bound on a folder's size.
Does not cover: when a file is written (log.py).

A name is `<milliseconds>.<writer>.<first>-<last>.parquet`: time of the file's first row, who wrote it, and the
numbers of the rows. A file whose numbers lie within another's of the same writer was joined into it; its writer was
killed before it could delete it.

The bound: when the files of a folder are larger together, every other one of the older three quarters is deleted,
until a tenth of the bound is free. So a long run's log gets sparser towards its beginning, and never forgets it. All
writers together look once for each hundredth of the bound that they write, so for a moment it is passed by a few of
these.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow

_NAME = re.compile(r"(\d+)\.([\w-]+)\.(\d+)-(\d+)\.parquet")
STALE_SECONDS = 3600.0  # a writer that wrote nothing for so long is gone
ROWS = 1000  # that are read together when one is looked at


@dataclass(frozen=True, order=True)
class Shard:
    """A file of the log.

    Attributes:
        millis: time of its first row, since 1970.
        writer: who wrote it.
        first, last: the numbers of its rows, of which some may be missing.
    """

    millis: int
    writer: str
    first: int
    last: int

    @property
    def name(self) -> str:
        """Its file's."""
        return f"{self.millis:013d}.{self.writer}.{self.first}-{self.last}.parquet"

    def within(self, other: Shard) -> bool:
        """Whether another shard has its rows as well."""
        return self != other and self.writer == other.writer and other.first <= self.first and self.last <= other.last


def shard_of(name: str) -> Shard | None:
    """The shard of a file's name, if it is one's."""
    found = _NAME.fullmatch(name)
    return Shard(int(found[1]), found[2], int(found[3]), int(found[4])) if found else None


def listed(folder: Path) -> list[Shard]:
    """The shards of a folder, oldest first, each row once."""
    with os.scandir(folder) as entries:
        found = sorted(shard for entry in entries if (shard := shard_of(entry.name)))
    by_writer: dict[str, list[Shard]] = {}
    for shard in found:
        by_writer.setdefault(shard.writer, []).append(shard)
    joined: set[Shard] = set()
    for shards in by_writer.values():
        reach: Shard | None = None  # of those before, the one that reaches furthest
        for shard in sorted(shards, key=lambda each: (each.first, -each.last)):
            if reach is not None and shard.within(reach):
                joined.add(shard)
            elif reach is None or shard.last > reach.last:
                reach = shard
    return [shard for shard in found if shard not in joined]


def write(folder: Path, shard: Shard, table: pyarrow.Table, metadata: dict[str, str]) -> int:
    """Write a shard; returns its bytes.

    Args:
        metadata: of its writer, kept in the file.

    Raises:
        OSError: the file system does not take it; nothing of it is left.
    """
    import pyarrow.parquet as parquet

    half = folder / f".{shard.name}.tmp"
    try:
        parquet.write_table(table.replace_schema_metadata(metadata), half, compression="zstd", row_group_size=ROWS)
        size = half.stat().st_size
        half.replace(folder / shard.name)
    except OSError:
        half.unlink(missing_ok=True)
        raise
    return size


def join(folder: Path, shards: list[Shard], metadata: dict[str, str]) -> Shard:
    """Put a writer's shards, in their order, into one file; returns its shard.

    Raises:
        OSError: the file system does not take it; the shards are left as they were.
    """
    import pyarrow
    import pyarrow.parquet as parquet

    tables, there = [], []
    for shard in shards:
        try:
            with parquet.ParquetFile(folder / shard.name) as file:  # read_table imports half of pyarrow
                tables.append(file.read(use_threads=False))
        except FileNotFoundError:  # another writer has kept the bound
            continue
        there.append(shard)
    if len(there) < 2:
        return there[0] if there else shards[0]
    whole = Shard(there[0].millis, there[0].writer, there[0].first, there[-1].last)
    write(folder, whole, pyarrow.concat_tables(tables), metadata)
    for shard in there:
        (folder / shard.name).unlink(missing_ok=True)
    return whole


def keep_bound(folder: Path, most: int) -> int:
    """Delete shards until the folder is well within its bound, and what killed writers left half-written.

    Args:
        most: bytes of all shards together.

    Returns:
        How many write into it now, at least 1.
    """
    now, sizes, writers = time.time(), {}, set()
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                facts = entry.stat()
            except FileNotFoundError:  # joined or deleted meanwhile
                continue
            if shard := shard_of(entry.name):
                sizes[shard] = facts.st_size
                if now - facts.st_mtime < STALE_SECONDS:
                    writers.add(shard.writer)
            elif entry.name.endswith(".tmp") and now - facts.st_mtime > STALE_SECONDS:
                Path(entry.path).unlink(missing_ok=True)
    total, left = sum(sizes.values()), sorted(sizes)
    goal = most if total <= most else 0.9 * most
    while total > goal and len(left) > 1:
        old = left[: max(1, 3 * len(left) // 4)]
        for shard in old[1::2] or old:
            if total <= goal:
                break
            (folder / shard.name).unlink(missing_ok=True)
            total -= sizes[shard]
            left.remove(shard)
    return max(1, len(writers))
