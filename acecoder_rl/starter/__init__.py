"""A starter set of small Python problems of our own: other functions to train on than to evaluate on.

Covers: where its files are: problems in AceCode's schema (`python -m acecoder_rl.starter.build` makes them), and
    preference pairs on the training problems (`python -m acecoder_rl.starter.pairs`).
"""

from __future__ import annotations

from pathlib import Path

SPLITS = ("train", "eval")


def path(split: str) -> Path:
    """The JSONL file of "train" or "eval"; ValueError for another name."""
    if split not in SPLITS:
        raise ValueError(f"starter:{split} does not exist: give starter:{' or starter:'.join(SPLITS)}")
    return Path(__file__).parent / f"{split}.jsonl"


def pairs() -> Path:
    """The JSONL file of preference pairs, in AceCodePair-300K's schema."""
    return Path(__file__).parent / "pairs.jsonl"
