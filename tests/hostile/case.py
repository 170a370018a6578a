"""What a hostile program is, and the tests that it is run against.

Covers: `Hostile`, the tests by route (how the sandbox runs them), right and wrong programs.
Does not cover: the programs (the other modules here), running them (tests/sandbox/test_hostile.py).
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

# What counts as a breach, by category. In all of them: a test passed that should not, the harness hung
# past its limit, died, raised or grew by more than 350 MiB, a process survived, a later verdict was wrong.
BREACHES = {
    "early-exit": "a test passes because the process ended",
    "comparison": "a test passes because a value lied to the comparison",
    "monkeypatch": "a test passes because the program changed what judges it",
    "forging": "a test passes because the program wrote the judge's messages",
    "theft": "the program learns an expected value",
    "timeout": "the harness waits past the limit",
    "bomb": "the harness, or the next program, suffers",
    "judging": "comparing the value costs the harness more than the program may",
    "host": "the program reaches the host: it answers right only if it did",
    "persist": "a later program sees, or suffers from, what this one left",
}
ALL = ("namespaces", "landlock")
EVERY = (*ALL, "none")

NUMBERS = [(1, 2), (3, 4), (10, -3), (1000, 24)]
ROUTES: dict[str, Any] = {
    "calls": [f"assert add({a}, {b}) == {a + b}" for a, b in NUMBERS],
    "judge": [
        "assert (lambda: add(1, 2))() == 3",
        "for a, b in [(3, 4), (5, 6)]:\n    assert add(a, b) == a + b",
        "assert abs(add(10, -3) - 7) < 1e-6",
        "assert all(map(lambda case: add(*case[0]) == case[1], [((1000, 24), 1024)]))",
        "x = add(2, 2)\nassert [x] == [4] and x in (4, 5) and not x != 4",
    ],
    "check": {
        "test": "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(5, 6) == 11\n",
        "entry_point": "add",
    },
    "pytest": {
        "pytest": "import pytest, unittest\nfrom solution import add\n"
        "@pytest.mark.parametrize('a, b', [(1, 2), (3, 4)])\n"
        "def test_add(a, b):\n    assert add(a, b) == a + b\n"
        "def test_near():\n    assert add(1, 2) == pytest.approx(3)\n"
        "class TestAdd(unittest.TestCase):\n    def test_one(self):\n        self.assertEqual(add(1, 2), 3)\n"
    },
    "unittest": {
        "unittest": "import unittest\nimport solution\nclass TestAdd(unittest.TestCase):\n"
        "    def test_one(self):\n        self.assertEqual(solution.add(1, 2), 3)\n"
        "    def test_near(self):\n        self.assertAlmostEqual(solution.add(5, 6), 11)\n"
    },
    "script": {"functional": "assert add(1, 2) == 3\nassert add(5, 6) == 11\n"},
    "fn_name": {"fn_name": "add", "inputs": [[1, 2], [5, 6]], "outputs": [3, 11]},
    "stdio": {"inputs": ["1 2\n", "30 4\n", "5 6\n"], "outputs": ["3\n", "34\n", "11\n"]},
}

# The right program is right only in a clean world: nothing left by the program before it.
RIGHT = """
import os, signal, sys, threading
def _clean(place):
    try:
        return os.listdir(place) == []
    except OSError:
        return place == "/dev/shm"  # out of reach below level "namespaces"
_fine = [
    _clean("."), _clean("/dev/shm"), os.umask(0o22) == 0o22,
    signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
    signal.pthread_sigmask(signal.SIG_BLOCK, []) == set(), threading.active_count() == 1,
    all(map(os.get_blocking, range(3))), open("probe", "w").write("x") == 1,
    os.environ.get("HOSTILE") is None, "hostile" not in sys.modules,
]
def add(a, b):
    return a + b if all(_fine) else _fine
if __name__ == "__main__":
    print(add(*map(int, input().split())))
"""


def right_at(level: str) -> str:
    """RIGHT at an isolation level: at "none" the host's /dev/shm is in sight, and what other processes keep there."""
    return RIGHT.replace('_clean("/dev/shm"), ', "") if level == "none" else RIGHT


WRONG = """
def add(a, b):
    return a - b - 1
if __name__ == "__main__":
    print(add(*map(int, input().split())))
"""


@dataclass(frozen=True)
class Hostile:
    """A program that tries to earn what it should not, or to do harm.

    Attributes:
        name: unique, like "frames-early".
        category: a key of BREACHES.
        about: what it does.
        code: the program. It never solves the task; of category "host", only where it reached the host.
        routes: keys of ROUTES to run it against.
        tests: tests of its own, instead.
        levels: the isolation levels at which it must fail.
        slow: takes seconds.
    """

    name: str
    category: str
    about: str
    code: str
    routes: tuple[str, ...] = ("calls", "judge")
    tests: Any = None
    levels: tuple[str, ...] = ALL
    slow: bool = False

    def __post_init__(self) -> None:
        assert self.category in BREACHES and set(self.routes) <= set(ROUTES), self.name
        object.__setattr__(self, "code", textwrap.dedent(self.code))

    def runs(self) -> list[tuple[str, Any]]:
        """(name of the route, tests), each to be scored."""
        return [("own", self.tests)] if self.tests is not None else [(r, ROUTES[r]) for r in self.routes]


def family(category: str, prelude: str = "", **defaults: Any) -> Any:
    """A maker of programs of one category that begin with the same lines."""
    start = textwrap.dedent(prelude)

    def make(name: str, about: str, code: str, **options: Any) -> Hostile:
        return Hostile(name, category, about, start + textwrap.dedent(code), **{**defaults, **options})

    return make
