"""What the tests share: the command line as a user runs it, and small data files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).resolve().parent.parent
Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Runs `acecoder-rl ...` in an empty directory; gives its exit status and output."""

    def run(*arguments: object, stdin: str = "", env: dict[str, str] | None = None, timeout: float = 300) -> Any:
        command = [sys.executable, "-m", "acecoder_rl.cli", *map(str, arguments)]
        return subprocess.run(
            command,
            cwd=tmp_path,
            input=stdin,
            env={**os.environ, "COLUMNS": "200", **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[[str, Iterable[Any]], Path]:
    """Writes rows as a JSONL file; a str is written as it stands."""

    def write(name: str, rows: Iterable[Any]) -> Path:
        path = tmp_path / name
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return path

    return write


def pytest_configure() -> None:
    """A shell that starts us in the background has us ignore Ctrl-C, and so would all processes that tests start."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # As its own profile for CI has it: the same examples every time, however long the machine takes over one.
    patient = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow], "derandomize": True}
    settings.register_profile("steady", **patient)
    settings.load_profile("steady")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick tests first: real training runs come last."""
    items.sort(key=lambda item: item.get_closest_marker("training") is not None)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes by their number: what is compressed holds the time, and pytest-xdist's workers must find the same ids."""
    return f"{len(val)} bytes of {argname}" if isinstance(val, bytes) else None
