"""The recipes that come with us load, fit together, pass OpenRLHF's own checks, and say what they promise."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from acecoder_rl.training.checks import check
from acecoder_rl.training.load import load_recipe, resolved_yaml
from acecoder_rl.training.openrlhf_parser import check_arguments
from acecoder_rl.training.plan import arguments
from acecoder_rl.training.recipe import Recipe

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = sorted(file for file in FOLDER.glob("*.yaml") if not file.name.startswith("rm_"))  # those: reward_model
with_openrlhf = pytest.mark.skipif(
    importlib.util.find_spec("openrlhf") is None, reason="needs OpenRLHF's files"
)


def test_they_are_there() -> None:
    names = {"quickstart", "reinforce_pp_qwen_coder_7b_rule", "ppo_qwen_coder_7b_rule"}
    assert names <= {file.stem for file in RECIPES}


@with_openrlhf
@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_a_recipe_passes_every_check(file: Path, tmp_path: Path) -> None:
    recipe = load_recipe(file)
    check(recipe, file.name)
    checked = check_arguments(arguments(recipe), file.name)
    assert checked.warnings == ()
    assert [item for item in checked.rewrites if item.before is not None] == []
    again = tmp_path / "recipe.yaml"
    again.write_text(resolved_yaml(recipe))
    assert load_recipe(again) == recipe


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_a_recipe_begins_with_what_it_is_and_how_it_is_run(file: Path) -> None:
    head = file.read_text().split("\n\n")[0]
    assert head.startswith("# ")
    assert f"acecoder-rl train recipes/{file.name}" in file.read_text().partition("\nmodel:")[0]


def test_the_papers_values() -> None:
    recipe = load_recipe(FOLDER / "reinforce_pp_qwen_coder_7b_rule.yaml")
    rollout, train = recipe.rollout, recipe.train
    assert (rollout.batch_size, rollout.n_samples_per_prompt, train.batch_size) == (256, 8, 128)
    assert (train.learning_rate, train.episodes, train.kl_coef, train.clip) == (5e-7, 1, 0.01, 0.2)
    assert (train.advantage_estimator, train.kl_estimator, train.kl_in_loss) == ("reinforce", "k1", False)
    assert recipe.reward == {"kind": "all_pass"}
    assert recipe.data.train[0].subset == "hard"
    assert (recipe.data.max_prompt_tokens, rollout.max_new_tokens, rollout.temperature) == (2048, 2048, 1.0)
    _fits_one_node(recipe)


def test_the_forks_ppo_values() -> None:
    recipe = load_recipe(FOLDER / "ppo_qwen_coder_7b_rule.yaml")
    rollout, train = recipe.rollout, recipe.train
    assert train.advantage_estimator == "gae"
    assert (rollout.batch_size, rollout.n_samples_per_prompt, rollout.max_new_tokens) == (1024, 8, 3072)
    assert (train.learning_rate, train.critic_learning_rate, train.episodes) == (5e-7, 9e-6, 5)
    _fits_one_node(recipe)


def _fits_one_node(recipe: Recipe) -> None:
    resources = recipe.resources
    assert (resources.device, resources.nodes, resources.gpus_per_node) == ("gpu", 1, 8)
    assert resources.zero_stage == 3
    assert resources.adam_offload and resources.gradient_checkpointing and resources.packing_samples
