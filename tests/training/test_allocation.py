"""What a run needs is added up part by part, and compared with what is there before anything is started."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acecoder_rl.gpus import Gpus
from acecoder_rl.training import allocation, driver
from acecoder_rl.training.allocation import Needs, check_here, lacking, needs_of, of_ray, of_slurm, outlook
from acecoder_rl.training.driver import Plan
from acecoder_rl.training.errors import RunFailed
from acecoder_rl.training.load import load_recipe
from acecoder_rl.training.recipe import Recipe, RecipeError

SHIPPED = Path(__file__).parents[2] / "recipes"
CPU = Path(__file__).parent / "recipes" / "cpu.yaml"
JOB = {"SLURM_JOB_ID": "12", "SLURM_JOB_NUM_NODES": "2", "SLURM_GPUS_ON_NODE": "8", "SLURM_JOB_CPUS_PER_NODE": "64(x2)"}


def _recipe(name: str, *overrides: str) -> Recipe:
    return load_recipe(SHIPPED / f"{name}.yaml", overrides)


def _node(gpus: float, cpus: float, alive: bool = True) -> dict[str, Any]:
    return {"Alive": alive, "Resources": {"GPU": gpus, "CPU": cpus} if gpus else {"CPU": cpus}}


@pytest.mark.parametrize(
    ("name", "overrides", "gpus", "cpus"),
    [
        ("reinforce_pp_qwen_coder_7b_rule", [], {"policy and reference": 4, "engines": 4}, 9),
        ("reinforce_pp_qwen_coder_7b_rule", ["train.kl_coef=0"], {"policy": 4, "engines": 4}, 9),
        ("reinforce_pp_qwen_coder_7b_rule", ["resources.nodes=2"], {"policy and reference": 8, "engines": 8}, 17),
        ("reinforce_pp_qwen_coder_7b_rm", [], {"policy and reference": 4, "engines": 2, "reward model": 2}, 7),
        (
            "reinforce_pp_qwen_coder_7b_rm",
            ["resources.nodes=2"],
            {"policy and reference": 8, "engines": 4, "reward model": 4},
            13,
        ),
        ("ppo_qwen_coder_7b_rule", [], {"policy and reference": 4, "critic": 2, "engines": 2}, 9),
    ],
)
def test_the_parts_of_a_run(name: str, overrides: list[str], gpus: dict[str, int], cpus: int) -> None:
    needs = needs_of(_recipe(name, *overrides))
    assert (needs.gpus, needs.cpus) == (gpus, cpus)


def test_what_is_lacking_names_each_part_what_is_there_and_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    needs = needs_of(_recipe("reinforce_pp_qwen_coder_7b_rm"))
    assert lacking(needs, of_ray([_node(4, 64), _node(4, 64, alive=False)])) == (
        "the run needs 8 GPUs (policy and reference 4, engines 2, reward model 2) and 7 CPUs (one beside each of the "
        "trainer's GPUs, one for the trainer), but Ray has 4 GPUs and 64 CPUs on 1 node, too few GPUs: start Ray with "
        "more (ray start --num-gpus N --num-cpus N, on more nodes), or ask for less with "
        "resources.actor_gpus_per_node, engines_per_node and reward_model.replicas"
    )
    assert lacking(needs, of_ray([_node(4, 4), _node(4, 3)])) is None
    assert "too few CPUs:" in (lacking(needs, of_ray([_node(8, 6)])) or "")
    assert "too few GPUs and CPUs:" in (lacking(needs, of_ray([])) or "")
    assert "too few GPUs: submit with more (sbatch --nodes N" in (lacking(needs, of_ray([_node(4, 64)], JOB)) or "")


def test_a_copy_of_the_reward_model_must_fit_on_one_node() -> None:
    needs = Needs({"policy": 2, "reward model": 4}, whole=4)
    assert lacking(needs, of_ray([_node(4, 8), _node(2, 8)])) is None
    told = lacking(needs, of_ray([_node(2, 8), _node(2, 8), _node(2, 8)]))
    assert told is not None and told.startswith("a copy of the reward model needs 4 GPUs of one node, but Ray has no ")


def test_the_driver_refuses_before_it_starts_anything() -> None:
    plan = Plan([], {}, {}, "", "gpu", 1, {"policy": 4, "engines": 4})
    driver._check_room(plan, [_node(8, 9)])
    with pytest.raises(
        RunFailed, match=r"the run needs 8 GPUs \(policy 4, engines 4\) and 9 CPUs .*Ray has 8 GPUs and 8"
    ):
        driver._check_room(plan, [_node(8, 8)])


@pytest.mark.parametrize(
    ("change", "offered"),
    [
        ({}, (2, 16, 128)),
        ({"SLURM_GPUS_ON_NODE": "", "SLURM_GPUS_PER_NODE": "h100:4"}, (2, 8, 128)),
        ({"SLURM_GPUS_ON_NODE": "", "SLURM_GPUS": "6"}, (2, 6, 128)),
        ({"SLURM_GPUS": "12"}, (2, 12, 128)),  # 8 here, 4 on the other node
        ({"SLURM_GPUS_ON_NODE": "", "SLURM_JOB_CPUS_PER_NODE": "8,4(x3)"}, (2, None, 20)),
        ({"SLURM_JOB_CPUS_PER_NODE": ""}, (2, 16, None)),
    ],
)
def test_slurms_variables(change: dict[str, str], offered: tuple[Any, ...]) -> None:
    offer = of_slurm(JOB | change)
    assert offer is not None and (offer.nodes, offer.gpus, offer.cpus) == offered
    assert of_slurm({}) is None


def test_a_run_on_this_machine_that_has_too_few_gpus_is_refused() -> None:
    recipe = _recipe("reinforce_pp_qwen_coder_7b_rule")
    check_here(recipe, "my.yaml", {"CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5,6,7"})
    with pytest.raises(
        RecipeError, match=r"^my.yaml: the run needs 8 GPUs .* this machine has 2 GPUs on 1 node, too few"
    ):
        check_here(recipe, "my.yaml", {"CUDA_VISIBLE_DEVICES": "0,1"})
    # Ray will say what the cluster has; on a CPU, GPUs are only counted.
    check_here(recipe, "my.yaml", {"CUDA_VISIBLE_DEVICES": "", "RAY_ADDRESS": "head:6379"})
    check_here(load_recipe(CPU), "my.yaml", {"CUDA_VISIBLE_DEVICES": ""})


def test_more_nodes_need_a_cluster() -> None:
    recipe = _recipe("reinforce_pp_qwen_coder_7b_rule", "resources.nodes=2")
    with pytest.raises(
        RecipeError, match=r"resources.nodes is 2, but RAY_ADDRESS is not set.*submit a script of slurm/"
    ):
        check_here(recipe, "my.yaml", {"CUDA_VISIBLE_DEVICES": ",".join(map(str, range(16)))})


def test_training_is_refused_before_its_folder_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from acecoder_rl.training.train import train

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(RecipeError, match=r"this machine has [01] GPUs? on 1 node, too few GPUs: train where"):
        train(str(SHIPPED / "ppo_qwen_coder_7b_rule.yaml"))
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_says_what_to_ask_for_and_whether_this_job_has_it() -> None:
    recipe = _recipe("reinforce_pp_qwen_coder_7b_rule")
    assert outlook(recipe, {}) == [
        "needs 8 GPUs (policy and reference 4, engines 4) and 9 CPUs (one a GPU, one for the trainer)",
        "  of Slurm: --nodes 1 --gpus-per-node 8, and CPUs for the programs too",
    ]
    assert outlook(recipe, JOB)[2:] == [
        "  Slurm job 12 has 16 GPUs and 128 CPUs on 2 nodes: enough",
        "  1 of its nodes would idle: --set resources.nodes=2",
    ]
    few = outlook(recipe, JOB | {"SLURM_GPUS_ON_NODE": "2"})[2]
    assert few.startswith("  too little here: the run needs 8 GPUs") and "Slurm job 12 has 4 GPUs" in few
    assert "sbatch --nodes N --gpus-per-node N" in few
    assert outlook(load_recipe(CPU), JOB) == []


def test_gpus_of_another_make_are_not_taken_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocation, "find_gpus", lambda environ: Gpus(None, {}, ""))
    check_here(_recipe("reinforce_pp_qwen_coder_7b_rule"), "my.yaml", {})
