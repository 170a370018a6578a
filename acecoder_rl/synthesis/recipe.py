"""What a synthesis recipe may say: its sections, each as its stage has it, and the models that they name.

Covers: reading it (`load`), sections that only some stages need, names of models that nothing is behind, or
    the same twice.
Does not cover: the fields of a section (the stage's own module), what stands ready on this machine (ready.py).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import Field

from acecoder_rl.synthesis.asking import decides
from acecoder_rl.synthesis.build import BuildSettings
from acecoder_rl.synthesis.hard import HardSettings
from acecoder_rl.synthesis.imagine import ImagineSettings
from acecoder_rl.synthesis.models import Endpoint, Engine, Model, Request
from acecoder_rl.synthesis.pairs import PairsSettings
from acecoder_rl.synthesis.report import ReportSettings
from acecoder_rl.synthesis.sample import SampleSettings
from acecoder_rl.synthesis.sandbox_settings import SandboxSettings
from acecoder_rl.synthesis.seeds import SeedsSettings
from acecoder_rl.synthesis.verify import VerifySettings
from acecoder_rl.training import mistakes
from acecoder_rl.training.load import read_recipe
from acecoder_rl.training.recipe import RecipeError, Section, Text


class Recipe(Section):
    """A synthesis run.

    Attributes:
        models: whom the stages ask, by names of the recipe's own.
        seeds, imagine, verify, sample: of these stages; one that is left out cannot be run.
        build, pairs, hard, report: of these, which can do with their defaults.
        sandbox: where programs run.
        folder: of the run; None = runs/<name of the recipe>.
    """

    models: dict[Text, Model] = Field(default_factory=dict)
    seeds: SeedsSettings | None = None
    imagine: ImagineSettings | None = None
    verify: VerifySettings | None = None
    sample: SampleSettings | None = None
    build: BuildSettings = BuildSettings()
    pairs: PairsSettings = PairsSettings()
    hard: HardSettings = HardSettings()
    report: ReportSettings = ReportSettings()
    sandbox: SandboxSettings = SandboxSettings()
    folder: Text | None = None

    def asked(self, stage: str) -> dict[str, Endpoint | Engine]:
        """The models that a stage asks, by name."""
        return {name: self.models[name] for asking, name in _named(self) if asking == stage}


def load(path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> Recipe:
    """A recipe with its defaults filled in.

    Args:
        overrides: "section.field=value" each, the value in YAML.

    Raises:
        RecipeError: with every mistake, each with its place and mend.
    """
    recipe = read_recipe(path, overrides, Recipe, _unknown_models)
    if wrong := [f"{os.fspath(path)}: {mistake}" for mistake in _alike(recipe)]:
        raise RecipeError(wrong)
    return recipe


def _named(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """Where the recipe names a model: (stage, name)."""
    if recipe.imagine:
        yield "imagine", recipe.imagine.model
    if recipe.verify:
        yield "verify", recipe.verify.oracle.model
    if recipe.sample:
        yield from (("sample", name) for name in recipe.sample.models)


def _unknown_models(document: dict[str, Any]) -> list[tuple[mistakes.Path, str]]:
    """Names of models that stand for none."""
    models = document.get("models") or {}
    if not isinstance(models, dict):
        return []  # a mistake of its own
    fields: list[mistakes.Path] = [("imagine", "model"), ("verify", "oracle", "model")]
    listed = _at(document, ("sample", "models"))
    fields += [("sample", "models", number) for number in range(len(listed) if isinstance(listed, list) else 0)]
    found = []
    for path in fields:
        name = _at(document, path)
        if isinstance(name, str) and name not in models:
            mend = mistakes.instead(name, list(models)) if models else "describe it in `models`"
            found.append((path, f"{'.'.join(map(str, path))} is {name!r}, which is none of the models: {mend}"))
    return found


def _alike(recipe: Recipe) -> Iterator[str]:
    """Models of the samples that the cache of answers could not tell apart: one would be given the other's."""
    anything = Request([], assistant_prefix=recipe.sample.assistant_prefix or None) if recipe.sample else Request([])
    for (one, first), (other, second) in itertools.combinations(recipe.asked("sample").items(), 2):
        if decides(first, anything) == decides(second, anything):
            yield (
                f"sample.models has {one!r} and {other!r}, which are the same model by all but where it runs, so that "
                f"both would have the same answers: name one of them, or, if two models are served under one name, "
                f"give them others (vllm serve --served-model-name)"
            )


def _at(value: Any, path: mistakes.Path) -> Any:
    """A value within a document; None where there is none."""
    for name in path:
        if isinstance(value, list) and isinstance(name, int):
            value = value[name]
        else:
            value = value.get(name) if isinstance(value, dict) else None
    return value
