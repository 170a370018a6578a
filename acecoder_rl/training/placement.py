"""Which model and which engine takes how many GPUs of a node.

Covers: what OpenRLHF asks Ray for (openrlhf/cli/train_ppo_ray.py, trainer/ray/launcher.py, vllm_engine.py): a
    GPU a process, shared where `resources.colocate` says so.
Does not cover: which node Ray takes. Figures are a node's share, but Ray packs a model's processes onto as few nodes
    as it can: with two nodes, a policy of 4 GPUs a node may have all 8 of one, and the engines the other's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from acecoder_rl.training.model_size import gpus_for
from acecoder_rl.training.recipe import Recipe

JUDGE = "reward model"


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
    found, resources = trainer_roles(recipe), recipe.resources
    if (served := judge(recipe)) and served.gpus:
        share = math.ceil(served.replicas * served.gpus / resources.nodes)
        found.append(Role(JUDGE, share, note=f"{served.replicas} x {served.gpus}, in the whole run"))
    return found


def trainer_roles(recipe: Recipe) -> list[Role]:
    """Those of them that OpenRLHF places: all but the reward model."""
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
    return found


@dataclass(frozen=True)
class Judge:
    """The reward model that a run serves.

    Attributes:
        replicas: in the whole run.
        gpus: of a replica, all on one node.
    """

    replicas: int
    gpus: int


def judge(recipe: Recipe) -> Judge | None:
    """The replicas of the reward model, with the recipe's defaults filled in; None = the run serves none."""
    section, resources = recipe.reward_model, recipe.resources
    if section is None or section.path is None:
        return None
    if resources.device == "cpu":
        return Judge(section.replicas or 1, 0)
    gpus = section.gpus_per_replica or gpus_for(section.path)
    # They are placed before everything else, so any free GPUs will do.
    free = resources.nodes * (resources.gpus_per_node - trainer_gpus(recipe))
    return Judge(section.replicas or max(1, free // gpus), gpus)


def trainer_gpus(recipe: Recipe) -> int:
    """GPUs of a node that OpenRLHF's models and engines take."""
    return sum(role.gpus for role in trainer_roles(recipe) if not role.shares)


def parts(recipe: Recipe) -> dict[str, int]:
    """Who takes how many GPUs of the whole run; what shares the policy's is named with it."""
    nodes = recipe.resources.nodes
    trainer = trainer_roles(recipe)
    policy = " and ".join(role.name for role in trainer if role.shares or role.name == "policy")
    found = {role.name: role.gpus * nodes for role in trainer if not role.shares}
    found = {policy if name == "policy" else name: gpus for name, gpus in found.items()}
    served = judge(recipe)
    if served and served.gpus:
        found[JUDGE] = served.replicas * served.gpus
    return found


def all_gpus(recipe: Recipe) -> int:
    """GPUs that a run takes on all its nodes together."""
    return sum(parts(recipe).values())


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
