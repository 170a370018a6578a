"""A synthesis run: its stages in their order, each resumed where it was left.

Covers: which stages run, making some anew, one process a run folder, what all stages share (cache of answers, budget,
    sandbox), an end that leaves nothing behind.
Does not cover: what a stage does (stage_table.py and the stages' modules), what is checked before (ready.py).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from acecoder_rl.records import InputError
from acecoder_rl.synthesis import ready
from acecoder_rl.synthesis.answers import Answers
from acecoder_rl.synthesis.budget import Budget
from acecoder_rl.synthesis.models import release
from acecoder_rl.synthesis.recipe import Recipe
from acecoder_rl.synthesis.stage_table import SANDBOXED, STAGES, Work, settings_of
from acecoder_rl.synthesis.stages import held
from acecoder_rl.synthesis.state import begun, check, state_of
from acecoder_rl.training import mistakes
from acecoder_rl.training.load import resolved_yaml
from acecoder_rl.training.run_folder import RunFolder

ANSWERS = "answers.sqlite"
# Told of a stage: its name, rows of its input that are done, of how many (None = unknown), USD spent by the run. Of the
# prompt files that are written after it, too, as of "build: prompts".
OnProgress = Callable[[str, int, int | None, float], None]


def chosen(text: str | None) -> list[str]:
    """The stages that an argument names: one, "verify..pairs", or all by None.

    Raises:
        InputError: there is no such stage.
    """
    names = list(STAGES)
    if text is None:
        return names
    first, dots, last = text.partition("..")
    for name in (first, last) if dots else (first,):
        if name not in STAGES:
            raise InputError(f"STAGE is {text!r}: {mistakes.instead(name, names)}")
    begin, end = names.index(first), names.index(last if dots else first)
    if begin > end:
        raise InputError(f"STAGE is {text!r}: {last} comes before {first}: give {last}..{first}")
    return names[begin : end + 1]


def synthesize(
    recipe: Recipe,
    stages: list[str],
    anew: str | None = None,
    max_cost: float | None = None,
    on_progress: OnProgress = lambda stage, done, total, cost: None,
) -> Path:
    """Run stages, or what is left of them; returns the run's folder.

    Args:
        stages: as `chosen` gives them.
        anew: this stage and those after it are forgotten first; answers of models are not.
        max_cost: USD that the whole run folder may cost; None = no limit.

    Raises:
        InputError, RecipeError: something is not as the stages need it: found before anything is paid, where it can be.
        AskStopped: a model does not answer any more, or the money is spent: the same again goes on.
        SandboxError: the sandbox itself failed.
        KeyboardInterrupt: likewise; what is done is kept.
    """
    folder = folder_of(recipe)
    check_anew(stages, anew)
    ready.check_sections(recipe, stages)
    with ExitStack() as held_open:
        held_open.enter_context(held(folder))
        check_settings(recipe, stages, anew)
        todo = [
            name for name in stages if not _finished(folder, name) or (anew is not None and _not_before(name, anew))
        ]
        ready.check(recipe, todo, max_cost)
        answers = held_open.enter_context(Answers(folder / ANSWERS))
        budget = Budget(max_cost, answers)
        held_open.callback(release)
        sandbox = held_open.enter_context(recipe.sandbox.open()) if SANDBOXED & set(todo) else None
        if anew is not None:
            forget(folder, anew)
        _begin(recipe, folder, todo)
        for name in stages:

            def on_done(done: int, total: int | None, name: str = name) -> None:
                on_progress(name, done, total, budget.spent)

            def on_prompts(done: int, total: int | None, name: str = name) -> None:
                on_progress(f"{name}: prompts", done, total, budget.spent)

            STAGES[name].run(Work(recipe, folder, answers, budget, sandbox, on_done, on_prompts))
    return folder


def _begin(recipe: Recipe, folder: Path, todo: list[str]) -> None:
    """Write down what the run is made of, where it is more than looking at one that is finished."""
    run, text = RunFolder(folder), resolved_yaml(recipe)
    if set(todo) - {"report"} or not run.recipe.exists() or run.recipe.read_text() != text:
        run.begin(text, [])


def forget(folder: Path, first: str) -> None:
    """Delete a stage's work and that of those after it, the last one first."""
    for left in folder.glob(".*.gone"):
        shutil.rmtree(left)
    for name in reversed(STAGES):
        if _not_before(name, first) and (folder / name).exists():
            # At once: a stage that is half deleted would look like a damaged one.
            gone = (folder / name).rename(folder / f".{name}.gone")
            shutil.rmtree(gone)


def folder_of(recipe: Recipe) -> Path:
    """The run's folder.

    Raises:
        InputError: a training run is in it.
    """
    folder = Path(recipe.folder or "runs/synthesis").expanduser()
    ours = (folder / ANSWERS).exists() or any((folder / name).exists() for name in STAGES)
    if RunFolder(folder).used and not ours:
        raise InputError(f"folder is {folder}, which holds a run of another kind: give another")
    return folder


def check_anew(stages: list[str], anew: str | None) -> None:
    """Raises InputError where the stage to be made anew is none of those to run."""
    if anew is not None and anew not in stages:
        raise InputError(f"--from {anew} is none of the stages to run, which are {', '.join(stages)}: give one of them")


def check_settings(recipe: Recipe, stages: list[str], anew: str | None) -> None:
    """Whether stages that have begun, up to the last to be run, were begun with the recipe's settings.

    All before any runs: a later one must not be refused after an earlier one was paid.

    Raises:
        InputError: one was begun with others; it is not among those that are made anew.
    """
    folder = folder_of(recipe)
    for name in list(STAGES)[: list(STAGES).index(stages[-1]) + 1]:
        if name == anew:
            return
        state = begun(folder, name)
        if state is not None and getattr(recipe, name) is not None:
            check(folder / name, state, settings_of(recipe, name), state.input)


def _finished(folder: Path, name: str) -> bool:
    state = state_of(folder, name)
    return state is not None and state.state == "finished"


def _not_before(name: str, other: str) -> bool:
    return list(STAGES).index(name) >= list(STAGES).index(other)
