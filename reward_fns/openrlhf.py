"""OpenRLHF's adapter: the file to name in `--train.agent_func_path` (recipes do).

Covers: `AgentExecutor`, one in each vLLM engine: it awaits the reward of every sample as soon as it is generated,
    thousands at once, passes on truncation, and lets errors stop the training. `reward_func` for
    `--reward.remote_url`, where OpenRLHF swallows exceptions: it never raises and never hangs.
Does not cover: what is rewarded: the recipe's `reward:` and `sandbox:` sections, as JSON in ACECODER_RL_REWARD.
Written for OpenRLHF 0.11: openrlhf/utils/agent.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from acecoder_rl.problems import Problem
from reward_fns.config import from_config
from reward_fns.pass_rate import TestReward
from reward_fns.reward import Reward

if TYPE_CHECKING:
    from openrlhf.utils.agent import SingleTurnAgentExecutor
else:
    try:
        from openrlhf.utils.agent import SingleTurnAgentExecutor
    except ModuleNotFoundError as error:
        if error.name != "openrlhf":
            raise
        SingleTurnAgentExecutor = object  # reward_func alone needs no OpenRLHF

REWARD = "ACECODER_RL_REWARD"
# Of one call of reward_func: beyond any program's last resort (Limits.wall_seconds) with a queue before it.
CALL_SECONDS = 600.0
ENDS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "</s>")


@cache
def configured_reward() -> TestReward:
    """The reward that ACECODER_RL_REWARD describes: {"reward": {...}, "sandbox": {...}}."""
    text = os.environ.get(REWARD)
    if not text:
        raise RuntimeError(
            f"{REWARD} is not set: start training with `acecoder-rl train`, or export it as "
            '\'{"reward": {"kind": "pass_rate"}, "sandbox": {}}\''
        )
    sections = json.loads(text)
    return from_config(sections["reward"], sandbox=sections.get("sandbox"))


def logs(reward: Reward) -> dict[str, float]:
    """What OpenRLHF logs of a sample: numbers, the same keys every time, none that it overwrites."""
    return {name: float(value) for name, value in reward.components.items()}


class AgentExecutor(SingleTurnAgentExecutor):
    """OpenRLHF's single turn, and then our reward, in the engine's own event loop."""

    def __init__(self) -> None:
        super().__init__(None)
        self.reward = configured_reward()  # a mistake stops the engine when it starts

    async def execute(
        self, prompt: str, label: str, sampling_params: Any, max_length: int, hf_tokenizer: Any, llm_engine: Any,
        images: Any = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Generate one completion and score it; arguments and result are OpenRLHF's."""
        out = await super().execute(
            prompt, label, sampling_params, max_length, hf_tokenizer, llm_engine, images
        )
        start, end = out["action_ranges"][0]
        completion = hf_tokenizer.decode(out["observation_tokens"][start:end], skip_special_tokens=True)
        reward = await self.reward.score(Problem.from_label(label), completion, bool(out["truncated"]))
        # Dynamic filtering reads `scores`: what the tests earn, in [0, 1].
        scores = self.reward.test_value(reward.components)
        out.update(reward=reward.value, scores=scores, extra_logs=logs(reward))
        return out


def reward_func(queries: list[str], prompts: list[str], labels: list[str], **_: Any) -> dict[str, Any]:
    """For `--reward.remote_url FILE.py`: never raises, never hangs.

    OpenRLHF swallows what is raised here, and then dies of an unrelated error. So a sample that could not be
    scored gets 0.0, a loud line on stderr, and `reward_errors` 1.0 in the logs: watch that it stays at 0. Prefer
    `--train.agent_func_path`, which stops instead.
    """
    scored = [
        _scored(query, prompt, label) for query, prompt, label in zip(queries, prompts, labels, strict=True)
    ]
    names = {name for _, _, extra in scored for name in extra}
    return {
        "rewards": [value for value, _, _ in scored],
        "scores": [score for _, score, _ in scored],
        "extra_logs": {name: [extra.get(name, 0.0) for _, _, extra in scored] for name in names},
    }


def _scored(query: str, prompt: str, label: str) -> tuple[float, float, dict[str, float]]:
    try:
        function = configured_reward()
        completion, truncated = _completion(query, prompt)
        scoring = function.score(Problem.from_label(label), completion, truncated)
        reward = asyncio.run(asyncio.wait_for(scoring, CALL_SECONDS))
        return reward.value, function.test_value(reward.components), logs(reward) | {"reward_errors": 0.0}
    except Exception as error:  # whatever it is, raising would hide it: see reward_func
        print(f"acecoder-rl: NOT SCORED, counted as 0: {type(error).__name__}: {error}", file=sys.stderr)
        from reward_fns.reward import KEYS

        return 0.0, 0.0, dict.fromkeys(KEYS, 0.0) | {"reward_errors": 1.0}


def _completion(query: str, prompt: str) -> tuple[str, bool]:
    """The completion in OpenRLHF's query, and whether it was cut off (it ends without a stop token)."""
    # A prompt that was cut from the left is found by its end.
    start = len(prompt) if query.startswith(prompt) else query.rfind(prompt[-200:]) + len(prompt[-200:])
    if not query.startswith(prompt) and prompt[-200:] not in query:
        raise ValueError("the prompt is not in the query: is the tokenizer's decoding lossy?")
    completion = query[start:].rstrip()
    for end in ENDS:
        if completion.endswith(end):
            return completion[: -len(end)], False
    return completion, True
