"""Programs of every kind with the statuses they deserve, and a machine that is busy with other work.

Covers: `programs` (each text is different, so that nothing is shared), all routes, `busy`.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

ADD = [f"assert add({i}, 2) == {i + 2}" for i in range(8)]
LINES = {"inputs": ["1 2\n", "5 6\n"], "outputs": ["3\n", "11\n"]}
JUDGED = ["pairs = [(i, 2) for i in range(8)]\nassert all(add(a, b) == a + b for a, b in pairs)"] * 2
PATCHED = ["from unittest.mock import patch\nwith patch('solution.add', return_value=7):\n    assert add(1, 1) == 7"]
RIGHT = "def add(a, b):\n    return a + b\n"
BURN = "import time\nend = time.process_time() + {seconds}\nwhile time.process_time() < end: pass\n"
# name -> (program, tests, the statuses it deserves)
LIGHT: dict[str, tuple[str, Any, list[str]]] = {
    "right": (RIGHT, ADD, ["passed"] * 8),
    "wrong": ("def add(a, b):\n    return a - b\n", ADD, ["failed"] * 8),
    "partly": ("def add(a, b):\n    return a + b if a < 5 else None\n", ADD, ["passed"] * 5 + ["failed"] * 3),
    "raises": ("def add(a, b):\n    return a / 0\n", ADD, ["error"] * 8),
    "judged": (RIGHT, JUDGED, ["passed"] * 2),
    "judged wrong": ("def add(a, b):\n    return 0\n", JUDGED, ["failed"] * 2),
    "stdin": ("print(sum(map(int, input().split())))\n", LINES, ["passed"] * 2),
    "stdin wrong": ("print(3)\n", LINES, ["passed", "failed"]),
    "broken": ("def add(a, b:\n", ADD, ["not_run"] * 8),
    "raises at load": ("raise ValueError(1)\n", ADD, ["not_run"] * 8),
}


@dataclass(frozen=True)
class Mixed:
    """One program, its tests and what their statuses must be."""

    program: str
    tests: Any
    statuses: list[str]


def programs(count: int, heavy_every: int = 0, seconds: tuple[float, ...] = ()) -> list[Mixed]:
    """`count` programs; every `heavy_every`-th computes or sleeps for one of `seconds`, and is right."""
    made = []
    kinds = list(LIGHT.values())
    for number in range(count):
        program, tests, statuses = kinds[number % len(kinds)]
        if heavy_every and number % heavy_every == heavy_every // 2:
            turn = number // heavy_every
            tests, statuses = (LIGHT["judged"] if turn % 4 == 3 else LIGHT["right"])[1:]
            pause = seconds[turn // 2 % len(seconds)]
            start = BURN.format(seconds=pause) if turn % 2 else f"import time\ntime.sleep({pause})\n"
            program = start + RIGHT
        made.append(Mixed(f"{program}# {number}\n", tests, statuses))
    return made


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """Other work on the machine, ended whatever happens."""
    # Each ends by itself too, should this process be killed.
    code = "import time\nend = time.time() + 900\nwhile time.time() < end: pass"
    started = [subprocess.Popen([sys.executable, "-S", "-c", code]) for _ in range(processes)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.wait()
