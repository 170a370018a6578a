"""A run's folder says what the run was made from, and which step it can go on from."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from acecoder_rl.training.recipe import RecipeError
from acecoder_rl.training.run_folder import RunFolder, git_state


def _saved(run: RunFolder, model: str, tag: str, latest: str | None = None, files: int = 2) -> Path:
    """A checkpoint as DeepSpeed leaves one."""
    folder = run.checkpoints / model / tag
    folder.mkdir(parents=True)
    for number in range(files):
        (folder / f"{number}.pt").touch()
    if latest is not None:
        (folder.parent / "latest").write_text(latest)
    return folder


@pytest.mark.parametrize(
    ("tag", "latest", "step"),
    [
        ("global_step20", "global_step20", 20),
        ("global_step20", "global_step20\n", 20),
        # OpenRLHF writes these after an evaluation that was the best so far.
        ("best_global_step7", "best_global_step7", 7),
        ("global_step", "global_step", None),
        ("global_step20_hf", "global_step20_hf", None),
        # Killed between the opening of `latest` and its writing.
        ("global_step20", "", 20),
        ("global_step20", "?", None),
        ("global_step20", None, None),
        # It was deleted to make room for the next, which was not written.
        ("global_step10", "global_step20", 10),
    ],
)
def test_the_last_checkpoint(tag, latest, step, tmp_path):
    run = RunFolder(tmp_path)
    assert run.last_checkpoint() is None
    _saved(run, "_actor", tag, latest)
    assert run.last_checkpoint() == step


def test_a_step_that_one_of_two_models_has_is_no_checkpoint(tmp_path):
    run = RunFolder(tmp_path)
    _saved(run, "_actor", "global_step10")
    later = _saved(run, "_actor", "global_step20", "global_step20")
    _saved(run, "_critic", "global_step10", "global_step10")
    half = _saved(run, "_critic", "global_step20", files=1)
    assert run.last_checkpoint() == 10
    run.go_back_to(10)
    assert run.last_checkpoint() == 10 and not later.exists() and not half.exists()
    assert [(run.checkpoints / name / "latest").read_text() for name in ("_actor", "_critic")] == ["global_step10"] * 2
    # Killed in its first save, the critic has nothing.
    shutil.rmtree(run.checkpoints / "_critic" / "global_step10")
    assert run.last_checkpoint() is None


def test_a_checkpoint_that_was_being_deleted_is_none(tmp_path):
    run = RunFolder(tmp_path)
    kept = _saved(run, "_actor", "global_step10")
    # The one with the worst evaluation goes first, which may be the latest.
    gone = _saved(run, "_actor", "global_step20", "global_step20", files=1)
    beside = run.checkpoints / "global_step20_hf"
    beside.mkdir()
    assert run.last_checkpoint() == 10
    run.go_back_to(10)
    assert kept.exists() and beside.exists() and not gone.exists()


def test_of_one_step_the_regular_checkpoint_is_taken(tmp_path):
    run = RunFolder(tmp_path)
    _saved(run, "_actor", "global_step20", "global_step20")
    half = _saved(run, "_actor", "best_global_step20", files=1)
    run.go_back_to(20)
    assert (run.checkpoints / "_actor" / "latest").read_text() == "global_step20" and not half.exists()


HOLDS = """
import sys, time
from acecoder_rl.training.run_folder import RunFolder
with RunFolder(sys.argv[1]).held("my.yaml", False):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_folder_is_for_one_run_at_a_time_until_it_is_killed(tmp_path):
    run = RunFolder(tmp_path / "run")
    other = subprocess.Popen([sys.executable, "-c", HOLDS, str(run.path)], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "held\n"
        told = r"my\.yaml: logging\.folder is .*, where another run goes on"
        with pytest.raises(RecipeError, match=told), run.held("my.yaml", resume=False):
            pass
    finally:
        other.kill()
        other.wait()
    with run.held("my.yaml", resume=True):
        pass


def test_a_kill_while_its_facts_are_written_leaves_the_former_ones(tmp_path, monkeypatch):
    run = RunFolder(tmp_path)
    run.begin("recipe", ["first"])
    before = run.facts.read_bytes()
    written = Path.write_text

    def killed(path, text):
        written(path, text[:10])
        assert not path.name.startswith("run."), "killed"

    monkeypatch.setattr(Path, "write_text", killed)
    with pytest.raises(AssertionError, match="killed"):
        run.begin("recipe", ["second"])
    assert run.facts.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    told = r"logging\.folder is .*file/run, which cannot be written: Not a directory"
    with pytest.raises(RecipeError, match=told), RunFolder(tmp_path / "file" / "run").held("my.yaml", resume=False):
        pass


def test_another_recipe_does_not_write_over_the_first(tmp_path):
    run = RunFolder(tmp_path)
    for text in ("first", "second", "second", "third"):
        run.begin(text, [])
    assert {path.name: path.read_text() for path in tmp_path.glob("recipe*")} == {
        "recipe.1.yaml": "first",
        "recipe.2.yaml": "second",
        "recipe.yaml": "third",
    }


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
