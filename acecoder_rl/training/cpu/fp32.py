"""Everything in fp32: 16 bits are 4 to 8 times slower on CPUs without AMX, and OpenRLHF knows nothing else.

Covers: the models and optimizers of OpenRLHF's DeepSpeed strategy, the data type of its vLLM engines.
Does not cover: `--ds.param_dtype`, which stays at bf16 on the command line, the only value besides fp16.
"""

from __future__ import annotations

from typing import Any

import deepspeed.ops
import torch
from openrlhf.utils.deepspeed.deepspeed import DeepspeedStrategy

from acecoder_rl.training.cpu import ENGINE

EXTENSION = "acecoder_rl.training.cpu.worker.CpuWorkerWrap"
MAX_SEQUENCES = 128  # of an engine at once: vLLM's own 256 slow a CPU's cache down


class CpuDeepspeedStrategy(DeepspeedStrategy):
    """OpenRLHF's strategy in fp32, without the C++ extensions that DeepSpeed would compile at run time."""

    def setup_distributed(self, *args: Any, **kwargs: Any) -> None:
        """Also the first call in each model's actor, before it makes its model."""
        import openrlhf.utils.utils

        openrlhf.utils.utils.convert_to_torch_dtype = lambda name: torch.float32
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False  # a 20 s build: gloo alone will do
        super().setup_distributed(*args, **kwargs)

    def get_ds_train_config(self, optim_dict: dict[str, Any] | None = None, **kwargs: Any) -> dict[str, Any]:
        """OpenRLHF's configuration with torch's AdamW instead of FusedAdam, which is C++ to compile."""
        if optim_dict is not None and optim_dict["type"] == "AdamW":
            optim_dict["params"]["torch_adam"] = True
        return _fp32(super().get_ds_train_config(optim_dict, **kwargs))

    def get_ds_eval_config(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """OpenRLHF's configuration of models that are not trained."""
        return _fp32(super().get_ds_eval_config(*args, **kwargs))


def _fp32(config: dict[str, Any]) -> dict[str, Any]:
    config["bf16"]["enabled"] = config["fp16"]["enabled"] = False
    return config


class _Engines:
    """Makes OpenRLHF's engine actors, but with another data type and extension than create_vllm_engines says."""

    def __init__(self, actor_class: Any) -> None:
        self.actor_class = actor_class

    def options(self, **options: Any) -> _Engines:
        made = _Engines(self.actor_class)
        made.actor_options = options | {"runtime_env": {"env_vars": ENGINE}}
        return made

    def remote(self, **kwargs: Any) -> Any:
        kwargs |= {"dtype": "float32", "max_num_seqs": MAX_SEQUENCES, "worker_extension_cls": EXTENSION}
        return self.actor_class.options(**self.actor_options).remote(**kwargs)


def use() -> None:
    """Put both in place of OpenRLHF's own, in the driver."""
    import openrlhf.trainer.ray.vllm_engine as vllm_engine
    import openrlhf.utils.deepspeed as strategies

    strategies.DeepspeedStrategy = CpuDeepspeedStrategy
    vllm_engine.RolloutRayActor = _Engines(vllm_engine.RolloutRayActor)
