"""The texts of rollouts, searched as fast as somebody types.

Covers: completions and questions in lower case, a shard's in one long text each, kept in memory as far as there is
    room; which rows have a text in them; the last searches.
Does not cover: which rows are wanted otherwise (index.py).
One `bytes.find` through the long text of a shard takes a tenth of the time of a look at each row.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from pathlib import Path

import numpy
import pyarrow
import pyarrow.compute as compute
import pyarrow.parquet as parquet

from acecoder_rl.rollouts import shards

TEXTS_BYTES = 512 << 20  # of the newest texts; older ones are read anew for each search
SEARCHES_KEPT = 8


class TextSearch:
    """Searches the shards of a log.

    Args:
        folder: of the log.
        most: bytes of texts to keep.
    """

    def __init__(self, folder: Path, most: int = TEXTS_BYTES) -> None:
        self._folder, self._most = folder, most
        self._kept: dict[shards.Shard, Texts] = {}
        self._found: dict[shards.Shard, OrderedDict[str, numpy.ndarray]] = {}

    def rows(self, shard: shards.Shard, text: str) -> numpy.ndarray:
        """Which rows of a shard have a text, in any case, in their completion or question.

        Raises:
            OSError, pyarrow.ArrowException: it is not there any more, or damaged.
        """
        found = self._found.setdefault(shard, OrderedDict())
        if text not in found:
            texts = self._kept.get(shard) or self.read(shard)
            self.keep(shard, texts)
            found[text] = texts.having(_lower(text))
            if len(found) > SEARCHES_KEPT:
                found.popitem(last=False)
        return found[text]

    def read(self, shard: shards.Shard) -> Texts:
        """A shard's texts, from its file; from any thread.

        Raises:
            OSError, pyarrow.ArrowException: it is not there any more, or damaged.
        """
        return Texts(self._folder / shard.name)

    def keep(self, shard: shards.Shard, texts: Texts) -> bool:
        """Keep texts for searches to come. Older ones make room for them; False where that does not suffice."""
        if shard not in self._kept:
            room = self._most - texts.size - sum(each.size for each in self._kept.values())
            for older in sorted(each for each in self._kept if each < shard):
                if room < 0:
                    room += self._kept.pop(older).size
            if room < 0:
                return False
            self._kept[shard] = texts
        return True

    def forget(self, shard: shards.Shard) -> None:
        """It is not there any more."""
        self._kept.pop(shard, None)
        self._found.pop(shard, None)


class Texts:
    """Those of a shard.

    Args:
        path: of its file.

    Attributes:
        size: roughly the bytes that they take.
    """

    def __init__(self, path: Path) -> None:
        with parquet.ParquetFile(path, read_dictionary=["question"]) as file:
            table = file.read(columns=["completion", "question"]).unify_dictionaries()
        # The samples of a problem have one question: it is kept, and searched, once.
        question = table["question"].combine_chunks()
        self._question_of = question.indices.to_numpy()
        self._questions = _Long(question.dictionary)
        self._completions = _Long(table["completion"].combine_chunks())
        self.size = self._questions.size + self._completions.size + self._question_of.nbytes

    def having(self, text: bytes) -> numpy.ndarray:
        """Which rows have a text, which is in lower case."""
        return self._completions.having(text) | self._questions.having(text)[self._question_of]


class _Long:
    """Many texts, one behind the other, in lower case."""

    def __init__(self, texts: pyarrow.StringArray) -> None:
        lowered = compute.utf8_lower(texts)
        lengths = compute.binary_length(lowered).to_numpy(zero_copy_only=False)
        self._starts = [0, *numpy.cumsum(lengths, dtype=numpy.int64).tolist()]
        self._whole = lowered.buffers()[2].to_pybytes()[: self._starts[-1]] if self._starts[-1] else b""
        self.size = len(self._whole) + 40 * len(self._starts)

    def having(self, text: bytes) -> numpy.ndarray:
        """Which of them have it."""
        found = numpy.zeros(len(self._starts) - 1, bool)
        at = self._whole.find(text)
        while at >= 0:
            row = bisect_right(self._starts, at) - 1
            end = self._starts[row + 1]
            found[row] = inside = at + len(text) <= end  # else it begins in this one and ends in the next
            at = self._whole.find(text, end if inside else at + 1)
        return found


def _lower(text: str) -> bytes:
    """As the texts are: Python's own rule differs."""
    return compute.utf8_lower(pyarrow.scalar(text)).as_py().encode()
