"""The jail's root directory: read-only bind mounts, a small /dev and /etc, a fresh /tmp.

Covers: building it in a new mount namespace, leaving the host's tree, emptying /tmp and /dev/shm.
Does not cover: making the namespaces (jail.py).
Hostile input: `fresh` runs after hostile programs, as root of the namespace: it follows no path below
the directories that they can write.
Stand-alone: standard library only, Python >= 3.9.
"""

from __future__ import annotations

import ctypes
import os
import re
import stat
import struct

from acecoder_rl.sandbox.inside import kernel
from acecoder_rl.sandbox.inside.kernel import JailError, mount, syscall

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
_FLAGS = {"nosuid": 2, "nodev": 4, "noexec": 8, "noatime": 1024, "nodiratime": 2048, "relatime": 1 << 21}

WRITABLE = ("/tmp", "/dev/shm")
# Paths that would show the host's own processes or devices, or that the jail makes itself.
_REFUSED = re.compile(r"/|/(proc|sys|dev)(/.*)?|/(tmp|etc)")
DEVICES = ("null", "zero", "full", "random", "urandom")
NOBODY = 65534
PASSWD = f"root:x:0:0:root:/tmp:/bin/false\nnobody:x:{NOBODY}:{NOBODY}:nobody:/tmp:/bin/false\n"
GROUP = f"root:x:0:\nnogroup:x:{NOBODY}:\n"
INODES = 8192


class Root:
    """The new root and its writable directories.

    Args:
        read_only: absolute paths to show, read-only, where they are on the host; symbolic links on
            the way are made again.
        tmp_mb: size of /tmp, and of /dev/shm.
    """

    def __init__(self, read_only: list[str], tmp_mb: int) -> None:
        self.tmp_options = f"size={tmp_mb}m,nr_inodes={INODES},mode=1777"
        self.kept: list[tuple[str, str]] = []  # (place out of reach, path below a writable directory)
        self.seen: dict[str, tuple] = {}
        _leave_for("/new")
        for directory in ("/new/dev", "/new/dev/shm", "/new/etc", "/new/tmp"):
            os.mkdir(directory)
        links: dict[str, str] = {}
        for path in sorted(_plan(read_only, links)):
            self._expose(path)
        for path, target in links.items():
            self._link(path, target)
        self._devices()
        self._etc()
        _enter("/new")
        for directory in WRITABLE:
            self._mount_fresh(directory)
        mount("", "/", "", MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV)
        os.chdir("/tmp")

    def _expose(self, path: str) -> None:
        place = path
        if path.startswith(tuple(directory + "/" for directory in WRITABLE)):
            # Mounted again in each fresh /tmp, so a copy of the mount must be out of its way.
            place = f"/.kept/{len(self.kept)}"
            self.kept.append((place, path))
        _make_target("/new" + place, "/old" + path)
        _bind("/old" + path, "/new" + place, MS_RDONLY | MS_NOSUID | MS_NODEV)

    def _link(self, path: str, target: str) -> None:
        if path.startswith(tuple(directory + "/" for directory in WRITABLE)):
            self.kept.append((target, path))
        elif not os.path.lexists("/new" + path):
            os.makedirs(os.path.dirname("/new" + path), exist_ok=True)
            os.symlink(target, "/new" + path)

    def _devices(self) -> None:
        for name in DEVICES:
            _make_target("/new/dev/" + name, "/old/dev/" + name)
            # They work when read-only; their modes and times cannot be changed then.
            _bind("/old/dev/" + name, "/new/dev/" + name, MS_RDONLY | MS_NOSUID | MS_NOEXEC)
        os.symlink("/tmp/.stdin", "/new/dev/stdin")

    def _etc(self) -> None:
        _write("/new/etc/passwd", PASSWD.encode())
        _write("/new/etc/group", GROUP.encode())
        for name in ("ld.so.cache", "localtime"):
            if not os.path.lexists("/new/etc/" + name) and (content := _read_on_host("/etc/" + name)):
                _write("/new/etc/" + name, content)

    def _mount_fresh(self, directory: str) -> None:
        mount("tmpfs", directory, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, self.tmp_options)
        for place, path in self.kept:
            if not path.startswith(directory + "/"):
                continue
            if place.startswith("/.kept/"):
                _make_target(path, place)
                mount(place, path, "", MS_BIND | MS_REC)
            elif not os.path.lexists(path):
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.symlink(place, path)
        self.seen[directory] = _fingerprint(directory)

    def fresh(self) -> None:
        """Empty the writable directories that were touched since the last time."""
        touched = [directory for directory in WRITABLE if _fingerprint(directory) != self.seen[directory]]
        if not touched:
            return
        os.chdir("/")
        for directory in touched:
            kernel.umount(directory)
            self._mount_fresh(directory)
        # The old working directory, if that was /tmp, is the old tmpfs.
        os.chdir("/tmp")


