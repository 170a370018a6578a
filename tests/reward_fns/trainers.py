"""Other trainers' packages, each in a folder of its own beside this environment: their pins would clash with ours."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(sys.prefix) / "trainers"


def installed(name: str, *packages: str, dependencies: bool = False) -> Path:
    """The folder with `packages`, installed at the first call; put it first on PYTHONPATH of a process of its own."""
    folder, done = FOLDER / name, FOLDER / name / ".done"
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = "\n".join(packages)
        if not done.exists() or done.read_text() != wanted:
            shutil.rmtree(folder, ignore_errors=True)
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target", folder]
            subprocess.run(
                [*pip, *([] if dependencies else ["--no-deps"]), *packages], check=True, timeout=1800,
                env={**os.environ, "PIP_NO_WARN_CONFLICTS": "1"},
            )  # fmt: skip
            done.write_text(wanted)
    return folder


def run(script: str, folder: Path, **environment: str) -> str:
    """What a script prints that runs with the packages of `folder` before ours.

    Raises:
        AssertionError: it failed; with what it said.
    """
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=1200,
        env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{root}", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout
