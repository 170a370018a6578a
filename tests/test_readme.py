"""The README's commands and snippets run, and print what it says.

Python blocks run as they stand: what they print must be the comments behind their `print` calls. Of the
shell blocks, those that call `acecoder-rl score` or `doctor` run, in one directory, in order; of those that train, the
dry runs, and the first of its two commands with SMOKE=1 (the second is what runs this).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(README.read_text())
PYTHON = [text for language, text in BLOCKS if language == "python"]
SHELL = [text for language, text in BLOCKS if language == "sh" and re.search(r"acecoder-rl (score|doctor)", text)]


@pytest.mark.parametrize("code", PYTHON, ids=range(len(PYTHON)))
def test_python_blocks_print_what_they_say(code, tmp_path):
    if "sandbox.cluster" in code:
        pytest.importorskip("ray", reason="the extra `ray` is not installed")
    if "numpy" in code:
        pytest.importorskip("numpy")
    said = re.findall(r"^\s*print\(.*\)  # (.*)$", code, re.MULTILINE)
    for _ in range(4):
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=900)
        if "node timed out during startup" not in done.stderr:
            break  # else Ray gave itself up after 30 s, as it does on a busy machine
    assert done.returncode == 0, done.stderr
    assert said and done.stdout.splitlines() == said


def test_shell_blocks_run(tmp_path):
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    told = {}
    for text in SHELL:
        # doctor's status says what the host lacks; that is no failure of the README.
        script = "set -e\n" + text.replace("acecoder-rl doctor", "acecoder-rl doctor || test $? -eq 1")
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env={**os.environ, "PATH": path, "COLUMNS": "120"},
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, f"{text}\n{done.stderr}"
        told[text] = done.stdout + done.stderr
    assert len(told) >= 4

    # The summary that the README shows is the one that comes out, but for times.
    shown = next(text for language, text in BLOCKS if language == "text" and "mean pass rate" in text)
    first = next(text for command, text in told.items() if "answers.jsonl <<" in command)
    assert without_times(shown) == without_times(first)


def without_times(text: str) -> list[str]:
    lines = [re.sub(r"\d+\.\d+ s\b", "T s", line).split() for line in text.splitlines()]
    return [line for line in lines if line and line[0] != "slowest"]


def test_the_files_it_names_are_there():
    block = next(text for language, text in BLOCKS if language == "text" and "acecoder_rl/" in text)
    there = {path.name for part in ("acecoder_rl", "reward_fns") for path in (README.parent / part).rglob("*.py")}
    named = set(re.findall(r"(?<!\*)\b\w+\.py\b", block))
    assert len(named) > 30 and named <= there, named - there


def test_dry_runs_pass():
    lines = [line for language, text in BLOCKS if language == "sh" for line in text.splitlines()]
    commands = [line.split("#")[0] for line in lines if line.startswith("acecoder-rl train") and "--dry-run" in line]
    assert len(commands) >= 2
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=README.parent,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=900,
        )
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert "OpenRLHF 0.11.2 takes these arguments" in done.stdout or command.startswith("acecoder-rl train-rm")


@pytest.mark.training
def test_quickstart_goes_through(tmp_path):
    """`SMOKE=1 make quickstart`, its run in another folder."""
    if not (README.parent / ".venv").exists():
        pytest.skip("not in a checkout that `make` has set up")
    folder = tmp_path / "quickstart"
    done = subprocess.run(
        ["make", "quickstart", f"SET=logging.folder={folder} model.path={tmp_path}/model resources.threads=1"],
        cwd=README.parent,
        env={**os.environ, "SMOKE": "1"},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "claim nothing" in done.stdout and re.search(r"pass@1, 8 samples at T=1 +\d\.\d{3}", done.stdout)
    for name in ("curves.html", "curves.png", "train.log", "report.json", "model/config.json", "recipe.yaml"):
        assert (folder / name).stat().st_size > 0
