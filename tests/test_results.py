"""Results of killed, cut and repeated runs: every row once, in order, under one set of settings."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RIGHT = "def add(a, b):\n    return a + b\n"
SLOW = "import time\ntime.sleep(0.03)\n"  # so that kills come in the middle
WRONG = "def add(a, b):\n    return a - b\n"
TESTS = ["assert add(1, 2) == 3", "assert add(5, 0) == 5"]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rows(count: int, code: str = RIGHT) -> list[dict[str, Any]]:
    # Each program is another text, so that none is run once for all.
    return [{"id": f"p{n}", "completion": f"# {n}\n{code}", "tests": TESTS} for n in range(count)]


def test_an_output_that_is_there_is_neither_lost_nor_mixed(cli, jsonl, tmp_path):
    jsonl("in.jsonl", rows(4))
    assert cli("score", "in.jsonl", "-o", "out.jsonl", "--memory-mb", 512).returncode == 0
    before = (tmp_path / "out.jsonl").read_bytes()

    refused = cli("score", "in.jsonl", "-o", "out.jsonl")
    assert refused.returncode == 2 and "--resume" in refused.stderr and "--overwrite" in refused.stderr
    other = cli("score", "in.jsonl", "-o", "out.jsonl", "--resume", "--memory-mb", 256)
    assert other.returncode == 2 and "limits" in other.stderr and "--overwrite" in other.stderr
    jsonl("in.jsonl", rows(3))
    other = cli("score", "in.jsonl", "-o", "out.jsonl", "--resume", "--memory-mb", 512)
    assert other.returncode == 2 and "source_bytes" in other.stderr
    assert (tmp_path / "out.jsonl").read_bytes() == before

    anew = cli("score", "in.jsonl", "-o", "out.jsonl", "--overwrite")
    assert anew.returncode == 0 and len(read(tmp_path / "out.jsonl")) == 3


def test_a_second_writer_is_refused(cli, jsonl, tmp_path):
    jsonl("in.jsonl", rows(1))
    with (tmp_path / "out.jsonl").open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = cli("score", "in.jsonl", "-o", "out.jsonl")
    assert done.returncode == 2 and "being written by another process" in done.stderr


def mixed_input(jsonl: Callable[..., Path], count: int, begin: str = "") -> int:
    """Good rows, rows of several completions and bad rows; returns the number of results."""
    data: list[Any] = []
    for number in range(count):
        pair = [f"# {number}\n{begin}{RIGHT}", f"# {number}\n{begin}{WRONG}"]
        data.append(
            "{" if number % 7 == 3 else {"id": str(number), "completions": pair[: 1 + number % 2], "tests": TESTS}
        )
    jsonl("in.jsonl", data)
    return sum(len(row["completions"]) for row in data if row != "{")


def keys(path: Path) -> list[tuple[int, int]]:
    return [(row["row"], row.get("index", 0)) for row in read(path)]


def test_resume_after_a_cut_at_any_byte(cli, jsonl, tmp_path):
    mixed_input(jsonl, 12)
    assert cli("score", "in.jsonl", "-o", "out.jsonl").returncode == 0
    out, bad = tmp_path / "out.jsonl", tmp_path / "out.jsonl.bad.jsonl"
    whole, bad_whole = out.read_bytes(), bad.read_bytes()
    expected, bad_expected = keys(out), keys(bad)
    lines = whole.splitlines(keepends=True)
    starts = [len(b"".join(lines[:n])) for n in range(len(lines))]
    # Nothing written; within a line; before and behind its newline; within a row of two; near the end.
    for cut in (0, 5, starts[1] - 1, starts[1], starts[6] + 17, starts[-1], len(whole) - 1):
        out.write_bytes(whole[:cut])
        reached = max((row for row, _ in expected[: whole[:cut].count(b"\n")]), default=-1)
        kept = [line for line in bad_whole.splitlines(keepends=True) if json.loads(line)["row"] < reached]
        bad.write_bytes(b"".join(kept) + b'{"row": 3, "wh')
        done = cli("score", "in.jsonl", "-o", "out.jsonl", "--resume", "--summary", "sum.json")
        assert done.returncode == 0, done.stderr
        assert keys(out) == expected and keys(bad) == bad_expected, cut
        summary = json.loads((tmp_path / "sum.json").read_text())
        assert summary["rows"] == len(expected) and summary["bad_rows"] == len(bad_expected)


@pytest.mark.parametrize("output", ["out.jsonl", "out.parquet"])
def test_resume_after_kill_9(cli, jsonl, tmp_path, output):
    total = mixed_input(jsonl, 150, SLOW)
    working = tmp_path / (output if output.endswith(".jsonl") else f"{output}.partial.jsonl")
    command = [sys.executable, "-m", "acecoder_rl.cli", "score", "in.jsonl", "-o", output, "--resume"]
    kills = 0
    for at_least in (1, total // 4, total // 2, total - 20):
        process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 240
        while process.poll() is None and time.monotonic() < deadline:
            if working.exists() and working.read_bytes().count(b"\n") >= at_least:
                break
            time.sleep(0.002)
        kills += process.poll() is None
        process.kill()
        process.wait()
    assert kills >= 2
    done = cli("score", "in.jsonl", "-o", output, "--resume", "--summary", "sum.json")
    assert done.returncode == 0, done.stderr
    if output.endswith(".parquet"):
        import pyarrow.parquet

        out = pyarrow.parquet.read_table(tmp_path / output).to_pylist()
    else:
        out = read(working)
    found = [(row["row"], row["index"]) for row in out]
    assert found == sorted(set(found)) and len(found) == total
    assert all(row["passed"] == (row["index"] == 0) for row in out)
    assert keys(tmp_path / f"{output}.bad.jsonl") == [(n, 0) for n in range(3, 150, 7)]
    assert json.loads((tmp_path / "sum.json").read_text())["rows"] == total
