"""Hostile programs at the public API: none earns a point, does harm, or changes a later verdict.

Covers: tests/hostile (ours) and, where it lies beside the repository, ../shared/hostile, at each isolation
level above "none"; what only lies to the judge at "none" too.
Does not cover: the jail's parts one by one (test_jail.py), forced lower levels (test_levels.py).
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from acecoder_rl.sandbox import Limits, Sandbox, Verdict
from tests.hostile import PROGRAMS
from tests.hostile.case import ALL, EVERY, ROUTES, WRONG, Hostile, right_at
from tests.sandbox.jails import open_folder

LIMITS = Limits(test_seconds=0.3, program_seconds=3.0, wall_seconds=10.0, memory_mb=256)
PATIENT = replace(LIMITS, test_seconds=10.0)  # for honest programs, which wait for a core on a busy machine
SECONDS = 60.0  # one program, however it is made; 10 of wall clock at most, and again after it cost a worker
GROWTH_MIB = 350
SHARED = Path(__file__).resolve().parents[3] / "shared" / "hostile"
CHECKS = [f"assert add({a}, 2) == {a + 2}" for a in range(2)]
FORMS = ("check", "pytest", "unittest", "script", "fn_name")
# Where programs try to leave files, and what they call them.
DROPS = ("/tmp", "/dev/shm", "/etc", str(Path.home()), os.path.dirname(os.__file__), "/usr/local/lib")
DROPPED = re.compile(r"acecoder-hostile.*|zz_evil\.pth|left\d+|full\d+|sem\.left|left")


class Arena:
    """A sandbox at one level, watched from outside."""

    def __init__(self, level: str, secret: Path) -> None:
        self.level, self.secret, self.right = level, secret, right_at(level)
        with environment(ACECODER_SANDBOX_ISOLATION=level, CANARY_SECRET="CANARY"):
            self.sandbox = Sandbox(workers=1, limits=LIMITS, require=level, dedupe=False)
        assert self.sandbox.isolation == level
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(0)
        for _ in range(2):  # every interpreter there will be
            for tests in ROUTES.values():
                assert self.sandbox.run(self.right, tests, limits=PATIENT).passed
        self.worker = self.find_worker()
        self.idle_mib = peak_mib(self.worker)

    def find_worker(self) -> psutil.Process:
        """The worker of this sandbox: another one after a program that cost us one."""
        return psutil.Process(self.sandbox._dispatcher.workers[-1].process.pid)

    def fill_in(self, code: str) -> str:
        return code.replace("/@FILE@", str(self.secret)).replace("45679", str(self.listener.getsockname()[1]))

    def run(self, program: str, tests: Any, name: str, limits: Limits = LIMITS) -> Verdict:
        began = time.monotonic()
        verdict = self.sandbox.run(self.fill_in(program), tests, limits=limits)
        took = time.monotonic() - began
        assert took < SECONDS, f"{name} took {took:.1f} s: {verdict}"
        return verdict

    def check_after(self, name: str) -> None:
        """The world is as it was: processes, memory, files, later verdicts."""
        assert self.run(WRONG, CHECKS, name).pass_rate == 0.0, f"a wrong program passes after {name}"
        right = self.run(self.right, CHECKS, name, PATIENT)
        assert right.passed, f"a right program fails after {name}: {right}"
        self.worker = self.find_worker()
        grown = peak_mib(self.worker) - self.idle_mib
        assert grown < GROWTH_MIB, f"the worker grew by {grown:.0f} MiB in {name}"
        left = self.survivors()
        assert not left, f"{name} left {left}"
        with pytest.raises(BlockingIOError):
            self.listener.accept()

    def survivors(self) -> list[Any]:
        """Processes of the sandbox beyond the worker and its interpreters, once killed ones have had time to end."""
        deadline = time.monotonic() + 30.0
        while True:
            try:
                left = self.beyond()
            except (psutil.NoSuchProcess, ProcessLookupError) as gone:  # one has ended while we looked
                left = [gone]
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.02)

    def beyond(self) -> list[Any]:
        """Those of this moment."""
        ours = [self.worker]
        for _ in range(2 if self.level == "namespaces" else 1):
            ours += [child for process in ours for child in process.children() if child not in ours]
        left = [p for p in self.worker.children(recursive=True) if p not in ours]
        sessions = {os.getsid(process.pid) for process in ours}
        return left + [p for p in psutil.process_iter() if p not in ours and session(p.pid) in sessions]

    def close(self) -> None:
        self.sandbox.close()
        self.listener.close()


@contextmanager
def environment(**values: str) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        yield


def session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1


def peak_mib(process: psutil.Process) -> float:
    text = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.findall(r"VmHWM:\s+(\d+)", text)[0]) / 1024


def litter() -> set[str]:
    found = set()
    for directory in DROPS:
        try:
            names = os.listdir(directory)
        except OSError:
            continue
        found.update(os.path.join(directory, name) for name in names if DROPPED.fullmatch(name))
    return found


@pytest.fixture(scope="module")
def secret() -> Iterator[Path]:
    """A file that anybody could read, were it not for the jail."""
    with open_folder() as directory:
        path = directory / "secret"
        path.write_text("CANARY")
        yield path


@pytest.fixture(scope="module")
def arenas(secret: Path) -> Iterator[Any]:
    """The arena of a level; one at a time, since memory and processes are looked at."""
    made: dict[str, Arena] = {}
    before = litter()

    def get(level: str) -> Arena:
        if level not in made:
            made[level] = Arena(level, secret)
        return made[level]

    yield get
    for arena in made.values():
        arena.close()
    assert litter() == before


# What the jail has to prevent; the rest is up to the judging, which is the same at every level.
JAILED = ("host", "bomb", "persist")


def entries(programs: list[Hostile], levels: tuple[str, ...]) -> list[Any]:
    """(level, program) parameters."""

    def marks(level: str, program: Hostile) -> list[Any]:
        quick = level == levels[0] or (level != "none" and program.category in JAILED)
        return [pytest.mark.slow] * (program.slow or not quick)

    return [
        pytest.param(level, program, id=f"{level}-{program.name}", marks=marks(level, program))
        for level in levels
        for program in programs
        if level in program.levels
    ]


@pytest.mark.parametrize(("level", "program"), entries(PROGRAMS, EVERY))
def test_our_programs_gain_nothing(arenas: Any, level: str, program: Hostile) -> None:
    arena = arenas(level)
    for route, tests in program.runs():
        verdict = arena.run(program.code, tests, program.name)
        assert verdict.pass_rate == 0.0, f"{program.category}, {route}: {verdict}"
    arena.check_after(program.name)


def shared() -> list[Hostile]:
    if not (SHARED / "manifest.json").exists():
        return []
    programs = []
    for entry in json.loads((SHARED / "manifest.json").read_text()):
        code = (SHARED / entry["file"]).read_text().replace("45678", "45679")
        routes = ("calls", "judge") if entry["task"] == "assert" else ("stdio",)
        programs.append(Hostile(entry["id"], "host", entry["description"], code, routes))
    return programs


@pytest.mark.parametrize(("level", "program"), entries(shared(), ALL))
def test_the_shared_programs_gain_nothing(arenas: Any, level: str, program: Hostile) -> None:
    arena = arenas(level)
    for route, tests in program.runs():
        verdict = arena.run(program.code, tests, program.name)
        assert verdict.pass_rate == 0.0, f"{route}: {verdict}"
    arena.check_after(program.name)


OTHER_FORMS = [each for each in [*PROGRAMS, *shared()] if "judge" in each.routes and not each.tests]


@pytest.mark.slow
@pytest.mark.parametrize(("level", "program"), entries(OTHER_FORMS, ALL))
def test_no_form_of_tests_is_fooled(arenas: Any, level: str, program: Hostile) -> None:
    arena = arenas(level)
    for form in FORMS:
        verdict = arena.run(program.code, ROUTES[form], program.name)
        assert verdict.pass_rate == 0.0, f"{form}: {verdict}"
    arena.check_after(program.name)


def test_there_are_as_many_as_in_the_shared_suite() -> None:
    assert len(PROGRAMS) >= 44 and len({program.name for program in PROGRAMS}) == len(PROGRAMS)
