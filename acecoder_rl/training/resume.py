"""What `--resume` may change in a recipe, and whether there is anything to go on with.

Covers: the recipe against the run folder's recipe.yaml; prompts that are no longer those of the run; a run that
    is over.
Does not cover: which checkpoint (run_folder.py), loading it (OpenRLHF does).
A checkpoint holds the optimizer with its learning rate, the schedule's position, and a place in the order of the
prompts, laid out for the GPUs that saved it. What would contradict it is refused, the rest is told.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from acecoder_rl.training.data import Prepared
from acecoder_rl.training.load import load_recipe
from acecoder_rl.training.mistakes import shown
from acecoder_rl.training.recipe import Recipe, RecipeError, Section
from acecoder_rl.training.run_folder import RunFolder

# Fields, or the beginnings of such, that a run may go on with changed.
FREE = (
    "data.eval",
    "sandbox.workers",
    "rollout.micro_batch_size",
    "train.micro_batch_size",
    "train.episodes",
    "train.save_steps",
    "train.keep_checkpoints",
    "train.eval_",
    "resources.gpus_per_node",
    "resources.reference_gpus_per_node",
    "resources.engines_per_node",
    "resources.tensor_parallel_size",
    "resources.colocate",
    "resources.gpu_memory_utilization",
    "resources.gradient_checkpointing",
    "resources.threads",
    "logging.",
    "openrlhf.ckpt.",
    "openrlhf.eval.",
    "openrlhf.logger.",
    "openrlhf.vllm.",
)


def changes(
    recipe: Section,
    run: RunFolder,
    where: str,
    load: Callable[[Path], Section] = load_recipe,
    free: tuple[str, ...] = FREE,
    command: str = "train",
) -> list[str]:
    """What the run goes on with that it did not begin with.

    Args:
        where: the recipe's file, for the messages.
        load: reads a recipe of this kind.
        free: fields that may change.
        command: that runs such a recipe.

    Raises:
        RecipeError: it would not be the same run.
    """
    refused, told = [], []
    for field, old, new in _differences(load(run.recipe), recipe):
        line = f"{where}: {field} is {new}, but the run began with {old}"
        (told if field.startswith(free) else refused).append(line)
    if refused:
        mend = (
            f"{where}: --resume goes on with the recipe that the run began with: "
            f"acecoder-rl {command} {run.recipe} --resume"
        )
        raise RecipeError([*refused, mend])
    return told


def check_prompts(before: Path, now: Path, where: str, dated: bool = False) -> None:
    """The order of the prompts is known by their number alone: they must be the same.

    Args:
        dated: the chat template may write the day's date into them: then the problems must be the same.

    Raises:
        RecipeError: they are not.
    """
    if not before.exists():
        return
    old, new = before.read_bytes(), now.read_bytes()
    if old != new and not (dated and _problems(old) == _problems(new)):
        raise RecipeError(
            [
                f"{where}: data.train gives other prompts than {before}, which the run began with: its files, the "
                "tokenizer or train.save_steps have changed. Put them back, or begin a run with --set "
                "logging.folder=..."
            ]
        )


def _problems(rows: bytes) -> list[tuple[str, str]]:
    """All that is in a file of prompts but these themselves."""
    found = map(json.loads, rows.splitlines())
    return [(row["label"], row["datasource"]) for row in found]


def check_left(recipe: Recipe, prepared: Prepared, run: RunFolder, where: str) -> None:
    """A run that is over would load its models for nothing; one that was killed before it saved its model would not.

    Raises:
        RecipeError: it is over.
    """
    step = run.last_checkpoint() or 0
    last = prepared.steps_per_episode * recipe.train.episodes
    if recipe.rollout.dynamic_filtering or step < last or not (run.model / "config.json").exists():
        return
    raise RecipeError(
        [
            f"{where}: train.episodes is {recipe.train.episodes}, of {prepared.steps_per_episode} steps each, and step "
            f"{step} is saved: nothing is left to train, and the model is in {run.model}. Raise train.episodes"
        ]
    )


def _differences(old: Section, new: Section) -> Iterator[tuple[str, str, str]]:
    """Fields with both values, as messages show them."""
    before, after = dict(_fields(old)), dict(_fields(new))
    for field in dict.fromkeys([*before, *after]):
        if (field in before, before.get(field)) != (field in after, after.get(field)):
            old_text, new_text = (shown(fields[field]) if field in fields else "not set" for fields in (before, after))
            yield field, old_text, new_text


def _fields(recipe: Section) -> Iterator[tuple[str, Any]]:
    for section, fields in recipe.model_dump().items():
        for name, value in (fields or {}).items():  # a section may be left out
            yield f"{section}.{name}", value
