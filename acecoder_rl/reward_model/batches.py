"""Which token sequences go through the model together.

Covers: `token_batches`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def token_batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[list[int]]:
    """Indices in batches of like length, longest first: if memory runs out, it does so at once.

    A batch has at most `batch_tokens` tokens, padding included; a sequence that is longer is a batch by itself. Its
    shortest has at least three quarters of its longest one's length, so at most a quarter of a batch is padding.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    batch: list[int] = []
    for index in order:
        longest = lengths[batch[0]] if batch else 0
        if batch and (longest * (len(batch) + 1) > batch_tokens or 4 * lengths[index] < 3 * longest):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
