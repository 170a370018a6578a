"""What OpenRLHF 0.11.2 takes for granted of CUDA, replaced piece by piece.

Covers: device calls, the device mesh, the import of flash-attn.
Does not cover: precision (fp32.py), how weights travel (weights.py), vLLM's workers (worker.py).
"""

from __future__ import annotations

import importlib.machinery
import sys
import types
from typing import Any, NoReturn


class _Cpu(str):
    """The device "cpu". f"cuda:{device}" gives "cuda:0": NaiveReplayBuffer makes such a device, never uses it."""

    def __format__(self, spec: str) -> str:
        return "0"


def torch_without_cuda() -> None:
    """`torch.cuda`'s device calls, which OpenRLHF makes unasked all over trainer/ray and utils/deepspeed."""
    import torch

    torch.cuda.current_device = lambda: _Cpu("cpu")
    torch.cuda.synchronize = lambda device=None: None
    torch.cuda.set_device = lambda device: None
    torch.cuda.current_stream = lambda device=None: None


def meshes_without_cuda() -> None:
    """DeepspeedStrategy.setup_distributed makes its mesh of "cuda" devices."""
    from torch.distributed import device_mesh

    make = device_mesh.init_device_mesh

    def init_device_mesh(kind: str, *args: Any, **kwargs: Any) -> Any:
        return make("cpu" if kind == "cuda" else kind, *args, **kwargs)

    device_mesh.init_device_mesh = init_device_mesh


def names_of_flash_attn() -> None:
    """Importable names of flash-attn: openrlhf/models/ring_attn_utils.py imports them whether it uses them or not."""
    names = {
        "flash_attn": [],
        "flash_attn.utils": [],
        "flash_attn.bert_padding": ["index_first_axis", "pad_input", "rearrange", "unpad_input"],
        "flash_attn.utils.distributed": ["all_gather"],
    }
    for name, attributes in names.items():
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=not attributes)
        module.__path__ = []
        for attribute in attributes:
            setattr(module, attribute, _no_flash_attn)
        sys.modules.setdefault(name, module)


def _no_flash_attn(*args: Any, **kwargs: Any) -> NoReturn:
    raise RuntimeError("there is no flash-attn on CPU: leave ds.packing_samples and ring attention off")


def weights_without_nccl() -> None:
    """The channel from the trainer to the engines, which is a PyNcclCommunicator else."""
    from openrlhf.utils import distributed_util

    from acecoder_rl.training.cpu.weights import connect

    distributed_util.stateless_init_process_group = connect
