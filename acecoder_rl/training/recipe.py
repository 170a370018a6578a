"""What a recipe may say: the sections of a recipe's YAML, their fields, defaults and ranges.

Covers: types and ranges of single fields, and `RecipeError`. Field names are OpenRLHF's where it has one for
    the thing.
Does not cover: reading the file (load.py, mistakes.py), fields that must fit each other (checks.py),
    OpenRLHF's flags (flags.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Positive = Annotated[int, Field(ge=1)]
Text = Annotated[str, Field(min_length=1)]
# Floats are strict: a whole number will do, a bool or a text will not.
Above0 = Annotated[float, Field(gt=0, allow_inf_nan=False)]
AtLeast0 = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Above0To1 = Annotated[float, Field(gt=0, le=1)]
Estimator = Literal["gae", "reinforce", "reinforce_baseline", "rloo", "group_norm", "dr_grpo"]
# Those of transformers that need no arguments beyond OpenRLHF's.
Scheduler = Literal[
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt",
    "cosine_with_min_lr", "cosine_warmup_with_min_lr",
]  # fmt: skip


class RecipeError(ValueError):
    """Mistakes in a recipe, all of them, one a line: place, field, value, mend.

    Attributes:
        mistakes: the lines.
    """

    def __init__(self, mistakes: Iterable[str]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(self.mistakes))


class Section(BaseModel):
    """A section: unknown keys are errors, values are not converted behind the user's back."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Model(Section):
    """The policy.

    Attributes:
        path: a folder (`~` and relative ones too), or a model id of the Hugging Face Hub.
        critic_path: the critic of PPO (`gae`) starts from it, its value head too where it has one; None =
            from the policy, with a new value head.
        attention: transformers' name of an implementation; None = "flash_attention_2" on GPU, "sdpa" on CPU.
    """

    path: Text
    critic_path: Text | None = None
    attention: Text | None = None


class Source(Section):
    """Problems to train or to evaluate on.

    Attributes:
        path: a JSONL or Parquet file, "starter:train" or "starter:eval", or a dataset id of the Hub; rows in
            any form that `Problem.from_record` reads.
        split: of a Hub dataset.
        weight: how often its problems are drawn, relative to the other sources; 1 = each problem once.
        subset: "hard" = the paper's choice by the pass rates of the row's `inferences`.
        max_problems: the first so many, after `subset`.
    """

    path: Text
    split: Text = "train"
    weight: Above0 = 1.0
    subset: Literal["all", "hard"] = "all"
    max_problems: Positive | None = None


class Data(Section):
    """Problems, and how a problem becomes a prompt.

    Attributes:
        train, eval: a path, a Source, or a list of Sources.
        prompt_template: the user's turn; `{question}` stands for the problem's question, `{first_test}` for
            its first test.
        system_prompt: None = none (a tokenizer's chat template may still add its own).
        chat: render with the tokenizer's chat template; false for base models: the prompt is the bare text.
        assistant_prefix: what the answer starts with, such as an opening fence; part of the prompt for the
            model, part of the completion for the reward.
        max_prompts: of the mix of all training sources, chosen by `train.seed`; None = all.
        max_prompt_tokens: longer prompts are left out and counted (OpenRLHF would cut them from the left).
            With `rollout.max_new_tokens` it is the length that an engine must hold.
    """

    train: Annotated[list[Source], Field(min_length=1)]
    eval: list[Source] = []
    prompt_template: str = "{question}"
    system_prompt: str | None = None
    chat: bool = True
    assistant_prefix: str = ""
    max_prompts: Positive | None = None
    max_prompt_tokens: Positive = 2048

    @field_validator("train", "eval", mode="before")
    @classmethod
    def _sources(cls, value: Any) -> Any:
        if value is None:
            return None
        items = value if isinstance(value, list) else [value]
        return [{"path": item} if isinstance(item, str) else item for item in items]


class RewardModel(Section):
    """The reward model that parts of kind acecode_rm ask.

    Attributes:
        path: a folder or Hub id of a model that the run serves itself.
        endpoint: of one that is served already: "http://host:port" of `acecoder-rl serve-rm`,
            "vllm+http://host:port" of `vllm serve --runner pooling`. Instead of path.
        replicas: copies of the model in the whole run; None = as many as the GPUs hold that nothing else takes, 1 on
            CPU.
        gpus_per_replica: a large model is spread over them; None = one for each 48 GB of weights in bf16 (2 for a
            32B, model_size.py), 0 on CPU.
        max_tokens: of a question with its answer; None = as `acecoder-rl serve-rm` has it.
    """

    path: Text | None = None
    endpoint: Text | None = None
    replicas: Positive | None = None
    gpus_per_replica: Positive | None = None
    max_tokens: Positive | None = None


class Rollout(Section):
    """Sampling of completions by the vLLM engines.

    Attributes:
        batch_size: prompts a step.
        n_samples_per_prompt: completions a prompt; the group estimators compare them.
        micro_batch_size: sequences at once, a GPU, for the log-probs.
        max_new_tokens: of a completion; longer ones are cut off, and the reward is told.
        temperature, top_p: of the sampling.
        dynamic_filtering: replace prompts whose completions all earn 0 or all earn 1.
    """

    batch_size: Positive
    n_samples_per_prompt: Positive
    micro_batch_size: Positive = 4
    max_new_tokens: Positive = 2048
    temperature: Above0 = 1.0
    top_p: Above0To1 = 1.0
    dynamic_filtering: bool = False


