"""The recipes that come with us pass the whole dry run, offline, and say what they promise."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from acecoder_rl.cli import app
from acecoder_rl.training.checks import check
from acecoder_rl.training.load import load_recipe, resolved_yaml
from acecoder_rl.training.placement import parts
from acecoder_rl.training.recipe import Recipe

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "recipes"
# Those of other commands are tested with them.
RECIPES = sorted(file for file in FOLDER.glob("*.yaml") if not file.name.startswith(("rm_", "synth")))
CODER, BASE, GENERAL = "Qwen/Qwen2.5-Coder-7B-Instruct", "Qwen/Qwen2.5-Coder-7B", "Qwen/Qwen2.5-7B-Instruct"
# The paper's six runs.
PAPER = {
    "reinforce_pp_qwen_coder_7b_rule": (CODER, False),
    "reinforce_pp_qwen_coder_7b_rm": (CODER, True),
    "reinforce_pp_qwen_coder_7b_base_rule": (BASE, False),
    "reinforce_pp_qwen_coder_7b_base_rm": (BASE, True),
    "reinforce_pp_qwen_7b_rule": (GENERAL, False),
    "reinforce_pp_qwen_7b_rm": (GENERAL, True),
}
with_openrlhf = pytest.mark.skipif(importlib.util.find_spec("openrlhf") is None, reason="needs OpenRLHF's files")


def _recipe(name: str, *overrides: str) -> Recipe:
    return load_recipe(FOLDER / f"{name}.yaml", overrides)


@pytest.fixture
def dry_run(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What `acecoder-rl train RECIPE --dry-run` prints, in this process: starting Python is the slow part."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was made")

    def run(file: Path, *overrides: str) -> str:
        options = [part for override in overrides for part in ("--set", override)]
        done = CliRunner().invoke(app, ["train", str(file.relative_to(ROOT)), "--dry-run", *options])
        assert done.exit_code == 0, done.stderr
        return done.stdout

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    return run


def test_they_are_there() -> None:
    more = {"quickstart", "ppo_qwen_coder_7b_rule", "reinforce_pp_qwen_coder_7b_mixed"}
    assert PAPER.keys() | more <= {file.stem for file in RECIPES}


@with_openrlhf
@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_a_recipe_passes_the_dry_run(file: Path, dry_run: Any, tmp_path: Path) -> None:
    told = dry_run(file)
    assert "OpenRLHF 0.11.2 takes these arguments" in told
    assert "  says: " not in told and "  changes " not in told
    recipe = load_recipe(file)
    again = tmp_path / "recipe.yaml"
    again.write_text(resolved_yaml(recipe))
    assert load_recipe(again) == recipe


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: file.stem)
def test_a_recipe_begins_with_what_it_is_and_how_it_is_run(file: Path) -> None:
    head = file.read_text().split("\n\n")[0]
    assert head.startswith("# ")
    assert f"acecoder-rl train recipes/{file.name}" in head.partition("\nmodel:")[0]


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_values(name: str) -> None:
    model, judged = PAPER[name]
    recipe = _recipe(name)
    rollout, train = recipe.rollout, recipe.train
    assert recipe.model.path == model
    assert (rollout.batch_size, rollout.n_samples_per_prompt, train.batch_size) == (256, 8, 128)
    assert (train.learning_rate, train.episodes, train.kl_coef, train.clip) == (5e-7, 1, 0.01, 0.2)
    assert (train.advantage_estimator, train.kl_estimator, train.kl_in_loss) == ("reinforce", "k1", False)
    assert recipe.data.train[0].subset == "hard"
    assert (recipe.data.max_prompt_tokens, rollout.max_new_tokens, rollout.temperature) == (2048, 2048, 1.0)
    if judged:
        assert recipe.reward_model is not None and recipe.reward_model.path == "TIGER-Lab/AceCodeRM-7B"
        assert recipe.reward["weight"] == 0 and [part["kind"] for part in recipe.reward["parts"]] == ["acecode_rm"]
    else:
        assert recipe.reward == {"kind": "all_pass"} and recipe.reward_model is None
    _fits_one_node(recipe)


def test_the_runs_have_folders_of_their_own() -> None:
    assert len({load_recipe(file).logging.folder for file in RECIPES}) == len(RECIPES)


def test_the_forks_ppo_values() -> None:
    recipe = _recipe("ppo_qwen_coder_7b_rule")
    rollout, train = recipe.rollout, recipe.train
    assert train.advantage_estimator == "gae"
    assert (rollout.batch_size, rollout.n_samples_per_prompt, rollout.max_new_tokens) == (1024, 8, 3072)
    assert (train.learning_rate, train.critic_learning_rate, train.episodes) == (5e-7, 9e-6, 5)
    assert (train.micro_batch_size, rollout.micro_batch_size, train.gamma, train.lambd) == (4, 8, 1.0, 1.0)
    _fits_one_node(recipe)


def test_in_the_mixed_run_tests_decide() -> None:
    recipe = _recipe("reinforce_pp_qwen_coder_7b_mixed")
    assert (recipe.reward["mode"], recipe.reward["holdout"]) == ("tie_break", 0.2)
    assert "weight" not in recipe.reward and "limit" not in recipe.reward["parts"][0]
    _fits_one_node(recipe)


@with_openrlhf
@pytest.mark.parametrize(
    "name", ["reinforce_pp_qwen_coder_7b_base_rm", "reinforce_pp_qwen_coder_7b_mixed"], ids=["rm", "mixed"]
)
def test_the_32b_judges_by_one_override(name: str, dry_run: Any) -> None:
    told = dry_run(FOLDER / f"{name}.yaml", "reward_model.path=TIGER-Lab/AceCodeRM-32B")
    assert "reward model TIGER-Lab/AceCodeRM-32B, 1 copy\n" in told
    assert "  reward model   2  (1 x 2, in the whole run)\n  together       8 of 8\n" in told


@with_openrlhf
@pytest.mark.parametrize(
    ("name", "more"),
    [("reinforce_pp_qwen_coder_7b_rm", ()), ("ppo_qwen_coder_7b_rule", ("resources.nodes=4",))],
    ids=["rm, 2 nodes", "ppo, 4 nodes"],
)
def test_more_nodes_by_one_override(name: str, more: tuple[str, ...], dry_run: Any) -> None:
    overrides = more or ("resources.nodes=2",)
    recipe, nodes = _recipe(name, *overrides), 4 if more else 2
    told = dry_run(FOLDER / f"{name}.yaml", *overrides)
    flags = ("actor.num_nodes", "ref.num_nodes") + (("critic.num_nodes",) if "critic" in parts(recipe) else ())
    assert all(f"--{flag} {nodes} " in told for flag in flags)
    assert f"--vllm.num_engines {2 * nodes} " in told
    assert parts(recipe) == {part: nodes * gpus for part, gpus in parts(_recipe(name)).items()}


@pytest.mark.parametrize("name", [file.stem for file in RECIPES if file.stem != "quickstart"])
def test_what_the_head_says_of_2_4_and_8_nodes(name: str) -> None:
    for nodes in (2, 4):
        check(_recipe(name, f"resources.nodes={nodes}"), name)
    check(_recipe(name, "resources.nodes=8", "train.micro_batch_size=4"), name)


def _fits_one_node(recipe: Recipe) -> None:
    resources = recipe.resources
    assert (resources.device, resources.nodes, resources.gpus_per_node) == ("gpu", 1, 8)
    assert sum(parts(recipe).values()) == 8
    assert resources.zero_stage == 3
    assert resources.adam_offload and resources.gradient_checkpointing and resources.packing_samples
