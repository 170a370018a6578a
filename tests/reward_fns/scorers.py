"""Components that the tests mix in: real scorers, small ones."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from acecoder_rl.completions import Program
from acecoder_rl.problems import Problem


class Shortness:
    """Shorter programs score higher."""

    def __init__(self, per_chars: float = 100.0) -> None:
        self.per_chars = per_chars

    async def score(self, problem: Problem, completion: str, program: Program, truncated: bool) -> float:
        return -len(program.code) / self.per_chars


class CharacterModel:
    """A linear model on character counts, with seeded weights: as cheap as a reward model can be."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    async def score(self, problem: Problem, completion: str, program: Program, truncated: bool) -> float:
        import torch

        weights = torch.randn(256, generator=torch.Generator().manual_seed(self.seed))
        counts = torch.bincount(torch.frombuffer(bytearray(completion.encode()), dtype=torch.uint8), minlength=256)
        return (weights @ counts.float()).item()


class Fixed:
    """Scores what it is told to."""

    def __init__(self, value: Any = 0.0) -> None:
        self.value = value

    async def score(self, problem: Problem, completion: str, program: Program, truncated: bool) -> float:
        return self.value


class Broken:
    """A scorer whose server is gone."""

    async def score(self, problem: Problem, completion: str, program: Program, truncated: bool) -> float:
        raise ConnectionError("the scorer is gone")


class Waits:
    """Never answers."""

    async def score(self, problem: Problem, completion: str, program: Program, truncated: bool) -> float:
        await asyncio.Event().wait()
        return 0.0


class Blocks:
    """Never answers in time, and blocks its event loop meanwhile."""

    async def score(self, problem: Problem, completion: str, program: Program, truncated: bool) -> float:
        time.sleep(600)  # in a daemon thread: nobody waits for its end
        return 0.0


class NoScorer:
    """Has no `score`."""
