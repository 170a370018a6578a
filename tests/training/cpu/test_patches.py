"""Patches are in place where a recipe says `device: cpu`, and nowhere else; other releases are refused."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from importlib import metadata

import pytest

from acecoder_rl.training import cpu

with_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="`make setup` installs torch")


def _python(source: str, device: str | None) -> dict:
    """What a process prints that is a worker of a run on this device."""
    environment = {name: value for name, value in os.environ.items() if name != cpu.DEVICE}
    if device:
        environment[cpu.DEVICE] = device
    run = subprocess.run([sys.executable, "-c", source], env=environment, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


LOOKS = """
import json, sys
before = set(sys.modules)
from acecoder_rl.training import cpu
finders = list(sys.meta_path)
cpu.worker_hook()
print(json.dumps({
    "new": sorted(name for name in set(sys.modules) - before if not name.startswith("acecoder_rl")),
    "finders": len(sys.meta_path) - len(finders),
}))
"""


@pytest.mark.parametrize("device", [None, "gpu", ""])
def test_elsewhere_the_hook_does_nothing(device):
    seen = _python(LOOKS, device)
    assert seen["finders"] == 0
    assert not [name for name in seen["new"] if name.startswith(("flash_attn", "torch", "openrlhf"))]


def test_on_cpu_the_hook_imports_nothing_heavy():
    seen = _python(LOOKS, "cpu")
    assert seen["finders"] == 1 and "flash_attn" in seen["new"]
    heavy = ("torch", "openrlhf", "deepspeed", "vllm", "ray", "numpy")
    assert not [name for name in seen["new"] if name.split(".")[0] in heavy]


TORCH = """
import json
from acecoder_rl.training import cpu
cpu.worker_hook()
import torch
from torch.distributed.device_mesh import init_device_mesh
device = torch.cuda.current_device()
told = {"device": device, "in a name": f"cuda:{device}", "tensor on": str(torch.zeros(1, device=device).device)}
torch.cuda.set_device(0), torch.cuda.synchronize(), torch.cuda.current_stream()
torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
told["mesh"] = init_device_mesh("cuda", (1,)).device_type

from flash_attn.bert_padding import unpad_input
from flash_attn.utils.distributed import all_gather
try:
    unpad_input(1)
except RuntimeError as error:
    told["flash"] = str(error)
print(json.dumps(told))
"""


@with_torch
def test_on_cpu_openrlhfs_calls_to_cuda_are_answered():
    seen = _python(TORCH, "cpu")
    assert (seen["device"], seen["tensor on"], seen["mesh"]) == ("cpu", "cpu", "cpu")
    # NaiveReplayBuffer makes such a device.
    assert seen["in a name"] == "cuda:0"
    assert "leave ds.packing_samples and ring attention off" in seen["flash"]


def test_the_known_releases_pass(monkeypatch):
    monkeypatch.setattr(cpu, "KNOWN", {"pytest": metadata.version("pytest")})
    cpu.check_versions()


@pytest.mark.parametrize(
    ("known", "told"),
    [
        (
            {"pytest": "0.1"},
            f"pytest {metadata.version('pytest')} is installed, .* known to work with pytest 0.1 only",
        ),
        ({"no-such-package": "2.0"}, "no-such-package is not installed, .* with no-such-package 2.0 only"),
    ],
)
def test_other_releases_are_refused_with_the_mend(known, told, monkeypatch):
    monkeypatch.setattr(cpu, "KNOWN", known)
    with pytest.raises(cpu.UnknownVersion, match=f"^resources.device is cpu, but {told}: run `make setup`"):
        cpu.check_versions()
