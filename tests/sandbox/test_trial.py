"""Really refused: the trial notices seccomp filters, sysctls and missing rights, set for a child."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from acecoder_rl.sandbox.host import probe

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox needs Linux")
as_root = pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root to become others")
TRIAL = Path(__file__).parents[2] / "acecoder_rl" / "sandbox" / "trial.py"
EPERM, EACCES, ENOSPC, ENOSYS = errno.EPERM, errno.EACCES, errno.ENOSPC, errno.ENOSYS


def run_trial(prologue: str, **options: object) -> dict[str, object]:
    """What trial.py says in a process that first did `prologue`."""
    code = f"import ctypes, os, sys\nlibc = ctypes.CDLL(None, use_errno=True)\n{prologue}\n"
    code += f"os.execv(sys.executable, [sys.executable, '-I', '-S', {str(TRIAL)!r}])"
    python = options.pop("python", sys.executable)
    run = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=120, **options)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


FILTER = """
import struct
nr, = {{'x86_64': [{0}], 'aarch64': [{1}]}}[os.uname().machine]
ops = [(0x20, 0, 0, 0), (0x15, 0, 1, nr), (6, 0, 0, 0x50000 | {2}), (6, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *op) for op in ops))
libc.prctl(38, 1, 0, 0, 0)
program = struct.pack('HxxxxxxP', len(ops), ctypes.addressof(code))
assert libc.prctl(22, 2, program, 0, 0) == 0
"""
need_namespaces = pytest.mark.skipif(
    sys.platform != "linux" or not probe().namespaces, reason="this machine refuses namespaces anyway"
)


@need_namespaces
@pytest.mark.parametrize(
    ("calls", "code", "step"),
    [((272, 97), EPERM, "user"), ((155, 41), EPERM, "pivot_root"), ((165, 40), ENOSYS, "private")],
)
def test_a_real_seccomp_filter_is_noticed(calls: tuple[int, int], code: int, step: str) -> None:
    answer = run_trial(FILTER.format(*calls, code))
    assert (answer["ok"], answer["step"], answer["errno"]) == (False, step, code)
    assert answer["seccomp"] is True


@need_namespaces
@as_root
def test_a_real_sysctl_of_zero_is_noticed() -> None:
    names = ("user", "mnt")  # Without mount namespaces root's own privilege does not help either.
    setup = "assert libc.unshare(0x10000000) == 0\nopen('/proc/self/setgroups', 'w').write('deny')\n"
    setup += "".join(f"open('/proc/self/{kind}_map', 'w').write('0 0 1')\n" for kind in ("uid", "gid"))
    setup += "".join(f"open('/proc/sys/user/max_{name}_namespaces', 'w').write('0')\n" for name in names)
    answer = run_trial(setup)
    assert (answer["ok"], answer["step"], answer["errno"]) == (False, "user", ENOSPC)


@need_namespaces
@as_root
def test_root_without_user_namespaces_still_counts() -> None:
    setup = "assert libc.unshare(0x10000000) == 0\nopen('/proc/self/setgroups', 'w').write('deny')\n"
    setup += "".join(f"open('/proc/self/{kind}_map', 'w').write('0 0 1')\n" for kind in ("uid", "gid"))
    answer = run_trial(setup + "open('/proc/sys/user/max_user_namespaces', 'w').write('0')")
    assert (answer["ok"], answer["by"]) == (True, "root")


@as_root
def test_as_a_user_without_rights() -> None:
    nobody: dict[str, object] = {"user": 65534, "group": 65534, "extra_groups": []}
    for python in (sys.executable, shutil.which("python3", path="/usr/bin:/usr/local/bin") or ""):
        try:
            subprocess.run([python, "-c", "import ctypes"], check=True, capture_output=True, **nobody)
        except (OSError, subprocess.CalledProcessError):
            continue
        answer = run_trial("", python=python, **nobody)
        assert answer["own_uid"] is False
        assert answer["ok"] or answer["errno"] in (EPERM, EACCES, ENOSPC)
        return
    pytest.skip("no interpreter that uid 65534 may run")
