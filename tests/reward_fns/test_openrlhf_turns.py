"""A model that goes on after its own turn, as base models do that are given a chat template.

Covers: what `AgentExecutor` rewards of it. The program of a turn that the model made up itself is no answer.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from tests.reward_fns.common import PROSE, RIGHT, passing
from tests.reward_fns.engine import Engine
from tests.reward_fns.test_openrlhf import PASS_RATE, PREFIX, PROMPT, Load, execute, load, openrlhf

__all__ = ["load", "openrlhf"]

ANOTHER = "<|im_end|>\n<|im_start|>user\nOnce more.<|im_end|>\n<|im_start|>assistant\n"
PARTLY = passing(2)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (RIGHT + ANOTHER + PARTLY, 1.0),
        (PARTLY + ANOTHER + RIGHT + "<|im_end|>", 0.4),
        (PROSE + ANOTHER + RIGHT, 0.0),
        ("<|im_end|>" + RIGHT, 0.0),
    ],
)
@pytest.mark.parametrize("finish", ["stop", "length"])
def test_only_the_models_own_turn_is_its_answer(
    openrlhf: ModuleType, load: Load, answer: str, value: float, finish: str
):
    out = execute(load().AgentExecutor(), Engine(answer, finish))
    assert out["reward"] == out["scores"] == value


def test_nor_does_it_where_the_prompt_opened_the_answers_fence(openrlhf: ModuleType, load: Load):
    config: dict[str, Any] = {**PASS_RATE, "assistant_prefix": PREFIX}
    own = "def add(a, b):\n    return 3\n```"
    out = execute(load(config).AgentExecutor(), Engine(own + ANOTHER + RIGHT, "length"), prompt=PROMPT + PREFIX)
    assert out["reward"] == 0.2
