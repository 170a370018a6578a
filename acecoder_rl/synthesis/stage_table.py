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
from acecoder_rl.synthesis.stages import OnDone, fingerprint_of, rows_of, run_stage
from acecoder_rl.synthesis.state import state_of

# Of a model: what decides its answers. Not where it is served, what it costs, how many requests it gets at once.
DECISIVE = {"model", "path", "structured", "continue_prefix", "seeds", "extra", "max_model_len", "chat", "engine"}
PROMPTED: dict[str, Any] = {"imagine": imagine, "verify": verify, "sample": sample}
SANDBOXED = frozenset(("verify", "sample"))
# Rows a part, of the stages that ask: many times the requests in flight, as a chunk ends when its last answer is there.
CHUNKS = {"imagine": 256, "verify": 256, "sample": 128}
ENGINES = 8  # times as many, where several engines take turns: each is started anew for each chunk


@dataclass(frozen=True)
class Work:
    """What a run shares.

    Attributes:
        folder: of the run.
        sandbox: None where no stage to run needs one.
        on_done: told the rows of the input that are done, and of how many.
        on_prompts: the same of the prompt files that are written then, which may take longer than the rows.
    """

    recipe: Recipe
    folder: Path
    answers: Answers
    budget: Budget
    sandbox: Any
    on_done: OnDone
    on_prompts: OnDone = lambda done, total: None


@dataclass(frozen=True)
class Stage:
    """A stage.

    Attributes:
        reads: the stage whose rows come in; None = files.
        run: runs it, or what is left of it.
    """

    reads: str | None
    run: Callable[[Work], object]


def answers_a_row(recipe: Recipe, name: str) -> int:
    """How many answers of models, all together, a stage asks for with each row; 0 where it asks none."""
    if name == "verify" and recipe.verify:
        return recipe.verify.oracle.n
    if name == "sample" and recipe.sample:
        return recipe.sample.n * len(recipe.sample.models)
    return int(name == "imagine")


def settings_of(recipe: Recipe, name: str) -> dict[str, Any]:
    """What decides a stage's rows, besides its input; a name that begins with "/" is not of its own section."""
    section = getattr(recipe, name)
    if section is None or name in ("build", "report"):
        return {}
    settings = section.model_dump(mode="json")
    if models := recipe.asked(name):
        settings["/models"] = {key: _decisive(model) for key, model in models.items()}
    if name in PROMPTED:
        settings["prompt_texts"] = [_digest(prompt.text) for prompt in PROMPTED[name].prompts_of(section)]
    if name in SANDBOXED:
        settings["/sandbox"] = recipe.sandbox.decisive()
    return settings


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _decisive(model: Endpoint | Engine) -> dict[str, Any]:
    return model.model_dump(mode="json", include=DECISIVE)


def _seeds(work: Work) -> None:
    assert work.recipe.seeds is not None
    seeds.run(work.folder, work.recipe.seeds, work.on_done)


class _Advance:
    """Tells how far a stage is, also within a chunk: by the answers that have come."""

    def __init__(self, on_done: OnDone, answers_a_row: int) -> None:
        self._on_done, self._answers_a_row = on_done, answers_a_row
        self._done, self._total, self._answers = 0, None, 0

    def done(self, done: int, total: int | None) -> None:
        self._done, self._total, self._answers = done, total, 0
        self._on_done(done, total)

    def answer(self, answer: object) -> None:
        self._answers += 1
        if self._answers % self._answers_a_row == 0:
            self._on_done(self._done + self._answers // self._answers_a_row, self._total)


def _asking(work: Work, name: str, reads: str, stage: Any, **more: Any) -> None:
    """A stage that asks models."""
    advance = _Advance(work.on_done, answers_a_row(work.recipe, name))
    process = partial(
        stage.process,
        settings=getattr(work.recipe, name),
        models=work.recipe.models,
        answers=work.answers,
        budget=work.budget,
        on_answer=advance.answer,
        prompts=stage.prompts_of(getattr(work.recipe, name)),  # once: somebody may edit the files meanwhile
        **more,
    )
    engines = sum(isinstance(model, Engine) for model in work.recipe.asked(name).values())
    size = CHUNKS[name] * (ENGINES if engines > 1 else 1)
    fingerprint, before = fingerprint_of(work.folder, reads), state_of(work.folder, reads)
    run_stage(
        work.folder, name, stage.schema(), rows_of(work.folder, reads), process, size,
        settings_of(work.recipe, name), before.kept if before else None, advance.done, input=fingerprint,
    )  # fmt: skip


def _imagine(work: Work) -> None:
    _asking(work, "imagine", "seeds", imagine)


def _verify(work: Work) -> None:
    _asking(work, "verify", "imagine", verify, sandbox=work.sandbox)


def _sample(work: Work) -> None:
    _asking(work, "sample", "verify", sample, sandbox=work.sandbox)


def _build(work: Work) -> None:
    build.run(work.folder, work.on_done)
    dataset.publish(work.folder, work.recipe.build, work.on_prompts)


def _pairs(work: Work) -> None:
    pairs.run(work.folder, work.recipe.pairs, work.on_done)
    dataset.publish(work.folder, work.recipe.build, work.on_prompts)


def _hard(work: Work) -> None:
    hard.run(work.folder, work.recipe.hard, work.on_done)
    dataset.publish(work.folder, work.recipe.build, work.on_prompts)


def _report(work: Work) -> None:
    report.run(work.folder, work.recipe.report)


# In their order.
STAGES: dict[str, Stage] = {
    "seeds": Stage(None, _seeds),
    "imagine": Stage("seeds", _imagine),
    "verify": Stage("imagine", _verify),
    "sample": Stage("verify", _sample),
    "build": Stage("sample", _build),
    "pairs": Stage("build", _pairs),
    "hard": Stage("build", _hard),
    "report": Stage(None, _report),
}
