"""A step's numbers on their way from the trainer's process to the one that watches it: a line of its output.

Covers: the line, the columns that the screen shows.
Does not cover: metrics.jsonl and curves (training/metrics.py, training/curves.py).
"""

from __future__ import annotations

import json
from typing import Literal

from acecoder_rl.training.metrics import Report
from acecoder_rl.training.screen import Columns

MARK = "ACECODER_RL_REPORT "
COLUMNS: Columns = {
    "loss": ("rm/loss", "{:.4f}"),
    "accuracy": ("rm/accuracy", "{:.3f}"),
    "margin": ("rm/margin", "{:.3f}"),
    "lowest": ("rm/score_min", "{:.2f}"),
    "highest": ("rm/score_max", "{:.2f}"),
    "gradient": ("rm/grad_norm", "{:.2f}"),
    "rate": ("rm/learning_rate", "{:.2e}"),
    "s a step": ("rm/seconds", "{:.1f}"),
}
# Of the trainer's own names, those that are kept.
_NAMES = {
    "loss": "rm/loss",
    "accuracy": "rm/accuracy",
    "margin": "rm/margin",
    "min_reward": "rm/score_min",
    "mean_reward": "rm/score_mean",
    "max_reward": "rm/score_max",
    "grad_norm": "rm/grad_norm",
    "learning_rate": "rm/learning_rate",
    "num_tokens": "rm/tokens",
}


def line(kind: Literal["train", "eval"], step: int, values: dict[str, float]) -> str:
    """What the trainer prints."""
    return MARK + json.dumps({"kind": kind, "step": step, "values": values})


def parse(text: str) -> Report | None:
    """The report in a line of output, if it is one."""
    return Report(**json.loads(text.removeprefix(MARK))) if text.startswith(MARK) else None


def trained(logs: dict[str, float], seconds: float) -> dict[str, float]:
    """A training log's numbers under our names.

    Args:
        seconds: a step, on average since the last log.
    """
    values = {ours: float(logs[theirs]) for theirs, ours in _NAMES.items() if theirs in logs}
    # The second name is the one by which the screen tells how long it will take.
    return values | {"rm/seconds": seconds, "timing/step_total": seconds}
