"""Fields that must fit each other: each mistake has one message with its mend, and what passes trains."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from acecoder_rl.training.batches import prompt_multiple
from acecoder_rl.training.checks import check
from acecoder_rl.training.load import RecipeError, load_recipe
from acecoder_rl.training.placement import gpus_used
from acecoder_rl.training.recipe import Recipe

RECIPES = Path(__file__).parent / "recipes"
CPU = RECIPES / "cpu.yaml"
GPU = RECIPES / "gpu.yaml"
PPO = RECIPES / "ppo.yaml"
NO_CRITIC = "has no critic: leave it out, or set train.advantage_estimator to gae"

# (recipe, what is set in it, the message)
MISTAKES = [
    (
        GPU,
        "train.advantage_estimator=rloo rollout.n_samples_per_prompt=1",
        "rollout.n_samples_per_prompt is 1, but advantage estimator 'rloo' compares samples of one prompt: "
        "set it to 2 or more",
    ),
    (
        GPU,
        "rollout.dynamic_filtering=true rollout.n_samples_per_prompt=1",
        "rollout.n_samples_per_prompt is 1, but rollout.dynamic_filtering drops prompts whose samples all "
        "earn the same: set it to 2 or more, or the filtering to false",
    ),
    (
        CPU,
        "train.batch_size=40",
        "train.batch_size is 40, but a step of 8 prompts x 6 has 48 samples, no multiple of it: set it to 24 or 48",
    ),
    (
        CPU,
        "train.batch_size=96",
        "train.batch_size is 96, but a step of 8 prompts x 6 has 48 samples, no multiple of it: set it to 48",
    ),
    (
        GPU,
        "train.batch_size=16",
        "train.batch_size is 16, but 4 policy GPUs with train.micro_batch_size 8 take a multiple of 32: set it to 32",
    ),
    (
        CPU,
        "train.batch_size=6",
        "train.batch_size is 6, but 1 policy GPU with train.micro_batch_size 8 take a multiple of 8: set it to 8",
    ),
    (
        CPU,
        "train.micro_batch_size=5",
        "train.batch_size is 48, but 1 policy GPU with train.micro_batch_size 5 take a multiple of 5: set "
        "it to 48, and train.micro_batch_size to 4",
    ),
    (
        CPU,
        "resources.actor_gpus_per_node=5 train.micro_batch_size=1 rollout.micro_batch_size=1",
        "train.batch_size is 48, but 5 policy GPUs with train.micro_batch_size 1 take a multiple of 5: set "
        "rollout.batch_size to a multiple of 5 first",
    ),
    (
        CPU,
        "rollout.micro_batch_size=7",
        "rollout.micro_batch_size is 7, but a step of 8 prompts x 6 has 48 samples, which 1 policy GPU "
        "cannot share evenly in batches of that size: set it to 6 or 8",
    ),
    (
        PPO,
        "resources.critic_gpus_per_node=1 resources.actor_gpus_per_node=5",
        "train.batch_size is 128, but 5 policy GPUs with train.micro_batch_size 4 take a multiple of 20: "
        "set rollout.batch_size to a multiple of 5 first",
    ),
    (
        GPU,
        "resources.colocate=none resources.actor_gpus_per_node=2 resources.reference_gpus_per_node=3 "
        "resources.engines_per_node=3",
        "train.batch_size is 128, but 3 reference GPUs with train.micro_batch_size 8 take a multiple of "
        "24: set rollout.batch_size to a multiple of 3 first",
    ),
    (
        GPU,
        "resources.reference_gpus_per_node=2",
        "resources.reference_gpus_per_node is 2, but with resources.colocate 'actor_ref' the reference "
        "shares the policy's 4 GPUs: leave it out, or set colocate to none",
    ),
    (
        PPO,
        "resources.colocate=all resources.engines_per_node=4",
        "resources.critic_gpus_per_node is 2, but with resources.colocate 'all' the critic shares the "
        "policy's 4 GPUs: leave it out, or set colocate to actor_ref",
    ),
    (
        GPU,
        "resources.colocate=all resources.actor_gpus_per_node=8",
        "resources.colocate is 'all', but engines_per_node 4 x tensor_parallel_size 1 is not "
        "actor_gpus_per_node 8: set engines_per_node to 8",
    ),
    (
        GPU,
        "resources.colocate=all resources.actor_gpus_per_node=4 resources.tensor_parallel_size=8",
        "resources.colocate is 'all', but engines_per_node 4 x tensor_parallel_size 8 is not "
        "actor_gpus_per_node 4: set actor_gpus_per_node to 32",
    ),
    (
        GPU,
        "resources.engines_per_node=5",
        "resources.gpus_per_node is 8, but 9 are asked for (policy 4 + engines 5): ask for fewer, or let "
        "them share with colocate",
    ),
    (
        GPU,
        "resources.colocate=none",
        "resources.gpus_per_node is 8, but 12 are asked for (policy 4 + reference 4 + engines 4): ask for "
        "fewer, or let them share with colocate",
    ),
    (
        CPU,
        "resources.gpus_per_node=1",
        "resources.gpus_per_node is 1, but 2 are asked for (policy 1 + engines 1): set it higher",
    ),
    (GPU, "resources.threads=2", "resources.threads is 2, but resources.device is gpu: leave it out"),
    (
        GPU,
        "model.attention=sdpa",
        "model.attention is 'sdpa', but resources.packing_samples needs flash_attention_2 or _3: leave one of them out",
    ),
    (
        CPU,
        "resources.colocate=all",
        "resources.colocate is 'all', but resources.device is cpu, where engines cannot sleep: set it to "
        "none or actor_ref",
    ),
    (
        CPU,
        "resources.packing_samples=true",
        "resources.packing_samples is true, but resources.device is cpu, which has no flash attention: set it to false",
    ),
    (
        CPU,
        "resources.adam_offload=true",
        "resources.adam_offload is true, but resources.device is cpu, where the optimizer already is: set it to false",
    ),
    (
        CPU,
        "resources.tensor_parallel_size=2",
        "resources.tensor_parallel_size is 2, but resources.device is cpu, where an engine is one process: set it to 1",
    ),
    (
        CPU,
        "model.attention=flash_attention_2",
        "model.attention is 'flash_attention_2', but resources.device is cpu: set it to sdpa or eager, or leave it out",
    ),
    (
        CPU,
        "openrlhf.train.dynamic_batch_enable=true",
        "openrlhf has train.dynamic_batch_enable or ds.ring_attn_size, but resources.device is cpu: leave them out",
    ),
    (
        GPU,
        "model.critic_path=some/critic",
        f"model.critic_path is 'some/critic', but advantage estimator 'reinforce' {NO_CRITIC}",
    ),
    (
        GPU,
        "train.critic_learning_rate=1e-5",
        f"train.critic_learning_rate is 1e-05, but advantage estimator 'reinforce' {NO_CRITIC}",
    ),
    (
        GPU,
        "train.critic_warmup_steps=3",
        f"train.critic_warmup_steps is 3, but advantage estimator 'reinforce' {NO_CRITIC}",
    ),
    (GPU, "train.lambd=0.9", f"train.lambd is 0.9, but advantage estimator 'reinforce' {NO_CRITIC}"),
    (
        GPU,
        "resources.critic_gpus_per_node=2",
        f"resources.critic_gpus_per_node is 2, but advantage estimator 'reinforce' {NO_CRITIC}",
    ),
    (
        CPU,
        "train.gamma=0.9",
        "train.gamma is 0.9, but OpenRLHF takes 1 with advantage estimator 'reinforce_baseline': leave it "
        "out, or set train.advantage_estimator to reinforce or gae",
    ),
    (
        CPU,
        "train.kl_in_loss=true",
        "train.kl_in_loss is true, but train.kl_coef is 0: set kl_coef above 0, or kl_in_loss to false",
    ),
    (
        CPU,
        "resources.reference_gpus_per_node=1",
        "resources.reference_gpus_per_node is 1, but with train.kl_coef 0 there is no reference model: "
        "leave it out, or set kl_coef above 0",
    ),
    (
        GPU,
        "train.eval_steps=5",
        "train.eval_steps is 5, but data.eval is empty: name problems to evaluate on, or leave eval_steps out",
    ),
    (CPU, "openrlhf.rollout.top_p=0.9", "openrlhf.rollout.top_p is what rollout.top_p sets: set that"),
    (CPU, "openrlhf.actor.adam.lr=1", "openrlhf.actor.adam.lr is what train.learning_rate sets: set that"),
    (
        CPU,
        "openrlhf.data.apply_chat_template=true",
        "openrlhf.data.apply_chat_template is not for recipes: prompts are rendered before OpenRLHF reads "
        "them: use the section data",
    ),
    (
        CPU,
        "openrlhf.reward.remote_url=x.py",
        "openrlhf.reward.remote_url is not for recipes: rewards come from the section reward",
    ),
    (
        CPU,
        "openrlhf.train.async_enable=true",
        "openrlhf.train.async_enable is not for recipes: its trainer reports in other words, which would leave "
        "metrics.jsonl, curves and --resume's steps empty",
    ),
    (
        CPU,
        "train.save_steps=5 train.keep_checkpoints=1",
        "train.keep_checkpoints is 1, but OpenRLHF deletes the old checkpoint before it writes the next, and a run "
        "killed in between has none: set it to 2 or more",
    ),
    (
        CPU,
        "model.path=my models",
        "model.path: 'my models' is no folder and no id of the Hugging Face Hub: give one of them",
    ),
    (
        CPU,
        "openrlhf.reward.normalize_enable=true",
        "openrlhf.reward.normalize_enable is not for recipes: OpenRLHF has no reward model here, so it has no effect: "
        "parts of the reward have mean and std",
    ),
    (
        CPU,
        "openrlhf.rollout.vllm_generate_batch_size=4",
        "openrlhf.rollout.vllm_generate_batch_size is not for recipes: a step generates rollout.batch_size prompts, "
        "and fewer would not fill it",
    ),
    (
        CPU,
        "openrlhf.data.max_samples=100",
        "openrlhf.data.max_samples is not for recipes: the steps would be others than those told: use data.max_prompts",
    ),
    (CPU, "openrlhf.--actor.dual_clip=3", "openrlhf.--actor.dual_clip has dashes: write actor.dual_clip"),
    (CPU, "openrlhf.actor.dual_clip=", "openrlhf.actor.dual_clip is null: give a value, true for a switch"),
    (
        CPU,
        "openrlhf.actor={dual_clip: 3}",
        "openrlhf.actor is a section: write its flags out, as actor.dual_clip: 3",
    ),
]

AGAIN = (
    "rollout.dynamic_filtering: a checkpoint of an episode's last step does not say that the episode is over: "
    "--resume from there would train it again"
)
# (recipe, what is set in it, the warnings)
WARNINGS = [
    (
        CPU,
        "",
        "train.save_steps is not set: nothing is saved before the end, and --resume will not be possible",
    ),
    (
        CPU,
        "train.save_steps=1 rollout.dynamic_filtering=true train.episodes=2",
        "rollout.dynamic_filtering: the last step of each of 2 episodes has only as many prompts as the filter leaves",
        AGAIN,
    ),
    (
        GPU,
        "rollout.dynamic_filtering=true",
        "rollout.dynamic_filtering: the last step has only as many prompts as the filter leaves, and "
        "OpenRLHF stops or waits for ever where they do not fill the GPUs: keep train.save_steps small",
        AGAIN,
    ),
    (
        PPO,
        "resources.nodes=2",
        "resources.nodes is 2: logging.folder, and model.path where it is a folder, must be on storage that all "
        "nodes share, and acecoder-rl installed at the same path on each",
    ),
    (
        PPO,
        "train.critic_warmup_steps=2",
        "train.critic_warmup_steps is 2: OpenRLHF keeps the rollouts of these steps and trains the policy "
        "on all of them in the step after",
    ),
    (
        CPU,
        "train.save_steps=1 train.eval_steps=1 train.eval_temperature=0",
        "train.eval_temperature is 0: 4 samples of a prompt will be the same, set eval_n_samples_per_prompt to 1",
    ),
    (
        GPU,
        "logging.wandb_project=acecoder",
        "logging.wandb_project is 'acecoder', but WANDB_API_KEY is not set: export it, or the run fails at "
        "its start where wandb has no key of its own",
    ),
]


def _load(file: Path, changes: str) -> Recipe:
    return load_recipe(file, re.split(r" (?=[a-z_.]+=)", changes) if changes else ())


@pytest.mark.parametrize(("file", "changes", "message"), MISTAKES, ids=[changes for _, changes, _ in MISTAKES])
def test_a_mistake_and_its_mend(file: Path, changes: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        check(_load(file, changes), "my.yaml")
    assert f"my.yaml: {message}" in caught.value.mistakes


@pytest.mark.parametrize(
    ("file", "changes", "messages"),
    [(file, changes, messages) for file, changes, *messages in WARNINGS],
    ids=[message[:40] for _, _, message, *_ in WARNINGS],
)
def test_a_warning(file: Path, changes: str, messages: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    assert check(_load(file, changes), "my.yaml") == [f"my.yaml: {message}" for message in messages]


def test_a_key_in_the_environment_quietens_its_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert check(_load(GPU, "logging.wandb_project=acecoder"), "my.yaml") == []


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(RecipeError) as caught:
        check(
            _load(CPU, "train.batch_size=40 resources.colocate=all train.lambd=0.5 train.gamma=0.5"),
            "my.yaml",
        )
    assert len(caught.value.mistakes) == 4


def test_mends_are_right() -> None:
    with pytest.raises(RecipeError, match=r"set it to 32$"):
        check(_load(GPU, "train.batch_size=16"), "my.yaml")
    assert check(_load(GPU, "train.batch_size=32"), "my.yaml") == []
    with pytest.raises(RecipeError, match=r"set it to 48, and train.micro_batch_size to 4$"):
        check(_load(CPU, "train.micro_batch_size=5"), "my.yaml")
    check(_load(CPU, "train.batch_size=48 train.micro_batch_size=4"), "my.yaml")


def test_a_model_that_is_here_must_be_large_enough(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"max_position_embeddings": 150, "num_attention_heads": 9}))
    with pytest.raises(RecipeError) as caught:
        check(_load(CPU, f"model.path={tmp_path}"), "my.yaml")
    assert caught.value.mistakes == (
        "my.yaml: data.max_prompt_tokens 128 + rollout.max_new_tokens 32 is 160, but the model has 150 "
        "positions: lower one of them",
    )
    with pytest.raises(RecipeError, match=r"resources.tensor_parallel_size is 2, but the model has 9 attention heads"):
        check(_load(GPU, f"model.path={tmp_path} resources.tensor_parallel_size=2"), "my.yaml")
    (tmp_path / "config.json").unlink()
    with pytest.raises(RecipeError, match=r"whose config.json cannot be read"):
        check(_load(CPU, f"model.path={tmp_path}"), "my.yaml")


@pytest.mark.parametrize(
    ("file", "changes", "gpus"),
    [
        (CPU, "", 2),
        (CPU, "train.kl_coef=0.1", 3),
        (CPU, "train.kl_coef=0.1 resources.colocate=actor_ref", 2),
        (GPU, "", 8),
        (PPO, "", 8),
        (
            GPU,
            "resources.colocate=all resources.actor_gpus_per_node=8 resources.engines_per_node=4 "
            "resources.tensor_parallel_size=2",
            8,
        ),
    ],
)
def test_gpus_of_a_node(file: Path, changes: str, gpus: int) -> None:
    recipe = _load(file, changes)
    check(recipe, "my.yaml")
    assert gpus_used(recipe) == gpus


RECORD = load_recipe(PPO).model_dump()
SMALL = st.integers(1, 4)


@settings(max_examples=200, deadline=None)
@given(
    actors=SMALL,
    critics=SMALL,
    nodes=st.integers(1, 2),
    micro=SMALL,
    generate=st.integers(1, 6),
    updates=SMALL,
    samples=st.integers(1, 6),
    off=st.sampled_from([0, 0, 0, 1]),
    whole=st.integers(1, 5),
)
def test_what_passes_gives_every_gpu_the_same(
    actors: int,
    critics: int,
    nodes: int,
    micro: int,
    generate: int,
    updates: int,
    samples: int,
    off: int,
    whole: int,
) -> None:
    train = nodes * math.lcm(actors, critics) * micro + off
    prompts = updates * train
    rollout = {"batch_size": prompts, "n_samples_per_prompt": samples, "micro_batch_size": generate}
    gpus = {"nodes": nodes, "actor_gpus_per_node": actors, "critic_gpus_per_node": critics}
    recipe = Recipe.model_validate(
        RECORD
        | {
            "rollout": RECORD["rollout"] | rollout,
            "train": RECORD["train"] | {"batch_size": train, "micro_batch_size": micro},
            "resources": RECORD["resources"] | gpus | {"gpus_per_node": 16},
        }
    )
    try:
        check(recipe, "my.yaml")
    except RecipeError:
        reject()
    multiple = prompt_multiple(recipe)
    assert prompts % multiple == 0
    for step in {prompts, (whole * multiple) % prompts or prompts}:
        for processes in (nodes * actors, nodes * critics):
            dealt = _deal(step * samples, generate, processes)
            assert len(set(dealt)) == 1, "OpenRLHF would hang"
            assert dealt[0] % micro == 0, "samples would be dropped"
            assert step * samples % train == 0, "an optimizer step would be begun and not ended"
            assert train == micro * (train // micro // processes) * processes, "DeepSpeed would refuse it"


def _deal(samples: int, micro: int, processes: int) -> list[int]:
    """How many samples each process gets: RayActorGroup.async_run_method_batch."""
    batches = [min(micro, samples - start) for start in range(0, samples, micro)]
    assert len(batches) >= processes, "OpenRLHF: Insufficient batch size"
    chunk = math.ceil(len(batches) / processes)
    return [sum(batches[index * chunk : (index + 1) * chunk]) for index in range(processes)]


def test_the_prompts_of_the_training_file_come_in_multiples() -> None:
    once = "train.save_steps="
    assert prompt_multiple(load_recipe(GPU, [once])) == 16  # optimizer steps of 128 samples, 8 a prompt
    assert prompt_multiple(load_recipe(CPU)) == 8
    small = [once, "rollout.micro_batch_size=64", "train.batch_size=32"]
    assert prompt_multiple(load_recipe(GPU, small)) == 32


def test_where_checkpoints_are_saved_every_step_is_full() -> None:
    assert prompt_multiple(load_recipe(GPU)) == 256
    assert prompt_multiple(load_recipe(CPU, ["train.batch_size=24", "train.save_steps=1"])) == 8
