"""Recipes of reward models: their mistakes, the arithmetic of their batches, those that are shipped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acecoder_rl.reward_model.training import deepspeed, launch
from acecoder_rl.reward_model.training.plan import explain
from acecoder_rl.reward_model.training.recipe import accumulation, check, load
from acecoder_rl.reward_model.training.train import steps
from acecoder_rl.training.load import resolved_yaml
from acecoder_rl.training.recipe import RecipeError

FOLDER = Path(__file__).parents[3] / "recipes"
SHIPPED = sorted(FOLDER.glob("rm_*.yaml"))
RM_7B, RM_32B = FOLDER / "rm_qwen_coder_7b.yaml", FOLDER / "rm_qwen_coder_32b.yaml"


def test_mistakes_are_told_all_at_once_with_their_lines(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("model: {path: gpt2}\ndata:\n  path: pairs.jsonl\n  cut_off: 7\ntrain:\n  batchsize: 8\n")
    with pytest.raises(RecipeError) as error:
        load(file, ["data.margin=gaps", "resources.n_samples=1"])
    assert error.value.mistakes == (
        "--set resources.n_samples=1: resources.n_samples is not known: give one of device, nodes, gpus_per_node, "
        "zero_stage, adam_offload, gradient_checkpointing, threads",
        "--set data.margin=gaps: data.margin is 'gaps': did you mean gap? It takes one of none, gap",
        f"{file}:4: data.cut_off is not known: did you mean cutoff_len?",
        f"{file}:6: train.batchsize is not known: did you mean batch_size?",
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            ["train.micro_batch_size=3"],
            "train.batch_size is 128, which is no multiple of train.micro_batch_size 3 x 8 GPUs = 24: set "
            "train.micro_batch_size to 2, or train.batch_size to 120",
        ),
        (
            ["train.batch_size=4"],
            "train.batch_size is 4, which is no multiple of train.micro_batch_size 4 x 8 GPUs = 32: set "
            "train.batch_size to 32",
        ),
        (["resources.threads=2"], "resources.threads is 2, but resources.device is gpu: leave it out"),
        (["data.val_share=0"], "train.eval_steps is 200, but data.val_share is 0: leave one of them out"),
        (["resources.device=cpu", "model.attention=flash_attention_2"], "model.attention is 'flash_attention_2', but"),
    ],
)
def test_fields_that_do_not_fit(changes: list[str], told: str) -> None:
    with pytest.raises(RecipeError) as error:
        check(load(RM_7B, changes), "my.yaml")
    assert str(error.value).startswith(f"my.yaml: {told}")


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_shipped_recipes_tell_their_plan(file: Path, tmp_path: Path) -> None:
    recipe = load(file)
    plan = explain(recipe, file.name)
    assert "the recipe fits together; nothing was started" in plan
    assert f"acecoder-rl train-rm recipes/{file.name}" in file.read_text().partition("\nmodel:")[0]
    again = tmp_path / "recipe.yaml"
    again.write_text(resolved_yaml(recipe))
    assert load(again) == recipe


def test_the_papers_values() -> None:
    small, large = load(RM_7B), load(RM_32B)
    for recipe, cutoff, micro, times, every in ((small, 2048, 4, 4, 200), (large, 1024, 1, 16, 50)):
        train = recipe.train
        assert (recipe.data.cutoff_len, train.micro_batch_size, accumulation(recipe)) == (cutoff, micro, times)
        assert (train.batch_size, train.learning_rate, train.lr_scheduler) == (128, 1e-5, "cosine")
        assert train.warmup_ratio == 0.1
        assert (train.epochs, train.eval_steps, train.save_steps, train.log_steps) == (1, every, 300, 10)
        assert (recipe.data.val_share, recipe.data.margin, recipe.resources.zero_stage) == (0.005, "none", 3)
    assert large.data.config == "32B" and small.data.config is None
    assert (
        abs(steps(small, round(307_019 * 0.995)) - 2387) <= 1 and abs(steps(large, round(106_077 * 0.995)) - 825) <= 1
    )


def test_deepspeed_follows_the_recipe() -> None:
    zero = deepspeed.config(load(RM_32B))["zero_optimization"]
    assert zero["stage"] == 3 and zero["stage3_gather_16bit_weights_on_model_save"]
    assert zero["offload_optimizer"]["device"] == "cpu"
    assert "offload_optimizer" not in deepspeed.config(load(RM_7B))["zero_optimization"]


def test_the_command_of_one_node_and_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    one = load(RM_7B)
    line = launch.command(one, Path("/run"), Path("/run/checkpoints/checkpoint-3"), launch.this_node(one, "my.yaml"))
    assert line[2:] == ["-m", "torch.distributed.run", "--nproc-per-node=8", "--standalone", "-m", launch.MODULE,
                        "/run", "/run/checkpoints/checkpoint-3"]  # fmt: skip
    two = load(RM_7B, ["resources.nodes=2"])
    for name in ("NODE_RANK", "SLURM_NODEID", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        RecipeError, match=r"resources.nodes is 2: run this command on each of them, with NODE_RANK=0 to 1"
    ):
        launch.this_node(two, "my.yaml")
    monkeypatch.setenv("SLURM_NODEID", "1")
    monkeypatch.setenv("MASTER_ADDR", "node-a")
    line = launch.command(two, Path("/run"), None, launch.this_node(two, "my.yaml"))
    assert {"--nnodes=2", "--node-rank=1", "--master-addr=node-a", "--master-port=29500"} <= set(line)
    assert "--standalone" not in line


def test_a_dry_run_counts_and_starts_nothing(recipe_file: Callable[..., Path], cli: Any, tmp_path: Path) -> None:
    told = cli("train-rm", recipe_file(), "--dry-run")
    assert told.returncode == 0, told.stderr
    assert "102 of 34 questions to train on, 18 of 6 questions held out" in told.stdout
    assert "8 pairs = micro batches of 4 x 2 x 1 process on the CPU" in told.stdout
    assert "at most 13, 1 epoch\n" in told.stdout
    assert not (tmp_path / "run").exists()


def test_a_bad_row_ends_a_run_before_it_starts(recipe_file: Callable[..., Path], cli: Any, tmp_path: Path) -> None:
    file = recipe_file([{"instruction": "Q?", "chosen": "a"}])
    for more in ([], ["--dry-run"]):
        ended = cli("train-rm", file, *more)
        assert ended.returncode == 2, ended.stderr
        assert ended.stderr.endswith(f"{file}: data.path: pairs.jsonl:1: rejected is missing: give a text\n")
    assert not (tmp_path / "run" / "run.json").exists()
