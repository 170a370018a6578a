"""Rewards from tests alone: `PassRate` gives partial credit, `AllPass` is the paper's binary reward.

Covers: running a completion's program, tests withheld from the reward, verdicts that do not earn, bonus and
    penalties around the value; the rollout log, where the environment asks for one (acecoder_rl/rollouts/log.py).
Does not cover: reward models (mixed.py).
Hostile input: nothing is raised for a bad sample: no program, or one that hangs, crashes or cheats.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field, fields

from acecoder_rl.completions import Program, extract_program
from acecoder_rl.problems import Problem
from acecoder_rl.rollouts import log
from acecoder_rl.rollouts.rows import Rollout
from acecoder_rl.sandbox.remote import Settings
from acecoder_rl.sandbox.verdict import Verdict
from reward_fns import sandboxes
from reward_fns.holdout import withheld
from reward_fns.loop import wait_for
from reward_fns.reward import BOUND, KEYS, Reward


@dataclass(frozen=True, kw_only=True)
class TestReward:
    """What the rewards have in common. Small, immutable, picklable; finds the machine's sandbox when asked.

    A problem with mode "eval" (from an eval label) gets the plain value, 1.0 when all its tests pass, else
    0.0: nothing is withheld, refused, added or subtracted. A problem's own limits outrank the sandbox's.

    Args:
        holdout: share of a problem's tests that is run and logged but does not earn; in [0, 1).
        full_pass_bonus: added when every test that earns passed; >= 0.
        no_program_penalty: subtracted when the completion has no program; >= 0.
        truncated_penalty: subtracted when the completion was cut off; >= 0.
        overlong_penalty: subtracted when the program is longer than `overlong_chars`; >= 0.
        overlong_chars: characters of the program.
        allow_shared: let verdicts earn that were reached in the program's own process (tests that patch it).
        allow_claimed: let verdicts earn that rest on the program's own `__eq__` or exception classes, where
            the tests name its classes.
        sandbox: how the sandbox is built where none runs yet, and the limits of our programs.
    """

    __test__ = False  # not a pytest class

    holdout: float = 0.0
    full_pass_bonus: float = 0.0
    no_program_penalty: float = 0.0
    truncated_penalty: float = 0.0
    overlong_penalty: float = 0.0
    overlong_chars: int = 20_000
    allow_shared: bool = False
    allow_claimed: bool = True
    sandbox: Settings = field(default_factory=Settings)

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if item.type == "float":
                if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= BOUND:
                    raise ValueError(f"{item.name} is {value!r}: give a number from 0 to {BOUND:g}")
            elif item.type == "bool" and not isinstance(value, bool):
                raise ValueError(f"{item.name} is {value!r}: give true or false")
        if self.holdout >= 1:
            raise ValueError(f"holdout is {self.holdout!r}: give a share below 1, such as 0.2")
        if not isinstance(self.overlong_chars, int) or self.overlong_chars < 1:
            raise ValueError(f"overlong_chars is {self.overlong_chars!r}: give a whole number above 0")
        if self.bound() > BOUND:
            raise ValueError(
                f"values may reach {self.bound():g} with these weights, bonuses and penalties, but trainers "
                f"clip rewards at {BOUND:g}: make them smaller"
            )
        log.prepare()

    def __call__(self, problem: Problem, completion: str, truncated: bool | None = False) -> Reward:
        """`score` for callers without an event loop; blocks the calling thread."""
        return wait_for(self.score(problem, completion, truncated))

    async def score(
        self, problem: Problem, completion: str, truncated: bool | None = False, *, step: int | None = None
    ) -> Reward:
        """The reward of one completion.

        Args:
            truncated: whether the trainer cut the completion off. Its word holds: a fence left open proves
                nothing, its end may have been the stop token. None where the trainer does not say: then an
                open fence or thought counts as cut off.
            step: of the training, for the rollout log; None where the trainer does not say.

        Raises:
            TypeError: the completion is not a string (the caller's mistake, so never a value of 0).
            SandboxError: the sandbox itself failed.
        """
        if not isinstance(completion, str):
            raise TypeError(f"completion is {type(completion).__name__}: give the model's text as str")
        started = time.perf_counter()
        program = extract_program(completion, problem.tests)
        truncated = program.truncated if truncated is None else truncated
        verdict, scores = await asyncio.gather(
            self._run(problem, program), self._scores(problem, completion, program, truncated)
        )
        facts = self._facts(problem, truncated, verdict)
        if problem.mode == "eval":
            value = facts["all_passed"]
        else:
            value = self._value(problem, facts, scores) + self._shaping(program, facts)
        reward = Reward(value, facts | scores, verdict)
        if (rollouts := log.active()) is not None:
            seconds = time.perf_counter() - started
            rollouts.add(self._rollout(problem, completion, program, truncated, reward, seconds, step))
        return reward

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of every `Reward.components`."""
        return KEYS

    def test_value(self, facts: dict[str, float]) -> float:
        """What the tests alone earn, in [0, 1]."""
        raise NotImplementedError

    def bound(self) -> float:
        """No value is larger than this, nor smaller than its negative."""
        penalties = self.no_program_penalty + self.truncated_penalty + self.overlong_penalty
        return self._largest() + max(self.full_pass_bonus, penalties)

    def _largest(self) -> float:
        return 1.0

    def _value(self, problem: Problem, facts: dict[str, float], scores: dict[str, float]) -> float:
        return self.test_value(facts)

    async def _scores(self, problem: Problem, completion: str, program: Program, truncated: bool) -> dict[str, float]:
        return {}

    def _is_binary(self) -> bool:
        """Whether only passing all tests counts."""
        return False

    def _stops_early(self, problem: Problem) -> bool:
        # Withheld tests have to run, and an eval row is measured in full.
        return self._is_binary() and self.holdout == 0 and problem.mode == "train"

    async def _run(self, problem: Problem, program: Program) -> Verdict | None:
        if not program.code:
            return None
        stop = self._stops_early(problem)
        return await sandboxes.run(self.sandbox, program.code, problem.tests, problem.limits, stop)

    def _held(self, problem: Problem) -> frozenset[int]:
        return withheld(problem.tests, 0 if problem.mode == "eval" else self.holdout)

    def _rollout(
        self, problem: Problem, completion: str, program: Program, truncated: bool, reward: Reward, seconds: float,
        step: int | None,
    ) -> Rollout:  # fmt: skip
        held, facts = self._held(problem), reward.components
        return Rollout(
            problem.id, problem.question, problem.tests, completion, program.code, reward.value, facts["pass_rate"],
            time.time(), facts["holdout_pass_rate"] if held else None, held, reward.verdict, facts, problem.mode,
            truncated, seconds, step,
        )  # fmt: skip

    def _facts(self, problem: Problem, truncated: bool, verdict: Verdict | None) -> dict[str, float]:
        held = self._held(problem)
        outcomes = verdict.outcomes if verdict else ()
        claimed = verdict is not None and verdict.claimed
        shared = verdict is not None and verdict.isolation == "shared"
        refused = (shared and not self.allow_shared) or (claimed and not self.allow_claimed)
        earns = not refused or problem.mode == "eval"
        passed = [earns and outcome.status == "passed" for outcome in outcomes]
        passed = passed or [False] * len(problem.tests)
        earning = [good for index, good in enumerate(passed) if index not in held]
        # After an early stop only one thing is known: not all passed.
        rate = float(all(earning)) if self._stops_early(problem) else sum(earning) / len(earning)
        return {
            "pass_rate": rate,
            "all_passed": float(all(earning)),
            "holdout_pass_rate": sum(passed[index] for index in held) / len(held) if held else rate,
            "timeouts": float(sum(outcome.status == "timeout" for outcome in outcomes)),
            "syntax_errors": float(verdict is not None and verdict.status == "syntax_error"),
            "no_program": float(verdict is None),
            "truncated": float(truncated),
            "refused": float(refused),
            "claimed": float(claimed),
            "sandbox_seconds": verdict.cpu_seconds if verdict else 0.0,
        }

    def _shaping(self, program: Program, facts: dict[str, float]) -> float:
        return (
            self.full_pass_bonus * facts["all_passed"]
            - self.no_program_penalty * facts["no_program"]
            - self.truncated_penalty * facts["truncated"]
            - self.overlong_penalty * (len(program.code) > self.overlong_chars)
        )


@dataclass(frozen=True, kw_only=True)
class PassRate(TestReward):
    """The share of the tests that pass: partial credit. Arguments: those of TestReward."""

    def test_value(self, facts: dict[str, float]) -> float:
        """The pass rate."""
        return facts["pass_rate"]


@dataclass(frozen=True, kw_only=True)
class AllPass(TestReward):
    """1.0 when all tests pass, else 0.0: the paper's rule reward. Arguments: those of TestReward.

    It stops at the first test that fails, unless tests are withheld, which have to run. Where it stops,
    `pass_rate` is 0.0 or 1.0 as well: the tests behind the failure are unknown.
    """

    def test_value(self, facts: dict[str, float]) -> float:
        """Whether all passed."""
        return facts["all_passed"]

    def _is_binary(self) -> bool:
        return True
