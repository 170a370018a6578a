"""What OpenRLHF 0.11.2 and vLLM 0.32.0 take for granted of CUDA, replaced piece by piece.

Covers: device calls, the device mesh, the import of flash-attn, weight updates of vLLM workers.
Does not cover: precision (fp32.py), how weights travel (weights.py).
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
    from torch.distributed import device_mesh

    torch.cuda.current_device = lambda: _Cpu("cpu")
    torch.cuda.synchronize = lambda device=None: None
    torch.cuda.set_device = lambda device: None
    torch.cuda.current_stream = lambda device=None: None

    # DeepspeedStrategy.setup_distributed makes its mesh of "cuda" devices.
    if not hasattr(device_mesh, "_acecoder_rl_init"):
        device_mesh._acecoder_rl_init = init = device_mesh.init_device_mesh
        device_mesh.init_device_mesh = lambda kind, *args, **kwargs: init(
            "cpu" if kind == "cuda" else kind, *args, **kwargs
        )


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


def vllm_keeps_its_weights() -> None:
    """Plain linear layers: vLLM's CPU backend packs each weight when it loads the model and drops the original,
    so that a later load_weights() would change nothing on machines with AVX512 or AMX."""
    import torch
    import vllm.model_executor.layers.utils as layers

    def plain(layer: torch.nn.Module, remove_weight: bool) -> None:
        layer.cpu_linear = torch.nn.functional.linear

    layers.dispatch_cpu_unquantized_gemm = plain


def workers_without_cuda() -> None:
    """OpenRLHF's extension of vLLM's workers allocates each new weight on a GPU."""
    import torch
    from openrlhf.trainer.ray.vllm_worker_wrap import WorkerWrap

    def update_weight(
        self: Any, name: str, dtype: torch.dtype, shape: torch.Size, empty_cache: bool = False
    ) -> None:
        expected = self.model_config.dtype
        if dtype != expected:
            raise RuntimeError(f"the trainer sends {name} as {dtype}, but vLLM holds {expected}")
        weight = torch.empty(shape, dtype=dtype)
        self._model_update_group.broadcast(weight, src=0)
        self.model_runner.model.load_weights(weights=[(name, weight)])

    WorkerWrap.update_weight = update_weight
