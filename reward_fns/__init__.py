"""Rewards for RL on code: the tests that a completion's program passes, alone or mixed with other scores.

Covers: `PassRate`, `AllPass`, `AceCodeRM`, `Mixed`, `from_config`, and one adapter file a trainer (openrlhf.py).
Does not cover: running programs (acecoder_rl.sandbox). Importing this needs neither torch nor ray.
"""

from reward_fns.acecode_rm import AceCodeRM
from reward_fns.config import ConfigError, from_config
from reward_fns.mixed import Component, Mixed, Part
from reward_fns.pass_rate import AllPass, PassRate
from reward_fns.reward import Reward

__all__ = ["AceCodeRM", "AllPass", "Component", "ConfigError", "Mixed", "Part", "PassRate", "Reward", "from_config"]
