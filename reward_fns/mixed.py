"""`Mixed`: what the tests say, mixed with other scores such as a reward model's.

Covers: weights, normalising, squashing, breaking ties without ever overruling a test.
Does not cover: where scores come from: anything with `async score(...)` is a component.
What it promises: values stay within [-10, 10]; more tests passed never earn less, all else equal; with
    mode "tie_break" the scores order programs of equal test value only.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from acecoder_rl.completions import Program
from acecoder_rl.problems import Problem
from reward_fns.holdout import withheld
from reward_fns.pass_rate import TestReward
from reward_fns.reward import TAKEN

# Of the room between two pass rates that a tie break may use: below 1, so that rounding cannot close it.
TIE_BREAK = 0.9


@runtime_checkable
class Component(Protocol):
    """Something that scores a completion: a reward model, a measure of the program."""

    async def score(self, problem: Problem, completion: str, program: Program, truncated: bool) -> float:
        """The raw score: any finite number. Raises when it cannot tell; never returns 0 for that."""
        ...


@dataclass(frozen=True)
class Part:
    """A component within a mix: `weight * squash((score - mean) / std)`.

    Args:
        name: what it is logged as, normalised but without its weight.
        component: gives the raw score.
        weight: its share; may be negative.
        mean, std: of the raw scores, as measured on data (a reward model's calibration).
        squash: "tanh" bounds it to (-1, 1); "none" cuts it at `limit` standard deviations.
        limit: for squash "none".
    """

    name: str
    component: Component
    weight: float = 1.0
    mean: float = 0.0
    std: float = 1.0
    squash: Literal["tanh", "none"] = "tanh"
    limit: float = 5.0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isidentifier() or self.name in TAKEN:
            raise ValueError(f"name is {self.name!r}: give an identifier that is none of {', '.join(TAKEN)}")
        for name in ("weight", "mean", "std", "limit"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"{self.name}: {name} is {value!r}: give a number")
        if self.std <= 0 or self.limit <= 0:
            raise ValueError(f"{self.name}: std {self.std!r}, limit {self.limit!r}: give numbers above 0")
        if self.squash not in ("tanh", "none"):
            raise ValueError(f"{self.name}: squash is {self.squash!r}: give 'tanh' or 'none'")

    @property
    def largest(self) -> float:
        """The bound of the normalised score."""
        return 1.0 if self.squash == "tanh" else self.limit

    def normalise(self, given: float) -> float:
        """A raw score as it enters the mix, without its weight.

        Raises:
            ValueError: it is no finite number.
        """
        try:
            score = float(given)
        except (TypeError, ValueError, OverflowError):
            score = math.nan
        if not math.isfinite(score):
            raise ValueError(f"{self.name} scored a completion {given!r}: mend the scorer, this is no reward")
        value = (score - self.mean) / self.std
        return math.tanh(value) if self.squash == "tanh" else max(-self.limit, min(self.limit, value))


@dataclass(frozen=True, kw_only=True)
class Mixed(TestReward):
    """The tests' value mixed with other scores. Further arguments: those of TestReward.

    Args:
        parts: the other scores, at least one.
        tests: what the tests give: "pass_rate", or "all_pass" for 0 or 1, which stops at the first failure as
            AllPass does.
        weight: of what the tests give; 0 = they run and are logged, but earn nothing.
        mode: "weighted" adds up weight times value. "tie_break": value = tests + e * tanh(score of the one
            part), with e = 0.9 / (2 * number of tests that earn): the part never overrules a test.
    """

    parts: tuple[Part, ...]
    tests: Literal["pass_rate", "all_pass"] = "pass_rate"
    weight: float = 1.0
    mode: Literal["weighted", "tie_break"] = "weighted"

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))
        if not self.parts:
            raise ValueError("parts is empty: give at least one, or use PassRate or AllPass")
        names = [part.name for part in self.parts]
        if len(set(names)) < len(names):
            raise ValueError(f"parts have the names {names}: give each its own")
        if self.tests not in ("pass_rate", "all_pass"):
            raise ValueError(f"tests is {self.tests!r}: give 'pass_rate' or 'all_pass'")
        if self.mode not in ("weighted", "tie_break"):
            raise ValueError(f"mode is {self.mode!r}: give 'weighted' or 'tie_break'")
        if self.mode == "tie_break" and (len(self.parts) > 1 or self.parts[0].squash != "tanh"):
            raise ValueError("mode is 'tie_break': give exactly one part, with squash 'tanh'")
        if self.mode == "tie_break" and (self.weight != 1 or self.parts[0].weight != 1):
            raise ValueError("mode is 'tie_break', which has no weights: leave them out")
        super().__post_init__()
        if self.weight < 0:
            raise ValueError(f"weight is {self.weight!r}: passing tests must not cost, give 0 or more")

    def test_value(self, facts: dict[str, float]) -> float:
        """What the tests give, without its weight."""
        return facts["pass_rate" if self.tests == "pass_rate" else "all_passed"]

    @property
    def keys(self) -> tuple[str, ...]:
        """Those of all rewards, and the parts' names."""
        return (*super().keys, *(part.name for part in self.parts))

    def _is_binary(self) -> bool:
        return self.tests == "all_pass"

    def _largest(self) -> float:
        if self.mode == "tie_break":
            return 1.5
        return self.weight + sum(abs(part.weight) * part.largest for part in self.parts)

    def _value(self, problem: Problem, facts: dict[str, float], scores: dict[str, float]) -> float:
        tests = self.test_value(facts)
        if self.mode == "tie_break":
            earning = len(problem.tests) - len(withheld(problem.tests, self.holdout))
            return tests + TIE_BREAK / (2 * earning) * scores[self.parts[0].name]
        return self.weight * tests + sum(part.weight * scores[part.name] for part in self.parts)

    async def _scores(self, problem: Problem, completion: str, program: Program, truncated: bool) -> dict[str, float]:
        raw = await asyncio.gather(
            *(part.component.score(problem, completion, program, truncated) for part in self.parts)
        )
        return {part.name: part.normalise(score) for part, score in zip(self.parts, raw, strict=True)}
