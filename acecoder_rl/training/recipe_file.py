"""A recipe's file as plain data: what it says itself, over what the recipe says that it is based on.

Covers: `base: other.yaml`, a path from the file that has it, over any number of files; which file and line each value
    stands in. Sections are merged field by field; lists and single values are replaced, and so is a section that
    names its `kind` (a reward). A section that is null is none, where a recipe may do without it.
Does not cover: what the values mean (load.py).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acecoder_rl.training import mistakes, yaml_text
from acecoder_rl.training.recipe import RecipeError, Section

BASE = "base"


@dataclass(frozen=True)
class Document:
    """A recipe before it is understood.

    Attributes:
        values: of all files together, without `base`.
        lines: for each value the number of its file among `files`, and its line.
        files: the recipe's own, then the one it is based on, and so on.
    """

    values: dict[str, Any]
    lines: dict[mistakes.Path, tuple[int, int]]
    files: tuple[str, ...]


def read_document(where: str, kind: type[Section]) -> Document:
    """Read a recipe's file, and those it is based on.

    Raises:
        RecipeError: a file cannot be read, is no YAML or no recipe, or is based on itself.
    """
    files, layers = [where], [_read(where, kind)]
    while (base := layers[-1][0].pop(BASE, None)) is not None:
        place = f"{files[-1]}:{layers[-1][1][(BASE,)]}"
        if not isinstance(base, str) or not base:
            raise RecipeError([f"{place}: base is {mistakes.shown(base)}: give the path of a recipe"])
        folder = os.path.dirname(files[-1])
        file = os.path.normpath(os.path.join(folder, os.path.expanduser(base)))
        if not os.path.isfile(file):
            raise RecipeError(
                [f"{place}: base is {base!r}, but there is no file {file}: give a path from {folder or '.'}"]
            )
        if os.path.realpath(file) in map(os.path.realpath, files):
            raise RecipeError(
                [f"{place}: base is {base!r}, which is based on this recipe: leave base out in one of them"]
            )
        files.append(file)
        layers.append(_read(file, kind))
    values: dict[str, Any] = {}
    lines: dict[mistakes.Path, tuple[int, int]] = {}
    for number in reversed(range(len(files))):
        own, found = layers[number]
        _put_over(values, own, lines, ())
        lines.update({path: (number, line) for path, line in found.items()})
    return Document(values, lines, tuple(files))


def _read(where: str, kind: type[Section]) -> tuple[dict[str, Any], dict[mistakes.Path, int]]:
    try:
        document, lines = yaml_text.read(Path(where).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecipeError([f"{where}: there is no such file"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError([f"{where}: cannot be read: {error}"]) from error
    except yaml_text.YamlError as error:
        raise RecipeError([f"{where}:{line}: {message}" for line, message in error.mistakes]) from error
    if not isinstance(document, dict):
        sections = ", ".join(kind.model_fields)
        raise RecipeError([f"{where}: is no recipe: give the sections {sections}"])
    # A section whose lines are all commented out is an empty one, or none where a recipe may do without.
    optional = {name for name, field in kind.model_fields.items() if not field.is_required() and field.default is None}
    return {name: {} if value is None and name not in optional else value for name, value in document.items()}, lines


def _put_over(
    below: dict[str, Any], above: dict[str, Any], lines: dict[mistakes.Path, tuple[int, int]], path: mistakes.Path
) -> None:
    """Put values over others; what is replaced loses its lines."""
    for name, value in above.items():
        here, old = (*path, name), below.get(name)
        if isinstance(value, dict) and isinstance(old, dict) and "kind" not in value:
            _put_over(old, value, lines, here)
            continue
        below[name] = value
        for gone in [each for each in lines if each[: len(here)] == here]:
            del lines[gone]
