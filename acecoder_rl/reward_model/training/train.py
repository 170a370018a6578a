"""`acecoder-rl train-rm`: a recipe -> checks -> token files -> a training that is watched -> its curves.

Covers: the order of things, and that nothing is started before all that can be checked is.
Does not cover: each of them (recipe.py, data.py, launch.py, worker.py; training/launch.py, training/curves.py).
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from acecoder_rl.records import count_rows
from acecoder_rl.reward_model.training import data, launch, reports
from acecoder_rl.reward_model.training.folder import FREE, RmFolder
from acecoder_rl.reward_model.training.recipe import RmRecipe, accumulation, check, load, processes
from acecoder_rl.training import curves, metrics
from acecoder_rl.training.launch import follow
from acecoder_rl.training.load import resolved_yaml
from acecoder_rl.training.model_path import missing, resolve
from acecoder_rl.training.recipe import RecipeError
from acecoder_rl.training.resume import changes
from acecoder_rl.training.run_folder import check_folder, near
from acecoder_rl.training.screen import Screen


def train(recipe_file: str, overrides: Iterable[str] = (), resume: bool = False) -> RmFolder:
    """Train a reward model as a recipe says, on this machine, or this node's part of it.

    Args:
        overrides: "section.field=value", as of `--set`.
        resume: go on from the folder's last checkpoint.

    Raises:
        RecipeError: something in the recipe or its pairs is wrong; nothing was started.
        RunFailed, Stopped: see training/launch.py.
    """
    recipe = load(recipe_file, overrides)
    check(recipe, recipe_file)
    node = launch.this_node(recipe, recipe_file)
    run = RmFolder(recipe.logging.folder, node.rank)  # type: ignore[arg-type]  # load fills it in
    screen = Screen(f"{Path(recipe_file).name} -> {near(run.path)}", None, columns=reports.COLUMNS)
    if missing(recipe.model.path):
        raise RecipeError(
            [
                f"{recipe_file}: model.path is {recipe.model.path!r}, which does not exist: give a folder or a Hub id "
                "(make quickstart makes the starter model)"
            ]
        )
    if node.rank:  # the first node reads the pairs; its torchrun is waited for
        run.path.mkdir(parents=True, exist_ok=True)
        _follow(recipe, run, screen, node, resume)
        return run
    check_folder(run, recipe_file, resume)
    with run.held(recipe_file, resume):
        _begin(recipe, recipe_file, run, screen, resume)
        try:
            _follow(recipe, run, screen, node, resume)
        finally:
            curves.draw(run)
    return run


def _follow(recipe: RmRecipe, run: RmFolder, screen: Screen, node: launch.Node, resume: bool) -> None:
    step = run.last_checkpoint() if resume else None
    checkpoint = run.checkpoint(step) if step is not None else None
    with screen:
        follow(launch.command(recipe, run.path, checkpoint, node), run, screen, reports.parse)


def steps(recipe: RmRecipe, pairs: int) -> int:
    """Optimizer steps of the whole run, as transformers counts them: the last of an epoch takes what is left."""
    batches = math.ceil(pairs / (recipe.train.micro_batch_size * processes(recipe)))
    return math.ceil(batches / accumulation(recipe)) * recipe.train.epochs


def _begin(recipe: RmRecipe, where: str, run: RmFolder, screen: Screen, resume: bool) -> None:
    """What comes before the start."""
    check_folder(run, where, resume)
    told = [f"notice: {line}" for line in changes(recipe, run, where, load, FREE, "train-rm")] if resume else []
    step = run.last_checkpoint()
    prepared = _prepare(recipe, where, run, resume)
    screen.steps = steps(recipe, prepared.train)
    if resume and step is not None and step >= screen.steps and (run.model / "config.json").exists():
        raise RecipeError([f"{where}: step {step} of {screen.steps} is saved: nothing is left to train ({run.model})"])
    run.begin(resolved_yaml(recipe), [])
    (run.data / "pairs.json").write_text(json.dumps(prepared.__dict__, indent=1) + "\n")
    told += [f"warning: {where}: {line}" for line in prepared.warnings]
    told.append(
        f"{prepared.train} pairs of {prepared.questions - prepared.val_questions} questions to train on, and "
        f"{prepared.val} of {prepared.val_questions} held out"
    )
    if resume and step is not None:
        told.append(f"going on from step {step}")
        run.go_back_to(step)
        metrics.forget_after(run.metrics, step)
    for line in told:
        screen.console.print(line, markup=False, highlight=False, soft_wrap=True)


def _prepare(recipe: RmRecipe, where: str, run: RmFolder, resume: bool) -> data.Prepared:
    """The token files. A run that goes on must find those it began with: its place in them is a number."""
    with _bar(recipe.data) as on_row:
        try:
            digests = data.questions(recipe.data, on_row)  # a wrong row is told before anything heavy is imported
            tokenizer = _tokenizer(recipe)
            run.path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=run.path) as scratch:
                prepared = data.prepare(recipe.data, recipe.train.seed, digests, tokenizer, Path(scratch), on_row)
                _take(Path(scratch), run, resume)
        except RecipeError as error:
            raise RecipeError([f"{where}: {line}" for line in error.mistakes]) from None
    return prepared


def _tokenizer(recipe: RmRecipe) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(resolve(recipe.model.path))
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise RecipeError([f"model.path is {recipe.model.path!r}, whose tokenizer cannot be read: {reason}"]) from error


def _take(made: Path, run: RmFolder, resume: bool) -> None:
    """Put the token files in their place; none is replaced by another when a run goes on."""
    files = (run.train_pairs, run.val_pairs)
    for file in files:
        if resume and file.exists() and file.read_bytes() != (made / file.name).read_bytes():
            raise RecipeError(
                [
                    f"data.path gives other pairs than {file}, which the run began with: put them back, or begin a run "
                    "with --set logging.folder=..."
                ]
            )
    run.data.mkdir(exist_ok=True)
    for file in files:
        (made / file.name).replace(file)


@contextmanager
def _bar(pairs: data.Data) -> Iterator[Callable[[], object]]:
    """A progress bar over the rows, on stderr, where that is a terminal."""
    if not sys.stderr.isatty():
        yield int
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    file = data.source_file(pairs)
    rows = count_rows(file) if file else None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("checking and tokenizing", total=rows and 2 * rows)
        yield lambda: bar.advance(task)
