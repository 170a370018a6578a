"""Every field of a recipe reaches OpenRLHF: its own parser puts each where its trainer reads it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from acecoder_rl.training.flags import FIELDS, OURS, agent_file, flags
from acecoder_rl.training.load import RecipeError, load_recipe
from acecoder_rl.training.openrlhf_parser import check_arguments
from acecoder_rl.training.recipe import Recipe

RECIPES = Path(__file__).parent / "recipes"
CPU = RECIPES / "cpu.yaml"
GPU = RECIPES / "gpu.yaml"
PPO = RECIPES / "ppo.yaml"
RUN = Path("/runs/one")
with_openrlhf = pytest.mark.skipif(importlib.util.find_spec("openrlhf") is None, reason="needs OpenRLHF's files")

# (recipe, what is set in it, the place in OpenRLHF's namespace, the value there)
PLACES: list[tuple[Path, str, str, Any]] = [
    (CPU, "model.path=a/b", "actor.model_name_or_path", "a/b"),
    (CPU, "model.path=~/b", "actor.model_name_or_path", str(Path.home() / "b")),
    (PPO, "model.critic_path=./a/c", "critic.model_name_or_path", str(Path.cwd() / "a/c")),
    (PPO, "model.critic_path=a/c", "critic.model_name_or_path", "a/c"),
    (PPO, "model.path=a/b", "critic.model_name_or_path", "a/b"),
    (CPU, "", "ds.attn_implementation", "sdpa"),
    (CPU, "model.attention=eager", "ds.attn_implementation", "eager"),
    (GPU, "", "ds.attn_implementation", "flash_attention_2"),
    (CPU, "data.max_prompt_tokens=100", "data.max_len", 132),
    (CPU, "rollout.max_new_tokens=100", "data.max_len", 228),
    (CPU, "rollout.max_new_tokens=100", "rollout.max_new_tokens", 100),
    (CPU, "rollout.batch_size=16", "rollout.batch_size", 16),
    (CPU, "rollout.n_samples_per_prompt=12", "rollout.n_samples_per_prompt", 12),
    (CPU, "rollout.micro_batch_size=6", "rollout.micro_batch_size", 6),
    (CPU, "rollout.temperature=0.7", "rollout.temperature", 0.7),
    (CPU, "rollout.top_p=0.9", "rollout.top_p", 0.9),
    (CPU, "rollout.dynamic_filtering=true", "algo.dynamic_filtering_enable", True),
    (CPU, "train.advantage_estimator=rloo", "algo.advantage.estimator", "rloo"),
    (CPU, "train.episodes=3", "train.num_episodes", 3),
    (CPU, "train.max_epochs=2", "train.max_epochs", 2),
    (CPU, "train.batch_size=24", "train.batch_size", 24),
    (CPU, "train.micro_batch_size=4", "train.micro_batch_size", 4),
    (CPU, "train.learning_rate=1e-6", "actor.adam.lr", 1e-6),
    (PPO, "train.learning_rate=1e-6", "critic.adam.lr", 9e-6),
    (PPO, "train.critic_learning_rate=1e-6", "critic.adam.lr", 1e-6),
    (PPO, "train.lr_scheduler=linear", "actor.lr_scheduler", "linear"),
    (PPO, "train.lr_scheduler=linear", "critic.lr_scheduler", "linear"),
    (PPO, "train.warmup_ratio=0.5", "actor.lr_warmup_ratio", 0.5),
    (PPO, "train.warmup_ratio=0.5", "critic.lr_warmup_ratio", 0.5),
    (PPO, "train.min_lr_ratio=0.5", "actor.min_lr_ratio", 0.5),
    (PPO, "train.min_lr_ratio=0.5", "critic.min_lr_ratio", 0.5),
    (PPO, "train.max_norm=0", "actor.max_norm", 0.0),
    (PPO, "train.max_norm=0", "critic.max_norm", 0.0),
    # The trainer trains the policy in steps counted from 0 above this.
    (PPO, "", "critic.freezing_steps", -1),
    (PPO, "train.critic_warmup_steps=1", "critic.freezing_steps", 0),
    (PPO, "train.critic_warmup_steps=5", "critic.freezing_steps", 4),
    (CPU, "train.kl_coef=0.1", "algo.kl.init_coef", 0.1),
    (CPU, "", "algo.kl.init_coef", 0.0),
    (GPU, "train.kl_estimator=k3", "algo.kl.estimator", "k3"),
    (GPU, "train.kl_in_loss=true", "algo.kl.use_loss", True),
    (CPU, "train.clip=0.3", "actor.eps_clip_low_high", (0.3, 0.3)),
    (PPO, "train.gamma=0.9", "algo.advantage.gamma", 0.9),
    (PPO, "train.lambd=0.9", "algo.advantage.lambd", 0.9),
    (CPU, "train.seed=7", "train.seed", 7),
    (CPU, "", "ckpt.save_steps", -1),
    (CPU, "", "ckpt.disable_ds", True),
    (CPU, "openrlhf.ckpt.best_metric_key=eval_default_pass1", "ckpt.disable_ds", False),
    (CPU, "openrlhf.ckpt.best_metric_key=eval_default_pass1", "ckpt.best_metric_key", "eval_default_pass1"),
    (CPU, "", "ckpt.best_metric_key", "none"),
    (CPU, "train.save_steps=5", "ckpt.save_steps", 5),
    (CPU, "train.save_steps=5", "ckpt.disable_ds", False),
    (CPU, "train.save_steps=5 train.keep_checkpoints=2", "ckpt.max_num", 2),
    (CPU, "", "eval.steps", -1),
    (CPU, "", "eval.dataset", None),
    (CPU, "train.eval_steps=5", "eval.steps", 5),
    (CPU, "train.eval_steps=5", "eval.dataset", "/runs/one/eval.jsonl"),
    (CPU, "train.eval_steps=5 train.eval_n_samples_per_prompt=8", "eval.n_samples_per_prompt", 8),
    (CPU, "train.eval_steps=5", "eval.temperature", 1.0),
    (CPU, "train.eval_steps=5 train.eval_temperature=0", "eval.temperature", 0.0),
    (CPU, "", "data.prompt_dataset", "/runs/one/train.jsonl"),
    (CPU, "", "data.input_key", "prompt"),
    (CPU, "", "data.label_key", "label"),
    (CPU, "", "data.apply_chat_template", False),
    (PPO, "resources.nodes=2", "actor.num_nodes", 2),
    (PPO, "resources.nodes=2", "ref.num_nodes", 2),
    (PPO, "resources.nodes=2", "critic.num_nodes", 2),
    (PPO, "resources.nodes=2", "vllm.num_engines", 4),
    (PPO, "resources.actor_gpus_per_node=3", "actor.num_gpus_per_node", 3),
    (PPO, "resources.actor_gpus_per_node=3", "ref.num_gpus_per_node", 3),
    (PPO, "resources.critic_gpus_per_node=1", "critic.num_gpus_per_node", 1),
    (PPO, "resources.critic_gpus_per_node=", "critic.num_gpus_per_node", 4),
    (PPO, "resources.reference_gpus_per_node=2", "ref.num_gpus_per_node", 2),
    (PPO, "resources.engines_per_node=3", "vllm.num_engines", 3),
    (PPO, "resources.tensor_parallel_size=2", "vllm.tensor_parallel_size", 2),
    (GPU, "", "train.colocate_actor_ref", True),
    (GPU, "", "train.colocate_all", False),
    (GPU, "", "vllm.enable_sleep", False),
    (GPU, "resources.colocate=all", "train.colocate_all", True),
    (GPU, "resources.colocate=all", "vllm.enable_sleep", True),
    (GPU, "resources.colocate=all", "ds.enable_sleep", True),
    (GPU, "resources.colocate=none", "train.colocate_actor_ref", False),
    (GPU, "", "vllm.gpu_memory_utilization", 0.85),
    (GPU, "resources.colocate=all", "vllm.gpu_memory_utilization", 0.6),
    (GPU, "resources.gpu_memory_utilization=0.5", "vllm.gpu_memory_utilization", 0.5),
    (CPU, "", "vllm.gpu_memory_utilization", 0.1),
    (CPU, "", "vllm.enforce_eager", True),
    (GPU, "", "vllm.enforce_eager", False),
    (GPU, "", "vllm.enable_prefix_caching", True),
    (GPU, "resources.zero_stage=2", "ds.zero_stage", 2),
    (GPU, "", "ds.adam_offload", True),
    (CPU, "", "ds.adam_offload", False),
    (GPU, "", "ds.packing_samples", True),
    (CPU, "", "ds.packing_samples", False),
    (GPU, "", "actor.gradient_checkpointing_enable", True),
    (CPU, "", "actor.gradient_checkpointing_enable", False),
    (CPU, "", "ckpt.path", "/runs/one/checkpoints"),
    (CPU, "", "ckpt.output_dir", "/runs/one/model"),
    (CPU, "", "logger.tensorboard_dir", "/runs/one/tensorboard"),
    (CPU, "logging.tensorboard=false", "logger.tensorboard_dir", None),
    (CPU, "", "logger.wandb.key", None),
    (CPU, "logging.wandb_project=p", "logger.wandb.key", "env"),
    (CPU, "logging.wandb_project=p", "logger.wandb.project", "p"),
    (CPU, "", "logger.wandb.run_name", "one"),
    (CPU, "", "reward.remote_url", ["agent"]),
    (CPU, "openrlhf.actor.dual_clip=3", "actor.dual_clip", 3.0),
    (CPU, "openrlhf.reward.stop_properly_penalty_coef=-1e-5", "reward.stop_properly_penalty_coef", -1e-5),
    (CPU, "openrlhf.reward.clip_range=[-0.00001, 2]", "reward.clip_range", [-1e-5, 2.0]),
    (CPU, "openrlhf.actor.adam.betas=[0.9, 0.99]", "actor.adam.betas", [0.9, 0.99]),
    (CPU, "openrlhf.ref.offload=true", "ref.offload", True),
    (CPU, "openrlhf.ref.offload=false", "ref.offload", False),
    (CPU, "openrlhf.actor.policy_loss_type=gspo", "actor.policy_loss_type", "gspo"),
]


def _arguments(file: Path, changes: str, **options: Any) -> list[str]:
    overrides = [changes] if "[" in changes else changes.split()
    return flags(load_recipe(file, overrides), RUN, RUN / "train.jsonl", RUN / "eval.jsonl", **options)


def _at(place: str, arguments: list[str]) -> Any:
    value: Any = check_arguments(arguments, "my.yaml").args
    for name in place.split("."):
        value = getattr(value, name)
    return value


@with_openrlhf
@pytest.mark.parametrize(("file", "changes", "place", "value"), PLACES, ids=[f"{c} {p}" for _, c, p, _ in PLACES])
def test_a_field_reaches_its_place(file: Path, changes: str, place: str, value: Any) -> None:
    found = _at(place, _arguments(file, changes))
    assert found == value
    assert type(found) is type(value)


def test_the_table_above_has_every_field_that_openrlhf_reads() -> None:
    told = {place for *_, place, _ in PLACES} | {"actor.eps_clip"}  # becomes eps_clip_low_high
    assert set(FIELDS) <= told
    # The rest is for the data, the reward functions, the launcher and the checks.
    elsewhere = {"data.prompt_template", "data.system_prompt", "data.chat", "data.assistant_prefix", "data.max_prompts"}
    elsewhere |= {"resources.device", "resources.gpus_per_node", "resources.threads"}
    elsewhere |= {"logging.rollouts", "logging.rollouts_mb"}
    fields = {
        f"{section}.{name}"
        for section, field in Recipe.model_fields.items()
        for name in getattr(field.annotation, "model_fields", {})
    }
    assert fields - elsewhere == set(FIELDS.values())


@with_openrlhf
def test_resume_loads_the_checkpoint() -> None:
    assert _at("ckpt.load_enable", _arguments(CPU, "")) is False
    assert _at("ckpt.load_enable", _arguments(CPU, "", resume=True)) is True


@with_openrlhf
def test_the_agent_is_the_installed_adapter_unless_another_is_named() -> None:
    path = _at("train.agent_func_path", _arguments(CPU, ""))
    assert path == str(agent_file())
    assert "class AgentExecutor" in Path(path).read_text()
    assert _at("train.agent_func_path", _arguments(CPU, "", agent=Path("/other.py"))) == "/other.py"


@with_openrlhf
def test_every_flag_of_ours_is_one_of_openrlhf() -> None:
    known = vars(check_arguments(_arguments(CPU, ""), "my.yaml").args)
    for flag in [*FIELDS, *OURS]:
        node: Any = known
        for name in flag.split("."):
            node = node[name] if isinstance(node, dict) else vars(node)[name]


def test_no_key_stands_in_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "a-secret")
    assert "a-secret" not in " ".join(_arguments(CPU, "logging.wandb_project=p"))


@pytest.mark.parametrize("name", ["a,b", "user@host"])
def test_a_folder_whose_name_openrlhf_would_cut_is_refused(name: str) -> None:
    run = Path("/runs") / name
    with pytest.raises(RecipeError, match="OpenRLHF cuts names at ',' and '@'"):
        flags(load_recipe(CPU), run, run / "train.jsonl")
