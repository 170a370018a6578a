"""A browser, and a log of 100,000 rollouts that is served as a user serves it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.rollouts.browser import Browser, browser, chromium
from tests.rollouts.made import large_log


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """`acecoder-rl rollouts FOLDER`; gives its URL."""
    command = [sys.executable, "-m", "acecoder_rl.cli", "rollouts", str(folder), "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            assert "http://127.0.0.1:" in line, line
            yield line.split()[-1]
        finally:
            server.terminate()


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A page of a real browser."""
    path = chromium()
    if path is None:
        pytest.skip("no chromium here, and it cannot be installed: that takes root, apt-get and Debian's packages")
    with browser(path, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="session")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a page of 100,000 rollouts."""
    pytest.importorskip("starlette")
    pytest.importorskip("uvicorn")
    folder = tmp_path_factory.mktemp("large") / "rollouts"
    large_log(folder, 100_000)
    with served(folder.parent) as url:
        yield url
