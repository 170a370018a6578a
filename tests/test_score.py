"""`acecoder-rl score` as a user runs it: rows in, verdicts out, bad rows, killed runs resumed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RIGHT = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return a - b\n"
TESTS = ["assert add(1, 2) == 3", "assert add(5, 0) == 5"]


def fenced(code: str) -> str:
    return f"Here you are:\n```python\n{code}```\nIt adds."


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rows(count: int, code: str = RIGHT) -> list[dict[str, Any]]:
    # Each program is another text, so that none is run once for all.
    return [{"id": f"p{n}", "completion": f"# {n}\n{code}", "tests": TESTS} for n in range(count)]


def test_each_completion_gets_a_verdict_and_the_summary_adds_them_up(cli, jsonl, tmp_path):
    loop = "def add(a, b):\n    while True: pass\n"
    raising = "def add(a, b):\n    raise KeyError('\\udc80')\n"
    jsonl(
        "in.jsonl",
        [
            {"id": "a", "completion": fenced(RIGHT), "tests": TESTS},
            {"id": "b", "output": fenced(WRONG), "tests": TESTS},
            {"id": "c", "response": "def add(a, b:\n", "tests": TESTS},
            {"id": "d", "code": "def add(a, b:\n", "tests": TESTS},
            {"id": "e", "generation": f"```python\n{loop}", "test_cases": TESTS, "question": "Add."},
            {"id": 6, "completions": [fenced(RIGHT), fenced(raising)], "tests": TESTS},
        ],
    )  # fmt: skip
    done = cli("score", "in.jsonl", "-o", "out.jsonl", "--test-seconds", 0.5, "--summary", "sum.json")
    assert done.returncode == 0, done.stderr
    out = read(tmp_path / "out.jsonl")
    assert [(row["id"], row["row"], row["index"]) for row in out] == [
        ("a", 0, 0), ("b", 1, 0), ("c", 2, 0), ("d", 3, 0), ("e", 4, 0), ("6", 5, 0), ("6", 5, 1),
    ]  # fmt: skip
    assert [row["pass_rate"] for row in out] == [1.0, 0.5, 0.0, 0.0, 0.0, 1.0, 0.0]
    assert [row["passed"] for row in out] == [True, False, False, False, False, True, False]
    assert [row["status"] for row in out[:4]] == ["ok", "ok", "no_program", "syntax_error"]
    assert [outcome["status"] for outcome in out[1]["outcomes"]] == ["failed", "passed"]
    assert {"status", "message", "cpu_seconds", "claimed"} == out[0]["outcomes"][0].keys()
    assert out[0]["isolation"] == "split" and out[2]["isolation"] is None
    assert out[0]["reason"] == "fenced" and out[4]["truncated"] is True

    summary = json.loads((tmp_path / "sum.json").read_text())
    assert summary["rows"] == 7 and summary["passed"] == 2 and summary["bad_rows"] == 0
    kinds = {"failed": 1, "no_program": 1, "syntax_error": 1, "timeout": 1, "error": 1}
    assert summary["failed"] == kinds
    assert summary["mean_pass_rate"] == pytest.approx(2.5 / 7)
    assert summary["slowest"][0]["id"] == "e"
    for word in ("passed", "2 (28.6%)", "timeout", "mean pass rate", "split 6", "slowest"):
        assert word in done.stderr
    assert done.stdout == ""


def test_problems_are_joined_by_id(cli, jsonl, tmp_path):
    jsonl("problems.jsonl", [{"task_id": 11, "text": "Add.", "test_list": TESTS, "code": WRONG}])
    jsonl(
        "in.jsonl",
        [
            {"id": "sample-1", "problem_id": "11", "completion": RIGHT},
            {"id": "sample-2", "problem_id": 11, "completion": WRONG},
            {"id": "sample-3", "problem_id": 12, "completion": RIGHT},
            {"completion": RIGHT},
        ],
    )
    done = cli("score", "in.jsonl", "--problems", "problems.jsonl", "-o", "out.jsonl")
    assert done.returncode == 0, done.stderr
    assert [(row["id"], row["pass_rate"]) for row in read(tmp_path / "out.jsonl")] == [
        ("11", 1.0),
        ("11", 0.5),
    ]
    bad = read(tmp_path / "out.jsonl.bad.jsonl")
    assert [row["row"] for row in bad] == [2, 3]
    assert "12, which is not in problems.jsonl" in bad[0]["reason"] and "--id-field" in bad[1]["reason"]


def test_field_names_of_ones_own(cli, jsonl, tmp_path):
    jsonl("problems.jsonl", [{"slug": "add", "question": "Add.", "tests": TESTS}])
    jsonl("in.jsonl", [{"slug": "add", "completion": WRONG, "answer": RIGHT}])
    done = cli(
        "score", "in.jsonl", "--problems", "problems.jsonl", "-o", "out.jsonl",
        "--id-field", "slug", "--completion-field", "answer",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [(row["id"], row["passed"]) for row in read(tmp_path / "out.jsonl")] == [("add", True)]


BAD_ROWS = [
    ('{"id": "x", "completion": ', "is not JSON"),
    ("[1, 2]", "is a JSON list"),
    ({"id": "x", "tests": TESTS}, "has no completion"),
    ({"id": "x", "completion": RIGHT}, "tests"),
    ({"id": "x", "completion": RIGHT, "tests": []}, "tests"),
    ({"id": "x", "completion": 3, "tests": TESTS}, "'completion' [0] is 3"),
    ({"id": "x", "completion": [], "tests": TESTS}, "empty list"),
    ({"id": "x", "completion": [RIGHT, None], "tests": TESTS}, "[1] is None"),
    ({"id": "x", "completion": RIGHT, "tests": TESTS, "limits": {"processes": 4}}, "--processes"),
    ('{"id": ' + "[" * 100_000, "JSON"),
]


def test_bad_rows_are_counted_listed_and_set_aside(cli, jsonl, tmp_path):
    good = rows(2)
    jsonl("in.jsonl", [good[0], *(row for row, _ in BAD_ROWS), "", good[1]])
    done = cli("score", "in.jsonl", "-o", "out.jsonl", "--summary", "sum.json")
    assert done.returncode == 0, done.stderr
    assert [row["row"] for row in read(tmp_path / "out.jsonl")] == [0, len(BAD_ROWS) + 1]
    bad = read(tmp_path / "out.jsonl.bad.jsonl")
    for number, (told, (row, reason)) in enumerate(zip(bad, BAD_ROWS, strict=True), 1):
        assert reason in told["reason"]
        assert told["row"] == number and told["where"] == f"in.jsonl:{number + 1}"
        assert told["record"] == row
    assert json.loads((tmp_path / "sum.json").read_text())["bad_rows"] == len(BAD_ROWS)
    assert "bad row: in.jsonl:2 is not JSON" in done.stderr and "and 5 more bad rows" in done.stderr


def test_strict_stops_at_the_first_bad_row(cli, jsonl, tmp_path):
    jsonl("in.jsonl", [*rows(3), {"id": "x", "completion": RIGHT}, *rows(2)])
    done = cli("score", "in.jsonl", "-o", "out.jsonl", "--strict")
    assert done.returncode == 2
    assert "in.jsonl:4" in done.stderr and "Traceback" not in done.stderr
    assert [row["row"] for row in read(tmp_path / "out.jsonl")] == [0, 1, 2]


def test_acecode_rows_score_their_inferences(cli, jsonl, tmp_path):
    inferences = [
        {"model_name": "m", "completion_id": n, "completion": fenced(c), "pass_rate": 0.1}
        for n, c in enumerate((WRONG, RIGHT))
    ]
    jsonl("in.jsonl", [{"id": "oss_1", "question": "Add.", "test_cases": TESTS, "inferences": inferences}])
    done = cli("score", "in.jsonl", "-o", "out.jsonl")
    assert done.returncode == 0, done.stderr
    out = [(row["id"], row["index"], row["pass_rate"]) for row in read(tmp_path / "out.jsonl")]
    assert out == [("oss_1", 0, 0.5), ("oss_1", 1, 1.0)]


def test_parquet_in_and_out(cli, tmp_path):
    import pyarrow
    import pyarrow.parquet

    data = [{"id": str(n), "completion": code, "tests": TESTS} for n, code in enumerate((RIGHT, WRONG, "no"))]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(data), tmp_path / "in.parquet")
    done = cli("score", "in.parquet", "-o", "out.parquet")
    assert done.returncode == 0, done.stderr
    out = pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert [(row["id"], row["pass_rate"], row["status"]) for row in out] == [
        ("0", 1.0, "ok"), ("1", 0.5, "ok"), ("2", 0.0, "no_program"),
    ]  # fmt: skip
    assert [outcome["status"] for outcome in out[1]["outcomes"]] == ["failed", "passed"]
    assert not (tmp_path / "out.parquet.partial.jsonl").exists()
    again = cli("score", "in.parquet", "-o", "out.parquet", "--resume")
    assert again.returncode == 0 and "rows" in again.stderr
    assert pyarrow.parquet.read_table(tmp_path / "out.parquet").to_pylist() == out


def test_stdin_to_stdout_streams(tmp_path):
    command = [sys.executable, "-m", "acecoder_rl.cli", "score", "-", "-o", "-", "--workers", "1"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=tmp_path, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        for row in rows(3):  # each verdict comes while the input is still open
            process.stdin.write(json.dumps(row) + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["id"] == row["id"]
        process.stdin.close()
        process.stdin = None
        assert process.wait(240) == 0, process.stderr.read()
    assert list(tmp_path.iterdir()) == []


def test_limits_given_outrank_those_of_a_problem(cli, jsonl, tmp_path):
    busy = "import time\ndef add(a, b):\n    while time.process_time() < 0.6: pass\n    return a + b\n"
    tests = TESTS[:1]
    jsonl(
        "in.jsonl",
        [
            {"id": "plain", "completion": busy, "tests": tests},
            {"id": "own", "completion": busy, "tests": tests, "limits": {"test_seconds": 0.2}},
        ],
    )
    assert cli("score", "in.jsonl", "-o", "own.jsonl").returncode == 0
    assert [row["passed"] for row in read(tmp_path / "own.jsonl")] == [True, False]
    assert cli("score", "in.jsonl", "-o", "more.jsonl", "--test-seconds", 4).returncode == 0
    assert [row["passed"] for row in read(tmp_path / "more.jsonl")] == [True, True]
    assert cli("score", "in.jsonl", "-o", "less.jsonl", "--test-seconds", 0.2).returncode == 0
    assert [row["passed"] for row in read(tmp_path / "less.jsonl")] == [False, False]
