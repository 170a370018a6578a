"""Real runs, submitted with sbatch to a real Slurm: OpenRLHF's trainer in a Ray of the job's own, over two nodes."""

from __future__ import annotations

import signal

import pytest

from tests.slurm.conftest import ROOT, output
from tests.training.runs.looks import reports
from tests.training.runs.test_runs import _reward_model as reward_model

pytestmark = pytest.mark.training

TWO_NODES = ("--nodes=2", "--gpus-per-node=3")
PPO = {"advantage_estimator": "gae", "critic_learning_rate": 1e-3, "save_steps": 1}


# A reward model that the run serves: tests/training/runs has it on one machine.
@pytest.mark.parametrize("judged", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["", "and a reward model"])
def test_ppo_over_two_nodes(slurm, sbatch, finished, recipe, problems, tiny_model, tmp_path, judged):
    served = {}
    if judged:
        part = {"name": "rm", "kind": "acecode_rm", "weight": 0.5, "mean": 0.25, "std": 2.0, "squash": "none"}
        served["reward"] = {"parts": [part]}
        served["reward_model"] = {"path": str(reward_model(tiny_model, tmp_path / "rm", bias=3.0))}
    file = recipe(
        data={"train": str(problems(8))},
        train=PPO,
        resources={"gpus_per_node": 3, "zero_stage": 2},
        **served,
    )
    job = sbatch("ppo_qwen_coder.sh", file, options=(*TWO_NODES, "--wait"))
    state, said = finished(job)
    assert state == "COMPLETED 0:0", said
    run = tmp_path / "run"
    steps = reports(run, "train")
    assert [row["step"] for row in steps] == [1, 2], said
    if judged:  # by a head that has a bias alone: whatever was sampled has one score, (3 - mean) / std
        assert [row["rm"] for row in steps] == pytest.approx([1.375] * 2, abs=1e-4)
    assert "Ray is up on 2 nodes" in said and all("critic_loss" in row for row in steps)
    assert (run / "model" / "config.json").exists()
    # DeepSpeed's, a file of each rank of either model: the ranks stood on both nodes, which have too few GPUs for all.
    for model in ("_actor", "_critic"):
        assert len(list((run / "checkpoints" / model / "global_step2").glob("*optim_states.pt"))) == 2
    assert not slurm.left(job)


def test_reinforce_with_a_mixed_reward(slurm, sbatch, finished, recipe, problems, tmp_path):
    file = recipe(data={"train": str(problems(8))}, train={"advantage_estimator": "reinforce"})
    job = sbatch("reinforce_qwen_coder.sh", file, options=("--gpus-per-node=2",))
    state, said = finished(job)
    assert state == "COMPLETED 0:0", said
    steps = reports(tmp_path / "run", "train")
    assert [row["step"] for row in steps] == [1, 2] and all({"varied", "pass_rate"} <= row.keys() for row in steps)
    assert not slurm.left(job)


@pytest.mark.slow  # test_jobs.py has both with a training that takes seconds
def test_a_run_that_loses_a_node_and_one_near_its_limit(slurm, sbatch, said, finished, recipe, problems, tmp_path):
    file = recipe(train={**PPO, "episodes": 4}, resources={"gpus_per_node": 3, "zero_stage": 2})
    job = sbatch("ppo_qwen_coder.sh", file, options=TWO_NODES)
    said(job, "step 1/12")
    (raylet,) = slurm.processes(job, "n2", "raylet/raylet")
    raylet.send_signal(signal.SIGKILL)
    state, text = finished(job, 120)
    assert state.startswith("FAILED") and "node n2 is lost: Ray ended on this node: its raylet ended with -9" in text
    assert not slurm.left(job)

    job = sbatch("ppo_qwen_coder.sh", file, "--resume", options=TWO_NODES)
    said(job, "step 3/12")
    slurm.ask("scancel", "--signal=USR1", job)
    said(job, "the job is requeued and goes on from there")
    state, text = finished(job)
    assert state == "COMPLETED 0:0" and slurm.job(job)["Restarts"] == "1", text
    assert [row["step"] for row in reports(tmp_path / "run", "train")] == list(range(1, 13)), output(tmp_path)


@pytest.mark.slow
def test_a_reward_model_is_trained(slurm, sbatch, finished, tiny_model, tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("".join((ROOT / "acecoder_rl/starter/pairs.jsonl").open().readlines()[:24]))
    settings = {"model.path": tiny_model, "logging.folder": tmp_path / "run", "data.path": pairs}
    sets = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    job = sbatch("train_rm.sh", "recipes/rm_quickstart.yaml", *sets, options=("--gpus-per-node=1",))
    state, said = finished(job)
    assert state == "COMPLETED 0:0", said
    assert (tmp_path / "run" / "report.json").exists() and not slurm.left(job)
