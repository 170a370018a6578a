"""verifiers' adapter (prime-rl trains on it): a reward and metrics to plug into any taskset whose tasks have tests.

    [env.taskset.task.rewards.tests]
    fn = "reward_fns.verifiers:tests"

    [env.taskset.task.metrics.facts]
    fn = "reward_fns.verifiers:facts"

Covers: tasks with a field `label` (`Problem.to_label`) or `tests` in any known format, of the task's data or of its
    `info`; the trace's last reply as the completion; truncation.
Does not cover: which reward: ACECODER_RL_REWARD says it (configured.py), as prime-rl's workers have no other way.
Written for verifiers 0.4: verifiers/v1/task.py, `Task.score`. Errors mark the rollout as failed; it is dropped.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from reward_fns.configured import configured, problem_of
from reward_fns.reward import Reward

RECENT = 1024
_recent: OrderedDict[tuple[str, str, bool], Reward] = OrderedDict()


async def tests(task: Any, trace: Any) -> float:
    """The reward of a rollout: what the configured reward makes of the last reply."""
    return (await _scored(task, trace)).value


async def facts(task: Any, trace: Any) -> dict[str, float]:
    """What goes into it. It is asked first, and `tests` gets the same: nothing is scored, or logged, twice."""
    return (await _scored(task, trace)).components


async def _scored(task: Any, trace: Any) -> Reward:
    key = trace.id, trace.last_reply, bool(trace.is_truncated)
    if key in _recent:
        return _recent[key]
    reward, prefix = configured()
    label = _field(task, "label") or _field(task, "tests")
    if label is None:
        raise ValueError(f"task {task.id!r} has neither 'label' nor 'tests': put Problem.to_label() into 'label'")
    problem = problem_of(label, str(task.prompt) if isinstance(task.prompt, str) else "")
    _recent[key] = found = await reward.score(problem, prefix + trace.last_reply, bool(trace.is_truncated))
    if len(_recent) > RECENT:
        _recent.popitem(last=False)
    return found


def _field(task: Any, name: str) -> Any:
    info = getattr(task, "info", None)
    return getattr(task, name, None) or (info.get(name) if isinstance(info, dict) else None)
