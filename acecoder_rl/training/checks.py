"""Fields of a recipe that must fit each other, checked before a GPU is touched.

Covers: samples, placement, fields that others make meaningless, what OpenRLHF would do silently.
Does not cover: batch sizes (batches.py), single fields (recipe.py), the section `data` and the reward against
    its problems (data.py), OpenRLHF's own checks (openrlhf_parser.py).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from acecoder_rl.training import batches, reward_model
from acecoder_rl.training.flags import FIELDS, OURS
from acecoder_rl.training.mistakes import shown
from acecoder_rl.training.model_path import resolve
from acecoder_rl.training.placement import gpus_used, judge, roles
from acecoder_rl.training.recipe import Recipe, RecipeError, Resources, Train

GROUPS = ("rloo", "reinforce_baseline", "group_norm", "dr_grpo")


def check(recipe: Recipe, where: str) -> list[str]:
    """What a user should know before the run.

    Args:
        where: the recipe's file, for the messages.

    Raises:
        RecipeError: with every mistake.
    """
    wrong = [
        *_samples(recipe),
        *batches.mistakes(recipe),
        *_gpus(recipe),
        *_device(recipe),
        *_unused(recipe),
        *_paths(recipe),
        *_model(recipe),
        *_checkpoints(recipe),
        *reward_model.mistakes(recipe),
        *_further(recipe),
    ]
    if wrong:
        raise RecipeError(f"{where}: {line}" for line in wrong)
    return [f"{where}: {line}" for line in _warnings(recipe)]


def _samples(recipe: Recipe) -> Iterator[str]:
    n, estimator = recipe.rollout.n_samples_per_prompt, recipe.train.advantage_estimator
    if n < 2 and estimator in GROUPS:
        yield (
            f"rollout.n_samples_per_prompt is {n}, but advantage estimator '{estimator}' compares samples "
            "of one prompt: set it to 2 or more"
        )
    if n < 2 and recipe.rollout.dynamic_filtering:
        yield (
            f"rollout.n_samples_per_prompt is {n}, but rollout.dynamic_filtering drops prompts whose "
            "samples all earn the same: set it to 2 or more, or the filtering to false"
        )


def _gpus(recipe: Recipe) -> Iterator[str]:
    resources, train = recipe.resources, recipe.train
    actor, colocate = resources.actor_gpus_per_node, resources.colocate
    reference, critic = resources.reference_gpus_per_node, resources.critic_gpus_per_node
    if colocate != "none" and train.kl_coef > 0 and reference not in (None, actor):
        yield (
            f"resources.reference_gpus_per_node is {reference}, but with resources.colocate '{colocate}' the "
            f"reference shares the policy's {actor} GPUs: leave it out, or set colocate to none"
        )
    if colocate == "all":
        if train.advantage_estimator == "gae" and critic not in (None, actor):
            yield (
                f"resources.critic_gpus_per_node is {critic}, but with resources.colocate 'all' the critic "
                f"shares the policy's {actor} GPUs: leave it out, or set colocate to actor_ref"
            )
        engines, parallel = resources.engines_per_node, resources.tensor_parallel_size
        if engines * parallel != actor:
            mend = f"actor_gpus_per_node to {engines * parallel}"
            if actor % parallel == 0:
                mend = f"engines_per_node to {actor // parallel}"
            yield (
                f"resources.colocate is 'all', but engines_per_node {engines} x tensor_parallel_size "
                f"{parallel} is not actor_gpus_per_node {actor}: set {mend}"
            )
    served = judge(recipe)
    if served and served.gpus > resources.gpus_per_node:
        yield (
            f"reward_model.gpus_per_replica is {served.gpus}, but resources.gpus_per_node is "
            f"{resources.gpus_per_node}, and a copy is on one node: lower it"
        )
    if gpus_used(recipe) > resources.gpus_per_node:
        parts = " + ".join(f"{role.name} {role.gpus}" for role in roles(recipe) if not role.shares)
        mend = "set it higher" if resources.device == "cpu" else "ask for fewer, or let them share with colocate"
        yield (
            f"resources.gpus_per_node is {resources.gpus_per_node}, but {gpus_used(recipe)} are asked for "
            f"({parts}): {mend}"
        )


def _device(recipe: Recipe) -> Iterator[str]:
    resources, attention = recipe.resources, recipe.model.attention
    if resources.device == "gpu":
        if resources.threads is not None:
            yield f"resources.threads is {resources.threads}, but resources.device is gpu: leave it out"
        if resources.packing_samples and "flash_attention" not in (attention or "flash_attention_2"):
            yield (
                f"model.attention is '{attention}', but resources.packing_samples needs flash_attention_2 "
                "or _3: leave one of them out"
            )
        return
    cpu = "but resources.device is cpu"
    if resources.colocate == "all":
        yield f"resources.colocate is 'all', {cpu}, where engines cannot sleep: set it to none or actor_ref"
    if resources.packing_samples:
        yield f"resources.packing_samples is true, {cpu}, which has no flash attention: set it to false"
    if resources.adam_offload:
        yield f"resources.adam_offload is true, {cpu}, where the optimizer already is: set it to false"
    if resources.tensor_parallel_size > 1:
        yield (
            f"resources.tensor_parallel_size is {resources.tensor_parallel_size}, {cpu}, where an engine is "
            "one process: set it to 1"
        )
    if recipe.openrlhf.get("train.dynamic_batch_enable") or recipe.openrlhf.get("ds.ring_attn_size", 1) != 1:
        yield f"openrlhf has train.dynamic_batch_enable or ds.ring_attn_size, {cpu}: leave them out"
    if attention is not None and "flash" in attention:
        yield f"model.attention is '{attention}', {cpu}: set it to sdpa or eager, or leave it out"


def _unused(recipe: Recipe) -> Iterator[str]:
    """Fields that are set, but that other fields make meaningless."""
    train, resources = recipe.train, recipe.resources
    estimator = train.advantage_estimator
    if estimator != "gae":
        given = {
            "model.critic_path": (recipe.model.critic_path, None),
            "train.critic_learning_rate": (
                train.critic_learning_rate,
                _default(Train, "critic_learning_rate"),
            ),
            "train.critic_warmup_steps": (train.critic_warmup_steps, 0),
            "train.lambd": (train.lambd, 1.0),
            "resources.critic_gpus_per_node": (resources.critic_gpus_per_node, None),
        }
        for name, (value, default) in given.items():
            if value != default:
                yield (
                    f"{name} is {shown(value)}, but advantage estimator '{estimator}' has no critic: leave "
                    "it out, or set train.advantage_estimator to gae"
                )
    if estimator not in ("gae", "reinforce") and train.gamma != 1:
        yield (
            f"train.gamma is {train.gamma}, but OpenRLHF takes 1 with advantage estimator '{estimator}': "
            "leave it out, or set train.advantage_estimator to reinforce or gae"
        )
    if train.kl_coef == 0 and train.kl_in_loss:
        yield "train.kl_in_loss is true, but train.kl_coef is 0: set kl_coef above 0, or kl_in_loss to false"
    if train.kl_coef == 0 and resources.reference_gpus_per_node is not None:
        yield (
            f"resources.reference_gpus_per_node is {resources.reference_gpus_per_node}, but with "
            "train.kl_coef 0 there is no reference model: leave it out, or set kl_coef above 0"
        )
    if train.eval_steps is not None and not recipe.data.eval:
        yield (
            f"train.eval_steps is {train.eval_steps}, but data.eval is empty: name problems to evaluate on, "
            "or leave eval_steps out"
        )


def _paths(recipe: Recipe) -> Iterator[str]:
    for field in ("path", "critic_path"):
        path = getattr(recipe.model, field)
        if path is not None and (told := _bad(path)):
            yield f"model.{field}: {told}"


def _bad(path: str) -> str | None:
    try:
        resolve(path)
    except RecipeError as error:
        return str(error)
    return None


def _checkpoints(recipe: Recipe) -> Iterator[str]:
    train = recipe.train
    if train.save_steps is not None and train.keep_checkpoints < 2:
        yield (
            f"train.keep_checkpoints is {train.keep_checkpoints}, but OpenRLHF deletes the old checkpoint before it "
            "writes the next, and a run killed in between has none: set it to 2 or more"
        )


def _model(recipe: Recipe) -> Iterator[str]:
    """What a model that is here says of itself."""
    if _bad(recipe.model.path) or not (folder := Path(resolve(recipe.model.path))).is_dir():
        return
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        yield f"model.path is '{recipe.model.path}', whose config.json cannot be read: {error}"
        return
    positions, needed = config.get("max_position_embeddings"), _length(recipe)
    if isinstance(positions, int) and positions < needed:
        yield (
            f"data.max_prompt_tokens {recipe.data.max_prompt_tokens} + rollout.max_new_tokens "
            f"{recipe.rollout.max_new_tokens} is {needed}, but the model has {positions} positions: lower "
            "one of them"
        )
    heads, parallel = config.get("num_attention_heads"), recipe.resources.tensor_parallel_size
    if isinstance(heads, int) and heads % parallel:
        yield (
            f"resources.tensor_parallel_size is {parallel}, but the model has {heads} attention heads: take "
            "one that divides them"
        )


def _further(recipe: Recipe) -> Iterator[str]:
    """The section `openrlhf`: flags that are not ours to pass on."""
    for name, value in recipe.openrlhf.items():
        if name.startswith("-"):
            yield f"openrlhf.{name} has dashes: write {name.lstrip('-')}"
        elif isinstance(value, dict):
            inner = next(iter(value), "name")
            yield (f"openrlhf.{name} is a section: write its flags out, as {name}.{inner}: {shown(value.get(inner))}")
        elif name in FIELDS:
            yield f"openrlhf.{name} is what {FIELDS[name]} sets: set that"
        elif name in OURS:
            yield f"openrlhf.{name} is not for recipes: {OURS[name]}"
        elif value is None:
            yield f"openrlhf.{name} is null: give a value, true for a switch"


def _warnings(recipe: Recipe) -> Iterator[str]:
    train, rollout = recipe.train, recipe.rollout
    yield from reward_model.warnings(recipe)
    if train.save_steps is None:
        yield ("train.save_steps is not set: nothing is saved before the end, and --resume will not be possible")
    if rollout.dynamic_filtering:
        steps = "the last step" if train.episodes == 1 else f"the last step of each of {train.episodes} episodes"
        lost = ""
        if max(batches.learners(recipe).values()) > 1:
            lost = ", and OpenRLHF stops or waits for ever where they do not fill the GPUs: keep train.save_steps small"
        yield f"rollout.dynamic_filtering: {steps} has only as many prompts as the filter leaves{lost}"
        if train.save_steps is not None:
            yield (
                "rollout.dynamic_filtering: a checkpoint of an episode's last step does not say that the episode is "
                "over: --resume from there would train it again"
            )
    if recipe.resources.nodes > 1:
        yield (
            f"resources.nodes is {recipe.resources.nodes}: logging.folder, and model.path where it is a folder, must "
            "be on storage that all nodes share, and acecoder-rl installed at the same path on each"
        )
    if train.critic_warmup_steps:
        yield (
            f"train.critic_warmup_steps is {train.critic_warmup_steps}: OpenRLHF keeps the rollouts of "
            "these steps and trains the policy on all of them in the step after"
        )
    if recipe.data.eval and train.eval_steps and train.eval_temperature == 0 and train.eval_n_samples_per_prompt > 1:
        yield (
            f"train.eval_temperature is 0: {train.eval_n_samples_per_prompt} samples of a prompt will be "
            "the same, set eval_n_samples_per_prompt to 1"
        )
    if recipe.logging.wandb_project is not None and not os.environ.get("WANDB_API_KEY"):
        yield (
            f"logging.wandb_project is '{recipe.logging.wandb_project}', but WANDB_API_KEY is not set: "
            "export it, or the run fails at its start where wandb has no key of its own"
        )


def _length(recipe: Recipe) -> int:
    return recipe.data.max_prompt_tokens + recipe.rollout.max_new_tokens


def _default(section: type[Resources] | type[Train], name: str) -> Any:
    return section.model_fields[name].default
