"""`acecoder-rl`: exit status, one-line errors, quick help."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

ROW = {"id": "p", "completion": "def add(a, b): return a + b", "tests": ["assert add(1, 2) == 3"]}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["absent.jsonl"], "absent.jsonl cannot be read"),
        (["in.jsonl", "--problems", "absent.jsonl"], "absent.jsonl cannot be read"),
        (["in.jsonl", "-o", "no/such/out.jsonl"], "no directory no/such"),
        (["in.jsonl", "--resume"], "-o FILE"),
        (["in.jsonl", "-o", "out.jsonl", "--resume", "--overwrite"], "exclude each other"),
        (["in.jsonl", "--test-seconds", "0"], "test_seconds"),
        (["in.jsonl", "--memory-mb", "4"], "memory_mb"),
        (["in.jsonl", "--workers", "0"], "--workers"),
        (["in.jsonl", "--require", "magic"], "magic"),
        (["in.jsonl", "--completion-field", "nope"], "nope"),
        (["empty.jsonl"], "empty"),
        (["text.parquet"], "not a Parquet file"),
    ],
)
def test_bad_usage_ends_with_2_and_a_mend(cli, jsonl, arguments, told):
    jsonl("in.jsonl", [ROW])
    jsonl("empty.jsonl", [])
    jsonl("text.parquet", ["no parquet"])
    done = cli("score", *arguments)
    assert done.returncode == 2
    assert told in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["score", "in.jsonl", "-o", "in.jsonl", "--overwrite"],
        ["score", "in.jsonl", "-o", "link.jsonl", "--overwrite"],
        ["score", "in.jsonl", "--problems", "problems.jsonl", "-o", "problems.jsonl", "--overwrite"],
        ["score", "in.jsonl", "--summary", "in.jsonl"],
        ["best-of-n", "in.jsonl", "--rm", "model", "-o", "in.jsonl"],
        ["best-of-n", "in.jsonl", "--rm", "model", "--json", "link.jsonl"],
    ],
)
def test_what_is_read_is_not_written_over(cli, jsonl, tmp_path, command):
    before = [jsonl(name, [ROW]).read_bytes() for name in ("in.jsonl", "problems.jsonl")]
    (tmp_path / "link.jsonl").symlink_to("in.jsonl")
    done = cli(*command)
    assert done.returncode == 2 and "is the file that is read" in done.stderr
    assert [(tmp_path / name).read_bytes() for name in ("in.jsonl", "problems.jsonl")] == before


@pytest.mark.parametrize(
    "command",
    [
        ["score", "in.jsonl", "--summary"],
        ["best-of-n", "in.jsonl", "--rm", "model", "--json"],
        ["bench", "rm", "--json"],
    ],
)
def test_a_file_that_cannot_be_written_is_told_before_the_work(cli, jsonl, tmp_path, command):
    jsonl("in.jsonl", [ROW])
    for file, told in (("no/such/out.json", "no directory no/such"), (".", "is a folder")):
        done = cli(*command, file)
        assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_host_below_the_required_isolation_ends_with_1(cli, jsonl, tmp_path):
    jsonl("in.jsonl", [ROW])
    lower = {"ACECODER_SANDBOX_ISOLATION": "none"}
    refused = cli("score", "in.jsonl", "-o", "out.jsonl", env=lower)
    assert refused.returncode == 1 and "Traceback" not in refused.stderr
    assert not (tmp_path / "out.jsonl").exists()
    accepted = cli("score", "in.jsonl", "-o", "out.jsonl", "--require", "none", env=lower)
    assert accepted.returncode == 0 and "jail: none" in accepted.stderr


def test_help_is_quick_and_light(cli):
    code = "import sys, acecoder_rl.cli, reward_fns; print(*{m.split('.')[0] for m in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "ray", "pyarrow", "pytest", "numpy", "vllm"} & set(loaded)
    before = os.times()
    done = cli("--help")
    after = os.times()
    # CPU time: the wall clock of a machine that also does other work says nothing.
    assert after.children_user + after.children_system - before.children_user - before.children_system < 2
    assert done.returncode == 0 and "acecoder-rl score answers.jsonl" in done.stdout
    for command in (["score"], ["doctor"], ["bench", "sandbox"]):
        assert cli(*command, "--help").returncode == 0
