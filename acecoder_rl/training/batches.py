"""Batches that share out evenly: among GPUs, among optimizer steps.

Covers: `mistakes` in a recipe's batch sizes; how many prompts the training file may have (data.py leaves the
    rest out).
Does not cover: where the GPUs are (placement.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from acecoder_rl.training.placement import trainer_roles
from acecoder_rl.training.recipe import Recipe


def prompt_multiple(recipe: Recipe) -> int:
    """The training file must have a multiple of so many prompts.

    The last step of an episode takes what is left. OpenRLHF deals micro batches out to the GPUs, and hangs
    where some get fewer than others; samples that do not fill an optimizer step leak into the next. And a
    checkpoint of a step that the prompts do not fill says that the data are exhausted: resumed from it, the
    episode would be trained again from its start. So where checkpoints are saved, each step is a full one.
    """
    rollout = recipe.rollout
    full = 1 if recipe.train.save_steps is None else rollout.batch_size
    units = [recipe.train.batch_size]
    if not _dynamic(recipe):
        units += [rollout.micro_batch_size * processes for processes in learners(recipe).values()]
    return math.lcm(full, *(unit // math.gcd(unit, rollout.n_samples_per_prompt) for unit in units))


def mistakes(recipe: Recipe) -> Iterator[str]:
    """Batch sizes that do not divide each other, with the nearest that do."""
    rollout, train = recipe.rollout, recipe.train
    samples = rollout.batch_size * rollout.n_samples_per_prompt
    step = f"a step of {rollout.batch_size} prompts x {rollout.n_samples_per_prompt} has {samples} samples"
    groups = {} if _dynamic(recipe) else _groups(_models(recipe))
    units = {train.micro_batch_size * processes: gpus for processes, gpus in groups.items()}
    mend = _train_mend(recipe, samples, list(groups))
    if samples % train.batch_size:
        yield f"train.batch_size is {train.batch_size}, but {step}, no multiple of it: {mend}"
    for unit, gpus in units.items():
        if train.batch_size % unit:
            yield (
                f"train.batch_size is {train.batch_size}, but {gpus} with train.micro_batch_size "
                f"{train.micro_batch_size} take a multiple of {unit}: {mend}"
            )
    size = rollout.micro_batch_size
    for processes, gpus in _groups(learners(recipe)).items():
        if groups and samples % (size * processes):
            good = [option for option in _divisors(samples) if samples % (option * processes) == 0]
            mend = f"set it to {_near(size, good)}" if good else f"give {processes} times as many samples"
            yield (
                f"rollout.micro_batch_size is {size}, but {step}, which {gpus} cannot share evenly in "
                f"batches of that size: {mend}"
            )
    reference = _models(recipe).get("reference", 1)
    if groups and math.ceil(samples / size) < reference:
        yield (
            f"rollout.micro_batch_size is {size}, but {step}, which leaves some of the {reference} reference "
            f"GPUs without any: set it to {max(1, samples // reference)} or less"
        )


def _train_mend(recipe: Recipe, samples: int, processes: list[int]) -> str:
    """What makes train.batch_size fit, everything else as it is; or what else has to change for that."""
    train, together = recipe.train, math.lcm(*processes)
    good = [size for size in _divisors(samples) if size % (together * train.micro_batch_size) == 0]
    if good:
        return f"set it to {_near(train.batch_size, good)}"
    smaller = [size for size in range(1, train.micro_batch_size) if samples % (size * together) == 0]
    if smaller:
        return f"set it to {samples}, and train.micro_batch_size to {smaller[-1]}"
    prompts = together // math.gcd(together, recipe.rollout.n_samples_per_prompt)
    return f"set rollout.batch_size to a multiple of {prompts} first"


def _groups(models: dict[str, int]) -> dict[int, str]:
    """Numbers of processes, with who has them."""
    named: dict[int, str] = {}
    for role, processes in models.items():
        named.setdefault(processes, f"{processes} {role} GPU{'s' if processes > 1 else ''}")
    return named


def _divisors(number: int) -> list[int]:
    return [size for size in range(1, number + 1) if number % size == 0]


def _models(recipe: Recipe) -> dict[str, int]:
    """The trainer's models, and over how many processes each shares out a batch."""
    share = _number(recipe, "ds.ring_attn_size") * _number(recipe, "ds.tensor_parallel_size")
    nodes = recipe.resources.nodes
    return {role.name: max(1, nodes * role.gpus // share) for role in trainer_roles(recipe) if role.name != "engines"}


def learners(recipe: Recipe) -> dict[str, int]:
    """The models that are trained, and over how many processes each shares out a batch."""
    return {name: processes for name, processes in _models(recipe).items() if name != "reference"}


def _number(recipe: Recipe, flag: str) -> int:
    value: Any = recipe.openrlhf.get(flag, 1)
    return value if type(value) is int and value > 0 else 1


def _dynamic(recipe: Recipe) -> bool:
    """Micro batches by tokens: `openrlhf: {train.dynamic_batch_enable: true}`."""
    return recipe.openrlhf.get("train.dynamic_batch_enable") is True


def _near(value: int, options: list[int]) -> str:
    """The options next to a value, below and above."""
    below = [option for option in options if option < value][-1:]
    return " or ".join(map(str, below + [option for option in options if option > value][:1]))
