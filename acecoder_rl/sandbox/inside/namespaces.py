"""Make the jail's namespaces, map their ids, and go on as the first process in them.

Covers: with a user namespace (anyone), or as root without one.
Does not cover: what is mounted in them (mounts.py).
Stand-alone: standard library only, Python >= 3.9.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from acecoder_rl.sandbox.inside import kernel
from acecoder_rl.sandbox.inside.kernel import JailError, check, failure, prctl

_NAMESPACES = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS


def die_with_parent() -> None:
    check(prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL), "die with the parent")


def unshare() -> bool:
    """Make the namespaces; whether with users of their own."""
    own_users = kernel.unshare(kernel.CLONE_NEWUSER | _NAMESPACES) == 0
    if not own_users:
        refused = failure("make a user namespace (`acecoder-rl doctor` says how to allow it)")
        if os.geteuid() != 0 or kernel.unshare(_NAMESPACES) < 0:
            raise refused
    # Nothing rests on this one: there is no /proc or cgroup mount to see the host's groups in.
    kernel.unshare(kernel.CLONE_NEWCGROUP)
    return own_users


def map(outer: tuple[int, int], map_ids: Callable[[], object]) -> None:
    """Map the ids of the new user namespace, and become its root."""
    uid, gid = outer
    if uid != 0 or map_ids() is False:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            _write_own(name, text)
    if not is_mapped(0):
        raise JailError("no uid is mapped in the user namespace: map_ids wrote nothing")
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def is_mapped(uid: int) -> bool:
    """Whether a uid (and the gid of that number) exists in this user namespace."""
    for name in ("uid_map", "gid_map"):
        with open("/proc/self/" + name) as file:
            ranges = [[int(word) for word in line.split()] for line in file]
        if not any(first <= uid < first + count for first, _, count in ranges):
            return False
    return True


def _write_own(name: str, text: str) -> None:
    try:
        with open("/proc/self/" + name, "w") as file:
            file.write(text)
    except OSError as error:
        raise JailError(error.errno, f"write {text!r} to /proc/self/{name}: {error.strerror}") from error


def fork_into_namespace() -> None:
    """Go on as pid 1 of the new pid namespace; the calling process waits and ends with it."""
    child = os.fork()
    if child == 0:
        die_with_parent()
        os.setsid()
        return
    try:
        die_with_parent()
        prctl(kernel.PR_SET_DUMPABLE, 0)
        os.closerange(0, 1 << 20)
        status = os.waitpid(child, 0)[1]
        os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
    finally:
        os._exit(70)
