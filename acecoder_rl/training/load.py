"""Reads a recipe, and says what is wrong with it: all mistakes at once, one a line, each with place and mend.

Covers: values given on the command line (`--set`), the `reward:` and `sandbox:` sections, the complete recipe as
    YAML. `read_recipe` does so for recipes of any kind: reward models have another.
Does not cover: the file, and the one it is based on (recipe_file.py); fields that must fit each other (checks.py).
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from acecoder_rl.training import mistakes, yaml_text
from acecoder_rl.training.recipe import Recipe, RecipeError, Section
from acecoder_rl.training.recipe_file import Document, read_document
from acecoder_rl.training.reward_model import SOME_ENDPOINT, filled

__all__ = ["RecipeError", "load_recipe", "read_recipe", "resolved_yaml"]

Kind = TypeVar("Kind", bound=Section)
Found = list[tuple[mistakes.Path, str]]


def load_recipe(path: str | os.PathLike[str], overrides: Iterable[str] = ()) -> Recipe:
    """A recipe with its defaults filled in.

    Args:
        path: its YAML file; `logging.folder` is by default runs/<name of the file>.
        overrides: "section.field=value" each, the value in YAML; items of lists by number:
            "data.train.0.weight=2".

    Raises:
        RecipeError: with every mistake, as "recipes/my.yaml:7: rollout.batch_size is 0: give ...".
    """
    return read_recipe(path, overrides, Recipe, _reward_mistakes)


def read_recipe(
    path: str | os.PathLike[str],
    overrides: Iterable[str],
    kind: type[Kind],
    further: Callable[[dict[str, Any]], Found] = lambda document: [],
) -> Kind:
    """A recipe of a kind, as `load_recipe` has it.

    Args:
        kind: its sections; one of them is a `Logging`, or it has a field `folder` of its own.
        further: mistakes of the document that the kind's fields do not show, with the path of each.
    """
    where = os.fspath(path)
    read = read_document(where, kind)
    document = read.values
    places: dict[mistakes.Path, str] = {}
    wrong = list(_override(document, overrides, places, mistakes.plain_fields(kind)))
    recipe = None
    try:
        recipe = kind.model_validate(document)
    except ValidationError as error:
        found = mistakes.explain(error, kind)
    else:
        found = []
    found += further(document)
    found.sort(key=lambda item: _line(item[0], read))
    wrong += [f"{_place(item, read, places)}: {line}" for item, line in found]
    if wrong or recipe is None:
        raise RecipeError(wrong)
    folder = f"runs/{Path(where).stem}"
    if "folder" in kind.model_fields:
        return _with_folder(recipe, folder)
    return recipe.model_copy(update={"logging": _with_folder(recipe.logging, folder)})  # type: ignore[attr-defined]


def resolved_yaml(recipe: Section) -> str:
    """The recipe with all its defaults, as YAML that loads back to an equal one."""
    return yaml_text.write(recipe.model_dump())


def _with_folder(section: Any, folder: str) -> Any:
    return section if section.folder is not None else section.model_copy(update={"folder": folder})


def _override(
    document: dict[str, Any], overrides: Iterable[str], places: dict[mistakes.Path, str], plain: list[str]
) -> Iterator[str]:
    """Put each override into the document; yields the mistakes of those that cannot be.

    Args:
        plain: fields that stand in no section.
    """
    for override in overrides:
        place = f"--set {override}"
        name, equals, text = override.partition("=")
        path: mistakes.Path = tuple(int(part) if part.isdigit() else part for part in name.strip().split("."))
        if not equals or "" in path or (len(path) < 2 and path[0] not in plain):
            yield f"{place}: give section.field=value"
            continue
        if path[0] == "openrlhf":
            path = ("openrlhf", ".".join(map(str, path[1:])))
        try:
            value, _ = yaml_text.read(text)
        except yaml_text.YamlError as error:
            yield f"{place}: the value is {error.mistakes[0][1]}"
            continue
        stuck = _put(document, path, value)
        if stuck:
            yield f"{place}: {stuck}"
        else:
            places[path] = place


def _put(document: dict[str, Any], path: mistakes.Path, value: Any) -> str | None:
    """Set a value within the document; the reason when its path leads nowhere."""
    holder: Any = document
    for depth, name in enumerate(path):
        above = ".".join(map(str, path[:depth]))
        if isinstance(name, int) and isinstance(holder, list):
            if name >= len(holder):
                return f"{above} has no item {name}: the last is {len(holder) - 1}"
        elif not isinstance(holder, dict):
            return f"{above} is {mistakes.shown(holder)}, which has no {name}"
        else:
            name = str(name)
        if depth == len(path) - 1:
            holder[name] = value
            return None
        if isinstance(holder, dict) and holder.get(name) is None:
            holder[name] = {}
        inner = holder[name]
        # Sources in short: a path is a list of one source that has it.
        if path[0] == "data" and path[1] in ("train", "eval") and depth in (1, 2):
            inner = [inner] if depth == 1 and not isinstance(inner, list) else inner
            inner = {"path": inner} if depth == 2 and isinstance(inner, str) else inner
            holder[name] = inner
        holder = inner
    return None


def _reward_mistakes(document: dict[str, Any]) -> Found:
    """What the reward functions refuse; they are known by name only, as trainers know them."""
    reward, sandbox = document.get("reward"), document.get("sandbox", {})
    if not isinstance(reward, dict) or not isinstance(sandbox, dict):
        return []
    functions = importlib.import_module("reward_fns")
    try:
        # A part without an endpoint is given one when the run has it (reward_model.py).
        functions.from_config(filled(reward, SOME_ENDPOINT), sandbox=sandbox)
    except functions.ConfigError as error:
        name = str(error).split(" ")[0].rstrip(":")
        return [(tuple(int(part) if part.isdigit() else part for part in name.split(".")), str(error))]
    return []


def _line(path: mistakes.Path, read: Document) -> tuple[int, int]:
    """Where a value stands, or the nearest above it that does: the number of the file, and the line."""
    while path and path not in read.lines:
        path = path[:-1]
    return read.lines.get(path, (0, 0))


def _place(path: mistakes.Path, read: Document, places: dict[mistakes.Path, str]) -> str:
    for end in range(len(path), 0, -1):
        if path[:end] in places:
            return places[path[:end]]
    file, line = _line(path, read)
    if not line:  # a section that stands in no file: an override made it
        return next((place for made, place in places.items() if made[: len(path)] == path), read.files[0])
    return f"{read.files[file]}:{line}"
