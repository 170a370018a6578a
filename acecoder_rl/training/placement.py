"""Which model and which engine takes how many GPUs of a node.

Covers: what OpenRLHF asks Ray for (openrlhf/cli/train_ppo_ray.py, trainer/ray/launcher.py, vllm_engine.py): a
    GPU a process, shared where `resources.colocate` says so.
Does not cover: which node Ray takes; every node gets the same number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from acecoder_rl.training.recipe import Recipe


@dataclass(frozen=True)
class Role:
    """A model or the engines, on a node.

    Attributes:
        name: policy, reference, critic or engines.
        gpus: it runs on.
        shares: it runs on the policy's GPUs.
        note: what else there is to say of it.
    """

    name: str
    gpus: int
    shares: bool = False
    note: str = ""


def roles(recipe: Recipe) -> list[Role]:
    """The models and engines of a run, the policy first."""
    resources = recipe.resources
    together = resources.colocate == "all"
    actor = resources.actor_gpus_per_node
    found = [Role("policy", actor)]
    if recipe.train.kl_coef > 0:
        gpus = resources.reference_gpus_per_node or actor
        found.append(Role("reference", gpus, shares=resources.colocate != "none"))
    if recipe.train.advantage_estimator == "gae":
        found.append(Role("critic", resources.critic_gpus_per_node or actor, shares=together))
    engines, parallel = resources.engines_per_node, resources.tensor_parallel_size
    note = f"{engines} x {parallel}" if parallel > 1 else ""
    found.append(Role("engines", engines * parallel, shares=together, note=note and f"{note} GPUs an engine"))
    if served := reward_model_gpus(recipe):
        section = recipe.reward_model
        replicas = section.replicas if section else 0
        share = math.ceil(served / resources.nodes)
        found.append(Role("reward model", share, note=f"{replicas} x {served // replicas}, in the whole run"))
    return found


def reward_model_gpus(recipe: Recipe) -> int:
    """GPUs of all replicas of the reward model that the run serves."""
    section = recipe.reward_model
    if section is None or section.path is None:
        return 0
    return section.replicas * section.gpus(recipe.resources.device)


def all_gpus(recipe: Recipe) -> int:
    """GPUs that a run takes on all its nodes together."""
    per_node = sum(role.gpus for role in roles(recipe) if not role.shares and role.name != "reward model")
    return per_node * recipe.resources.nodes + reward_model_gpus(recipe)


def gpus_used(recipe: Recipe) -> int:
    """GPUs of a node that a run takes; on CPU they are logical."""
    return sum(role.gpus for role in roles(recipe) if not role.shares)


def engine_memory(recipe: Recipe) -> float:
    """`resources.gpu_memory_utilization`, with its default."""
    resources = recipe.resources
    if resources.gpu_memory_utilization is not None:
        return resources.gpu_memory_utilization
    if resources.device == "cpu":
        return 0.1  # vLLM on CPU takes its memory from VLLM_CPU_KVCACHE_SPACE
    return 0.6 if resources.colocate == "all" else 0.85
