"""The starter set's tables -> train.jsonl and eval.jsonl, in AceCode-87K's schema.

Covers: the question's wording, and asserts computed by the reference from seeded inputs: the same bytes each time.
Does not cover: trying programs on them (tests/starter does, in the sandbox).
The tables are ours, so their expressions are evaluated here.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acecoder_rl.starter import SPLITS, eval_problems, path, train_problems
from acecoder_rl.starter.inputs import arguments

TABLES = {"train": train_problems.PROBLEMS, "eval": eval_problems.PROBLEMS}
TESTS = 10


@dataclass(frozen=True)
class Line:
    """A line of a table: `name(parameters) | description | expression | kinds`."""

    signature: str
    description: str
    expression: str
    kinds: str

    @property
    def name(self) -> str:
        """The function's name."""
        return self.signature.partition("(")[0]

    @property
    def question(self) -> str:
        """What the model is asked."""
        return f"Write a Python function {self.signature} that returns {self.description}."

    @property
    def reference(self) -> str:
        """A right answer."""
        return f"def {self.signature}:\n    return {self.expression}\n"


def lines(split: str) -> Iterator[Line]:
    """The lines of a split's table."""
    for text in TABLES[split].strip().splitlines():
        yield Line(*(part.strip() for part in text.split(" | ")))


def asserts(line: Line) -> list[str]:
    """Up to TESTS different asserts, of as many different answers as the inputs give."""
    scope: dict[str, Any] = {}
    exec(line.reference, scope)
    rng = random.Random(line.name)
    calls: dict[str, str] = {}
    for _ in range(40):
        values = arguments(line.kinds, rng)
        shown = ", ".join(map(repr, values))
        calls.setdefault(shown, repr(scope[line.name](*values)))
    # Rare answers first (a leap year, a False among Trues), so that no constant answer passes most tests.
    answers = list(calls.values())
    order = sorted(calls, key=lambda call: answers.count(calls[call]))
    rare, common = order[: TESTS // 2], order[TESTS // 2 :]
    chosen = rare + common[-(TESTS - len(rare)) :]
    kept = [call for call in calls if call in chosen]
    return [f"assert {line.name}({call}) == {calls[call]}" for call in kept]


def row(split: str, number: int, line: Line) -> dict[str, Any]:
    """One row in AceCode-87K's schema."""
    return {
        "id": f"starter_{split}_{number:03d}",
        "source": "starter",
        "question": line.question,
        "test_cases": asserts(line),
        "inferences": [],
        "context_messages": [{"role": "user", "content": line.question}],
    }


def build(folder: Path) -> None:
    """Write both files into a folder."""
    for split in SPLITS:
        rows = [row(split, number, line) for number, line in enumerate(lines(split))]
        text = "".join(json.dumps(item) + "\n" for item in rows)
        (folder / path(split).name).write_text(text)


if __name__ == "__main__":
    build(path("train").parent)
