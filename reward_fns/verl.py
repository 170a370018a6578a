"""verl's adapter: the function to name in `reward.custom_reward_function`.

    reward.custom_reward_function.path=pkg://reward_fns.verl
    reward.custom_reward_function.name=compute_score
    +reward.custom_reward_function.reward_kwargs.config=recipes/my.yaml

Covers: `reward_model.ground_truth` that is a label of ours, or tests in any known format; the same numeric keys for
    every sample, as verl's metrics need them.
Does not cover: truncation, which verl does not tell: an open fence or thought counts as cut off.
Written for verl 0.9: verl/trainer/ppo/reward.py, verl/experimental/reward_loop. Errors stop the training.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reward_fns.configured import problem_of, reward_of


async def compute_score(
    data_source: str, solution_str: str, ground_truth: str, extra_info: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | str | None = None, **_: Any,
) -> dict[str, float]:  # fmt: skip
    """The reward of one completion, and what goes into it.

    Args:
        data_source: not used: a label says what is needed.
        solution_str: the completion, without special tokens.
        ground_truth: what `Problem.to_label` gave (mode "eval" for validation rows), or tests.
        extra_info: its "question", if any, is asked where `ground_truth` holds tests only.
        config: a recipe or YAML file, its sections, or a kind such as "pass_rate"; ACECODER_RL_REWARD when None.

    Returns:
        "score", "acc" (1.0 when all tests that earn passed), and the reward's components.

    Raises:
        ConfigError, ProblemError, SandboxError: as the reward does; verl stops on them.
    """
    reward, prefix = reward_of(config)
    problem = problem_of(ground_truth, str((extra_info or {}).get("question") or ""))
    found = await reward.score(problem, prefix + solution_str, None)
    return {"score": found.value, "acc": found.components["all_passed"], **found.components}
