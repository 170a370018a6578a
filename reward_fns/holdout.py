"""Which of a problem's tests are withheld from its reward: the simplest alarm for reward hacking.

Covers: the choice, which depends on the tests alone: the same for every sample of a group, in every process.
"""

from __future__ import annotations

import random
from functools import lru_cache

from acecoder_rl.problems import Tests


def withheld(tests: Tests, share: float) -> frozenset[int]:
    """Indices of the tests that do not count for the reward: `share` of them, rounded, and never all."""
    if share == 0:
        return frozenset()
    return _chosen(tests.digest, len(tests), share)


@lru_cache(maxsize=100_000)
def _chosen(digest: str, tests: int, share: float) -> frozenset[int]:
    count = min(int(share * tests + 0.5), tests - 1)
    return frozenset(random.Random(digest).sample(range(tests), count))
