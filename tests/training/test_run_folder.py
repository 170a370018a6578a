"""A run's folder says what the run was made from, and which step it can go on from."""

from __future__ import annotations

import json
import subprocess

import pytest

from acecoder_rl.training.run_folder import RunFolder, git_state


@pytest.mark.parametrize(
    ("latest", "step"),
    [
        ("global_step20", 20),
        ("global_step20\n", 20),
        # OpenRLHF writes these after an evaluation that was the best so far.
        ("best_global_step7", 7),
        ("global_step", None),
        ("global_step20_hf", None),
        ("", None),
    ],
)
def test_the_last_checkpoint(latest, step, tmp_path):
    run = RunFolder(tmp_path)
    assert run.last_checkpoint() is None
    (run.checkpoints / "_actor").mkdir(parents=True)
    assert run.last_checkpoint() is None
    (run.checkpoints / "_actor" / "latest").write_text(latest)
    assert run.last_checkpoint() == step


def test_nothing_is_made_before_a_run_begins(tmp_path):
    run = RunFolder(tmp_path / "deep" / "run")
    assert not run.used and not run.path.parent.exists()
    run.begin("model: {}\n", ["--a.b", "1"])
    assert run.used and run.recipe.read_text() == "model: {}\n"


def test_a_run_that_goes_on_adds_to_what_is_written(tmp_path):
    run = RunFolder(tmp_path)
    run.begin("model: {}\n", ["--first"])
    run.failure.write_text("{}")
    run.begin("model: {}\n", ["--second"])
    first, second = json.loads(run.facts.read_text())
    assert (first["openrlhf_arguments"], second["openrlhf_arguments"]) == (["--first"], ["--second"])
    assert {"started", "host", "command", "git", "python", "versions"} <= first.keys()
    # What failed before is not told of this one.
    assert not run.failure.exists()


def test_paths_hold_wherever_a_worker_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = RunFolder("runs/a")
    monkeypatch.chdir("/")
    assert run.log == tmp_path / "runs" / "a" / "train.log"


def test_git_state(tmp_path):
    assert git_state(tmp_path) is None
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    state = git_state(tmp_path)
    assert len(state["commit"]) == 40 and state["changed"] == []
    (tmp_path / "new.py").touch()
    assert git_state(tmp_path)["changed"] == ["?? new.py"]


def test_git_state_without_git(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) is None
