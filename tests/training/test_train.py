"""What keeps a run from starting is told before anything is made, and `acecoder-rl train` ends with the right status.

Does not cover: runs that start (runs/).
"""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from acecoder_rl.training import train as trains
from acecoder_rl.training.data import prepare
from acecoder_rl.training.load import load_recipe, resolved_yaml
from acecoder_rl.training.recipe import RecipeError
from acecoder_rl.training.run_folder import RunFolder
from acecoder_rl.training.train import plan_of, steps, train
from tests.training.conftest import CHAT

CPU = str(Path(__file__).parent / "recipes" / "cpu.yaml")
GPU = str(Path(__file__).parent / "recipes" / "gpu.yaml")
with_openrlhf = pytest.mark.skipif(importlib.util.find_spec("openrlhf") is None, reason="needs OpenRLHF's files")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _refused(*overrides: str, resume: bool = False) -> str:
    with pytest.raises(RecipeError) as error:
        train(CPU, overrides, resume)
    return str(error.value)


def _begun(folder: str, recipe: str = "first", step: int | None = None) -> RunFolder:
    """A run's folder, with a checkpoint of `step`."""
    run = RunFolder(folder)
    run.begin(recipe, [])
    if step is not None:
        saved = run.checkpoints / "_actor" / f"global_step{step}"
        saved.mkdir(parents=True)
        (saved / "mp_rank_00_model_states.pt").touch()
        (saved.parent / "latest").write_text(saved.name)
    return run


@pytest.mark.parametrize(
    ("step", "resume", "told"),
    [
        (None, False, "which holds a run without a checkpoint: delete it, or give another with"),
        (3, False, "which holds a run: --resume it, delete it, or give another with"),
        (None, True, "whose run has no checkpoint: leave out --resume, and delete the folder or give another with"),
    ],
)
def test_resume_is_offered_where_there_is_a_checkpoint(step, resume, told, here):
    _begun("runs/a", step=step)
    said = _refused("logging.folder=runs/a", resume=resume)
    assert said == f"{CPU}: logging.folder is runs/a, {told} --set logging.folder=..."
    assert (here / "runs/a/recipe.yaml").read_text() == "first"


def test_without_a_run_there_is_nothing_to_resume(here):
    said = _refused("logging.folder=/somewhere/a", resume=True)
    assert said == f"{CPU}: logging.folder is /somewhere/a, which holds no run: leave out --resume"


@with_openrlhf
def test_what_goes_on_goes_back_to_what_all_models_have(here, monkeypatch, tokenizer_folder):
    more = ["logging.folder=runs/a", f"model.path={tokenizer_folder()}", "data.chat=false", "train.save_steps=1"]
    (tokenizer_folder() / "config.json").write_text("{}")
    recipe = load_recipe(CPU, more)
    run = _begun("runs/a", resolved_yaml(recipe), step=2)
    prepare(recipe, run.data)
    order = (run.data / "train.jsonl").read_bytes()
    half = run.checkpoints / "_actor" / "global_step3"
    half.mkdir()
    monkeypatch.setattr(trains, "launch", lambda plan, run, screen: launched.append(half.exists()))
    monkeypatch.setattr(trains.curves, "draw", lambda run: None)
    launched: list[bool] = []
    train(CPU, [*more, "train.episodes=2"], resume=True)
    assert launched == [False]
    assert (run.data / "train.jsonl").read_bytes() == order and {path.name for path in run.data.iterdir()} == {
        "train.jsonl",
        "eval.jsonl",
    }
    assert (run.path / "recipe.1.yaml").read_text() == resolved_yaml(recipe)

    # Other prompts, in whatever way they came to be others, are another run.
    (run.data / "train.jsonl").write_bytes(order[:-1])
    assert "data.train gives other prompts than" in _refused(*more, resume=True)
    assert (run.data / "train.jsonl").read_bytes() == order[:-1]


