"""What Slurm says of this job and this node, and what the user wants done.

Covers: Slurm's variables, cores and GPUs granted on this node, the recipe of the run.
Does not cover: whether the allocation is large enough for the recipe (training).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from acecoder_rl.sandbox.granted import granted_cores
from acecoder_rl.training.recipe import Section
from acecoder_rl.training.run_folder import RunFolder


class NoJob(RuntimeError):
    """This is no task of a Slurm step."""


@dataclass(frozen=True)
class Job:
    """A task of a job, one on each node.

    Attributes:
        id: of the job's step, with the count of restarts: no two attempts share it.
        number: of the job, as squeue shows it.
        restarts: how often the job was requeued.
        rank: of this node, from 0; the first one leads.
        nodes: how many there are.
        node: this one's name.
        gpus: granted here; None where Slurm does not say.
        cores: granted here.
    """

    id: str
    number: str
    restarts: int
    rank: int
    nodes: int
    node: str
    gpus: int | None
    cores: int

    @classmethod
    def here(cls, environment: Mapping[str, str] = os.environ) -> Job:
        """This task.

        Raises:
            NoJob: Slurm's variables are not set, or there are two tasks on a node.
        """
        try:
            number, step = environment["SLURM_JOB_ID"], environment["SLURM_STEP_ID"]
            rank, tasks = int(environment["SLURM_NODEID"]), int(environment["SLURM_NTASKS"])
            nodes = int(environment["SLURM_STEP_NUM_NODES"])
        except (KeyError, ValueError) as error:
            raise NoJob(f"{error} is not set as in a task of srun: start this with slurm/run.sh") from None
        if tasks != nodes:
            raise NoJob(f"there are {tasks} tasks on {nodes} nodes: start one on each, as slurm/run.sh does")
        restarts = int(environment.get("SLURM_RESTART_COUNT") or 0)
        gpus = environment.get("SLURM_GPUS_ON_NODE", "")
        return cls(
            id=f"{number}.{step}.{restarts}",
            number=number,
            restarts=restarts,
            rank=rank,
            nodes=nodes,
            node=environment.get("SLURMD_NODENAME") or os.uname().nodename,
            gpus=int(gpus) if gpus.isdigit() else None,
            cores=granted_cores(),
        )


@dataclass(frozen=True)
class Order:
    """What is to be run.

    Attributes:
        command: of acecoder-rl: train or train-rm.
        recipe: its file.
        overrides: of `--set`.
        resume: go on from the folder's last checkpoint, at the job's first start, too.
    """

    command: str
    recipe: str
    overrides: tuple[str, ...] = ()
    resume: bool = False

    def on(self, nodes: int) -> Order:
        """With the allocation's number of nodes, unless the user has said another."""
        if any(override.partition("=")[0].strip() == "resources.nodes" for override in self.overrides):
            return self
        return Order(self.command, self.recipe, (*self.overrides, f"resources.nodes={nodes}"), self.resume)

    @cached_property
    def loaded(self) -> Section:
        """The recipe.

        Raises:
            RecipeError: its mistakes.
        """
        if self.command == "train":
            from acecoder_rl.training.load import load_recipe as load
        else:
            from acecoder_rl.reward_model.training.recipe import load  # type: ignore[assignment]
        return load(self.recipe, self.overrides)

    @property
    def resources(self) -> Any:
        """The recipe's section."""
        return self.loaded.resources  # type: ignore[attr-defined]

    @cached_property
    def run(self) -> RunFolder:
        """The run's folder."""
        folder = self.loaded.logging.folder  # type: ignore[attr-defined]
        if self.command == "train":
            return RunFolder(folder)
        from acecoder_rl.reward_model.training.folder import RmFolder

        return RmFolder(folder, 0)

    @property
    def nodes_folder(self) -> Path:
        """Where the nodes' logs are."""
        return self.run.path / "nodes"

    def arguments(self, resume: bool) -> list[str]:
        """Of acecoder-rl."""
        sets = [part for override in self.overrides for part in ("--set", override)]
        return [self.command, self.recipe, *sets, *(["--resume"] if resume else [])]
