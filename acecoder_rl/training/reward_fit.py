"""Whether a recipe's reward can tell the problems' answers apart.

Covers: problems of which nothing is withheld although `reward.holdout` asks for it; tests that patch the
    program, whose verdicts earn nothing without `reward.allow_shared`.
Does not cover: the section itself (reward_fns.from_config), problems without tests (problems.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from acecoder_rl.problems import Problem
from acecoder_rl.sandbox.route import plan
from acecoder_rl.training.recipe import RecipeError

FEW = 0.05  # problems without withheld tests that are no reason for a warning


class RewardFit:
    """Sees every problem once, then says what does not fit."""

    def __init__(self, reward: dict[str, Any]) -> None:
        self.holdout = float(reward.get("holdout", 0))
        self.allow_shared = bool(reward.get("allow_shared", False))
        self.problems = self.nothing_withheld = self.shared = 0

    def see(self, problem: Problem) -> None:
        """Count a problem."""
        self.problems += 1
        count = len(problem.tests)
        # As reward_fns/holdout.py chooses: a rounded share, and never all.
        self.nothing_withheld += min(int(self.holdout * count + 0.5), count - 1) < 1
        self.shared += any(stage.engine == "shared" for stage in plan(problem.tests).stages)

    def warnings(self) -> list[str]:
        """What a user should know.

        Raises:
            RecipeError: no program could ever earn anything.
        """
        found = []
        share = f"{self.shared} of {self.problems} problems have"
        if self.shared and not self.allow_shared:
            what = (
                "tests that patch the program and so run in its process, where it can cheat: such verdicts earn nothing"
            )
            if self.shared == self.problems:
                raise RecipeError([f"reward.allow_shared is false, but all problems have {what}: set it to true"])
            found.append(f"{share} {what}: leave these problems out, or set reward.allow_shared: true")
        if self.holdout > 0 and self.nothing_withheld > FEW * self.problems:
            found.append(
                f"{self.nothing_withheld} of {self.problems} problems have too few tests to withhold "
                f"{self.holdout:g} of them (reward.holdout), and holdout_pass_rate says nothing about these: "
                "take problems with more tests, or set a larger share"
            )
        return found


def check_reward(reward: dict[str, Any], problems: Iterable[Problem]) -> list[str]:
    """Warnings about a recipe's `reward:` section and the problems it is to judge.

    Raises:
        RecipeError: no program could ever earn anything.
    """
    fit = RewardFit(reward)
    for problem in problems:
        fit.see(problem)
    return fit.warnings()
