"""Which programs are almost the same as an earlier one.

Covers: `Near`: candidates by MinHash LSH (datasketch), each compared exactly; the first of a kind stays. Two programs
    are as alike as their sets of shingles (Jaccard), which are runs of SHINGLE tokens. Comments and layout do not
    count, and a string is one token.
Does not cover: programs that differ in all names, or do the same in another way.
Deterministic: the same programs in the same order give the same answers in every process.
Memory: some 4 KB a program that stays, most of it datasketch's tables.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any
from zlib import crc32

SHINGLE = 5  # tokens, as BigCode has it (huggingface.co/blog/dedup)
PERMUTATIONS = 64
# Of false positives and false negatives, to choose the bands: false positives cost a comparison, others a duplicate.
# At a threshold of 0.8 this finds 95 % of the pairs that are just as alike, and 99.9 % of those at 0.9.
WEIGHTS = (0.05, 0.95)
PACKAGE = "datasketch"

_TOKEN = re.compile(
    r"(?P<skip>#[^\n]*+|\\\n)"
    r'|"""(?:[^"\\]|\\.|"(?!""))*+"""'
    r"|'''(?:[^'\\]|\\.|'(?!''))*+'''"
    r'|"(?:[^"\\\n]|\\.)*+"'
    r"|'(?:[^'\\\n]|\\.)*+'"
    r"|\w+|[^\w\s]",
    re.DOTALL,
)


@dataclass(frozen=True)
class Duplicate:
    """What a program is almost the same as.

    Attributes:
        of: the id of the earlier one.
        similarity: the share of shingles that they have in common, of all that either has.
    """

    of: str
    similarity: float


class Near:
    """The programs that stayed so far."""

    def __init__(self, threshold: float) -> None:
        """
        Args:
            threshold: least similarity of near-duplicates, above 0 and below 1.

        Raises:
            ImportError: datasketch is not installed.
        """
        from datasketch import MinHash, MinHashLSH

        self.threshold = threshold
        self._index = MinHashLSH(threshold, PERMUTATIONS, weights=WEIGHTS, hashfunc=_short)
        self._empty = MinHash(PERMUTATIONS, hashfunc=int)
        self._ids: list[str] = []
        self._shingles: list[Any] = []

    def add(self, identity: str, program: str) -> Duplicate | None:
        """The first program that this one is almost the same as; None = there is none, and this one stays."""
        shingles = _shingles(program)
        sketch = self._empty.copy()
        sketch.update_batch(shingles)
        for number in sorted(self._index.query(sketch)):
            similarity = _jaccard(shingles, self._shingles[number])
            if similarity >= self.threshold:
                return Duplicate(self._ids[number], round(similarity, 4))
        self._index.insert(len(self._ids), sketch, check_duplication=False)
        self._ids.append(identity)
        self._shingles.append(shingles)
        return None


def installed() -> bool:
    """Whether near-duplicates can be looked for."""
    return importlib.util.find_spec(PACKAGE) is not None


def _shingles(program: str) -> Any:
    """Hashes of the runs of tokens, ascending, each once."""
    import numpy

    tokens = [match[0] for match in _TOKEN.finditer(program) if not match["skip"]]
    runs = (tokens[start : start + SHINGLE] for start in range(max(1, len(tokens) - SHINGLE + 1)))
    texts = (" ".join(run).encode("utf-8", "surrogatepass") for run in runs)
    return numpy.unique(numpy.fromiter(map(crc32, texts), numpy.uint32))


def _jaccard(one: Any, other: Any) -> float:
    import numpy

    common = len(numpy.intersect1d(one, other, assume_unique=True))
    return common / (len(one) + len(other) - common)


def _short(band: bytes) -> int:
    return int.from_bytes(blake2b(band, digest_size=8).digest(), "little")
