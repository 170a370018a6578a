"""OpenRLHF's adapter: the file to name in `--train.agent_func_path` (recipes do).

Covers: `AgentExecutor`, one in each vLLM engine: it awaits the reward of every sample as soon as it is
    generated, thousands at once, passes on truncation, and lets errors stop the training. `reward_func` for
    `--reward.remote_url`, where OpenRLHF swallows exceptions: it never raises and never hangs.
Does not cover: what is rewarded. The environment variable ACECODER_RL_REWARD says it (configured.py).
Written for OpenRLHF 0.11: openrlhf/utils/agent.py.
"""

from __future__ import annotations

import sys
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from acecoder_rl.queries import prompt_end, turn_ends, without_end
from reward_fns.configured import configured, problem_of
from reward_fns.loop import wait_for
from reward_fns.reward import KEYS, Reward
from reward_fns.sandboxes import open_sandbox

if TYPE_CHECKING:
    from openrlhf.utils.agent import SingleTurnAgentExecutor
else:
    try:
        from openrlhf.utils.agent import SingleTurnAgentExecutor
    except ModuleNotFoundError as error:
        if error.name != "openrlhf":
            raise
        SingleTurnAgentExecutor = object  # reward_func alone needs no OpenRLHF

# Of one call of reward_func: beyond any program's last resort (Limits.wall_seconds) with a queue before it.
CALL_SECONDS = 600.0


def logs(reward: Reward) -> dict[str, float]:
    """What OpenRLHF logs of a sample: numbers, the same keys every time, none that it overwrites."""
    return {name: float(value) for name, value in reward.components.items()}


class AgentExecutor(SingleTurnAgentExecutor):
    """OpenRLHF's single turn, and then our reward, in the engine's own event loop."""

    def __init__(self) -> None:
        super().__init__(None)
        # What is wrong with either stops the engine when it starts.
        self.reward, self.prefix = configured()
        open_sandbox(self.reward.sandbox)

    async def execute(
        self, prompt: str, label: str, sampling_params: Any, max_length: int, hf_tokenizer: Any,
        llm_engine: Any, images: Any = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Generate one completion and score it; arguments and result are OpenRLHF's."""
        problem = problem_of(label)  # a bad label is told before tokens are spent on it
        out = await super().execute(prompt, label, sampling_params, max_length, hf_tokenizer, llm_engine, images)
        start, end = out["action_ranges"][0]
        text = _turn(hf_tokenizer, out["observation_tokens"][start:end])
        reward = await self.reward.score(problem, self.prefix + text, bool(out["truncated"]))
        # Dynamic filtering reads `scores`: what the tests earn, in [0, 1].
        scores = self.reward.test_value(reward.components)
        out.update(reward=reward.value, scores=scores, extra_logs=logs(reward))
        return out


def _turn(tokenizer: Any, tokens: list[int]) -> str:
    """The model's own turn, without special tokens."""
    ends = set(turn_ends(tokenizer))
    end = next((index for index, token in enumerate(tokens) if token in ends), len(tokens))
    return tokenizer.decode(tokens[:end], skip_special_tokens=True)


def reward_func(queries: list[str], prompts: list[str], labels: list[str], **_: Any) -> dict[str, Any]:
    """For `--reward.remote_url FILE.py`: never raises, never hangs.

    OpenRLHF swallows what is raised here, and then dies of an unrelated error. So a sample that could not be
    scored gets 0.0, a loud line on stderr, and `reward_errors` 1.0 in the logs: watch that it stays at 0.
    Prefer `--train.agent_func_path`, which stops instead.
    """
    scored = [_scored(*sample) for sample in zip_longest(queries, prompts, labels)]
    values, scores, extra = zip(*scored, strict=True) if scored else ((), (), ())
    names = extra[0] if extra else ()
    return {
        "rewards": list(values),
        "scores": list(scores),
        "extra_logs": {name: [sample[name] for sample in extra] for name in names},
    }


def _scored(query: Any, prompt: Any, label: Any) -> tuple[float, float, dict[str, float]]:
    keys = KEYS
    try:
        function, prefix = configured()
        keys = function.keys
        text, truncated = _completion(query, prompt)
        reward = wait_for(function.score(problem_of(label), prefix + text, truncated), CALL_SECONDS)
        return reward.value, function.test_value(reward.components), logs(reward) | {"reward_errors": 0.0}
    except Exception as error:  # whatever it is, raising would hide it: see reward_func
        told = f"acecoder-rl: NOT SCORED, counted as 0: {type(error).__name__}: {error}"
        print(told, file=sys.stderr, flush=True)
        return 0.0, 0.0, dict.fromkeys(keys, 0.0) | {"reward_errors": 1.0}


def _completion(query: str, prompt: str) -> tuple[str, bool | None]:
    """The completion in OpenRLHF's query, and whether it was cut off; None when its fences have to tell."""
    text = query[prompt_end(query, prompt) :].rstrip()
    whole = without_end(text)
    if whole is not None:
        return whole, False
    # Without a stop token it was cut off, unless the closing fence is the stop token.
    return text, None if text.endswith(("```", "~~~")) else True
