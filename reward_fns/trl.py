"""TRL's adapter: `GRPOTrainer(reward_funcs=[TRLReward(PassRate()), ...])`, also RLOO and async GRPO.

Covers: rewards and single components such as `AceCodeRM` as TRL's reward functions, to be mixed by its own
    `reward_weights`; plain and conversational completions; what the tests say as TRL's metrics; TRL's step in the
    rollout log.
Does not cover: truncation, which TRL does not tell: an open fence or thought counts as cut off.
Written for TRL 1.16: trl/trainer/grpo_trainer.py, `_calculate_rewards`. Errors stop the training.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from acecoder_rl.completions import extract_program
from reward_fns.configured import problem_of
from reward_fns.mixed import Component
from reward_fns.pass_rate import TestReward


class TRLReward:
    """A reward function for TRL, picklable; all completions of a batch are scored at once.

    Args:
        reward: a reward such as `PassRate()`, or a component such as `AceCodeRM(endpoint)`, which gives its raw
            score.
        column: the data set's column with the label (`Problem.to_label`), or with tests in any known format: then the
            user's last turn, or the prompt, is the question.
        name: what TRL logs it as; the class's name when None.
    """

    def __init__(self, reward: TestReward | Component, column: str = "label", name: str | None = None) -> None:
        self.reward, self.column = reward, column
        self.__name__ = name or type(reward).__name__

    async def __call__(
        self, prompts: Sequence[Any], completions: Sequence[Any],
        log_metric: Callable[[str, float], None] | None = None, trainer_state: Any = None, **columns: Any,
    ) -> list[float]:  # fmt: skip
        """One number a completion, in order.

        Raises:
            ValueError: the data set has no such column.
        """
        if self.column not in columns:
            has = ", ".join(name for name, value in columns.items() if isinstance(value, list))
            raise ValueError(f"the data set has no column {self.column!r} (columns: {has}): name it with column=")
        # TRL counts steps that are over; async GRPO tells none.
        over = None if trainer_state is None else int(trainer_state.global_step)
        rows = zip(columns[self.column], prompts, completions, strict=True)
        scored = await asyncio.gather(*(self._score(*row, over) for row in rows))
        if log_metric is not None and isinstance(self.reward, TestReward):
            for key in self.reward.keys:
                log_metric(f"{self.__name__}/{key}", sum(logs[key] for _, logs in scored) / max(len(scored), 1))
        return [value for value, _ in scored]

    async def _score(
        self, label: Any, prompt: Any, completion: Any, over: int | None
    ) -> tuple[float, dict[str, float]]:
        problem, completion = problem_of(label, _question(prompt)), _text(completion)
        if isinstance(self.reward, TestReward):
            # A completion belongs to the step under way, an evaluation to the one before it.
            step = over if over is None or problem.mode == "eval" else over + 1
            reward = await self.reward.score(problem, completion, None, step=step)
            return reward.value, reward.components
        program = extract_program(completion, problem.tests)
        return float(await self.reward.score(problem, completion, program, program.truncated)), {}


def _text(completion: Any) -> str:
    """A completion as TRL has it: text, or the messages that answer a conversational prompt, tools' among them."""
    if isinstance(completion, str):
        return completion
    said = [turn.get("content") for turn in completion if turn["role"] == "assistant"]
    return _plain(said[-1]) if said else ""


def _question(prompt: Any) -> str:
    if isinstance(prompt, str):
        return prompt
    turns = [turn.get("content") for turn in prompt if turn["role"] == "user"]
    return _plain(turns[-1]) if turns else ""


def _plain(content: Any) -> str:
    """A message's text, of which models that see images have parts; None where it only calls a tool."""
    if content is None or isinstance(content, str):
        return content or ""
    return "".join(part["text"] for part in content if part["type"] == "text")
