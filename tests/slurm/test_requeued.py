"""What a job goes on from that Slurm starts again: the run that it began itself, and no other."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from acecoder_rl.slurm.job import Job, Order
from acecoder_rl.slurm.lead import _begin as begin

CPU = Path(__file__).parents[1] / "training" / "recipes" / "cpu.yaml"
JOB = Job(id="7.0.0", number="7", restarts=0, rank=0, nodes=1, node="n1", gpus=1, cores=1)
AGAIN = dataclasses.replace(JOB, id="7.0.1", restarts=1)


@pytest.fixture
def order(tmp_path: Path) -> Order:
    made = Order("train", str(CPU), (f"logging.folder={tmp_path}/run",))
    made.nodes_folder.mkdir(parents=True)
    return made


def _save(order: Order, step: int) -> None:
    saved = order.run.checkpoints / "_actor" / f"global_step{step}"
    saved.mkdir(parents=True)
    (saved / "weights.pt").touch()
    (saved.parent / "latest").write_text(saved.name)


def test_it_goes_on_with_what_it_saved(order):
    assert not begin(JOB, order)
    order.run.begin("model: {}", [])
    _save(order, 3)
    assert begin(AGAIN, order)


def test_what_it_began_without_saving_is_put_aside(order):
    assert not begin(JOB, order)
    order.run.begin("model: {}", [])
    assert not begin(AGAIN, order)
    assert not order.run.used and (order.run.path / "run.1.json").exists()


def test_a_run_that_it_did_not_begin_is_left_alone(order):
    """Slurm requeues a job whose first node did not start; and a user may requeue one that was refused."""
    order.run.begin("model: {}", [])
    assert not begin(AGAIN, order)
    _save(order, 3)
    assert not begin(JOB, order) and not begin(AGAIN, order)  # acecoder-rl says then that the folder holds a run
    assert order.run.used and order.run.last_checkpoint() == 3


def test_resume_holds_for_a_job_that_is_requeued_before_it_came_here(order):
    order.run.begin("model: {}", [])
    _save(order, 3)
    assert begin(AGAIN, dataclasses.replace(order, resume=True))
