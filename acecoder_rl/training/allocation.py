"""What a run needs of GPUs and CPUs, part by part, against what is there.

Covers: this machine, the Slurm job that this process is in, a Ray cluster; what is lacking, in one sentence with its
    mend.
Does not cover: which part takes how many (placement.py), a node's figures in the recipe (checks.py), memory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acecoder_rl.gpus import find_gpus
from acecoder_rl.training.placement import JUDGE, gpus_used, judge, parts
from acecoder_rl.training.recipe import Recipe, RecipeError

MORE_OF_SLURM = "submit with more (sbatch --nodes N --gpus-per-node N --cpus-per-task N)"


@dataclass(frozen=True)
class Needs:
    """Of a run, on all nodes together.

    Attributes:
        gpus: part -> GPUs.
        whole: GPUs that must be on one node, for one replica of the reward model.
    """

    gpus: dict[str, int]
    whole: int = 1

    @property
    def all_gpus(self) -> int:
        """Of all parts."""
        return sum(self.gpus.values())

    @property
    def cpus(self) -> int:
        """As OpenRLHF asks Ray for them: one beside each GPU, one for the trainer itself; none for the reward model."""
        return sum(gpus for part, gpus in self.gpus.items() if part != JUDGE) + 1

    def __str__(self) -> str:
        shares = ", ".join(f"{part} {gpus}" for part, gpus in self.gpus.items())
        beside = "one beside each of the trainer's GPUs" if JUDGE in self.gpus else "one a GPU"
        return f"{self.all_gpus} GPUs ({shares}) and {self.cpus} CPUs ({beside}, one for the trainer)"


@dataclass(frozen=True)
class Offer:
    """What is there.

    Attributes:
        where: "this machine", "Slurm job 12", ...
        nodes: how many.
        gpus, cpus: on all of them; None = not known.
        largest: GPUs of the node that has most; None = not known.
        more: how to get more.
    """

    where: str
    nodes: int
    gpus: int | None
    cpus: int | None
    largest: int | None
    more: str

    def __str__(self) -> str:
        figures = {"GPUs": self.gpus, "CPUs": self.cpus}
        known = [f"{n} {kind[:-1] if n == 1 else kind}" for kind, n in figures.items() if n is not None]
        return f"{self.where} has {' and '.join(known)} on {self.nodes} {'node' if self.nodes == 1 else 'nodes'}"


def needs_of(recipe: Recipe) -> Needs:
    """What a recipe needs."""
    served = judge(recipe)
    return Needs(parts(recipe), max(1, served.gpus if served else 1))


def lacking(needs: Needs, offer: Offer) -> str | None:
    """What is not there, with each part's share and the mend; None = there is enough, as far as is known."""
    few = [
        kind
        for kind, needed, there in (("GPUs", needs.all_gpus, offer.gpus), ("CPUs", needs.cpus, offer.cpus))
        if there is not None and there < needed
    ]
    if few:
        fields = "actor_gpus_per_node, engines_per_node" + (" and reward_model.replicas" if JUDGE in needs.gpus else "")
        return (
            f"the run needs {needs}, but {offer}, too few {' and '.join(few)}: {offer.more}, or ask for less with "
            f"resources.{fields}"
        )
    if offer.largest is not None and offer.largest < needs.whole:
        return (
            f"a copy of the reward model needs {needs.whole} GPUs of one node, but {offer.where} has no node with more "
            f"than {offer.largest}: lower reward_model.gpus_per_replica, or take larger nodes"
        )
    return None


def of_ray(nodes: list[dict[str, Any]], environ: Mapping[str, str] = os.environ) -> Offer:
    """What Ray has, by `ray.nodes()`."""
    alive = [node.get("Resources", {}) for node in nodes if node.get("Alive")]
    gpus = [int(each.get("GPU", 0)) for each in alive]
    cpus = sum(int(each.get("CPU", 0)) for each in alive)
    more = "start Ray with more (ray start --num-gpus N --num-cpus N, on more nodes)"
    if environ.get("SLURM_JOB_ID"):
        more = MORE_OF_SLURM
    return Offer("Ray", len(alive), sum(gpus), cpus, max(gpus, default=0), more)


