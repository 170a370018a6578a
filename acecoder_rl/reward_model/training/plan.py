"""What a recipe for a reward model would do, told without doing it: `acecoder-rl train-rm RECIPE --dry-run`.

Covers: pairs, split and steps, the arithmetic of batches, the command, DeepSpeed's configuration, what nothing here
    could check. Touches no network and no GPU, and tokenizes nothing.
Does not cover: starting it (train.py).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

from acecoder_rl.reward_model.training import data, deepspeed, launch
from acecoder_rl.reward_model.training.recipe import RmRecipe, accumulation, check, processes
from acecoder_rl.reward_model.training.train import steps
from acecoder_rl.training.model_path import missing, resolve
from acecoder_rl.training.recipe import RecipeError


def explain(recipe: RmRecipe, where: str) -> str:
    """The plan of a run, as text.

    Args:
        where: the recipe's file, for messages.

    Raises:
        RecipeError: the recipe does not fit together, or its file of pairs is wrong.
    """
    wrong: list[str] = []
    counts = None
    try:
        check(recipe, where)
    except RecipeError as error:
        wrong += error.mistakes
    try:
        counts = _count(recipe) if data.source_file(recipe.data) else None
    except RecipeError as error:
        wrong += [f"{where}: {line}" for line in error.mistakes]
    if wrong:
        raise RecipeError(wrong)
    blocks = [
        [f"{where}: the recipe fits together; nothing was started"],
        [f"{name:<12} {told}" for name, told in _facts(recipe, counts)],
        ["command" + (", on each node" if recipe.resources.nodes > 1 else ""), f"  {_command(recipe)}"],
    ]
    if recipe.resources.device == "gpu":
        lines = json.dumps(deepspeed.config(recipe), indent=1).splitlines()
        blocks.append(["DeepSpeed ('auto' is filled in from the above)", *(f"  {line}" for line in lines)])
    unchecked = list(_unchecked(recipe, counts))
    if unchecked:
        blocks.append(["unchecked", *(f"  {line}" for line in unchecked)])
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"


def _count(recipe: RmRecipe) -> tuple[int, int, int, int]:
    """Pairs and questions to train on, pairs and questions held out; every row is checked."""
    pairs: dict[bytes, int] = {}
    for _, pair in data.rows(recipe.data):
        pairs[pair.digest] = pairs.get(pair.digest, 0) + 1
    out = data.held_out(pairs, recipe.data.val_share, recipe.train.seed)
    held = sum(pairs[digest] for digest in out)
    return sum(pairs.values()) - held, len(pairs) - len(out), held, len(out)


def _facts(recipe: RmRecipe, counts: tuple[int, int, int, int] | None) -> Iterator[tuple[str, str]]:
    train, pairs, together = recipe.train, recipe.data, processes(recipe)
    yield "backbone", recipe.model.path
    yield "pairs", pairs.path + (f", config {pairs.config}" if pairs.config else "")
    if counts:
        yield "", f"{counts[0]} of {counts[1]} questions to train on, {counts[2]} of {counts[3]} questions held out"
    else:
        yield "", f"a share of {pairs.val_share:g} of the questions is held out"
    yield "", f"left out: longer than {pairs.cutoff_len} tokens on either side"
    margin = " - margin" if pairs.margin == "gap" else ""
    yield "loss", f"-log sigmoid(chosen - rejected{margin}), mean over the pairs, in fp32, at the chat's last token"
    who = "1 process on the CPU" if recipe.resources.device == "cpu" else f"{together} GPUs"
    yield (
        "a step",
        f"{train.batch_size} pairs = micro batches of {train.micro_batch_size} x {accumulation(recipe)} x {who}",
    )
    if counts:
        yield "steps", f"at most {steps(recipe, counts[0])}, {train.epochs} epoch{'s' if train.epochs > 1 else ''}"
    else:
        yield "steps", f"pairs / {train.batch_size} an epoch, of which there are {train.epochs}"
    yield "rate", f"{train.learning_rate:g}, {train.lr_scheduler}, warmup over {train.warmup_ratio:g} of the steps"
    often = f"every {train.eval_steps} steps, " if train.eval_steps else ""
    yield "evaluation", f"at the start, {often}at the end" if pairs.val_share else "none"
    yield (
        "checkpoints",
        f"every {train.save_steps} steps, the last {train.keep_checkpoints} are kept" if train.save_steps else "none",
    )
    yield "folder", str(recipe.logging.folder)


def _command(recipe: RmRecipe) -> str:
    node = launch.Node(0, "$MASTER_ADDR")
    line = launch.command(recipe, Path(recipe.logging.folder or ""), None, node)
    text = shlex.join(["python", *line[1:]]).replace("'--master-addr=$MASTER_ADDR'", "--master-addr=$MASTER_ADDR")
    return text.replace("--node-rank=0", "--node-rank=$NODE_RANK")


def _unchecked(recipe: RmRecipe, counts: object) -> Iterator[str]:
    path = recipe.model.path
    if missing(path):
        yield f"model.path {path} is not there yet: training needs it (make quickstart makes the starter model)"
    elif resolve(path) == path and not Path(path).is_dir():
        yield f"model.path {path} is looked for on the Hugging Face Hub"
    if counts is None:
        yield f"data.path {recipe.data.path} is looked for on the Hugging Face Hub, its rows are checked at the start"
