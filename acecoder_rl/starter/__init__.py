"""A starter set of small Python problems of our own: other functions to train on than to evaluate on.

Covers: where its two files are, in AceCode's schema. `python -m acecoder_rl.starter.build` makes them.
"""

from __future__ import annotations

from pathlib import Path

SPLITS = ("train", "eval")


def path(split: str) -> Path:
    """The JSONL file of "train" or "eval"; ValueError for another name."""
    if split not in SPLITS:
        raise ValueError(f"starter:{split} does not exist: give starter:{' or starter:'.join(SPLITS)}")
    return Path(__file__).parent / f"{split}.jsonl"
