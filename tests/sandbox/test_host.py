"""What the sandbox finds out about its machine, and the level that gives."""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from acecoder_rl.sandbox import SandboxError
from acecoder_rl.sandbox.host import CAP_VARIABLE, Host, best_level, probe, why_not

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox needs Linux")
FULL = {"ok": True, "by": "user", "own_uid": True, "landlock_abi": 7, "seccomp": True, "schedstat": True}


@pytest.fixture(autouse=True)
def no_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CAP_VARIABLE, raising=False)


def refused(step: str, code: int, landlock: int = 3) -> dict[str, object]:
    return {"ok": False, "step": step, "errno": code, "landlock_abi": landlock, "seccomp": True}


def test_levels_by_what_the_host_has(tmp_path: Path) -> None:
    root = str(tmp_path)
    assert best_level(probe(root, FULL)) == "namespaces"
    assert best_level(probe(root, refused("user", errno.EPERM))) == "landlock"
    assert best_level(probe(root, refused("user", errno.EPERM, landlock=0))) == "none"
    without_filter = refused("user", errno.EPERM) | {"seccomp": False}
    assert best_level(probe(root, without_filter)) == "none"


def test_cap_lowers_but_never_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CAP_VARIABLE, "landlock")
    capped = probe(str(tmp_path), FULL)
    assert best_level(capped) == "landlock"
    assert "unset ACECODER_SANDBOX_ISOLATION" in why_not("namespaces", capped)
    assert why_not("landlock", capped) == ""
    monkeypatch.setenv(CAP_VARIABLE, "namespaces")
    assert best_level(probe(str(tmp_path), refused("user", errno.EPERM, landlock=0))) == "none"
    monkeypatch.setenv(CAP_VARIABLE, "")
    assert best_level(probe(str(tmp_path), FULL)) == "namespaces"


def test_wrong_cap_names_the_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CAP_VARIABLE, "bubblewrap")
    with pytest.raises(SandboxError, match="is 'bubblewrap': set it to namespaces, landlock, none, or unset it"):
        probe(trial=FULL)


def test_no_sentence_for_what_can_be_had(tmp_path: Path) -> None:
    assert [why_not(level, probe(str(tmp_path), FULL)) for level in ("namespaces", "landlock", "none")] == [""] * 3
    assert "unknown" in why_not("chroot", probe(str(tmp_path), FULL))


def test_other_systems_have_no_jail() -> None:
    for host in (Host(system="Darwin", arch="arm64", namespaces=True), Host(arch="ppc64le", landlock_abi=3)):
        assert best_level(host) == "none"
        assert "x86_64 and aarch64" in why_not("namespaces", host) and "x86_64 and aarch64" in why_not("landlock", host)


@pytest.mark.parametrize(("option", "hides"), [("hidepid=invisible", True), ("hidepid=2", True), ("rw", False)])
def test_hidepid(option: str, hides: bool, tmp_path: Path) -> None:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    mounts = f"22 1 0:21 / /proc rw,relatime - proc proc rw,{option}\n"
    (tmp_path / "proc" / "self" / "mountinfo").write_text(mounts)
    assert probe(str(tmp_path), FULL).hidepid is hides


def test_real_probe_is_quick_and_leaves_the_caller_alone() -> None:
    stop = threading.Event()
    threads = [threading.Thread(target=stop.wait) for _ in range(50)]
    for thread in threads:
        thread.start()
    before = {name: os.readlink(f"/proc/self/ns/{name}") for name in os.listdir("/proc/self/ns")}
    files, mounts = os.listdir("/proc/self/fd"), Path("/proc/self/mountinfo").read_text()
    try:
        started = time.perf_counter()
        host = probe()
        assert time.perf_counter() - started < 20  # 0.05 on an idle machine
    finally:
        stop.set()
    assert {name: os.readlink(f"/proc/self/ns/{name}") for name in before} == before
    assert len(os.listdir("/proc/self/fd")) == len(files)
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert host.kernel == os.uname().release
    assert best_level(host) in ("namespaces", "landlock", "none")
    assert (best_level(host) == "namespaces") is (why_not("namespaces", host) == "")


def test_an_interpreter_that_does_not_run_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    host = probe()
    assert host.namespaces is False
    assert "the probe could not be run" in why_not("namespaces", host)
