"""GPUs are counted without CUDA: by nvidia-smi, by the driver's files, cut by CUDA_VISIBLE_DEVICES."""

from __future__ import annotations

from pathlib import Path

import pytest

from acecoder_rl.gpus import Gpus, find_gpus


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only program on PATH besides sh; nothing until a test writes it."""
    file = tmp_path / "bin" / "nvidia-smi"
    file.parent.mkdir()
    monkeypatch.setenv("PATH", str(file.parent))
    return file


def _says(file: Path, text: str, status: int = 0) -> None:
    file.write_text(f"#!/bin/sh\necho '{text}'\nexit {status}\n")
    file.chmod(0o755)


def test_what_nvidia_smi_says(smi: Path, tmp_path: Path) -> None:
    _says(smi, "550.54.15, 81559, NVIDIA H100 80GB HBM3\n550.54.15, 81559, NVIDIA H100 80GB HBM3")
    kind = "NVIDIA H100 80GB HBM3, 81559 MiB"
    assert find_gpus({}, str(tmp_path)) == Gpus(2, {kind: 2}, "550.54.15")
    assert str(find_gpus({"CUDA_VISIBLE_DEVICES": "1"}, str(tmp_path))) == f"1 x {kind}"
    assert find_gpus({"CUDA_VISIBLE_DEVICES": ""}, str(tmp_path)).count == 0
    assert find_gpus({"CUDA_VISIBLE_DEVICES": "0,1,2,3"}, str(tmp_path)).count == 2


@pytest.mark.parametrize("status", [0, 9])
def test_a_driver_whose_program_fails_is_told_by_its_files(smi: Path, tmp_path: Path, status: int) -> None:
    _says(smi, "No devices were found", status)
    (tmp_path / "dev").mkdir()
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / "dev" / name).touch()
    version = tmp_path / "proc" / "driver" / "nvidia" / "version"
    version.parent.mkdir(parents=True)
    version.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024\n")
    assert find_gpus({}, str(tmp_path)) == Gpus(2, {}, "550.54.15")


def test_none_and_those_of_another_make(smi: Path, tmp_path: Path) -> None:
    assert str(find_gpus({}, str(tmp_path))) == "0"
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "kfd").touch()
    assert str(find_gpus({}, str(tmp_path))) == "not known"


def test_a_scheduler_that_granted_some_is_believed_where_no_driver_is_seen(smi: Path, tmp_path: Path) -> None:
    assert find_gpus({"CUDA_VISIBLE_DEVICES": "0,1,2"}, str(tmp_path)).count == 3
    assert find_gpus({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, str(tmp_path)).count == 0
