"""What a reward function returns.

Covers: `Reward`, the keys that every reward logs, the bound that its value keeps.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from acecoder_rl.sandbox.verdict import Verdict

# OpenRLHF clips rewards to this by default (--reward.clip_range): a value beyond would be cut silently.
BOUND = 10.0

KEYS = (
    "pass_rate",  # of the tests that earn
    "all_passed",  # 1.0 when each of them passed
    "holdout_pass_rate",  # of the tests withheld from the reward; pass_rate where none are
    "timeouts",  # tests that ran into a time limit
    "syntax_errors",  # 1.0 when the program does not compile
    "no_program",  # 1.0 when the completion has none
    "truncated",  # 1.0 when the completion was cut off
    "refused",  # 1.0 when the verdict is of a kind that does not earn (allow_shared, allow_claimed)
    "claimed",  # 1.0 when a passed test rests on the program's own word
    "sandbox_seconds",  # CPU time of the program with its tests
)

# Names that trainers log themselves, and ours of openrlhf.py: a component called so would be overwritten.
TAKEN = (
    *KEYS,
    *("reward", "rewards", "score", "scores", "kl", "return", "response_clip_ratio", "logprobs_diff"),
    *("group_reward_std", "ppo_clip_ratio", "ppo_kl", "vllm_kl", "is_filter_ratio", "reward_errors"),
)


@dataclass(frozen=True)
class Reward:
    """One completion's reward.

    Attributes:
        value: what the trainer gets, in [-10, 10].
        components: numbers to log: those of KEYS, and one a part of `Mixed`; the same keys every time.
        verdict: of all tests, withheld ones too; None when there was no program to run.
    """

    value: float
    components: dict[str, float] = field(default_factory=dict)
    verdict: Verdict | None = None
