"""What `--dry-run` tells: the command, steps, GPUs, warnings, and what nothing could check."""

from __future__ import annotations

import shlex
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from acecoder_rl.training import openrlhf_parser, plan
from acecoder_rl.training.load import RecipeError, load_recipe, resolved_yaml
from acecoder_rl.training.plan import arguments, command, explain
from acecoder_rl.training.run_folder import RunFolder

RECIPES = Path(__file__).parent / "recipes"
CPU, GPU = RECIPES / "cpu.yaml", RECIPES / "gpu.yaml"


@pytest.fixture(autouse=True)
def problems(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What the data is said to be; reading it is tested with it."""
    told = SimpleNamespace(train_problems=163, eval_problems=60, unchecked=["data.train.0 is on the Hub"], warnings=[])
    monkeypatch.setattr(plan, "inspect", lambda data, reward: told)
    return told


def _plan(file: Path, *overrides: str) -> str:
    return explain(load_recipe(file, overrides), "my.yaml")


def _row(text: str, name: str) -> str:
    (line,) = [line for line in text.splitlines() if line.split("  ")[0] == name]
    return line[len(name) :].strip()


def test_the_command_is_the_one_that_runs() -> None:
    recipe = load_recipe(CPU, ["model.path=/a folder/it's", "openrlhf.reward.stop_properly_penalty_coef=-0.5"])
    told = explain(recipe, "my.yaml")
    shown = told[told.index("  python -m") :].split("\n\n")[0]
    assert shlex.split(shown.replace("\\\n", " ")) == [
        "python",
        "-m",
        "openrlhf.cli.train_ppo_ray",
        *arguments(recipe),
    ]
    lines = command(arguments(recipe))
    assert all(line.count(" --") == 1 for line in lines[1:])
    assert "  --actor.model_name_or_path '/a folder/it'\"'\"'s' \\" in lines


@pytest.mark.parametrize(
    ("overrides", "count", "steps"),
    [
        ([], 160, "20, from 160 prompts"),
        ([], 163, "20, from 163 prompts, 3 left out to fill the last step"),
        (["train.episodes=3"], 160, "20 x 3 episodes = 60, from 160 prompts"),
        (["rollout.dynamic_filtering=true"], 160, "at most 20, from 160 prompts"),
        # A last step of 4 prompts fills an optimizer step of 24 samples.
        (["train.batch_size=24"], 164, "21, from 164 prompts"),
        # Where a checkpoint is saved, no step may be a smaller one.
        (
            ["train.batch_size=24", "train.save_steps=5"],
            164,
            "20, from 164 prompts, 4 left out to fill the last step",
        ),
        (
            [],
            None,
            "problems / 8 an episode, of which there are 1; how many problems there are is not known yet",
        ),
    ],
)
def test_steps(problems: SimpleNamespace, overrides: list[str], count: int | None, steps: str) -> None:
    problems.train_problems = count
    assert _row(_plan(CPU, *overrides), "steps") == steps


@pytest.mark.parametrize(
    ("overrides", "count"),
    [([], 7), (["data.max_prompts=7"], 160), (["train.batch_size=96", "rollout.batch_size=16"], 7)],
)
def test_too_few_prompts_for_a_step_are_told(problems: SimpleNamespace, overrides: list[str], count: int) -> None:
    problems.train_problems = count
    told = _plan(CPU, *overrides)
    assert "training will not start: rollout.batch_size is" in told
    assert "but data.train has only 7 prompts: give more problems, or a batch_size of at most 7\n" in told


def test_a_run_that_goes_on_is_checked_as_one(tmp_path: Path) -> None:
    recipe = load_recipe(CPU, [f"logging.folder={tmp_path}/run", "train.save_steps=1"])
    with pytest.raises(RecipeError, match="which holds no run: leave out --resume"):
        explain(recipe, "my.yaml", resume=True)
    run = RunFolder(tmp_path / "run")
    run.begin(resolved_yaml(recipe), [])
    saved = run.checkpoints / "_actor" / "global_step3"
    saved.mkdir(parents=True)
    (saved / "mp_rank_00_model_states.pt").touch()
    (saved.parent / "latest").write_text(saved.name)
    assert "--ckpt.load_enable" in explain(recipe, "my.yaml", resume=True)
    assert "--ckpt.load_enable" not in explain(recipe, "my.yaml")
    other = load_recipe(CPU, [f"logging.folder={tmp_path}/run", "train.save_steps=1", "train.clip=0.3"])
    with pytest.raises(RecipeError, match=r"train\.clip is 0\.3, but the run began with 0\.2"):
        explain(other, "my.yaml", resume=True)


def test_enough_prompts_for_a_step_are_no_warning(problems: SimpleNamespace) -> None:
    problems.train_problems = 8
    assert "will not start" not in _plan(CPU)


def test_a_step_in_figures() -> None:
    assert _row(_plan(GPU), "a step") == "256 prompts x 8 = 2048 samples, 16 optimizer steps of 128"
    assert _row(_plan(CPU), "a step") == "8 prompts x 6 = 48 samples, 1 optimizer step of 48"
    assert _row(_plan(CPU, "train.max_epochs=2"), "a step").endswith("2 optimizer steps of 48")


def test_the_evaluation() -> None:
    assert _row(_plan(CPU), "evaluation") == "none while training"
    told = _row(_plan(CPU, "train.eval_steps=5"), "evaluation")
    assert told == "every 5 steps: 60 problems x 4 samples at temperature 1"


def test_gpus_by_role() -> None:
    told = _plan(GPU, "resources.nodes=2")
    block = told[told.index("GPUs of") :].split("\n\n")[0]
    assert block.splitlines() == [
        "GPUs of each of 2 nodes",
        "  policy         4",
        "  reference      4 the policy's",
        "  engines        4",
        "  together       8 of 8",
        "  an engine takes 85% of a GPU's memory",
    ]
    assert "GPUs of each of 1 node (logical: all on the CPU)" in _plan(CPU)


def test_warnings_and_what_is_unchecked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    told = _plan(CPU, f"model.path={tmp_path}")
    assert "warnings\n  my.yaml: train.save_steps is not set" in told
    assert "unchecked\n  data.train.0 is on the Hub\n" in told
    assert "model.path runs/models/none is not there yet" in _plan(CPU, "model.path=runs/models/none")
    assert "model.path Qwen/Qwen2.5-Coder-7B-Instruct is looked for on the Hugging Face Hub" in _plan(GPU)
    assert "says: Recommend setting k1 to 'k2' or 'k3'" in _plan(GPU, "train.kl_in_loss=true")

    def gone(*_: object) -> None:
        raise openrlhf_parser.NotInstalled("not checked by OpenRLHF's own parser: run `make setup`")

    monkeypatch.setattr("acecoder_rl.training.plan.check_arguments", gone)
    assert "unchecked\n  not checked by OpenRLHF's own parser: run `make setup`\n" in _plan(CPU)


def test_what_openrlhf_changes_is_told() -> None:
    told = _plan(GPU, "resources.packing_samples=false", "openrlhf.train.dynamic_batch_enable=true")
    assert "  changes ds.packing_samples from False to True\n" in told


def test_no_network_is_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was made")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert "Hugging Face Hub" in _plan(GPU)


def test_the_datas_warnings_are_told(problems: SimpleNamespace) -> None:
    problems.warnings = ["data.train.0 has few problems"]
    assert "  my.yaml: data.train.0 has few problems\n" in _plan(CPU)


def test_mistakes_of_recipe_and_data_are_raised_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    with pytest.raises(RecipeError) as caught:
        _plan(CPU, "train.gamma=0.9", "data.train=nowhere/problems.jsonl")
    assert [line.split(" is ")[0] for line in caught.value.mistakes] == [
        "my.yaml: train.gamma",
        "my.yaml: data.train.0.path",
    ]


def test_what_openrlhf_refuses_is_raised() -> None:
    with pytest.raises(RecipeError, match=r"^my\.yaml: openrlhf\.zz is not known to OpenRLHF"):
        _plan(CPU, "openrlhf.zz=1")
