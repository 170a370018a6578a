"""Weights from the trainer to the engines: through shared memory on one machine, else through a TCP store.

Covers: what OpenRLHF uses of a communicator: `broadcast` from rank 0, one tensor at a time. OpenRLHF waits until
    every engine has loaded a tensor before it sends the next.
Does not cover: many nodes at speed: the TCP store moves about 70 MB a second.
The shared memory is an unnamed file of the sender's, opened through /proc: nothing is left of it, whoever is killed.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch


class Communicator:
    """Stands in for vLLM's PyNcclCommunicator.

    Args:
        group: vLLM's StatelessProcessGroup.
        file: descriptor of the sender's memory; None when some rank cannot reach it.
    """

    def __init__(self, group: Any, file: int | None) -> None:
        self.group = group
        self.file = file

    def broadcast(self, tensor: torch.Tensor, src: int, stream: object = None) -> None:
        """Send `tensor` when our rank is `src`, else receive into it."""
        if self.file is None:
            # clone: ZeRO's parameters are views of one flat buffer, which would be pickled whole.
            received = self.group.broadcast(tensor.detach().clone(), src)
            if self.group.rank != src:
                tensor.copy_(received)
        elif self.group.rank == src:
            data = _bytes(tensor.detach().contiguous())
            os.ftruncate(self.file, len(data))
            _write(self.file, data)
            self.group.broadcast_obj(len(data), src)
        else:
            size = self.group.broadcast_obj(None, src)
            _read(self.file, _bytes(tensor), size)


def connect(master_address: str, master_port: int, rank: int, world_size: int, device: object) -> Communicator:
    """Replaces openrlhf.utils.distributed_util.stateless_init_process_group."""
    from vllm.distributed.utils import StatelessProcessGroup

    # The store keeps what was sent for an hour unless told otherwise: gigabytes a step.
    group = StatelessProcessGroup.create(master_address, master_port, rank, world_size, data_expiration_seconds=60)
    file = os.memfd_create("acecoder-rl-weights") if rank == 0 else None
    where = group.broadcast_obj((_machine(), os.getpid(), file) if rank == 0 else None, 0)
    if rank != 0:
        file = _open(*where)
    reached = group.all_gather_obj(file is not None)
    return Communicator(group, file if all(reached) else None)


def _machine() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text()


def _open(machine: str, pid: int, file: int) -> int | None:
    if machine != _machine():
        return None
    try:
        return os.open(f"/proc/{pid}/fd/{file}", os.O_RDONLY)
    except OSError:  # another container of the same machine: the TCP store reaches it
        return None


def _bytes(tensor: torch.Tensor) -> memoryview:
    return memoryview(tensor.view(-1).view(torch.uint8).numpy())


def _write(file: int, data: memoryview) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(file, data[done:], done)


def _read(file: int, data: memoryview, size: int) -> None:
    if size != len(data):
        raise RuntimeError(f"the trainer sent {size} bytes of a tensor that has {len(data)} here")
    done = 0
    while done < size:
        got = os.preadv(file, [data[done:]], done)
        if not got:
            raise RuntimeError("the trainer's shared memory ended early: the trainer has died")
        done += got
