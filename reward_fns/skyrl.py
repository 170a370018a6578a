"""SkyRL's adapter: an environment of one turn, to register in the entry point's task.

    skyrl_gym.register(id="acecode", entry_point="reward_fns.skyrl:AceCodeEnv")

Covers: rows with `env_class: acecode` and `reward_spec: {method, ground_truth}`, where `ground_truth` is a label of
    ours, or tests in any known format.
Does not cover: truncation, which SkyRL does not tell: an open fence or thought counts as cut off.
Written for skyrl-gym 0.4: skyrl_gym/envs/base_text_env.py. SkyRL calls `step` in 32 threads by default
    (`skyrl-gym-env-`): give it as many as rollouts are to be scored at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skyrl_gym.envs.base_text_env import BaseTextEnv, BaseTextEnvStepOutput

from reward_fns.configured import problem_of, reward_of


class AceCodeEnv(BaseTextEnv):
    """One question, one answer, one reward.

    Args:
        env_config: its key "config" is a recipe or YAML file, its sections, or a kind such as "pass_rate";
            ACECODER_RL_REWARD where there is none.
        extras: the row; `reward_spec.ground_truth` is needed.

    Raises:
        ConfigError, ProblemError: the configuration or the row is wrong.
    """

    def __init__(self, env_config: Mapping[str, Any] | None = None, extras: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        spec = (extras or {}).get("reward_spec") or {}
        if "ground_truth" not in spec:
            raise ValueError("the row has no reward_spec.ground_truth: put Problem.to_label() there")
        self._reward, self._prefix = reward_of((env_config or {}).get("config"))
        self._problem = problem_of(spec["ground_truth"])
        self._components: dict[str, float] = {}

    def step(self, action: str) -> BaseTextEnvStepOutput:
        """Scores the answer; the episode is over."""
        reward = self._reward(self._problem, self._prefix + action, None)
        self._components = reward.components
        return BaseTextEnvStepOutput(observations=[], reward=reward.value, done=True, metadata=reward.components)

    def get_metrics(self) -> dict[str, float]:
        """What goes into the reward; SkyRL logs the means."""
        return self._components