@with_openrlhf
@pytest.mark.parametrize("dated", [True, False])
def test_a_run_goes_on_another_day_where_the_chat_template_tells_the_date(here, monkeypatch, tokenizer_folder, dated):
    """Llama 3.2's does. What the run began with stays; another problem is another run all the same."""
    dates = CHAT + ("{# #}{{ strftime_now('%d %B %Y') }}" if dated else "17 May 2001")
    folder = tokenizer_folder(dates)
    more = ["logging.folder=runs/a", f"model.path={folder}", "train.save_steps=1"]
    (folder / "config.json").write_text("{}")
    recipe = load_recipe(CPU, more)
    run = _begun("runs/a", resolved_yaml(recipe), step=2)
    prepare(recipe, run.data)
    today = (run.data / "train.jsonl").read_text()
    before = re.sub(r"\d\d \w+ 20\d\d", "16 May 2001", today)
    assert before != today
    (run.data / "train.jsonl").write_text(before)
    monkeypatch.setattr(trains, "launch", lambda plan, run, screen: None)
    monkeypatch.setattr(trains.curves, "draw", lambda run: None)
    if not dated:
        assert "data.train gives other prompts than" in _refused(*more, resume=True)
        return
    train(CPU, more, resume=True)
    assert (run.data / "train.jsonl").read_text() == before

    (run.data / "train.jsonl").write_text("".join(reversed(before.splitlines(keepends=True))))
    assert "data.train gives other prompts than" in _refused(*more, resume=True)


@pytest.mark.parametrize("path", ["./model", "/no/model", "~/model", "runs/models/a"])
def test_a_model_that_is_not_there_is_not_asked_of_the_hub(path, here):
    said = _refused(f"model.path={path}")
    mend = "give a folder or a Hub id (make quickstart makes the starter model)"
    assert said == f"{CPU}: model.path is '{path}', which does not exist: {mend}"
    assert os.listdir(here) == []


@pytest.mark.parametrize(
    ("prepared", "overrides", "expected"),
    [(20, [], 20), (20, ["train.episodes=3"], 60)],
)
def test_steps(prepared, overrides, expected):
    assert steps(load_recipe(CPU, overrides), SimpleNamespace(steps_per_episode=prepared)) == expected


def test_where_filtering_decides_steps_are_not_known():
    filtered = load_recipe(GPU, ["rollout.dynamic_filtering=true"])
    assert steps(filtered, SimpleNamespace(steps_per_episode=20)) is None


def test_the_plan_says_what_the_recipe_says(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    plan = plan_of(load_recipe(CPU, ["resources.nodes=2", "resources.threads=5"]), ["--a.b", "1"])
    assert (plan.device, plan.threads, plan.arguments) == ("cpu", 5, ["--a.b", "1"])
    assert (plan.assistant_prefix, plan.sandbox) == ("```python\n", {"workers": 2, "test_seconds": 2})
    assert plan.reward["kind"] == "pass_rate" and plan.address == "head:6379"
    assert plan.gpus == 2 * 2  # a policy and an engine a node
    monkeypatch.delenv("RAY_ADDRESS")
    plan = plan_of(load_recipe(CPU), [])
    assert (plan.threads, plan.address) == (len(os.sched_getaffinity(0)), None)


def test_command_each_mistake_is_a_line_and_the_status_is_2(cli, tmp_path):
    ended = cli("train", CPU, "--set", "rollout.batch_size=0", "--set", "train.epsiodes=2")
    assert ended.returncode == 2 and ended.stdout == ""
    first, second = ended.stderr.splitlines()
    assert first == (
        "acecoder-rl: --set rollout.batch_size=0: rollout.batch_size is 0: give a whole number of at least 1"
    )
    assert second.startswith("acecoder-rl: --set train.epsiodes=2: ") and "did you mean episodes?" in second
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("more", [[], ["--dry-run"], ["--address", "http://127.0.0.1:1"]])
def test_command_a_recipe_that_is_not_there(more, cli):
    ended = cli("train", "no.yaml", *more)
    assert (ended.returncode, ended.stderr) == (2, "acecoder-rl: no.yaml: there is no such file\n")


@with_openrlhf
def test_command_a_dry_run_prints_the_command_and_leaves_nothing(cli, tmp_path):
    ended = cli("train", CPU, "--dry-run", "--set", "train.learning_rate=1e-5")
    assert ended.returncode == 0, ended.stderr
    assert "python -m openrlhf.cli.train_ppo_ray" in ended.stdout
    assert "--actor.adam.lr 1e-05" in ended.stdout and "--rollout.batch_size 8" in ended.stdout
    assert "model.path runs/models/smollm2-135m-instruct is not there yet" in ended.stdout
    assert os.listdir(tmp_path) == []


@with_openrlhf
def test_command_what_openrlhf_refuses_is_told_with_the_status_of_a_mistake(cli):
    ended = cli("train", CPU, "--dry-run", "--set", "openrlhf.no.such_flag=1")
    assert ended.returncode == 2 and "no.such_flag" in ended.stderr
    assert "Traceback" not in ended.stderr and ended.stdout == ""
