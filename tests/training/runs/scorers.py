"""Components for the mixed rewards of the run tests; Ray's workers import them by PYTHONPATH."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from acecoder_rl.completions import Program
from acecoder_rl.problems import Problem


@dataclass(frozen=True)
class Varied:
    """The share of even bytes: differs between any two samples, so that there is something to learn."""

    async def score(self, problem: Problem, completion: str, program: Program, truncated: bool) -> float:
        data = completion.encode()
        return sum(byte % 2 == 0 for byte in data) / len(data)


@dataclass(frozen=True)
class Breaks(Varied):
    """As Varied, but raises from its `after`-th call on, while the file `broken` is there."""

    broken: str
    after: int

    async def score(self, problem: Problem, completion: str, program: Program, truncated: bool) -> float:
        if Path(self.broken).exists():
            with open(self.broken, "a") as file:
                file.write(".")
            if os.stat(self.broken).st_size > self.after:
                raise RuntimeError("the scorer's disk is full")
        return await super().score(problem, completion, program, truncated)
