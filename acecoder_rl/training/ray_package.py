"""What of this folder a Ray job gets, and what a recipe names that it would not get.

Covers: Ray's own rules (LEFT_OUT, .gitignore and .rayignore at any depth, Ray's defaults), its limit of size.
Does not cover: sending it (Ray does), the job (ray_job.py).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from acecoder_rl.training.recipe import Recipe

# Not needed there, and large. Patterns as of .gitignore.
LEFT_OUT = ["/runs/", ".venv/", ".git/", "**/__pycache__/"]
MEND = "put it on storage that the nodes share and give its absolute path"


def shipped(folder: Path) -> dict[Path, int]:
    """The files of a folder that a job gets, relative to it, with their sizes."""
    from ray._private import ray_constants
    from ray._private.runtime_env import packaging

    sizes: dict[Path, int] = {}

    def see(path: Path) -> None:
        if path.is_file():
            sizes[path.relative_to(folder)] = path.stat().st_size

    patterns = [*ray_constants.get_runtime_env_default_excludes(), *LEFT_OUT]
    gitignore = os.environ.get(ray_constants.RAY_RUNTIME_ENV_IGNORE_GITIGNORE, "0") != "1"
    packaging._dir_travel(folder, [packaging._get_excludes(folder, patterns)], see, gitignore)
    return sizes


def holds(files: Iterable[Path], path: str | Path) -> bool:
    """Whether a file or a folder with something in it is among them."""
    asked = Path(os.path.normpath(path))
    return any(asked == file or asked in file.parents for file in files)


def paths(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """(field, path) of the models and data that a recipe names; ids of the Hub among them."""
    yield "model.path", recipe.model.path
    if recipe.model.critic_path is not None:
        yield "model.critic_path", recipe.model.critic_path
    if recipe.reward_model is not None and recipe.reward_model.path is not None:
        yield "reward_model.path", recipe.reward_model.path
    for split, sources in (("train", recipe.data.train), ("eval", recipe.data.eval)):
        for index, source in enumerate(sources):
            yield f"data.{split}.{index}.path", source.path


def elsewhere(recipe: Recipe) -> list[tuple[str, str]]:
    """(field, path) that can only be looked at from the cluster: absolute, and not here."""
    return [(field, path) for field, path in paths(recipe) if Path(path).is_absolute() and not Path(path).exists()]


def missing(recipe: Recipe, files: Iterable[Path]) -> Iterator[str]:
    """What is here, but would not be there, a mistake a line."""
    for field, path in paths(recipe):
        here = Path(path).expanduser()
        if here.exists() and not Path(path).is_absolute() and not holds(files, path):
            yield (
                f"{field} is {path!r}, which the job would not get: runs/, what .gitignore and .rayignore name "
                f"and all outside this folder stays here: {MEND}"
            )


def too_large(sizes: dict[Path, int]) -> str | None:
    """Why Ray would refuse the folder, with the mend."""
    from ray._private.ray_constants import DASHBOARD_CLIENT_MAX_SIZE

    whole = sum(sizes.values())
    if whole < DASHBOARD_CLIENT_MAX_SIZE:
        return None
    largest = sorted(sizes, key=lambda file: -sizes[file])[:3]
    told = ", ".join(f"{file} ({_mib(sizes[file])})" for file in largest)
    return (
        f"this folder has {_mib(whole)} to ship, but Ray's dashboard takes {_mib(DASHBOARD_CLIENT_MAX_SIZE)}: put "
        "models and data on storage that the nodes share and give their absolute paths, or name what the job does "
        f"not need in .rayignore or .gitignore. The largest: {told}"
    )


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
