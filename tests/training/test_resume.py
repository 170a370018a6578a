"""A run goes on as it began: what would make it another is refused, by name and with both values."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from acecoder_rl.training.load import load_recipe, resolved_yaml
from acecoder_rl.training.recipe import Recipe, RecipeError
from acecoder_rl.training.resume import FREE, changes, check_left
from acecoder_rl.training.run_folder import RunFolder

CPU = Path(__file__).parent / "recipes" / "cpu.yaml"


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    run = RunFolder(tmp_path)
    run.begin(resolved_yaml(load_recipe(CPU, ["train.save_steps=5"])), [])
    return run


def _resumed(*overrides: str) -> Recipe:
    return load_recipe(CPU, ["train.save_steps=5", *overrides])


def test_the_same_recipe_has_no_changes(run):
    assert changes(_resumed(), run, "my.yaml") == []
    assert changes(load_recipe(run.recipe), run, "my.yaml") == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("model.path=gpt2", "model.path is 'gpt2', but the run began with 'runs/models/smollm2-135m-instruct'"),
        ("data.max_prompts=8", "data.max_prompts is 8, but the run began with null"),
        ("reward.kind=all_pass", "reward.kind is 'all_pass', but the run began with 'pass_rate'"),
        ("sandbox.test_seconds=4", "sandbox.test_seconds is 4, but the run began with 2"),
        ("rollout.temperature=0.5", "rollout.temperature is 0.5, but the run began with 1.0"),
        ("train.seed=1", "train.seed is 1, but the run began with 42"),
        ("train.batch_size=24", "train.batch_size is 24, but the run began with 48"),
        # The optimizer and its schedule come out of the checkpoint: it would be without effect.
        ("train.learning_rate=1e-6", "train.learning_rate is 1e-06, but the run began with 3e-05"),
        ("resources.nodes=2", "resources.nodes is 2, but the run began with 1"),
        ("openrlhf.actor.dual_clip=3", "openrlhf.actor.dual_clip is 3, but the run began with not set"),
    ],
)
def test_what_changes_a_step_is_refused(change, told, run):
    with pytest.raises(RecipeError) as caught:
        changes(_resumed(change, "train.episodes=3"), run, "my.yaml")
    line, mend = caught.value.mistakes
    assert line == f"my.yaml: {told}"
    assert mend.endswith(f"acecoder-rl train {run.recipe} --resume")


def test_what_does_not_is_told(run):
    overrides = ("train.episodes=3", "train.save_steps=2", "sandbox.workers=4", "logging.tensorboard=false")
    told = changes(_resumed(*overrides), run, "my.yaml")
    assert told == [
        "my.yaml: sandbox.workers is 4, but the run began with 2",
        "my.yaml: train.episodes is 3, but the run began with 1",
        "my.yaml: train.save_steps is 2, but the run began with 5",
        "my.yaml: logging.tensorboard is false, but the run began with true",
    ]


def test_every_free_field_is_one() -> None:
    known = [
        f"{section}.{name}"
        for section, field in Recipe.model_fields.items()
        for name in getattr(field.annotation, "model_fields", {})
    ]
    for free in FREE:
        if not free.startswith(("openrlhf.", "sandbox.")):
            assert any(field.startswith(free) for field in known), free


@pytest.mark.parametrize(
    ("step", "model", "overrides", "refused"),
    [
        (20, True, [], True),
        (15, True, [], False),
        (20, True, ["train.episodes=2"], False),
        # Killed after its last step, before the model was written: what is left is to write it.
        (20, False, [], False),
        (20, True, ["rollout.dynamic_filtering=true"], False),
    ],
)
def test_a_run_that_is_over_is_not_begun_again(step, model, overrides, refused, run):
    saved = run.checkpoints / "_actor" / f"global_step{step}"
    saved.mkdir(parents=True)
    (saved / "0.pt").touch()
    (saved.parent / "latest").write_text(saved.name)
    if model:
        run.model.mkdir()
        (run.model / "config.json").touch()
    told = []
    try:
        check_left(_resumed(*overrides), SimpleNamespace(steps_per_episode=20), run, "my.yaml")
    except RecipeError as error:
        told = list(error.mistakes)
    assert bool(told) is refused
    assert all("nothing is left to train" in line and line.endswith("Raise train.episodes") for line in told)
