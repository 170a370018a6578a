"""What the stages to run need, looked for before anything is paid or loaded.

Covers: sections of the recipe, models' folders, keys, prices, endpoints that answer, packages, prompt files, another
    dataset that `hard` is to read, the sandbox.
Does not cover: whether a model is any good at it.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from acecoder_rl.synthesis import hard, report, seeds
from acecoder_rl.synthesis.models import Endpoint, Engine
from acecoder_rl.synthesis.recipe import Recipe
from acecoder_rl.synthesis.stage_table import PROMPTED
from acecoder_rl.training.model_path import missing, resolve
from acecoder_rl.training.recipe import RecipeError

if TYPE_CHECKING:
    import httpx

CONNECT_SECONDS = 10.0


def check_sections(recipe: Recipe, stages: Iterable[str]) -> None:
    """Raises RecipeError where a stage to run has no section."""
    wrong = [f"{name} is missing: stage {name} needs this section" for name in stages if getattr(recipe, name) is None]
    if wrong:
        raise RecipeError(wrong)


def check(recipe: Recipe, stages: Iterable[str], max_cost: float | None = None, *, reach: bool = True) -> None:
    """All that can be seen before the stages run; the sandbox is seen by starting it.

    Args:
        reach: whether to see if endpoints answer, and the Hub has what seeds are made of.

    Raises:
        RecipeError, InputError: something is missing.
    """
    stages = list(stages)
    for name in stages:
        if name in PROMPTED:
            PROMPTED[name].prompts_of(getattr(recipe, name))
    if "seeds" in stages and recipe.seeds is not None:
        seeds.check(recipe.seeds, reach=reach)
    if "report" in stages:
        report.check()
    if "hard" in stages:
        hard.check(recipe.hard)
    _check_models(recipe, stages, max_cost, reach)


def _check_models(recipe: Recipe, stages: Iterable[str], max_cost: float | None, reach: bool) -> None:
    asked = {name: model for stage in stages for name, model in recipe.asked(stage).items()}
    wrong = []
    for name, model in asked.items():
        mistakes = _engine(model) if isinstance(model, Engine) else _endpoint(model, max_cost)
        wrong += [f"models.{name}.{mistake}" for mistake in mistakes]
    if reach and not wrong:
        wrong = [f"models.{name}.{mistake}" for name, mistake in _reached(asked)]
    if wrong:
        raise RecipeError(wrong)


def _engine(model: Engine) -> Iterator[str]:
    try:
        resolve(model.path)
    except RecipeError as error:
        yield f"path: {error}"
    if missing(model.path):
        yield (
            f"path is {model.path!r}, and there is no such folder: give another "
            "(make quickstart makes the starter model)"
        )
    if importlib.util.find_spec("vllm") is None:
        yield "path asks for vLLM, which is not installed: make setup, or pip install '.[gpu]', or give an endpoint"


def _endpoint(model: Endpoint, max_cost: float | None) -> Iterator[str]:
    if model.api_key_env and not os.environ.get(model.api_key_env):
        yield (
            f"api_key_env is {model.api_key_env}, but the environment has no such variable: "
            f"export {model.api_key_env}=..."
        )
    if max_cost is not None and (model.price_in is None or model.price_out is None):
        yield (
            "price_in or price_out is missing, and --max-cost needs both: set them (USD for a million tokens; "
            "0 if it is free)"
        )
    if importlib.util.find_spec("openai") is None:
        yield "endpoint needs the package openai, which is not installed: pip install openai"


def _reached(asked: dict[str, Endpoint | Engine]) -> Iterator[tuple[str, str]]:
    """What is wrong with endpoints, by asking each for its list of models: (model, mistake)."""
    endpoints = {name: model for name, model in asked.items() if isinstance(model, Endpoint)}
    if not endpoints:
        return
    import httpx

    with httpx.Client(timeout=CONNECT_SECONDS, follow_redirects=True) as client:
        for name, model in endpoints.items():
            key = os.environ.get(model.api_key_env, "") if model.api_key_env else ""
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            try:
                answer = client.get(f"{model.endpoint.rstrip('/')}/models", headers=headers)
            except httpx.TimeoutException:
                continue  # something is there, and busy
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                yield (
                    name,
                    f"endpoint is {model.endpoint}, where nobody answers ({error}): start it, or mend the address",
                )
                continue
            refused = answer.status_code in (401, 403)
            if refused and key:
                yield name, f"api_key_env is {model.api_key_env}, and {model.endpoint} refuses that key"
            elif refused:
                yield name, f"endpoint is {model.endpoint}, which wants a key: give api_key_env"
            elif answer.is_success and (names := _served(answer)) and model.model not in names:
                shown = ", ".join(sorted(names)[:8])
                yield name, f"model is {model.model!r}, which {model.endpoint} does not have: it has {shown}"


def _served(answer: httpx.Response) -> set[str]:
    """The models that an endpoint lists; none where it lists none."""
    try:
        return {str(each["id"]) for each in answer.json()["data"]}
    except (ValueError, KeyError, TypeError):
        return set()
