"""A recipe's `data:` section -> the prompt files that OpenRLHF reads.

Covers: `prepare` (the shuffle, the last step, the files) and `inspect` (what can be said offline).
Does not cover: sources (sources.py), prompts (prompts.py), weights and over-long prompts (splits.py), the
    reward against the tests (reward_fit.py).
What OpenRLHF does with the files: it shuffles the rows of train.jsonl again, takes `rollout.batch_size` of
    them a step, and in the last step of an episode what is left. A last step that does not share out evenly
    hangs or leaks into the next, and one that is not full cannot be resumed from (batches.py), so the few rows
    that make it so are left out here.
The same recipe, sources and seed give the same bytes, but for the date, where a chat template writes it.
"""

from __future__ import annotations

import math
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acecoder_rl.records import jsonl_line
from acecoder_rl.training import prompts
from acecoder_rl.training.batches import prompt_multiple
from acecoder_rl.training.model_path import resolve
from acecoder_rl.training.recipe import Data, Recipe, RecipeError
from acecoder_rl.training.reward_fit import RewardFit, check_reward
from acecoder_rl.training.sources import Reader
from acecoder_rl.training.splits import Row, Split, drawn

__all__ = ["Counts", "Inspection", "Prepared", "check_reward", "inspect", "prepare", "too_few"]

LARGE = 200_000_000  # bytes of a file that `inspect` reads whole
FIRST = 1000  # rows that it reads of a larger one


@dataclass(frozen=True)
class Counts:
    """What became of a split's problems.

    Attributes:
        problems: read from the sources, after `subset` and `max_problems`.
        rows: in the file that was written, as the weights have them.
        dropped: rows of the sources left out, by reason: "not_hard", "no_inferences", "too_long";
            "over_max_prompts"; and "uneven", rows of the file left out for an even last step.
        duplicate_ids: problems with an id that another one before them has; they are kept.
    """

    problems: int
    rows: int
    dropped: dict[str, int]
    duplicate_ids: int


@dataclass(frozen=True)
class Prepared:
    """The files of a run.

    Attributes:
        train, eval: JSONL with the columns prompt, label and datasource; eval is None without `data.eval`.
        train_counts, eval_counts: what is in them, and what is not.
        steps_per_episode: of training, the last one perhaps a smaller one; with dynamic filtering at most.
        warnings: what the user should know, with the mend.
        dated: the prompts may hold the day's date.
    """

    train: Path
    eval: Path | None
    train_counts: Counts
    eval_counts: Counts | None
    steps_per_episode: int
    warnings: tuple[str, ...]
    dated: bool = False


@dataclass(frozen=True)
class Inspection:
    """What is known of the problems without a network, a model or a GPU.

    Attributes:
        train_problems, eval_problems: rows as the weights have them, over-long prompts among them; None where
            that is not known.
        unchecked: what could not be read, or only in part.
        warnings: as `Prepared.warnings`, as far as they are known.
    """

    train_problems: int | None
    eval_problems: int | None
    unchecked: list[str]
    warnings: list[str]


def prepare(recipe: Recipe, folder: Path, progress: bool = False) -> Prepared:
    """Write `<folder>/train.jsonl` and, with `data.eval`, `<folder>/eval.jsonl`.

    Args:
        progress: a bar on stderr, where that is a terminal.

    Raises:
        RecipeError: section, sources, rows or tokenizer are wrong; nothing was written.
    """
    wrong = _mistakes(recipe.data)
    if found := sorted({",", "@"} & set(str(folder.resolve()))):
        wrong.append(
            f"logging.folder leads to {folder.resolve()}, but OpenRLHF cuts the paths of data at "
            f"{found[0]!r}: take a folder without"
        )
    if wrong:
        raise RecipeError(wrong)
    seed = recipe.train.seed
    train_readers, eval_readers = _readers(recipe.data, "train"), _readers(recipe.data, "eval")
    renderer = prompts.Renderer(recipe.data, prompts.load_tokenizer(resolve(recipe.model.path)))
    fit = RewardFit(recipe.reward)
    train, evaluated = Split("train", renderer, seed, fit), Split("eval", renderer, seed)
    for split, readers in ((train, train_readers), (evaluated, eval_readers)):
        for reader in readers:
            split.read(reader, progress)
    random.Random(seed).shuffle(train.rows)
    if recipe.data.max_prompts is not None:
        train.dropped["over_max_prompts"] = max(0, len(train.rows) - recipe.data.max_prompts)
        del train.rows[recipe.data.max_prompts :]
    uneven = _even(train, recipe)
    warnings = (*train.warnings, *uneven, *fit.warnings(), *evaluated.warnings, *evaluated.also_in(train))

    folder.mkdir(parents=True, exist_ok=True)
    train_file, eval_file = folder / "train.jsonl", folder / "eval.jsonl"
    _write(train_file, train.rows)
    if eval_readers:
        _write(eval_file, evaluated.rows)
    else:
        eval_file.unlink(missing_ok=True)
    return Prepared(
        train=train_file,
        eval=eval_file if eval_readers else None,
        train_counts=_counts(train),
        eval_counts=_counts(evaluated) if eval_readers else None,
        steps_per_episode=math.ceil(len(train.rows) / recipe.rollout.batch_size),
        warnings=warnings,
        dated=renderer.dated,
    )


