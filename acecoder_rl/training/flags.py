"""A recipe -> the arguments of `python -m openrlhf.cli.train_ppo_ray`.

Covers: every flag, and which field of a recipe stands behind it. Read with OpenRLHF 0.11.2.
Does not cover: whether OpenRLHF takes them (openrlhf_parser.py), making the files that they name (data.py).
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from acecoder_rl.training.model_path import resolve
from acecoder_rl.training.placement import engine_memory
from acecoder_rl.training.recipe import Recipe, RecipeError

# flag -> the field whose value it carries, or that decides it
FIELDS = {
    "actor.model_name_or_path": "model.path",
    "critic.model_name_or_path": "model.critic_path",
    "ds.attn_implementation": "model.attention",
    "data.prompt_dataset": "data.train",
    "eval.dataset": "data.eval",
    "data.max_len": "data.max_prompt_tokens",
    "rollout.batch_size": "rollout.batch_size",
    "rollout.n_samples_per_prompt": "rollout.n_samples_per_prompt",
    "rollout.micro_batch_size": "rollout.micro_batch_size",
    "rollout.max_new_tokens": "rollout.max_new_tokens",
    "rollout.temperature": "rollout.temperature",
    "rollout.top_p": "rollout.top_p",
    "algo.dynamic_filtering_enable": "rollout.dynamic_filtering",
    "algo.advantage.estimator": "train.advantage_estimator",
    "algo.advantage.gamma": "train.gamma",
    "algo.advantage.lambd": "train.lambd",
    "algo.kl.init_coef": "train.kl_coef",
    "algo.kl.estimator": "train.kl_estimator",
    "algo.kl.use_loss": "train.kl_in_loss",
    "train.num_episodes": "train.episodes",
    "train.max_epochs": "train.max_epochs",
    "train.batch_size": "train.batch_size",
    "train.micro_batch_size": "train.micro_batch_size",
    "train.seed": "train.seed",
    "actor.adam.lr": "train.learning_rate",
    "actor.lr_scheduler": "train.lr_scheduler",
    "actor.lr_warmup_ratio": "train.warmup_ratio",
    "actor.min_lr_ratio": "train.min_lr_ratio",
    "actor.max_norm": "train.max_norm",
    "actor.eps_clip": "train.clip",
    "critic.adam.lr": "train.critic_learning_rate",
    "critic.lr_scheduler": "train.lr_scheduler",
    "critic.lr_warmup_ratio": "train.warmup_ratio",
    "critic.min_lr_ratio": "train.min_lr_ratio",
    "critic.max_norm": "train.max_norm",
    "critic.freezing_steps": "train.critic_warmup_steps",
    "eval.steps": "train.eval_steps",
    "eval.n_samples_per_prompt": "train.eval_n_samples_per_prompt",
    "eval.temperature": "train.eval_temperature",
    "ckpt.save_steps": "train.save_steps",
    "ckpt.disable_ds": "train.save_steps",
    "ckpt.max_num": "train.keep_checkpoints",
    "actor.num_nodes": "resources.nodes",
    "ref.num_nodes": "resources.nodes",
    "critic.num_nodes": "resources.nodes",
    "actor.num_gpus_per_node": "resources.actor_gpus_per_node",
    "ref.num_gpus_per_node": "resources.reference_gpus_per_node",
    "critic.num_gpus_per_node": "resources.critic_gpus_per_node",
    "vllm.num_engines": "resources.engines_per_node",
    "vllm.tensor_parallel_size": "resources.tensor_parallel_size",
    "vllm.gpu_memory_utilization": "resources.gpu_memory_utilization",
    "train.colocate_all": "resources.colocate",
    "train.colocate_actor_ref": "resources.colocate",
    "vllm.enable_sleep": "resources.colocate",
    "ds.enable_sleep": "resources.colocate",
    "ds.zero_stage": "resources.zero_stage",
    "ds.adam_offload": "resources.adam_offload",
    "ds.packing_samples": "resources.packing_samples",
    "actor.gradient_checkpointing_enable": "resources.gradient_checkpointing",
    "ckpt.path": "logging.folder",
    "ckpt.output_dir": "logging.folder",
    "logger.tensorboard_dir": "logging.tensorboard",
    "logger.wandb.project": "logging.wandb_project",
}

# flag -> why `openrlhf:` may not have it
_RENDERED = "prompts are rendered before OpenRLHF reads them: use the section data"
_ASYNC = "its trainer reports in other words, which would leave metrics.jsonl, curves and --resume's steps empty"
_NO_REWARD_MODEL = "OpenRLHF has no reward model here, so it has no effect"
OURS = {
    "data.input_key": _RENDERED,
    "data.label_key": _RENDERED,
    "data.input_template": _RENDERED,
    "data.apply_chat_template": _RENDERED,
    "data.prompt_probs": _RENDERED,
    "data.prompt_split": _RENDERED,
    "eval.split": _RENDERED,
    "use_ms": _RENDERED,
    "train.agent_func_path": "rewards come from the section reward",
    "reward.remote_url": "rewards come from the section reward",
    "reward.model_name_or_path": "rewards come from the section reward",
    "reward.normalize_enable": f"{_NO_REWARD_MODEL}: parts of the reward have mean and std",
    "reward.offload": _NO_REWARD_MODEL,
    "train.colocate_critic_reward": _NO_REWARD_MODEL,
    "data.max_samples": "the steps would be others than those told: use data.max_prompts",
    "rollout.vllm_generate_batch_size": "a step generates rollout.batch_size prompts, and fewer would not fill it",
    "ckpt.load_enable": "use `acecoder-rl train --resume`",
    "logger.wandb.key": "set WANDB_API_KEY in the environment",
    "logger.wandb.run_name": "it is the name of logging.folder",
    "train.async_enable": _ASYNC,
    "train.partial_rollout_enable": _ASYNC,
    "local_rank": "Ray starts the processes",
}


def agent_file() -> Path:
    """The installed reward_fns/openrlhf.py, found without importing it; every node needs it at this path."""
    spec = importlib.util.find_spec("reward_fns")
    if spec is None or not spec.submodule_search_locations:
        raise RecipeError(["reward_fns is not installed: run `make setup`, or pip install acecoder-rl"])
    return Path(next(iter(spec.submodule_search_locations))) / "openrlhf.py"


def flags(
    recipe: Recipe,
    run: Path,
    train_file: Path,
    eval_file: Path | None = None,
    resume: bool = False,
    agent: Path | None = None,
) -> list[str]:
    """The arguments.

    Args:
        run: the run's folder; give absolute paths where workers have another working directory.
        train_file, eval_file: rendered prompts, JSONL with `prompt`, `label` and `datasource`.
        resume: go on from the last checkpoint in `run`.
        agent: the file with the AgentExecutor; None = `agent_file()`.

    Raises:
        RecipeError: OpenRLHF cannot take a file of this name.
    """
    for file in (train_file, eval_file):
        if file is not None and any(mark in str(file) for mark in ",@"):
            raise RecipeError([f"{file}: OpenRLHF cuts names at ',' and '@': run in a folder without them"])
    values = dict(
        [
            *_models(recipe),
            *_data(recipe, train_file, eval_file),
            ("train.agent_func_path", agent or agent_file()),
            *_rollout(recipe),
            *_update(recipe),
            *_resources(recipe),
            *_logging(recipe, run, resume),
            *recipe.openrlhf.items(),
        ]
    )
    return [text for flag, value in values.items() for text in _argument(flag, value)]


def _models(recipe: Recipe) -> Iterator[tuple[str, Any]]:
    model, device = recipe.model, recipe.resources.device
    yield "actor.model_name_or_path", resolve(model.path)
    if recipe.train.advantage_estimator == "gae" and model.critic_path:
        yield "critic.model_name_or_path", resolve(model.critic_path)
    yield "ds.attn_implementation", model.attention or ("sdpa" if device == "cpu" else "flash_attention_2")


def _data(recipe: Recipe, train_file: Path, eval_file: Path | None) -> Iterator[tuple[str, Any]]:
    train = recipe.train
    yield "data.prompt_dataset", train_file
    yield "data.input_key", "prompt"
    yield "data.label_key", "label"
    yield "data.max_len", recipe.data.max_prompt_tokens + recipe.rollout.max_new_tokens
    if eval_file is not None and train.eval_steps is not None:
        yield "eval.dataset", eval_file
        yield "eval.steps", train.eval_steps
        yield "eval.n_samples_per_prompt", train.eval_n_samples_per_prompt
        yield "eval.temperature", train.eval_temperature


def _rollout(recipe: Recipe) -> Iterator[tuple[str, Any]]:
    rollout = recipe.rollout
    for name in ("batch_size", "n_samples_per_prompt", "micro_batch_size", "max_new_tokens"):
        yield f"rollout.{name}", getattr(rollout, name)
    yield "rollout.temperature", rollout.temperature
    yield "rollout.top_p", rollout.top_p
    yield "algo.dynamic_filtering_enable", rollout.dynamic_filtering


def _update(recipe: Recipe) -> Iterator[tuple[str, Any]]:
    train = recipe.train
    yield "algo.advantage.estimator", train.advantage_estimator
    yield "algo.advantage.gamma", train.gamma
    yield "algo.advantage.lambd", train.lambd
    yield "algo.kl.init_coef", train.kl_coef
    yield "algo.kl.estimator", train.kl_estimator
    yield "algo.kl.use_loss", train.kl_in_loss
    yield "train.num_episodes", train.episodes
    yield "train.max_epochs", train.max_epochs
    yield "train.batch_size", train.batch_size
    yield "train.micro_batch_size", train.micro_batch_size
    yield "train.seed", train.seed
    yield "actor.eps_clip", train.clip
    with_critic = train.advantage_estimator == "gae"
    for name in ("actor", "critic") if with_critic else ("actor",):
        yield f"{name}.adam.lr", train.learning_rate if name == "actor" else train.critic_learning_rate
        yield f"{name}.lr_scheduler", train.lr_scheduler
        yield f"{name}.lr_warmup_ratio", train.warmup_ratio
        yield f"{name}.min_lr_ratio", train.min_lr_ratio
        yield f"{name}.max_norm", train.max_norm
    if with_critic:
        # The policy is trained in steps counted from 0 that are above this: 0 would freeze one step.
        yield "critic.freezing_steps", train.critic_warmup_steps - 1


def _resources(recipe: Recipe) -> Iterator[tuple[str, Any]]:
    resources = recipe.resources
    actor = resources.actor_gpus_per_node
    yield "actor.num_nodes", resources.nodes
    yield "actor.num_gpus_per_node", actor
    if recipe.train.kl_coef > 0:
        yield "ref.num_nodes", resources.nodes
        yield "ref.num_gpus_per_node", resources.reference_gpus_per_node or actor
    if recipe.train.advantage_estimator == "gae":
        yield "critic.num_nodes", resources.nodes
        yield "critic.num_gpus_per_node", resources.critic_gpus_per_node or actor
    yield "vllm.num_engines", resources.nodes * resources.engines_per_node
    yield "vllm.tensor_parallel_size", resources.tensor_parallel_size
    yield "vllm.gpu_memory_utilization", engine_memory(recipe)
    # The samples of a prompt share its prefix; OpenRLHF clears the cache with every change of the weights.
    yield "vllm.enable_prefix_caching", True
    yield "vllm.enforce_eager", resources.device == "cpu"
    yield "train.colocate_all", resources.colocate == "all"
    yield "train.colocate_actor_ref", resources.colocate == "actor_ref"
    yield "vllm.enable_sleep", resources.colocate == "all"
    yield "ds.enable_sleep", resources.colocate == "all"
    yield "ds.zero_stage", resources.zero_stage
    yield "ds.adam_offload", resources.adam_offload
    yield "ds.packing_samples", resources.packing_samples
    yield "actor.gradient_checkpointing_enable", resources.gradient_checkpointing


def _logging(recipe: Recipe, run: Path, resume: bool) -> Iterator[tuple[str, Any]]:
    train, logging = recipe.train, recipe.logging
    best = recipe.openrlhf.get("ckpt.best_metric_key", "none")
    yield "ckpt.path", run / "checkpoints"
    yield "ckpt.output_dir", run / "model"
    if train.save_steps is not None:
        yield "ckpt.save_steps", train.save_steps
        yield "ckpt.max_num", train.keep_checkpoints
    yield "ckpt.disable_ds", train.save_steps is None and best == "none"
    # Else every best evaluation writes a checkpoint of its own.
    yield "ckpt.best_metric_key", best
    yield "ckpt.load_enable", resume
    if logging.tensorboard:
        yield "logger.tensorboard_dir", run / "tensorboard"
    yield "logger.wandb.run_name", run.name
    if logging.wandb_project is not None:
        # Any text switches it on; wandb takes the key from WANDB_API_KEY: none stands in a command line.
        yield "logger.wandb.key", "env"
        yield "logger.wandb.project", logging.wandb_project


def _argument(flag: str, value: Any) -> list[str]:
    if isinstance(value, bool):  # all of OpenRLHF's are switches that are off by default
        return [f"--{flag}"] if value else []
    texts = [_text(item) for item in value] if isinstance(value, list) else [_text(value)]
    if len(texts) == 1 and texts[0].startswith("-"):
        return [f"--{flag}={texts[0]}"]
    return [f"--{flag}", *texts]


def _text(value: Any) -> str:
    # argparse takes -1e-05 for a flag, -0.00001 for a number
    return format(Decimal(repr(value)), "f") if isinstance(value, float) and value < 0 else str(value)
