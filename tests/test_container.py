"""slurm/container.def installs the versions that pyproject, OpenRLHF and the doctor name, and copies what is there."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from acecoder_rl.doctor_packages import PINS
from acecoder_rl.sandbox import mends
from acecoder_rl.sandbox.host import SYSCTLS, Host

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "slurm" / "container.def").read_text()
PIN = re.compile(r"'?\b([A-Za-z][\w.-]*)(?:\[[\w,]+\])?==([\w.+]+)'?")


def _pins(lines: list[str]) -> dict[str, str]:
    return {name.lower(): version for line in lines for name, version in PIN.findall(line)}


def _section(name: str) -> list[str]:
    body = TEXT.split(f"\n%{name}\n", 1)[1].split("\n%", 1)[0]
    return [line.split(" #")[0].strip() for line in body.splitlines() if not line.strip().startswith("#")]


INSTALLED = _pins(_section("post"))
IMAGE = re.findall(r"^From: vllm/vllm-openai:v(.+)$", TEXT, re.MULTILINE)


def test_the_pins_are_those_of_the_packages_own_extra() -> None:
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["gpu"]
    pinned = _pins(extra)
    assert {"openrlhf", "ray", "trl"} <= pinned.keys()
    assert {name: INSTALLED.get(name) for name in pinned} == pinned
    assert "'/opt/acecoder-rl[gpu]'" in TEXT


def test_the_doctor_will_find_what_it_looks_for() -> None:
    fixed = {name: gpu for name, (gpu, _) in PINS.items() if gpu not in ("", "*")}
    assert {**INSTALLED, "vllm": IMAGE[0]} == {**fixed, "trl": INSTALLED["trl"]}


def test_openrlhf_asks_for_the_same() -> None:
    try:
        needed = metadata.requires("openrlhf") or []
    except metadata.PackageNotFoundError:
        pytest.skip("OpenRLHF is not installed")
    asked = _pins([line for line in needed if "extra ==" not in line or "'vllm'" in line.replace('"', "'")])
    assert {"flash-attn", "ray", "transformers", "deepspeed", "vllm"} <= asked.keys()
    have = INSTALLED | {"vllm": IMAGE[0]}
    assert {name: have.get(name) for name in asked} == asked


def test_what_it_copies_is_there() -> None:
    copied = [line.split() for line in _section("files") if line]
    assert {"pyproject.toml", "acecoder_rl", "reward_fns"} <= {source for source, _ in copied}
    assert all((ROOT / source).exists() and place == f"/opt/acecoder-rl/{source}" for source, place in copied)


def test_its_help_says_what_the_doctor_says_in_such_a_container() -> None:
    help_text = " ".join(" ".join(_section("help")).split())
    assert mends.let_through(Host(container="apptainer"), "filter") in help_text
    named = [name for name in SYSCTLS if name in help_text]
    assert named == ["user.max_user_namespaces", "kernel.unprivileged_userns_clone", mends.RESTRICT]
