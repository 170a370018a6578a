"""Rollouts and logs that tests look at: single ones, and a log of any size, written quickly."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from acecoder_rl.problems import parse_tests
from acecoder_rl.rollouts import shards
from acecoder_rl.rollouts.rows import Rollout, table
from acecoder_rl.sandbox.verdict import Outcome, Verdict

TESTS = parse_tests(["assert add(1, 2) == 3", "assert add(20, 22) == 42", "assert add(-5, 9) == 4"])
RIGHT = "def add(a, b):\n    return a + b\n"


def rollout(number: int = 0, passed: str = "111", program: str = RIGHT, **given: Any) -> Rollout:
    """A rollout whose tests passed as a text of 1 and 0 says."""
    tests = given.pop("tests", TESTS)
    outcomes = tuple(
        Outcome("passed") if good == "1" else Outcome("failed", f"got {number}") for good in passed[: len(tests)]
    )
    rate = passed.count("1") / len(passed)
    fields: dict[str, Any] = {
        "problem": f"p{number % 7}", "question": "Write add(a, b).", "tests": tests, "program": program,
        "completion": f"```python\n{program}```", "reward": rate, "pass_rate": rate, "time": 1e9 + number,
        "verdict": Verdict(outcomes), "components": {"pass_rate": rate},
    }  # fmt: skip
    return Rollout(**(fields | given))


def large_log(folder: Path, count: int, steps: int = 100, shard_rows: int = 4000) -> None:
    """A log of so many rows, as a run of 8 samples a problem would leave it: 1.5 KB of text a completion."""
    random.seed(3)
    words = ["return", "value", "index", "list", "range", "total", "append", "while", "string", "count"]
    bodies = [" ".join(random.choices(words, k=200)) for _ in range(200)]
    tests = json.dumps([
        {"text": f"assert f({n}) == {n}", "status": "passed", "message": "", "cpu_seconds": 0.0, "claimed": False,
         "held_out": n > 6} for n in range(8)
    ])  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    for first in range(0, count, shard_rows):
        rows = []
        for number in range(first, min(first + shard_rows, count)):
            step = 1 + number * steps // count
            rate = random.randrange(9) / 8
            rows.append({
                "seq": number, "time": 1.7e9 + number / 10, "run": "large", "step": step, "mode": "train",
                "problem": f"problem-{number // 8}", "sample": number % 8, "truncated": number % 50 == 0,
                "tests_count": 8, "reward": rate, "pass_rate": rate, "holdout_pass_rate": rate,
                "timeouts": int(number % 40 == 0), "length": 1500, "seconds": 0.2,
                "flags": "frames" if number % 500 == 0 else "", "reasons": "{}", "status": "ok", "message": "",
                "isolation": "split", "components": "{}", "question": "Write f.",
                "completion": f"answer {number}: {bodies[number % 200]} {number * 7919 % 100_003}",
                "program": "def f(n):\n    return n\n", "tests": tests,
            })  # fmt: skip
        shard = shards.Shard(int(rows[0]["time"] * 1000), "large-1-abc", rows[0]["seq"], rows[-1]["seq"])
        shards.write(folder, shard, table(rows), {})
