"""A shard in memory: its small columns as arrays.

Covers: reading them; flags as bits, problems as numbers.
Does not cover: many shards together (index.py), the texts (texts.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy
import pyarrow.compute as compute
import pyarrow.parquet as parquet

from acecoder_rl.rollouts import shards
from acecoder_rl.rollouts.rows import SMALL
from acecoder_rl.rollouts.suspects import FLAGS

NUMBERS = ("time", "reward", "pass_rate", "holdout_pass_rate", "seconds")
COUNTS = ("seq", "step", "sample", "tests_count", "timeouts", "length")
NAMES = list(FLAGS)  # by the bit of a flag


@dataclass
class Part:
    """A shard's small columns."""

    shard: shards.Shard
    columns: dict[str, numpy.ndarray]
    problems: list[str]
    dropped: int


def empty() -> dict[str, numpy.ndarray]:
    """All columns of an index, without rows."""
    columns = {name: numpy.zeros(0) for name in NUMBERS} | {name: numpy.zeros(0, numpy.int32) for name in COUNTS}
    columns |= {name: numpy.zeros(0, bool) for name in ("truncated", "eval", "repeated")}
    return columns | {name: numpy.zeros(0, numpy.int32) for name in ("flags", "problem", "part")}


def read_part(folder: Path, shard: shards.Shard) -> Part:
    """The small columns of a shard.

    Raises:
        OSError, pyarrow.ArrowException, KeyError: it is damaged, or none of ours.
    """
    with parquet.ParquetFile(folder / shard.name) as file:
        table = file.read(columns=list(SMALL), use_threads=False)
        metadata = file.schema_arrow.metadata or {}
    columns: dict[str, numpy.ndarray] = {}
    for name in NUMBERS:
        columns[name] = table[name].to_numpy().astype(float)
    for name in COUNTS:
        columns[name] = compute.fill_null(table[name], -1).to_numpy().astype(numpy.int32)
    columns["truncated"] = table["truncated"].to_numpy()
    columns["eval"] = compute.equal(table["mode"], "eval").to_numpy()
    texts = table["flags"].combine_chunks().dictionary_encode()
    bits = [
        sum(1 << NAMES.index(flag) for flag in text.split(",") if flag in FLAGS)
        for text in texts.dictionary.to_pylist()
    ]
    columns["flags"] = numpy.array(bits or [0], numpy.int32)[texts.indices.to_numpy()]
    problems = table["problem"].combine_chunks().dictionary_encode()
    columns["problem"] = problems.indices.to_numpy().astype(numpy.int32)
    dropped = int(metadata.get(b"acecoder_rl.dropped", b"0"))
    return Part(shard, columns, problems.dictionary.to_pylist(), dropped)
