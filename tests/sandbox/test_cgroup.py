"""Memory groups on this machine, where it has a place for one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from acecoder_rl.sandbox import cgroup
from acecoder_rl.sandbox.cgroup import MemoryGroup

GRAB = "input(); x = bytearray(300 << 20); print('got', len(x))"


@pytest.fixture
def group() -> Iterator[MemoryGroup]:
    made = MemoryGroup.create("test", 64 << 20)
    if made is None:
        pytest.skip("no memory cgroup that this process may divide")
    yield made
    made.remove()
    assert not made.path.exists()


def test_a_process_over_the_limit_is_killed_and_counted(group: MemoryGroup) -> None:
    process = subprocess.Popen([sys.executable, "-c", GRAB], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    group.add(process.pid)
    assert group.oom_kills() == 0
    assert process.communicate(b"\n")[0] == b""
    assert process.returncode == -9 and group.oom_kills() == 1


def test_removing_kills_what_is_inside(group: MemoryGroup) -> None:
    process = subprocess.Popen(["sleep", "100"])
    group.add(process.pid)
    group.remove()
    assert process.wait(60) == -9


@pytest.mark.alone  # a sandbox that starts removes them, too
def test_groups_of_dead_owners_are_removed(group: MemoryGroup) -> None:
    code = "from acecoder_rl.sandbox import cgroup; print(cgroup.MemoryGroup.create('dead', 1 << 26).path)"
    owner = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    left = owner.stdout.strip()
    assert os.path.exists(left)
    assert cgroup.remove_stale() >= 1
    assert not os.path.exists(left) and group.path.exists()


def test_no_group_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "_read", lambda path: "")
    assert MemoryGroup.create("test", 64 << 20) is None
    assert cgroup.remove_stale() == 0
