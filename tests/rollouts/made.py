"""Rollouts and logs that tests look at: single ones, and a log of any size, written quickly."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from acecoder_rl.problems import parse_tests
from acecoder_rl.rollouts import shards
from acecoder_rl.rollouts.rows import Rollout, schema
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
    import pyarrow

    random.seed(3)
    words = ["return", "value", "index", "list", "range", "total", "append", "while", "string", "count"]
    bodies = [" ".join(random.choices(words, k=200)) for _ in range(200)]
    tests = json.dumps([
        {"text": f"assert f({n}) == {n}", "status": "passed", "message": "", "cpu_seconds": 0.0, "claimed": False,
         "held_out": n > 6} for n in range(8)
    ])  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    constant = {
        "run": "large", "mode": "train", "tests_count": 8, "length": 1500, "seconds": 0.2, "reasons": "{}",
        "status": "ok", "message": "", "isolation": "split", "components": "{}", "question": "Write f.",
        "program": "def f(n):\n    return n\n", "tests": tests,
    }  # fmt: skip
    for first in range(0, count, shard_rows):
        numbers = range(first, min(first + shard_rows, count))
        rates = [random.randrange(9) / 8 for _ in numbers]
        columns = {name: [value] * len(numbers) for name, value in constant.items()} | {
            "seq": list(numbers),
            "time": [1.7e9 + number / 10 for number in numbers],
            "step": [1 + number * steps // count for number in numbers],
            "problem": [f"problem-{number // 8}" for number in numbers],
            "sample": [number % 8 for number in numbers],
            "truncated": [number % 50 == 0 for number in numbers],
            "timeouts": [int(number % 40 == 0) for number in numbers],
            "flags": ["frames" if number % 500 == 0 else "" for number in numbers],
            "completion": [f"answer {n}: {bodies[n % 200]} {n * 7919 % 100_003}" for n in numbers],
            **dict.fromkeys(("reward", "pass_rate", "holdout_pass_rate"), rates),
        }
        arrays = [pyarrow.array(columns[field.name], field.type) for field in schema()]
        shard = shards.Shard(int(columns["time"][0] * 1000), "large-1-abc", numbers[0], numbers[-1])
        shards.write(folder, shard, pyarrow.Table.from_arrays(arrays, schema=schema()), {})
