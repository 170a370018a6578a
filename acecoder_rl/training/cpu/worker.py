"""What OpenRLHF adds to each worker of a vLLM engine, without CUDA.

Covers: receiving new weights, in a form that vLLM 0.32.0 then uses.
Does not cover: how weights travel (weights.py).
vLLM imports this module in the worker before it loads the model (`worker_extension_cls`, set in fp32.py).
"""

from __future__ import annotations

import torch
import vllm.model_executor.layers.utils as layers
from openrlhf.trainer.ray.vllm_worker_wrap import WorkerWrap

from acecoder_rl.training.cpu import patches

patches.weights_without_nccl()


def _plain_linear(layer: torch.nn.Module, remove_weight: bool) -> None:
    layer.cpu_linear = torch.nn.functional.linear


# vLLM's CPU backend packs each weight when it loads the model and drops the original, so that a later
# load_weights() would change nothing on machines with AVX512 or AMX.
layers.dispatch_cpu_unquantized_gemm = _plain_linear


class CpuWorkerWrap(WorkerWrap):
    """OpenRLHF's extension, which allocates each new weight on a GPU."""

    def update_weight(self, name: str, dtype: torch.dtype, shape: torch.Size, empty_cache: bool = False) -> None:
        """Receive one weight from the trainer's rank 0."""
        expected = self.model_config.dtype
        if dtype != expected:
            raise RuntimeError(f"the trainer sends {name} as {dtype}, but vLLM holds {expected}")
        weight = torch.empty(shape, dtype=dtype)
        self._model_update_group.broadcast(weight, src=0)
        self.model_runner.model.load_weights(weights=[(name, weight)])
