"""What a recipe for a reward model may say: the sections of its YAML, their fields, defaults and ranges.

Covers: types and ranges of single fields; `load`; fields that must fit each other (`check`); the arithmetic of
    batches. Names are those of the other recipes (training/recipe.py) for what is the same there.
Does not cover: the pairs (data.py), what becomes of it all (plan.py, worker.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from pydantic import Field

from acecoder_rl.training.load import read_recipe
from acecoder_rl.training.model_path import resolve
from acecoder_rl.training.recipe import (
    Above0To1,
    AtLeast0,
    Logging,
    Positive,
    RecipeError,
    Section,
    Text,
)

BelowOne = Annotated[float, Field(ge=0, lt=1)]


class Model(Section):
    """The backbone.

    Attributes:
        path: a folder (`~` and relative ones too), or a model id of the Hugging Face Hub: a chat model, which gets a
            new value head, or a reward model in AceCodeRM's layout, which is trained further.
        attention: transformers' name of an implementation; None = "flash_attention_2" on GPU, "sdpa" on CPU.
        head_dropout: of the value head's input, while training: AceCodeRM's is 0.1. Each side of a pair draws its own,
            which can drown the difference between two like programs: 0 where few pairs must do.
    """

    path: Text
    attention: Text | None = None
    head_dropout: BelowOne = 0.1


class Data(Section):
    """The pairs, in AceCodePair-300K's schema: instruction, input, chosen, rejected.

    Attributes:
        path: a JSONL or Parquet file, "starter:pairs", or a dataset id of the Hub.
        config, split: of a Hub dataset; AceCodePair-300K's config "32B" holds the pairs of the 32B model.
        val_share: of the questions; their pairs are held out. All pairs of a question are on the same side.
        cutoff_len: tokens; a pair with a longer side is left out and counted. The score is read at the last token:
            to cut there would train on ends that no answer has.
        margin: "gap" = the chosen side must score higher by 3 · (chosen_score - rejected_score), as the AceCoder
            authors' get_margin_rm_data.py has it, also where the row has a `margin` beside the two; by its `margin`
            as it stands where it has no scores. "none" = higher is enough.
    """

    path: Text
    config: Text | None = None
    split: Text = "train"
    val_share: BelowOne = 0.005
    cutoff_len: Positive = 2048
    margin: Literal["none", "gap"] = "none"


class Train(Section):
    """The update, and when to evaluate and save.

    Attributes:
        epochs: passes over the pairs.
        batch_size: pairs an optimizer step, over all GPUs.
        micro_batch_size: pairs at once, a GPU; gradients add up until `batch_size` is reached.
        learning_rate: at its highest.
        lr_scheduler, warmup_ratio: of the learning rate.
        max_norm: bounds the gradient.
        seed: of the split, the order of the pairs and the new value head.
        log_steps: steps between lines of numbers.
        eval_steps: steps between evaluations on the held-out pairs; None = only at the end.
        save_steps: steps between checkpoints, from which `--resume` goes on; None = none.
        keep_checkpoints: older ones are deleted; at least 2, as one may be half-written when a run is killed.
    """

    epochs: Positive = 1
    batch_size: Positive = 128
    micro_batch_size: Positive = 4
    learning_rate: Above0To1 = 1e-5
    lr_scheduler: Literal["cosine", "linear", "constant", "constant_with_warmup"] = "cosine"
    warmup_ratio: BelowOne = 0.1
    max_norm: AtLeast0 = 1.0
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42
    log_steps: Positive = 10
    eval_steps: Positive | None = None
    save_steps: Positive | None = None
    keep_checkpoints: Annotated[int, Field(ge=2)] = 2


class Resources(Section):
    """Who runs where.

    Attributes:
        device: "cpu" trains in one process in fp32, "gpu" one process a GPU in bf16 with DeepSpeed.
        nodes, gpus_per_node: what the run may use; on CPU they say nothing.
        zero_stage: of DeepSpeed; 3 spreads weights, gradients and the optimizer's state over the GPUs.
        adam_offload: the optimizer's state in the host's memory.
        gradient_checkpointing: less memory for about a third more compute.
        threads: on CPU; None = the cores granted.
    """

    device: Literal["gpu", "cpu"] = "gpu"
    nodes: Positive = 1
    gpus_per_node: Positive = 8
    zero_stage: Annotated[int, Field(ge=0, le=3)] = 3
    adam_offload: bool = False
    gradient_checkpointing: bool = True
    threads: Positive | None = None


class RmRecipe(Section):
    """The training of a reward model."""

    model: Model
    data: Data
    train: Train = Train()
    resources: Resources = Resources()
    logging: Logging = Logging()


def load(path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> RmRecipe:
    """A recipe with its defaults filled in; arguments and errors as of `training.load.load_recipe`."""
    return read_recipe(path, overrides, RmRecipe)


def processes(recipe: RmRecipe) -> int:
    """How many train together: GPUs, or the one on CPU."""
    resources = recipe.resources
    return 1 if resources.device == "cpu" else resources.nodes * resources.gpus_per_node


def accumulation(recipe: RmRecipe) -> int:
    """Micro batches of each process that an optimizer step adds up."""
    return recipe.train.batch_size // (recipe.train.micro_batch_size * processes(recipe))


def check(recipe: RmRecipe, where: str) -> None:
    """Fields that must fit each other.

    Args:
        where: the recipe's file, for the messages.

    Raises:
        RecipeError: with every mistake.
    """
    wrong = [f"{where}: {line}" for line in (*_batches(recipe), *_device(recipe), *_steps(recipe), *_model(recipe))]
    if wrong:
        raise RecipeError(wrong)


def _batches(recipe: RmRecipe) -> Iterator[str]:
    train, together = recipe.train, processes(recipe)
    if train.batch_size % (train.micro_batch_size * together) == 0:
        return
    fitting = [size for size in range(train.micro_batch_size, 0, -1) if train.batch_size % (size * together) == 0]
    unit = train.micro_batch_size * together
    near = unit * max(1, round(train.batch_size / unit))
    mend = f"train.micro_batch_size to {fitting[0]}, or " if fitting else ""
    who = "1 process" if together == 1 else f"{together} GPUs"
    yield (
        f"train.batch_size is {train.batch_size}, which is no multiple of train.micro_batch_size "
        f"{train.micro_batch_size} x {who} = {unit}: set {mend}train.batch_size to {near}"
    )


def _device(recipe: RmRecipe) -> Iterator[str]:
    resources = recipe.resources
    if resources.device == "gpu":
        if resources.threads is not None:
            yield f"resources.threads is {resources.threads}, but resources.device is gpu: leave it out"
        if resources.adam_offload and resources.zero_stage == 0:
            yield "resources.adam_offload is true, but resources.zero_stage is 0: set the stage to 2 or 3"
    elif resources.adam_offload:
        yield "resources.adam_offload is true, but resources.device is cpu, where the optimizer is: set it to false"
    elif "flash" in (recipe.model.attention or ""):
        yield f"model.attention is {recipe.model.attention!r}, but resources.device is cpu: leave it out"


def _steps(recipe: RmRecipe) -> Iterator[str]:
    train = recipe.train
    if train.eval_steps is not None and not recipe.data.val_share:
        yield f"train.eval_steps is {train.eval_steps}, but data.val_share is 0: leave one of them out"


def _model(recipe: RmRecipe) -> Iterator[str]:
    try:
        resolve(recipe.model.path)
    except RecipeError as error:
        yield f"model.path is {error}"