def inspect(data: Data, reward: dict[str, Any] | None = None) -> Inspection:
    """Read what is here: starter sets and files, of large ones the first rows alone.

    Args:
        reward: the recipe's `reward:` section, to hold against the training problems' tests.

    Raises:
        RecipeError: with every mistake of the section, and the first of each source.
    """
    wrong = _mistakes(data)
    unchecked: list[str] = []
    warnings: list[str] = []
    counts: dict[str, int | None] = {"train": 0, "eval": 0}
    fit = RewardFit(reward or {})
    for split, sources in (("train", data.train), ("eval", data.eval)):
        for index, source in enumerate(sources):
            try:
                reader = Reader(source, f"data.{split}.{index}")
                count = _inspect(reader, unchecked, fit if split == "train" else None)
                warnings += reader.notes
            except RecipeError as error:
                wrong += error.mistakes
                continue
            known = counts[split]
            counts[split] = None if count is None or known is None else known + count
    if reward:
        try:
            warnings += fit.warnings()
        except RecipeError as error:
            wrong += error.mistakes
    if wrong:
        raise RecipeError(wrong)
    return Inspection(counts["train"], counts["eval"], unchecked, warnings)


def too_few(recipe: Recipe, rows: int) -> str | None:
    """What is wrong where training has so many prompts and no step can be made of them."""
    batch = recipe.rollout.batch_size
    if rows >= max(batch, prompt_multiple(recipe)):
        return None
    return (
        f"rollout.batch_size is {batch}, but data.train has only {rows} prompts: give more problems, "
        f"or a batch_size of at most {rows}"
    )


def _mistakes(data: Data) -> list[str]:
    weights = [
        f"data.eval.{index}.weight is {source.weight:g}, but evaluation takes each problem once: leave it out"
        for index, source in enumerate(data.eval)
        if source.weight != 1
    ]
    empty = [] if data.train else ["data.train is empty: name problems to train on"]
    return [*prompts.mistakes(data), *empty, *weights]


def _readers(data: Data, split: str) -> list[Reader]:
    sources = data.train if split == "train" else data.eval
    return [Reader(source, f"data.{split}.{index}") for index, source in enumerate(sources)]


def _inspect(reader: Reader, unchecked: list[str], fit: RewardFit | None) -> int | None:
    path = reader.source.path
    if reader.file is None:
        what = "a folder" if Path(path).expanduser().is_dir() else "not here: a dataset of the Hugging Face Hub"
        unchecked.append(f"{reader.field}.path {path} is {what}, read when training starts")
        return None
    size = reader.file.stat().st_size
    if size > LARGE:
        rows = reader.first(FIRST)
        unchecked.append(f"{reader.field}.path {path} has {size / 1e9:.1f} GB: only its first {rows} rows were read")
        return None
    count = 0
    for _, problem in reader.problems():
        count += 1
        if fit:
            fit.see(problem)
    return drawn(count, reader.source.weight)


def _even(train: Split, recipe: Recipe) -> list[str]:
    """Leave out the rows that make the last step of an episode uneven; the warning about them."""
    rows, multiple = len(train.rows), prompt_multiple(recipe)
    if told := too_few(recipe, rows):
        raise RecipeError([told])
    left = rows % multiple
    train.dropped["uneven"] = left
    del train.rows[rows - left :]
    if not left:
        return []
    return [
        f"data.train has {rows} prompts, of which {left} are left out, chosen by train.seed: {_why(recipe)} "
        f"a multiple of {multiple}. To choose yourself, set max_problems of a source"
    ]


def _why(recipe: Recipe) -> str:
    if recipe.train.save_steps is None:
        return "the last step of an episode takes"
    return "with train.save_steps, so that --resume goes on in the right place, an episode takes"


def _counts(split: Split) -> Counts:
    dropped = {reason: count for reason, count in split.dropped.items() if count}
    return Counts(split.problems, len(split.rows), dropped, split.duplicate_ids)


def _write(path: Path, rows: list[Row]) -> None:
    """The file, whole or not at all."""
    half = path.with_name(path.name + ".tmp")
    with half.open("wb") as file:
        for row in rows:
            file.write(jsonl_line(row._asdict()))
        file.flush()
        os.fsync(file.fileno())
    half.replace(path)
