"""The GPUs that this process may use, told without CUDA.

Covers: NVIDIA's: their number, kinds and driver, by nvidia-smi or the driver's files; what CUDA_VISIBLE_DEVICES leaves
    of them.
Does not cover: other makes, of which nothing is known here.
"""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SMI = ["nvidia-smi", "--query-gpu=driver_version,memory.total,name", "--format=csv,noheader,nounits"]
SMI_SECONDS = 15.0  # without a persistence daemon it wakes each GPU


@dataclass(frozen=True)
class Gpus:
    """What was found.

    Attributes:
        count: None = not known.
        kinds: "NVIDIA H100 80GB HBM3, 81559 MiB" -> how many.
        driver: its version; "" = no driver was found.
    """

    count: int | None
    kinds: dict[str, int]
    driver: str

    def __str__(self) -> str:
        if self.kinds:
            return "; ".join(f"{number} x {kind}" for kind, number in self.kinds.items())
        return "not known" if self.count is None else str(self.count)


def find_gpus(environ: Mapping[str, str] = os.environ, root: str = "/") -> Gpus:
    """Ask nvidia-smi, else look at the driver's files.

    Args:
        root: where /proc and /dev are read.
    """
    kinds, driver = _smi()
    if kinds:
        count: int | None = sum(kinds.values())
    else:
        devices = [file for file in Path(root, "dev").glob("nvidia*") if file.name[len("nvidia") :].isdigit()]
        version = Path(root, "proc/driver/nvidia/version")
        driver = _version(version.read_text(errors="replace")) if version.exists() else ""
        # AMD's driver: OpenRLHF and Ray know such GPUs, we cannot count them.
        count = None if not devices and Path(root, "dev/kfd").exists() else len(devices)
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        named = [each for each in visible.split(",") if each.strip() not in ("", "-1", "NoDevFiles")]
        # Where no driver is seen, whoever set it knows better.
        allowed = min(len(named), count) if count else len(named)
        if len(kinds) == 1:
            kinds = dict.fromkeys(kinds, allowed) if allowed else {}
        count = allowed
    return Gpus(count, kinds, driver)


def _smi() -> tuple[dict[str, int], str]:
    try:
        done = subprocess.run(SMI, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SMI_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return {}, ""
    rows = [[part.strip() for part in line.split(",", 2)] for line in done.stdout.splitlines() if line.count(",") >= 2]
    if done.returncode or not rows:
        return {}, ""
    return dict(Counter(f"{name}, {memory} MiB" for _, memory, name in rows)), rows[0][0]


def _version(text: str) -> str:
    """ "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue ..." -> "550.54.15"."""
    words = [word for word in text.split() if word.count(".") >= 1 and word.replace(".", "").isdigit()]
    return words[0] if words else ""
