"""A few of a run's questions with all that is known of them, for a page to show.

Covers: which ones, by a hash of id and seed, of those that stayed and of those that imagine and verify dropped; their
    rows in the tables of all stages; long texts are cut.
Does not cover: showing them (report_page.py).
Memory: the examples, and the ids that may still become one.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterable
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

from acecoder_rl.synthesis.report_numbers import rows_so_far

LONGEST = 6000  # characters of a text
PROGRAMS = 16  # of a question
DROPPING = ("verify", "imagine")
Row = dict[str, Any]


def examples(folder: Path, count: int, seed: int) -> list[Row]:
    """Examples, plain JSON each: id, source, outcome, and as far as there are such seed, question, tests, dropped
    (tests with reasons), oracle, programs, note.

    Args:
        count: at most; a quarter are questions that were dropped, where there are so many.
        seed: other examples.
    """
    stayed = _chosen(folder, _furthest(folder), "part", count, seed)
    gone = [each for stage in DROPPING for each in _chosen(folder, stage, "dropped", count // 4, seed)][: count // 4]
    stayed = stayed[: count - len(gone)]
    found: dict[str, Row] = {name: {"id": name, "outcome": "kept"} for name in stayed}
    found |= {name: {"id": name} for name in gone}
    _add(found, folder, "seeds", _seed)
    _add(found, folder, "imagine", _imagine)
    _add(found, folder, "verify", _verify)
    _add(found, folder, "sample", _sample)
    for stage in DROPPING:
        _add(found, folder, stage, partial(_dropped, stage), "dropped")
    return [_cut(each) for each in found.values()]


def _furthest(folder: Path) -> str:
    """The last stage with rows of questions; they are those that a user wants to see."""
    for stage in ("sample", "verify", "imagine"):
        if next(rows_so_far(folder, stage, ("id",)), None):
            return stage
    return "seeds"


def _chosen(folder: Path, stage: str, kind: str, count: int, seed: int) -> list[str]:
    def rank(name: str) -> bytes:
        return blake2b(name.encode("utf-8", "surrogatepass"), key=str(seed).encode()).digest()

    names = (row["id"] for row in rows_so_far(folder, stage, ("id",), kind))
    return heapq.nsmallest(count, names, key=rank)


def _add(found: dict[str, Row], folder: Path, stage: str, told: Callable[[Row], Row], kind: str = "part") -> None:
    """Take in the rows of a stage."""
    for row in rows_so_far(folder, stage, None, kind) if found else ():
        if row["id"] in found:
            found[row["id"]] |= told(row)


def _seed(row: Row) -> Row:
    return {"source": row["source"], "seed": {"instruction": row["instruction"], "program": row["program"]}}


def _imagine(row: Row) -> Row:
    return {"source": row["source"], "question": row["question"], "tests": json.loads(row["tests"])}


def _verify(row: Row) -> Row:
    oracle = [
        {"model": each["model"], "program": each["program"], "rate": _share(each["passed"]), "passed": each["passed"]}
        for each in json.loads(row["oracle"])
    ]
    return {"tests": json.loads(row["tests"]), "dropped": json.loads(row["dropped_tests"]), "oracle": oracle}


def _sample(row: Row) -> Row:
    programs = [
        {
            "model": each["model_name"],
            "program": each["completion"],
            "rate": each["pass_rate"],
            "passed": each["test_results"],
            "truncated": each["truncated"],
        }
        for each in json.loads(row["inferences"])
    ]
    more = len(programs) - PROGRAMS
    return {
        "question": row["question"],
        "tests": json.loads(row["tests"]),
        "programs": programs[:PROGRAMS],
        "note": f"{more} more programs are not shown" if more > 0 else None,
    }


def _dropped(stage: str, row: Row) -> Row:
    detail = json.loads(row["detail"])
    told: Row = {"outcome": f"{stage}: {row['reason']}"}
    if tests := detail.get("tests"):
        told |= {"tests": [], "dropped": tests}
    if note := detail.get("answer") or detail.get("message"):
        told["note"] = note
    return told


def _share(passed: Iterable[int]) -> float | None:
    values = list(passed)
    return sum(values) / len(values) if values else None


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > LONGEST:
        return f"{value[:LONGEST]}\n... {len(value) - LONGEST} more characters"
    if isinstance(value, dict):
        return {key: _cut(each) for key, each in value.items()}
    return [_cut(each) for each in value] if isinstance(value, list) else value
