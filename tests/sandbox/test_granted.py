"""Cores, memory and cgroups granted: fabricated /proc and /sys trees, and this machine."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import pytest

from acecoder_rl.sandbox.granted import granted_cores, granted_memory_mb, memory_cgroup

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox needs Linux")
V1 = "25 1 0:22 / /sys/fs/cgroup/{0} rw - cgroup cgroup rw,{0}"
V2 = "25 1 0:22 {root} /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate"


@pytest.fixture(autouse=True)
def no_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_CPUS_ON_NODE", raising=False)


def tree(top: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = top / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return str(top)


@pytest.fixture
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))


def v2(top: Path, path: str, files: dict[str, str], mount_root: str = "/") -> str:
    base = {"/proc/self/cgroup": f"0::{path}", "/proc/self/mountinfo": V2.format(root=mount_root)}
    return tree(top, base | {f"/sys/fs/cgroup/{name}": text for name, text in files.items()})


def test_cores_without_quota_are_the_affinity(tmp_path: Path, many_cores: None) -> None:
    assert granted_cores(str(tmp_path)) == 64
    files = {"cgroup.controllers": "cpu memory", "a/cpu.max": "max 100000"}
    assert granted_cores(v2(tmp_path, "/a", files)) == 64


def test_v2_quota_of_any_enclosing_group_counts_rounded_up(tmp_path: Path, many_cores: None) -> None:
    files = {"a/cgroup.controllers": "cpu", "a/cpu.max": "250000 100000", "a/b/cpu.max": "max 100000"}
    assert granted_cores(v2(tmp_path, "/a/b", files)) == 3


def test_a_tiny_quota_is_one_core(tmp_path: Path, many_cores: None) -> None:
    assert granted_cores(v2(tmp_path, "/", {"cgroup.controllers": "cpu", "cpu.max": "1000 100000"})) == 1


def test_docker_without_cgroup_namespace_sees_its_group_at_the_mount(tmp_path: Path, many_cores: None) -> None:
    files = {"cgroup.controllers": "cpu memory", "cpu.max": "400000 100000", "memory.max": str(3 << 30)}
    root = v2(tmp_path, "/docker/0123", files, mount_root="/docker/0123")
    assert granted_cores(root) == 4
    assert granted_memory_mb(root) == 3072


def test_v1_quota_and_memory(tmp_path: Path, many_cores: None) -> None:
    files = {
        "/proc/self/cgroup": "4:memory:/slurm/job_7\n3:cpu,cpuacct:/slurm/job_7\n0::/",
        "/proc/self/mountinfo": V1.format("cpu") + "\n" + V1.format("memory"),
        "/proc/meminfo": "MemTotal: 8388608 kB",
        "/sys/fs/cgroup/cpu/slurm/job_7/cpu.cfs_quota_us": "600000",
        "/sys/fs/cgroup/cpu/slurm/job_7/cpu.cfs_period_us": "100000",
        "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
        "/sys/fs/cgroup/memory/slurm/memory.limit_in_bytes": str(2 << 30),
        "/sys/fs/cgroup/memory/slurm/job_7/memory.limit_in_bytes": "9223372036854771712",
    }
    root = tree(tmp_path, files)
    assert granted_cores(root) == 6
    assert granted_memory_mb(root) == 2048
    assert memory_cgroup(root) == ("v1", "/sys/fs/cgroup/memory/slurm/job_7")


def test_slurm_without_confinement_is_asked_by_its_variable(
    tmp_path: Path, many_cores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "12")
    assert granted_cores(str(tmp_path)) == 12
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "900")
    assert granted_cores(str(tmp_path)) == 64


def test_real_cores() -> None:
    assert 1 <= granted_cores() <= len(os.sched_getaffinity(0))
    with open("/proc/meminfo") as meminfo:
        total = int(meminfo.readline().split()[1]) // 1024
    assert 0 < granted_memory_mb() <= math.ceil(total)
