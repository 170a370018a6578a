"""`acecoder-rl score --shard`, and slurm/score.sh, an array of such jobs: together they are the unsharded run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from acecoder_rl.score import ScoreOptions, shard_rows
from tests.slurm.conftest import ROOT

TIMES = ("cpu_seconds", "wall_seconds")
ADD = "```python\n# {}\ndef add(a, b):\n    return a {} b\n```"


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    """Eleven rows, two with several completions; bad ones at the edges of parts, and no end of line at the end."""
    rows: list[Any] = []
    for number in range(11):
        texts = [ADD.format(f"{number} {index}", "+-"[index % 2]) for index in range(3 if number in (3, 7) else 1)]
        rows.append(
            {"id": f"p{number}", "completions": texts, "tests": ["assert add(2, 1) == 3", "assert add(1, 0) == 1"]}
        )
    rows[2]["tests"] = rows[7]["tests"] = []
    rows[8] = {"id": "none"}
    path = tmp_path / "answers.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def untimed(*files: Path) -> list[dict[str, Any]]:
    """The rows of result files, one behind the other, without what differs between any two runs."""
    found = []
    for line in "".join(file.read_text() for file in files).splitlines():
        row = {name: value for name, value in json.loads(line).items() if name not in TIMES}
        for outcome in row.get("outcomes", []):
            outcome.pop("cpu_seconds")
        found.append(row)
    return found


def test_the_parts_one_behind_the_other_are_the_whole(cli, answers, tmp_path):
    assert cli("score", answers, "-o", "whole.jsonl").returncode == 0
    for part in (1, 2, 3):
        done = cli("score", answers, "-o", f"part{part}.jsonl", "--shard", f"{part}/3")
        assert done.returncode == 0, done.stderr
    for ending in (".jsonl", ".jsonl.bad.jsonl"):
        files = [file for part in (1, 2, 3) if (file := tmp_path / f"part{part}{ending}").exists()]
        assert untimed(*files) == untimed(tmp_path / f"whole{ending}")


def test_more_parts_than_rows_leave_some_empty_and_no_row_out(cli, answers, tmp_path):
    parts = [shard_rows(ScoreOptions(answers, shard=(part, 15))) for part in range(1, 16)]
    assert [number for part in parts for number in range(part.start, min(part.stop, 11))] == list(range(11))
    assert not parts[0]
    assert cli("score", answers, "-o", "part.jsonl", "--shard", "1/15").returncode == 0
    assert (tmp_path / "part.jsonl").read_text() == ""


def test_a_part_that_was_killed_goes_on_and_is_no_other_part(cli, answers, tmp_path):
    part = ("score", answers, "-o", "part.jsonl", "--resume")
    assert cli(*part, "--shard", "2/2").returncode == 0
    whole = untimed(tmp_path / "part.jsonl")
    lines = (tmp_path / "part.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "part.jsonl").write_text("".join(lines[:2]) + lines[2][:20])
    assert cli(*part, "--shard", "2/2").returncode == 0
    assert untimed(tmp_path / "part.jsonl") == whole

    refused = cli(*part, "--shard", "1/2")
    assert refused.returncode == 2 and "shard" in refused.stderr


@pytest.mark.parametrize(
    ("shard", "source", "said"),
    [
        ("3/2", None, "give 1/2 to 2/2"),
        ("0/2", None, "give 1/2 to 2/2"),
        ("1/0", None, "give 1/1 to 1/1"),
        ("second", None, "is not I/N"),
        ("1/2", "-", "stdin cannot"),
    ],
)
def test_what_is_no_part_is_refused(cli, answers, shard, source, said):
    done = cli("score", source or answers, "-o", "out.jsonl", "--shard", shard)
    assert done.returncode == 2 and said in done.stderr


@pytest.mark.alone
def test_an_array_of_three_jobs_is_the_whole(slurm, sbatch, finished, cli, answers, tmp_path):
    assert cli("score", answers, "-o", "whole.jsonl").returncode == 0
    # Where `make setup` was, jobs need nothing of the shell that submits them.
    alone = ("--export=NONE",) if (ROOT / ".venv" / "bin" / "activate").exists() else ()
    options = ("--array=1-3", "--mem=2G", *alone)
    job = sbatch("score.sh", answers, tmp_path / "parts", "--workers", 1, options=options)
    for part in (1, 2, 3):
        state, said = finished(f"{job}_{part}")
        assert state == "COMPLETED 0:0", said
    files = sorted((tmp_path / "parts").glob("shard-????.jsonl"))
    assert len(files) == 3 and untimed(*files) == untimed(tmp_path / "whole.jsonl")
