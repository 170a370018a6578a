"""What a recipe's `model.path`, and other fields that name a model, mean: a folder, or a model of the Hugging Face Hub.

Covers: `~`, folders that are relative to where the command runs, what can only be a folder.
Does not cover: whether the Hub has the model, what is in the folder (checks.py).
"""

from __future__ import annotations

import re
from pathlib import Path

from acecoder_rl.training.recipe import RecipeError

_HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)


def resolve(path: str) -> str:
    """A folder's absolute path, since workers have other working directories; a Hub id as it is.

    Raises:
        RecipeError: it can be neither.
    """
    folder = Path(path).expanduser()
    if folder.is_dir() or _only_a_folder(path):
        return str(folder.absolute())
    if _HUB_ID.fullmatch(path) and not folder.exists():
        return path
    raise RecipeError([f"{path!r} is no folder and no id of the Hugging Face Hub: give one of them"])


def missing(path: str) -> bool:
    """Whether it is a folder that is not there (yet)."""
    return _only_a_folder(path) and not Path(path).expanduser().is_dir()


def _only_a_folder(path: str) -> bool:
    return path.startswith((".", "/", "~")) or path.count("/") > 1