class Train(Section):
    """The update, and when to evaluate and save.

    Attributes:
        advantage_estimator: "reinforce" is REINFORCE++, "gae" is PPO with a critic; "reinforce_baseline",
            "rloo", "group_norm" (GRPO) and "dr_grpo" compare the samples of one prompt.
        episodes: passes over the data.
        max_epochs: passes over a rollout.
        batch_size: samples an optimizer step.
        micro_batch_size: samples at once, a GPU.
        learning_rate: of the policy, at its highest.
        lr_scheduler, warmup_ratio, min_lr_ratio, max_norm: of policy and critic. min_lr_ratio is for the
            schedulers with min_lr; max_norm bounds the gradient, 0 = not.
        critic_learning_rate: of the critic ("gae").
        critic_warmup_steps: steps with the policy frozen ("gae").
        kl_coef: weight of the distance from the reference model; 0 = no reference model.
        kl_estimator: k1 suits the reward, k2 and k3 the loss.
        kl_in_loss: as a loss instead of in the reward.
        clip: PPO's clip range.
        gamma: discount; other than 1 only with "gae" and "reinforce".
        lambd: of "gae".
        seed: of sampling, shuffling and the critic's head.
        save_steps: steps between checkpoints, from which `--resume` goes on; None = none.
        keep_checkpoints: older ones are deleted; at least 2, as one may be half-written when a run is killed.
        eval_steps: steps between evaluations on `data.eval`; None = none.
        eval_n_samples_per_prompt, eval_temperature: for these.
    """

    advantage_estimator: Estimator
    episodes: Positive = 1
    max_epochs: Positive = 1
    batch_size: Positive = 128
    micro_batch_size: Positive = 8
    learning_rate: Above0To1
    lr_scheduler: Scheduler = "cosine_with_min_lr"
    warmup_ratio: Share = 0.03
    min_lr_ratio: Share = 0.1
    critic_learning_rate: Above0To1 = 9e-6
    critic_warmup_steps: Annotated[int, Field(ge=0)] = 0
    kl_coef: AtLeast0 = 0.01
    kl_estimator: Literal["k1", "k2", "k3"] = "k1"
    kl_in_loss: bool = False
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.2
    gamma: Above0To1 = 1.0
    lambd: Above0To1 = 1.0
    max_norm: AtLeast0 = 1.0
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42
    save_steps: Positive | None = None
    keep_checkpoints: Positive = 3
    eval_steps: Positive | None = None
    eval_n_samples_per_prompt: Positive = 4
    eval_temperature: AtLeast0 = 1.0


class Resources(Section):
    """Who runs where. All figures are a node's; more nodes have more of the same.

    Attributes:
        device: "cpu" runs everything on the CPU in fp32; its GPUs are logical, one a model or engine.
        nodes, gpus_per_node: what the run may use.
        actor_gpus_per_node: GPUs that train the policy.
        reference_gpus_per_node: of the reference model (`train.kl_coef` > 0); None = as the actor.
        critic_gpus_per_node: of the critic ("gae"); None = as the actor.
        engines_per_node: vLLM engines.
        tensor_parallel_size: GPUs of an engine.
        colocate: "all" models and engines share the actor's GPUs and take turns, "actor_ref" policy and
            reference share theirs, "none" of them share.
        gpu_memory_utilization: of an engine; None = 0.85, or 0.6 where engines share GPUs with models.
        zero_stage: of DeepSpeed.
        adam_offload: the optimizer's state in the host's memory.
        gradient_checkpointing: less memory for about a third more compute.
        packing_samples: without padding; needs flash attention, so a GPU.
        threads: of a model or an engine on CPU; None = the cores granted.
    """

    device: Literal["gpu", "cpu"] = "gpu"
    nodes: Positive = 1
    gpus_per_node: Positive = 8
    actor_gpus_per_node: Positive
    reference_gpus_per_node: Positive | None = None
    critic_gpus_per_node: Positive | None = None
    engines_per_node: Positive
    tensor_parallel_size: Positive = 1
    colocate: Literal["all", "actor_ref", "none"] = "none"
    gpu_memory_utilization: Annotated[float, Field(gt=0, lt=1)] | None = None
    zero_stage: Annotated[int, Field(ge=0, le=3)] = 3
    adam_offload: bool = False
    gradient_checkpointing: bool = False
    packing_samples: bool = False
    threads: Positive | None = None


class Logging(Section):
    """Where a run leaves what it has to tell.

    Attributes:
        folder: of the run; None = runs/<name of the recipe>.
        tensorboard: write event files to <folder>/tensorboard.
        wandb_project: log to Weights & Biases, with the key in WANDB_API_KEY.
    """

    folder: Text | None = None
    tensorboard: bool = True
    wandb_project: Text | None = None


class PolicyLogging(Logging):
    """Logging of a run that samples completions.

    Attributes:
        folder, tensorboard, wandb_project: as those of Logging.
        rollouts: keep every completion with its tests in <folder>/rollouts, for `acecoder-rl rollouts <folder>`.
        rollouts_mb: that they may take, MiB; beyond it, the older ones are thinned out.
    """

    rollouts: bool = True
    rollouts_mb: Positive = 1000


class Recipe(Section):
    """A training run.

    Attributes:
        reward: as `reward_fns.from_config` takes it.
        reward_model: that the reward asks; None = it asks none, or names an endpoint itself.
        sandbox: workers, require, python, preload and the fields of `acecoder_rl.sandbox.Limits`.
        openrlhf: any further flag of OpenRLHF, without its dashes, verbatim: `actor.dual_clip: 3.0`.
    """

    model: Model
    data: Data
    reward: dict[str, Any]
    reward_model: RewardModel | None = None
    sandbox: dict[str, Any] = {}
    rollout: Rollout
    train: Train
    resources: Resources
    logging: PolicyLogging = PolicyLogging()
    openrlhf: dict[str, Any] = {}