def of_slurm(environ: Mapping[str, str] = os.environ) -> Offer | None:
    """What the Slurm job has that this process is in; None = it is in none."""
    if not environ.get("SLURM_JOB_ID"):
        return None
    nodes = _number(environ.get("SLURM_JOB_NUM_NODES") or environ.get("SLURM_NNODES")) or 1
    per_node = _number(environ.get("SLURM_GPUS_ON_NODE")) or _number(environ.get("SLURM_GPUS_PER_NODE"))
    all_gpus = _number(environ.get("SLURM_GPUS"))  # of `--gpus`, which need not give each node as many
    if all_gpus is None and per_node is not None:
        all_gpus = per_node * nodes
    cpus = _cpus(environ.get("SLURM_JOB_CPUS_PER_NODE", ""))
    alike = per_node is not None and all_gpus == per_node * nodes
    largest = per_node if alike else None
    return Offer(f"Slurm job {environ['SLURM_JOB_ID']}", nodes, all_gpus, cpus, largest, MORE_OF_SLURM)


def of_machine(environ: Mapping[str, str] = os.environ) -> Offer:
    """What this machine has. Ray counts its CPUs, in its own way, when it starts."""
    count = find_gpus(environ).count
    more = "train where there are as many, or join a Ray cluster with RAY_ADDRESS"
    return Offer("this machine", 1, count, None, count, more)


def check_here(recipe: Recipe, where: str, environ: Mapping[str, str] = os.environ) -> None:
    """Before anything is started: whether a run that starts Ray on this machine can have its GPUs here.

    Args:
        where: the recipe's file, for the message.

    Raises:
        RecipeError: it cannot. A run in a cluster (RAY_ADDRESS) is checked by its driver, which asks Ray.
    """
    if recipe.resources.device == "cpu" or environ.get("RAY_ADDRESS"):
        return
    if recipe.resources.nodes > 1:
        raise RecipeError(
            [
                f"{where}: resources.nodes is {recipe.resources.nodes}, but RAY_ADDRESS is not set, and without it Ray "
                "starts on this machine alone: submit a script of slurm/, or start Ray on all nodes and set it"
            ]
        )
    if told := lacking(needs_of(recipe), of_machine(environ)):
        raise RecipeError([f"{where}: {told}"])


def outlook(recipe: Recipe, environ: Mapping[str, str] = os.environ) -> list[str]:
    """For a dry run: what to ask of a scheduler, and whether the Slurm job that we are in has it."""
    resources, needs = recipe.resources, needs_of(recipe)
    if resources.device == "cpu":
        return []
    lines = [
        f"needs {needs}",
        f"  of Slurm: --nodes {resources.nodes} --gpus-per-node {gpus_used(recipe)}, and CPUs for the programs too",
    ]
    job = of_slurm(environ)
    if job is None:
        return lines
    if told := lacking(needs, job):
        return [*lines, f"  too little here: {told}"]
    lines.append(f"  {job}: enough")
    if job.nodes > resources.nodes:
        lines.append(f"  {job.nodes - resources.nodes} of its nodes would idle: --set resources.nodes={job.nodes}")
    return lines


def _number(text: str | None) -> int | None:
    """The count in "8", "h100:8" or "gpu:h100:8"."""
    last = (text or "").rpartition(":")[2]
    return int(last) if last.isdigit() else None


def _cpus(text: str) -> int | None:
    """The sum of "64(x2),32"."""
    found = re.findall(r"(\d+)(?:\(x(\d+)\))?", text)
    return sum(int(cpus) * int(times or 1) for cpus, times in found) or None
