"""Try, for real, the kernel features that the jail needs, and print what happened as JSON.

Covers: user, mount, pid, net, ipc and uts namespaces with a tmpfs root made by pivot_root and a
    read-only bind mount in it; the Landlock ABI; seccomp filters; reading the times of a
    non-dumpable process.
Does not cover: why something was refused and how to mend it (mends.py), the jail itself (jail.py).

Run as a script by host.py, in a process of its own: it forks, and its caller may hold threads and CUDA.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import signal
import sys
from collections.abc import Callable

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = (
    0x20000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
OTHER_NAMESPACES = (("mount", NEWNS), ("net", NEWNET), ("ipc", NEWIPC), ("uts", NEWUTS))
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
# statvfs reports relatime under another bit than mount(2) takes it.
KEPT_FLAGS = ((2, 2), (4, 4), (8, 8), (1024, 1024), (2048, 2048), (4096, 1 << 21))
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP = 1, 4, 22
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
LANDLOCK_CREATE_RULESET = 444
EFAULT = 14

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


class Refused(Exception):
    """A step the kernel refused: its name and errno."""


def call(step: str, function: ctypes._CFuncPtr, *arguments: object) -> int:
    result = function(*arguments)
    if result < 0:
        raise Refused(step, ctypes.get_errno())
    return result


def mount(step: str, source: bytes, target: bytes, kind: bytes | None, flags: int, data: bytes | None = None) -> None:
    call(step, libc.mount, source, target, kind, ctypes.c_ulong(flags), data)


def write(step: str, path: str, text: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise Refused(step, error.errno) from None


def map_ids(pid: int) -> bool:
    """Give the namespace of `pid` two users, root and nobody, from outside; False if that is refused."""
    try:
        for name in ("uid_map", "gid_map"):
            write("map", f"/proc/{pid}/{name}", "0 0 1\n65534 65534 1")
    except Refused:
        return False
    return True


def map_own_id() -> None:
    maps = (("setgroups", "deny"), ("uid_map", f"0 {os.geteuid()} 1"), ("gid_map", f"0 {os.getegid()} 1"))
    call("user", libc.unshare, NEWUSER)
    for name, text in maps:
        write("map", f"/proc/self/{name}", text)


def build_root() -> None:
    """A tmpfs as the root of a mount namespace, with the standard library read-only in it."""
    python = os.path.dirname(os.__file__).encode()
    top = next(path for path in (b"/tmp", b"/mnt", b"/dev/shm", b"/var", b"/usr") if os.path.isdir(path))
    flags = os.statvfs(python).f_flag
    kept = sum(flag for bit, flag in KEPT_FLAGS if flags & bit)
    # The source outlives the tmpfs that may cover it: it is opened first and mounted by descriptor.
    source = os.open(python, os.O_PATH | os.O_DIRECTORY)
    mount("private", b"none", b"/", None, MS_REC | MS_PRIVATE)
    mount("tmpfs", b"tmpfs", top, b"tmpfs", MS_NOSUID | MS_NODEV, b"size=1m,nr_inodes=64")
    target = top + b"/python"
    os.mkdir(target)
    mount("bind", b"/proc/self/fd/%d" % source, target, None, MS_BIND | MS_REC)
    mount("read-only", b"none", target, None, MS_BIND | MS_REMOUNT | MS_RDONLY | kept)
    os.close(source)
    os.chdir(top)
    call("pivot_root", libc.syscall, PIVOT_ROOT[platform.machine()], b".", b".")
    call("umount", libc.umount2, b".", MNT_DETACH)


def in_child(work: Callable[[], None]) -> dict:
    """Run `work` in a forked child: its step and errno if it was refused, else {"ok": True}."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        try:
            work()
            answer = {"ok": True}
        except Refused as refusal:
            answer = {"ok": False, "step": refusal.args[0], "errno": refusal.args[1]}
        except OSError as error:
            answer = {"ok": False, "step": "fork", "errno": error.errno}
        os.write(theirs, json.dumps(answer).encode())
        os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(answer) if answer else {"ok": False, "step": "killed", "errno": 0}


def namespaces(user: bool) -> dict:
    """All namespaces of the jail and its root, with a user namespace or, as root, without one."""

    def work() -> None:
        if user:
            map_own_id()
        for step, flag in (*OTHER_NAMESPACES, ("pid", NEWPID)):
            call(step, libc.unshare, flag)
        inner = in_child(build_root)  # The first child is the first process of the pid namespace.
        if not inner["ok"]:
            raise Refused(inner["step"], inner["errno"])

    return in_child(work)


def own_uid() -> bool:
    """True if a user namespace can hold two users, so that a program is not the user of its worker."""
    if os.geteuid() != 0:
        return False
    ready, done = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        os.close(done[1])
        if libc.unshare(NEWUSER) == 0:
            os.write(ready[1], b"1")
            os.read(done[0], 1)
        os._exit(0)
    os.close(ready[1])
    mapped = os.read(ready[0], 1) == b"1" and map_ids(pid)
    os.close(done[1])
    os.waitpid(pid, 0)
    return mapped


def times_readable() -> bool:
    """True if the CPU and waiting times of a non-dumpable child can be read (hidepid= may forbid it)."""
    ready, done = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
        os.close(done[1])
        os.write(ready[1], b"1")
        os.read(done[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    try:
        with open(f"/proc/{pid}/schedstat") as stat:
            return len(stat.read().split()) == 3
    except OSError:
        return False
    finally:
        os.close(done[1])
        os.waitpid(pid, 0)


def main() -> None:
    abi = libc.syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    landlock_errno = ctypes.get_errno() if abi < 0 else 0
    libc.prctl(PR_SET_SECCOMP, 2, None, 0, 0)  # EFAULT: it would have read the filter. EINVAL: no filters.
    seccomp = ctypes.get_errno() == EFAULT
    answer = namespaces(user=True)
    answer["by"] = "user"
    if not answer["ok"] and os.geteuid() == 0 and namespaces(user=False)["ok"]:
        answer = {"ok": True, "by": "root"}
    answer["own_uid"] = answer["by"] == "root" or own_uid()
    answer.update(landlock_abi=max(abi, 0), landlock_errno=landlock_errno)
    answer.update(seccomp=seccomp, schedstat=times_readable())
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
