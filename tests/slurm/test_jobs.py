"""How a job on two nodes is started, watched and ended, with a training that takes seconds (quick/) in a real Ray."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.slurm.conftest import output
from tests.training.runs.looks import reports

TWO_NODES = ("--nodes=2", "--gpus-per-node=1", "--mem=2G")
pytestmark = pytest.mark.alone
slow = pytest.mark.slow
LOST = 300  # seconds in which a job whose node is lost has ended


@pytest.fixture
def quick(tmp_path: Path) -> Callable[..., Path]:
    """Writes a recipe for it; a step is an episode."""

    def write(name: str = "run", episodes: int = 4, **train: Any) -> Path:
        (tmp_path / "model").mkdir(exist_ok=True)
        fields = {
            "advantage_estimator": "reinforce",
            "learning_rate": "1.0e-3",
            "batch_size": 8,
            "save_steps": 1,
            **train,
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(
            f"model: {{path: {tmp_path}/model}}\ndata: {{train: 'starter:train'}}\nreward: {{kind: all_pass}}\n"
            "rollout: {batch_size: 4, n_samples_per_prompt: 2}\n"
            f"train: {{episodes: {episodes}, {', '.join(f'{key}: {value}' for key, value in fields.items())}}}\n"
            "resources: {device: cpu, gpus_per_node: 1, actor_gpus_per_node: 1, engines_per_node: 1}\n"
            f"logging: {{folder: {tmp_path}/{name}}}\n"
        )
        return path

    return write


@pytest.mark.parametrize(
    ("node", "victim", "cause"),
    [
        ("n2", "raylet/raylet", "node n2 is lost: Ray ended on this node: its raylet ended with -9"),
        pytest.param(
            "n2", "ray.scripts.scripts start", "node n2 is lost: Ray ended on this node: killed by signal 9", marks=slow
        ),
        pytest.param("n2", "acecoder_rl.slurm", "node n2 is lost: its process was killed", marks=slow),
        pytest.param(
            "n1", "gcs_server", "node n1 is lost: Ray ended on this node: its gcs_server ended with -9", marks=slow
        ),
    ],
)
def test_a_lost_node_ends_the_job_with_the_cause(slurm, sbatch, quick, said, finished, tmp_path, node, victim, cause):
    # GPUs asked for as the script does not.
    job = sbatch(
        "ppo_qwen_coder.sh", quick(episodes=1000), options=("--nodes=2", "--gres=gpu:1", "--mem=2G"), quick=True
    )
    said(job, "quick: step 2")
    for process in slurm.processes(job, node, victim):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    state, text = finished(job, LOST)
    assert state.startswith("FAILED"), text
    assert f"acecoder-rl: {cause}" in text
    assert not slurm.left(job)


@slow
def test_the_first_nodes_process_killed_ends_all(slurm, sbatch, quick, said, finished):
    job = sbatch("ppo_qwen_coder.sh", quick(episodes=1000), options=TWO_NODES, quick=True)
    said(job, "quick: step 2")
    (first,) = slurm.processes(job, "n1", "acecoder_rl.slurm")
    first.send_signal(signal.SIGKILL)
    state, text = finished(job, LOST)
    assert state.startswith("FAILED"), text
    assert "node n2: the first node's process is gone" in text
    assert not slurm.left(job)  # some of Ray's own only look every now and then whether the others are there


def test_near_its_time_limit_a_job_is_requeued_and_goes_on(slurm, sbatch, quick, said, finished, tmp_path):
    job = sbatch("ppo_qwen_coder.sh", quick(episodes=1000), options=(*TWO_NODES, "--signal=USR1@600"), quick=True)
    said(job, "quick: step 2")
    slurm.ask("scontrol", "update", f"JobId={job}", "TimeLimit=10")  # Slurm's own signal comes at its next look
    said(job, "the job is requeued and goes on from there")
    slurm.ask("scontrol", "update", f"JobId={job}", "TimeLimit=60")
    (step,) = set(re.findall(r"acecoder-rl: step (\d+) is saved; the job is requeued", output(tmp_path)))
    assert "quick: stopped in order" in output(tmp_path)  # this Slurm gives USR1 to all processes, Ray's and its, too
    said(job, f"quick: from step {step} on 2 nodes")
    said(job, f"quick: step {int(step) + 2}\n")
    (tmp_path / "run" / "enough").touch()
    state, text = finished(job)
    assert state == "COMPLETED 0:0", text
    steps = [row["step"] for row in reports(tmp_path / "run", "train")]
    assert steps == list(range(1, len(steps) + 1)) and len(steps) > int(step)


@slow
def test_what_saves_nothing_is_not_requeued(slurm, sbatch, quick, said, finished):
    job = sbatch("ppo_qwen_coder.sh", quick(episodes=1000, save_steps="null"), options=TWO_NODES, quick=True)
    said(job, "quick: step 2")
    slurm.ask("scancel", "--signal=USR1", job)
    state, text = finished(job, LOST)
    assert state == "FAILED 1:0" and "no step was saved in this time" in text
    assert slurm.job(job)["Restarts"] == "0" and not slurm.left(job)


@slow
def test_scancel_ends_all_in_time(slurm, sbatch, quick, said, finished):
    job = sbatch("ppo_qwen_coder.sh", quick(episodes=1000), options=TWO_NODES, quick=True)
    said(job, "quick: step 2")
    slurm.ask("scancel", job)
    state, text = finished(job, 60)
    assert state.startswith("CANCELLED") and "acecoder-rl: stopped by SIGTERM" in text
    assert not slurm.left(job)


def test_a_wrong_recipe_is_told_before_anything_starts(slurm, sbatch, quick, finished, tmp_path):
    file = quick()
    file.write_text(file.read_text().replace("rollout:", "rolout:"))
    state, text = finished(sbatch("ppo_qwen_coder.sh", file, options=TWO_NODES, quick=True))
    assert state == "FAILED 2:0", text
    assert "did you mean rollout?" in text and not (tmp_path / "run").exists()


def test_two_jobs_on_one_node_do_not_meet(slurm, sbatch, quick, said, finished, tmp_path):
    """Each has its own Ray with its own ports, directory and token, and a sandbox as large as its share of CPUs."""
    options = ("--nodelist=n1", "--gpus-per-node=1", "--mem=2G", "--cpus-per-task=1")
    jobs = [sbatch("ppo_qwen_coder.sh", quick(name, episodes=1000), options=options, quick=True) for name in "ab"]
    for job in jobs:
        said(job, "quick: step 1")
    assert all(slurm.job(job)["JobState"] == "RUNNING" for job in jobs)
    assert all(slurm.processes(job, word="raylet/raylet") for job in jobs)
    for name in "ab":
        (tmp_path / name / "enough").touch()
    for job in jobs:
        state, text = finished(job)
        assert state == "COMPLETED 0:0", text
    sessions = {line.split()[-1] for line in text.splitlines() if line.startswith("quick: from step 0 on 1 nodes")}
    assert text.count("quick: sandboxes of 1 workers") == 2
    assert len(sessions) == 2 and not any(Path(session).exists() for session in sessions)
    assert os.listdir(tmp_path / "a" / "nodes") and os.listdir(tmp_path / "b" / "nodes")
