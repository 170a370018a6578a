"""Killed at random moments and run again, a run makes what an undisturbed one makes, and pays for nothing twice.

Does not cover: each write of a stage (test_stages.py).
"""

from __future__ import annotations

import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from acecoder_rl.synthesis.stages import dropped_of
from acecoder_rl.synthesis.state import state_of
from tests.conftest import REPOSITORY
from tests.synthesis import prepared
from tests.synthesis.chain import TABLES, requests, tables, write_recipe
from tests.synthesis.fake_endpoint import Fake, endpoint

AT_ONCE = 2  # requests
ALL = 6 + 5 + 4 * 4


def everything(folder: Path) -> object:
    """What a run made, but the seconds it took."""
    dropped = {name: list(dropped_of(folder, name)) for name in TABLES}
    figures = {name: vars(state_of(folder, name)) | {"seconds": None} for name in TABLES}
    return tables(folder), dropped, figures


def stored(folder: Path, scratch: Path) -> int:
    """Answers in a killed run's cache."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    for file in folder.glob("answers.sqlite*"):
        shutil.copy(file, scratch)
    if not (scratch / "answers.sqlite").exists():
        return 0
    with sqlite3.connect(scratch / "answers.sqlite") as file:
        there = file.execute("select count(*) from sqlite_master where name = 'answers'").fetchone()[0]
        return file.execute("select count(*) from answers").fetchone()[0] if there else 0


def all_received(fake: Fake) -> None:
    """Wait until the server has read whatever a client that has ended sent it."""
    httpx.get(fake.url, trust_env=False)  # connections are accepted in their order
    deadline = time.monotonic() + 30
    while any("process_request_thread" in thread.name for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.002)


class Driver:
    def __init__(self, recipe: Path) -> None:
        command = [sys.executable, "-m", "tests.synthesis.killed", str(recipe)]
        self.process = subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, folder: str, seconds: float | None = None) -> str:
        self.process.stdin.write(f"{folder} {'' if seconds is None else seconds}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@contextmanager
def driver(recipe: Path) -> Iterator[Driver]:
    one = Driver(recipe)
    try:
        yield one
    finally:
        one.process.kill()
        one.process.communicate()


@pytest.mark.parametrize("kills", [6, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_runs_end_like_an_undisturbed_one(tmp_path, kills):
    chance = random.Random(kills)
    slow = lambda body, number: replace(prepared.answer(body), wait=0.01)  # noqa: E731
    with endpoint(slow) as fake:
        recipe = write_recipe(tmp_path, fake.url, concurrency=AT_ONCE)
        with driver(recipe) as driven:
            assert driven.run("warm") == "finished 0"  # what is loaded on first use is loaded
            fake.asked.clear()
            began = time.monotonic()
            assert driven.run("whole") == "finished 0"
            whole = time.monotonic() - began
            assert sorted(requests(fake)) == sorted(set(requests(fake))) and len(fake.asked) == ALL
            wanted = set(requests(fake))
            left, number, in_stages = kills, 0, set()
            while left:
                number += 1
                folder, ended = f"round{number}", "killed"
                fake.asked.clear()
                asked = answers = 0
                while ended == "killed":
                    ended = driven.run(folder, chance.uniform(0, 0.7 * whole) if left else None)
                    all_received(fake)
                    now = stored(tmp_path / folder, tmp_path / "scratch")
                    # Each request that came brought an answer, but for those in flight when the kill came.
                    lost = (len(fake.asked) - asked) - (now - answers)
                    assert 0 <= lost <= (AT_ONCE if ended == "killed" else 0)
                    asked, answers = len(fake.asked), now
                    if ended == "killed":
                        left -= 1
                        in_stages |= {name for name in TABLES if state_of(tmp_path / folder, name)}
                assert ended == "finished 0"
                assert set(requests(fake)) == wanted and answers == ALL
                assert everything(tmp_path / folder) == everything(tmp_path / "whole")
            assert in_stages  # no kill but came before anything had begun would prove nothing
