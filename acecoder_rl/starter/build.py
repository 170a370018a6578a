"""The starter set's tables -> train.jsonl and eval.jsonl, in AceCode-87K's schema.

Covers: the question's wording, and asserts computed by the reference from seeded inputs: the same bytes every
    time.
Does not cover: trying programs on them (tests/starter does, in the sandbox).
The tables are ours, so their expressions are evaluated here.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from acecoder_rl.starter import SPLITS, eval_problems, path, train_problems
from acecoder_rl.starter.inputs import arguments

TABLES = {"train": train_problems.PROBLEMS, "eval": eval_problems.PROBLEMS}
TESTS = 10
COMMON = 3


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
    """The lines of a split's table, shuffled: it goes by topic, and the first so many should be of all."""
    texts = TABLES[split].strip().splitlines()
    random.Random(split).shuffle(texts)
    for text in texts:
        yield Line(*(part.strip() for part in text.split(" | ")))


def asserts(line: Line) -> list[str]:
    """Up to TESTS different asserts; of one answer at most COMMON times as many as of all others."""
    scope: dict[str, Any] = {}
    exec(line.reference, scope)
    rng = random.Random(line.name)
    calls: dict[str, str] = {}
    for _ in range(60):
        values = arguments(line.kinds, rng)
        shown = ", ".join(map(repr, values))
        calls.setdefault(shown, repr(scope[line.name](*values)))
    # A call of each answer in turn, so that no constant passes most tests; of a function with many answers
    # half the tests are chosen so, the others as they come.
    groups: dict[str, list[str]] = {}
    for call, answer in calls.items():
        groups.setdefault(answer, []).append(call)
    in_turn = [call for turn in zip_longest(*groups.values()) for call in turn if call is not None]
    turns = TESTS if len(groups) <= 3 else TESTS // 2
    chosen = list(dict.fromkeys(in_turn[:turns] + list(calls)))[:TESTS]
    largest = max(groups.values(), key=lambda group: len({*group} & {*chosen}))
    others = [call for call in chosen if call not in largest]
    if others:
        chosen = others + [call for call in chosen if call in largest][: COMMON * len(others)]
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
