"""Sampled questions, written as stage sample writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from acecoder_rl.synthesis.stages import Chunk, run_stage


def question(number: int, passed: list[int], tests: int = 10, **changes: Any) -> dict[str, Any]:
    """A row of stage sample: a program for each number of tests passed, all with texts of their own."""
    asserts = [f"assert add_{number}({index}) == {index + number}" for index in range(tests)]
    inferences = [
        {
            "model_name": "tiny",
            "completion_id": index,
            "completion": f"def add_{number}(x):\n    return x + {number} + {index}\n",
            "pass_rate": count / tests,
            "test_results": [1] * count + [0] * (tests - count),
            "truncated": False,
        }
        for index, count in enumerate(passed)
    ]
    row = {
        "id": f"oss_{number}",
        "source": "oss",
        "question": f"Write add_{number}(x).",
        "tests": json.dumps(asserts),
        "inferences": json.dumps(inferences),
    }
    return row | changes


def sampled(
    folder: Path, rows: list[dict[str, Any]], chunk_size: int = 1000, settings: dict[str, Any] | None = None
) -> Path:
    """A run folder whose stage sample is finished with these rows."""
    import pyarrow

    schema = pyarrow.schema([(name, pyarrow.string()) for name in ("id", "source", "question", "tests", "inferences")])
    run_stage(folder, "sample", schema, rows, Chunk, chunk_size, settings or {})
    return folder
