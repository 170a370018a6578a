"""The command that trains: one process on CPU, torchrun's one a GPU.

Covers: the command line, and which of several nodes this is.
Does not cover: watching it (training/launch.py).
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from acecoder_rl.reward_model.training.recipe import RmRecipe
from acecoder_rl.reward_model.training.worker import MODULE
from acecoder_rl.training.recipe import RecipeError

PORT = "29500"
WAIT = 7200  # seconds that other nodes wait while the first one reads the pairs


@dataclass(frozen=True)
class Node:
    """Which node of a run this is.

    Attributes:
        rank: counted from 0.
        address, port: of the first one.
    """

    rank: int = 0
    address: str = "127.0.0.1"
    port: str = PORT


def this_node(recipe: RmRecipe, where: str) -> Node:
    """From the environment: NODE_RANK (or Slurm's SLURM_NODEID), MASTER_ADDR, MASTER_PORT.

    Raises:
        RecipeError: a run on several nodes, and the environment does not say.
    """
    nodes = recipe.resources.nodes
    if recipe.resources.device == "cpu" or nodes == 1:
        return Node()
    rank = os.environ.get("NODE_RANK", os.environ.get("SLURM_NODEID", ""))
    address = os.environ.get("MASTER_ADDR")
    if not rank.isdigit() or int(rank) >= nodes or not address:
        raise RecipeError(
            [
                f"{where}: resources.nodes is {nodes}: run this command on each of them, with NODE_RANK=0 to "
                f"{nodes - 1} (`srun --ntasks-per-node=1` will do) and MASTER_ADDR=<the first node's name>, and "
                "logging.folder on a file system that all of them see"
            ]
        )
    return Node(int(rank), address, os.environ.get("MASTER_PORT", PORT))


def command(recipe: RmRecipe, folder: Path, checkpoint: Path | None, node: Node) -> list[str]:
    """What is started on this node."""
    work = ["-m", MODULE, str(folder), *([str(checkpoint)] if checkpoint else [])]
    resources = recipe.resources
    if resources.device == "cpu":
        return [sys.executable, "-u", *work]
    torchrun = [sys.executable, "-u", "-m", "torch.distributed.run", f"--nproc-per-node={resources.gpus_per_node}"]
    if resources.nodes == 1:
        return [*torchrun, "--standalone", *work]
    return [
        *torchrun,
        f"--nnodes={resources.nodes}",
        f"--node-rank={node.rank}",
        f"--master-addr={node.address}",
        f"--master-port={node.port}",
        f"--rdzv-conf=timeout={WAIT}",
        *work,
    ]
