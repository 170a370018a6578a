"""The problem that most tests of rewards use, and answers to it."""

from __future__ import annotations

from acecoder_rl.problems import Problem

TESTS = tuple(f"assert add({a}, {b}) == {a + b}" for a, b in ((1, 2), (2, 2), (0, 5), (7, 1), (9, 9)))
PROBLEM = Problem("add", "Write add(a, b).", TESTS)


def fenced(code: str) -> str:
    """An answer as models give it."""
    return f"Here it is:\n```python\n{code}\n```\nIt adds."


def passing(count: int, comment: str = "") -> str:
    """An answer that passes the first `count` of TESTS."""
    known = {(1, 2): 3, (2, 2): 4, (0, 5): 5, (7, 1): 8, (9, 9): 18}
    table = dict(list(known.items())[:count])
    return fenced(f"{comment}\ndef add(a, b):\n    return {table!r}.get((a, b))")


RIGHT = fenced("def add(a, b):\n    return a + b")
HANGS = fenced("def add(a, b):\n    while True: pass")
EXITS = fenced("import os\nos._exit(0)")
BROKEN = fenced("def add(a, b)\n    return a + b")
PROSE = "I would add the two numbers."