def _fingerprint(directory: str) -> tuple:
    """What no use of a tmpfs leaves as it was.

    ctime cannot be set, but ticks only every few ms; the counts of free inodes and blocks are exact.
    """
    status, space = os.stat(directory), os.statvfs(directory)
    times = status.st_ctime_ns, status.st_mtime_ns, status.st_atime_ns
    return (*times, status.st_mode, space.f_ffree, space.f_bfree)


def _leave_for(new: str) -> None:
    """Make `/` a scratch tmpfs, with the host's tree at /old and an empty tmpfs at `new`."""
    # Private first: no mount made here may reach the host, nor one made there us.
    mount("none", "/", "", MS_REC | MS_PRIVATE)
    base = next((path for path in ("/tmp", "/var/tmp", "/mnt", "/run") if os.path.isdir(path)), "/dev")
    mount("tmpfs", base, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
    os.mkdir(base + "/old")
    _pivot(base, base + "/old")
    os.mkdir(new)
    # Holds the mount points, links, and a copy of ld.so.cache.
    mount("tmpfs", new, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=4m")


def _enter(new: str) -> None:
    os.mkdir(new + "/.old")
    _pivot(new, new + "/.old")
    kernel.umount("/.old")
    os.rmdir("/.old")


def _pivot(new: str, old: str) -> None:
    new_bytes, old_bytes = ctypes.c_char_p(os.fsencode(new)), ctypes.c_char_p(os.fsencode(old))
    addresses = [ctypes.cast(text, ctypes.c_void_p).value or 0 for text in (new_bytes, old_bytes)]
    kernel.check(syscall("pivot_root", *addresses), f"pivot_root to {new}")
    os.chdir("/")


def _plan(read_only: list[str], links: dict[str, str]) -> list[str]:
    """The real paths to mount, none inside another; the symbolic links on the way go into `links`."""
    wanted = []
    for path in read_only:
        if not path.startswith("/") or _REFUSED.fullmatch(os.path.normpath(path)):
            raise JailError(f"read_only: {path!r} cannot be shown in the jail: name the directories below it")
        real = _resolve(path, links)
        if _REFUSED.fullmatch(real):
            raise JailError(f"read_only: {path!r} is {real!r}, which cannot be shown in the jail")
        wanted.append(real)
    return [path for path in set(wanted) if not any(path.startswith(top + "/") for top in wanted)]


def _resolve(path: str, links: dict[str, str]) -> str:
    """The host's path without symbolic links; the host is at /old."""
    parts, done, hops = path.split("/")[::-1], "", 0
    while parts:
        part = parts.pop()
        if part in ("", "."):
            continue
        if part == "..":
            done = os.path.dirname(done) if done != "/" else done
            continue
        here = done + "/" + part
        try:
            is_link = stat.S_ISLNK(os.lstat("/old" + here).st_mode)
        except OSError as error:
            raise JailError(error.errno, f"read_only: {path}: {error.strerror}") from error
        if not is_link:
            done = here
            continue
        hops += 1
        if hops > 40:
            raise JailError(f"read_only: {path}: too many symbolic links")
        target = os.readlink("/old" + here)
        links[here] = target
        parts.extend(target.split("/")[::-1])
        done = "" if target.startswith("/") else done
    return done or "/"


def _make_target(target: str, source: str) -> None:
    """An empty file or directory at `target` to mount `source` on."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if stat.S_ISDIR(os.stat(source).st_mode):
        os.makedirs(target, exist_ok=True)
    elif not os.path.exists(target):
        _write(target, b"")


def _write(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _read_on_host(path: str) -> bytes:
    """The host's file, b"" when there is none."""
    try:
        with open("/old" + _resolve(path, {}), "rb") as file:
            return file.read(1 << 20)
    except OSError:
        return b""


def _bind(source: str, target: str, flags: int) -> None:
    """Bind `source` with the mounts below it, all with `flags` added."""
    mount(source, target, "", MS_BIND | MS_REC)
    AT_FDCWD, AT_RECURSIVE = -100, 0x8000
    # The first four MOUNT_ATTR_ flags have the values of their MS_ namesakes.
    attributes = ctypes.create_string_buffer(struct.pack("=QQQQ", flags, 0, MS_PRIVATE, 0), 32)
    path = ctypes.create_string_buffer(os.fsencode(target))
    address, size = ctypes.addressof(attributes), len(attributes)
    if syscall("mount_setattr", AT_FDCWD, ctypes.addressof(path), AT_RECURSIVE, address, size) == 0:
        return
    # Before Linux 5.12: one by one, repeating the flags that a user namespace may not clear.
    with open("/old/proc/self/mountinfo", "rb") as file:
        lines = file.read().split(b"\n")
    for fields in (line.split(b" ") for line in lines if line):
        place = os.fsdecode(re.sub(rb"\\(\d{3})", lambda code: bytes([int(code[1], 8)]), fields[4]))
        if place == target or place.startswith(target + "/"):
            had = sum(_FLAGS.get(option, 0) for option in fields[5].decode().split(","))
            mount("", place, "", MS_BIND | MS_REMOUNT | flags | had)
