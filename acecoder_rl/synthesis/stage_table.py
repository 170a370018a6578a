"""Which stages there are: what each reads, what decides its rows, how it runs.

Covers: binding the stages' functions to what a run shares.
Does not cover: the functions themselves (the stages' modules), the order of a run (run.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from acecoder_rl.synthesis import build, dataset, hard, imagine, pairs, report, sample, seeds, verify
from acecoder_rl.synthesis.answers import Answers
from acecoder_rl.synthesis.budget import Budget
from acecoder_rl.synthesis.models import Endpoint, Engine
from acecoder_rl.synthesis.recipe import Recipe
from acecoder_rl.synthesis.stages import OnDone, Process, fingerprint_of, rows_of, run_stage
from acecoder_rl.synthesis.state import state_of

# Of a model: what decides its answers. Not where it is served, what it costs, how many requests it gets at once.
DECISIVE = {"model", "path", "structured", "continue_prefix", "seeds", "extra", "max_model_len", "chat", "engine"}


@dataclass(frozen=True)
class Work:
    """What a run shares.

    Attributes:
        folder: of the run.
        sandbox: None where no stage to run needs one.
        on_done: told the rows of the input that are done, and of how many.
        on_answer: told each answer of a model.
    """

    recipe: Recipe
    folder: Path
    answers: Answers
    budget: Budget
    sandbox: Any
    on_done: OnDone
    on_answer: Callable[[object], None] = lambda answer: None


@dataclass(frozen=True)
class Stage:
    """A stage.

    Attributes:
        reads: the stage whose rows come in; None = files.
        run: runs it, or what is left of it.
        needed: whether the recipe must have its section.
    """

    reads: str | None
    run: Callable[[Work], object]
    needed: bool = False


def settings_of(recipe: Recipe, name: str) -> dict[str, Any]:
    """What decides a stage's rows, besides its input."""
    section = getattr(recipe, name)
    if section is None or name in ("build", "report"):
        return {}
    settings = section.model_dump(mode="json")
    if models := recipe.asked(name):
        settings["models described"] = {key: _decisive(model) for key, model in models.items()}
    if texts := PROMPTS[name](section) if name in PROMPTS else ():
        settings["text of prompts"] = [hashlib.sha256(text.encode()).hexdigest()[:16] for text in texts]
    return settings


def _decisive(model: Endpoint | Engine) -> dict[str, Any]:
    return model.model_dump(mode="json", include=DECISIVE)


def _asking(work: Work, name: str, reads: str, schema: Any, process: Process, chunk: int) -> None:
    before = state_of(work.folder, reads)
    run_stage(
        work.folder,
        name,
        schema,
        rows_of(work.folder, reads),
        process,
        chunk,
        settings_of(work.recipe, name),
        before.kept if before else None,
        work.on_done,
        input=fingerprint_of(work.folder, reads),
    )


def _shared(work: Work, name: str) -> dict[str, Any]:
    """The arguments of a stage that asks models."""
    return {
        "settings": getattr(work.recipe, name),
        "models": work.recipe.models,
        "answers": work.answers,
        "budget": work.budget,
        "on_answer": work.on_answer,
    }


def _imagine(work: Work) -> None:
    process = partial(imagine.process, **_shared(work, "imagine"))
    _asking(work, "imagine", "seeds", imagine.schema(), process, 256)


def _verify(work: Work) -> None:
    process = partial(verify.process, **_shared(work, "verify"), sandbox=work.sandbox)
    _asking(work, "verify", "imagine", verify.schema(), process, 128)


def _sample(work: Work) -> None:
    process = partial(sample.process, **_shared(work, "sample"), sandbox=work.sandbox)
    _asking(work, "sample", "verify", sample.schema(), process, 64)
