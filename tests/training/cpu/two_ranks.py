"""A trainer and an engine: two processes, and the weights that one sends to the other. Prints "received"."""

from __future__ import annotations

import os
import signal
import socket
import sys
import traceback

import torch

from acecoder_rl.training.cpu import weights

TENSORS = [
    torch.arange(12, dtype=torch.float32).reshape(3, 4),
    torch.tensor(2.5),
    torch.arange(12, dtype=torch.float32).reshape(3, 4).T,
    torch.empty(0),
    torch.tensor([float("nan"), float("inf"), -0.0, 1e-45]),
    torch.arange(6, dtype=torch.bfloat16),
    torch.randn(300_000, generator=torch.Generator().manual_seed(0)),
    # ZeRO's parameters are parts of one flat buffer.
    torch.arange(1000, dtype=torch.float32)[17:29].view(3, 4),
    torch.zeros(2, 3),
]


def _talk(rank: int, port: int) -> None:
    channel = weights.connect("127.0.0.1", port, rank, 2, "cpu")
    memory = channel.file
    assert memory is not None, "one machine, but not through its memory"
    for file in (memory, None):
        channel.file = file
        for sent in TENSORS:
            if rank == 0:
                channel.broadcast(torch.nn.Parameter(sent), src=0)
            else:
                got = torch.full(sent.shape, 7.0, dtype=sent.dtype)
                channel.broadcast(got, src=0)
                assert got.shape == sent.shape and _bits(got) == _bits(sent), (file, sent, got)
            # As OpenRLHF: the next only when every engine has loaded this one.
            channel.group.barrier()
    channel.file = memory
    if rank == 0:
        channel.broadcast(torch.zeros(4), src=0)
    else:
        try:
            channel.broadcast(torch.zeros(5), src=0)
        except RuntimeError as error:
            assert str(error) == "the trainer sent 16 bytes of a tensor that has 20 here", error
            print("received", flush=True)
    channel.group.barrier()


def _bits(tensor: torch.Tensor) -> bytes:
    return tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()


if __name__ == "__main__":
    import vllm.distributed.utils  # noqa: F401 - once, for both

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number = free.getsockname()[1]
    engine = os.fork()
    if engine == 0:
        try:
            _talk(1, number)
        except BaseException:
            traceback.print_exc()
            os.kill(os.getppid(), signal.SIGKILL)  # it would wait for us
        os._exit(0)
    _talk(0, number)
    os.waitpid(engine, 0)
    sys.exit(0)
