"""What a run reports, read from the lines that OpenRLHF's trainer logs.

Covers: a step's numbers, an evaluation's, and metrics.jsonl, which keeps both.
Does not cover: showing them (screen.py, curves.py).
Model output cannot pose as a report: OpenRLHF logs samples by repr, behind a prefix and a word of their own.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

_NUMBER = r"[-+]?(?:\d[\d.]*(?:e[-+]?\d+)?|nan|inf)"
_PAIR = re.compile(rf"""(?:'([^']+)'|"([^"]+)"): ({_NUMBER})(?=[,}}])""")
# As openrlhf/trainer/ppo_trainer.py words them, behind Ray's "(PPOTrainer pid=...)" and the log's own prefix.
_PREFIX = r"^(?:\x1b\[\d+m)?\(PPOTrainer\w* pid=[^)]*\)(?:\x1b\[0m)? INFO [\d-]+ [\d:]+ ppo_trainer\.py:\d+\] ✨ "
_STEP = re.compile(_PREFIX + r"Global step (\d+): (\{.*\})\s*$")
_EVAL = re.compile(_PREFIX + r"Evaluation completed in [\w:, ]*, global_step (\d+), eval_metrics: (\{.*\})\s*$")

# Parts of the names of an evaluation's numbers that are shown and drawn.
RATES = ("_pass", "_accuracy", "_margin")


@dataclass(frozen=True)
class Report:
    """One step's training numbers, or an evaluation after it.

    Attributes:
        kind: "train" or "eval".
        step: counted from 1.
        values: OpenRLHF's names; of training: reward, pass_rate, the other keys of the reward, timing/... Of a reward
            model's training: see reward_model/training/trainer.py.
    """

    kind: Literal["train", "eval"]
    step: int
    values: dict[str, float]


def parse(line: str) -> Report | None:
    """The report in a line of the log, if it is one."""
    for kind, pattern in (("train", _STEP), ("eval", _EVAL)):
        found = pattern.match(line)
        if found:
            values = {name or quoted: float(value) for name, quoted, value in _PAIR.findall(found[2])}
            return Report(kind, int(found[1]), values)  # type: ignore[arg-type]
    return None


def append(path: Path, report: Report) -> None:
    """Add a report to metrics.jsonl, whole lines only."""
    with path.open("a") as file:
        file.write(json.dumps(asdict(report)) + "\n")


def read(path: Path) -> list[Report]:
    """The reports of metrics.jsonl, in the order of steps."""
    lines = path.read_text().splitlines() if path.exists() else []
    # A run killed while it wrote leaves half a line.
    reports = [Report(**json.loads(line)) for line in lines if line.endswith("}}")]
    return sorted(reports, key=lambda report: (report.step, report.kind == "eval"))


def forget_after(path: Path, step: int) -> None:
    """Drop the reports of steps that a resumed run does again."""
    kept = [report for report in read(path) if report.step <= step]
    path.write_text("".join(json.dumps(asdict(report)) + "\n" for report in kept))
