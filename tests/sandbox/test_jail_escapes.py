"""Confined children try to get out, at each level, as root and as an ordinary user.

Covers: system calls, the host's files and processes, descriptors, mounts, programs that may start others.
Does not cover: the filter call by call, and aarch64 (test_seccomp.py); level "none" beyond its filter.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.sandbox.jails import ROOT, WHO, Driver, only, reachable, start

RAW = """
import ctypes, errno, platform
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def raw(number, *args):
    result = libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, args))
    return 0 if result >= 0 else -ctypes.get_errno()
"""


def test_no_privilege_is_left(jail: Driver) -> None:
    result = jail.run(
        RAW
        + """
header = (ctypes.c_uint32 * 2)(0x20080522, 0); words = (ctypes.c_uint32 * 6)()
assert libc.capget(header, words) == 0
import os
out = [words[0] | words[1], words[3] | words[4], libc.prctl(39, 0, 0, 0, 0), libc.prctl(3, 0, 0, 0, 0),
       os.getuid(), os.getgroups(), [c for c in range(41) if libc.prctl(23, c, 0, 0, 0) == 1]]
"""
    )
    assert result.error == ""
    low, high, no_new_privileges, dumpable, uid, groups, bounding = result.out
    # Below "namespaces", to read an interpreter that only root can reach takes one capability.
    assert (low in (0, 4) if jail.level != "namespaces" else low == 0) and high == 0
    assert (no_new_privileges, dumpable) == (1, 0)
    if jail.uid is not None:
        assert (uid, groups, bounding) == (65534, [], [])


FORBIDDEN = {
    "fork": "os.fork()",
    "exec": "os.execv('/bin/true', ['true'])",
    "subprocess": "subprocess.run(['/bin/true'])",
    "spawn": "os.posix_spawn('/bin/true', ['true'], {})",
    "socket": "socket.socket()",
    "unix socket": "socket.socket(socket.AF_UNIX)",
    "connect a pair": "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].connect('/dev/log')",
    "send to a path": "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'x', '/dev/log')",
    "send descriptors": "socket.send_fds(socket.socketpair()[0], [b'x'], [0])",
    "kill the parent": "os.kill(os.getppid(), 9)",
    "kill everyone": "os.kill(-1, 9)",
    "kill the group": "os.kill(0, 9)",
    "chroot": "os.chroot('.')",
    "nice": "os.nice(-5)",
    "affinity": "os.sched_setaffinity(0, {0})",
    "setuid": "os.setuid(0 if os.getuid() else 1)",
    "become a session": "os.setsid()",
    "own the signals": "fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, os.getppid())",
    "mkfifo": "os.mkfifo('f')",
    "a limit of another": "resource.prlimit(os.getppid(), resource.RLIMIT_CPU)",
    "more of a limit": "resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "memory no limit counts": "os.memfd_create('x')",
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_forbidden_calls_fail(jail: Driver, name: str) -> None:
    result = jail.run(f"import os, socket, subprocess, fcntl, resource\nout = repr({FORBIDDEN[name]})")
    assert result.out is None
    assert result.error.split(":")[0] in ("PermissionError", "OSError", "ValueError"), result


# x86_64 numbers; each with harmless or invalid arguments: only the filter gives EPERM or ENOSYS to all.
RAW_FORBIDDEN = {
    "ptrace": (101, 0, 0, 0, 0), "process_vm_readv": (310, 1, 0, 0, 0, 0), "keyctl": (250, 0, -3, 0),
    "add_key": (248, 0, 0, 0, 0, -3), "shmget": (29, 0, 4096, 0o1600), "semget": (64, 0, 1, 0o1600),
    "msgget": (68, 0, 0o1600), "mq_open": (240, 0, 0), "io_uring_setup": (425, 1, 0), "bpf": (321, 0, 0, 0),
    "perf_event_open": (298, 0, 0, -1, -1, 0), "userfaultfd": (323, 1), "mount": (165, 0, 0, 0, 0, 0),
    "unshare": (272, 0x10000000), "setns": (308, 0, 0), "pidfd_open": (434, 1, 0), "tkill": (200, 1, 0),
    "pidfd_send_signal": (424, 0, 0, 0, 0), "execveat": (322, -1, 0, 0, 0, 0), "memfd_secret": (447, 0),
    "open_by_handle_at": (304, 0, 0, 0), "name_to_handle_at": (303, -1, 0, 0, 0, 0), "iopl": (172, 0),
    "landlock_create_ruleset": (444, 0, 0, 1), "personality": (135, 0x40000), "fork": (57,), "vfork": (58,),
    "clone a process": (56, 17, 0, 0, 0, 0), "clone a user namespace": (56, 0x10000000 | 17, 0, 0, 0, 0),
    "clone a thread that is none": (56, 0x10D00, 0, 0, 0, 0), "clone3": (435, 0, 0), "swapon": (167, 0, 0),
    "dumpable": (157, 4, 1), "outlive the parent": (157, 1, 0), "let a tracer": (157, 0x59616D61, -1),
    "pivot_root": (155, 0, 0), "mount_setattr": (442, 0, 0, 0, 0, 0), "open_tree": (428, -1, 0, 0),
    "fanotify_init": (300, 0, 0), "inotify_init": (253,), "sethostname": (170, 0, 0),
    "syslog": (103, 3, 0, 0),
    "reboot": (169, 0, 0, 0, 0), "acct": (163, 0), "kcmp": (312, 1, 1, 0, 0, 0), "seccomp": (317, 1, 0, 0),
    "sched_setscheduler": (144, 0, 0, 0),
    "setpriority": (141, 0, 0, 0), "quotactl": (179, 0, 0, 0, 0), "ioprio_set": (251, 1, 0, 0),
    "modify_ldt": (154, 0, 0, 0), "a call of the future": (1000, 0),
}  # fmt: skip


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86_64")
def test_raw_calls_are_refused(jail: Driver) -> None:
    result = jail.run(f"{RAW}\nout = {{name: raw(*args) for name, args in {RAW_FORBIDDEN!r}.items()}}")
    assert {name: code for name, code in result.out.items() if code not in (-1, -38)} == {}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86_64")
@pytest.mark.parametrize("number", [0x40000000 + 39, 0x40000000 + 520])
def test_calls_of_the_x32_table_kill(jail: Driver, number: int) -> None:
    assert jail.run(f"{RAW}\nraw({number})").signal == signal.SIGSYS


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="machine code of x86_64")
def test_calls_of_32_bit_code_kill(jail: Driver) -> None:
    result = jail.run("""
import ctypes, mmap
code = mmap.mmap(-1, 4096, prot=7)
code.write(bytes.fromhex('b814000000cd80c3'))  # mov eax, 20 (getpid); int 0x80; ret
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
""")
    assert result.signal in (signal.SIGSYS, signal.SIGSEGV)  # SIGSEGV: a kernel without 32-bit calls


def test_host_files_are_out_of_reach(jail: Driver, tmp_path: Path) -> None:
    only(jail, "namespaces", "landlock")
    secret = reachable(tmp_path) / "secret"
    secret.write_text("canary")
    os.chmod(secret, 0o666)
    os.chmod(tmp_path, 0o777)
    result = jail.run(f"""
import os
out = []
def attempt(action):
    try: out.append(repr(action()))
    except OSError as error: pass
attempt(lambda: open({str(secret)!r}).read())
attempt(lambda: open({str(secret)!r}, 'a').write('x'))
attempt(lambda: os.open({str(secret)!r}, os.O_RDONLY | os.O_TRUNC))
attempt(lambda: os.open({str(secret)!r}, os.O_TRUNC | 3))
attempt(lambda: os.truncate({str(secret)!r}, 0))
attempt(lambda: open({str(tmp_path)!r} + '/new', 'w'))
attempt(lambda: os.mkdir({str(tmp_path)!r} + '/new'))
attempt(lambda: os.unlink({str(secret)!r}))
attempt(lambda: os.rename({str(secret)!r}, 'mine'))
attempt(lambda: os.link({str(secret)!r}, 'mine'))
attempt(lambda: os.chmod({str(secret)!r}, 0))
attempt(lambda: os.utime({str(secret)!r}, (1, 1)))
attempt(lambda: os.listdir({str(tmp_path)!r}))
attempt(lambda: os.symlink({str(secret)!r}, 'link') or open('link').read())
attempt(lambda: os.listdir('/root'))
attempt(lambda: open('/etc/shadow').read())
attempt(lambda: os.listdir('/proc/self'))
attempt(lambda: open('/proc/1/environ').read())
for name in ('link', 'mine'):
    if os.path.islink(name): os.unlink(name)
""")
    allowed_listing = [name for name in result.out if name != "[]" and ".pyenv" not in name]
    assert (allowed_listing, result.error) == ([], "")
    assert secret.read_text() == "canary" and os.stat(secret).st_mode & 0o777 == 0o666
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret"]


def test_the_interpreter_is_read_only(jail: Driver) -> None:
    only(jail, "namespaces", "landlock")
    result = jail.run("""
import json, os
file, out = json.__file__, []
for action in (lambda: open(file + '.x', 'w'), lambda: open(file, 'a'), lambda: os.unlink(file),
               lambda: os.chmod(file, 0o777), lambda: os.utime(file, (1, 1)),
               lambda: os.mkdir('/x'), lambda: os.mkdir('/dev/x'), lambda: os.rename('/etc', '/etc2'),
               lambda: os.rmdir('/tmp'), lambda: open('/etc/passwd', 'a'),
               lambda: os.chmod('/dev/null', 0o777)):
    try: out.append(repr(action()))
    except OSError: pass
""")
    assert (result.out, result.error) == ([], "")


def test_descriptors(jail: Driver) -> None:
    """Only the one the child answers on is open, so none leads out."""
    result = jail.run("""
import os
out = []
for descriptor in range(1024):
    try: os.fstat(descriptor); out.append(descriptor)
    except OSError: pass
""")
    assert len(result.out) == 1
    more = jail.run("""
import os
out = 0
try:
    while True: os.open('/dev/null', 0); out += 1
except OSError: pass
""")
    assert 32 <= more.out < 64


def test_processes_where_they_are_allowed(jail: Driver) -> None:
    only(jail, "namespaces")
    works = jail.run(
        """
import os, subprocess, sys
out = subprocess.run([sys.executable, '-S', '-c', 'import os; print(os.getuid(), os.getppid() > 1)'],
                     capture_output=True, text=True, env={}).stdout.split()[1:]
""",
        processes=8,
    )
    assert works.out == ["True"], works
    bomb = jail.run(
        RAW
        + """
import os, time
out = 0
try:
    while out < 500:
        if os.fork() == 0:
            for fd in range(64):
                try: os.close(fd)
                except OSError: pass
            time.sleep(60); os._exit(0)
        out += 1
except OSError: pass
""",
        processes=6,
    )
    assert 1 <= bomb.out <= 6
    escape = jail.run(
        RAW
        + """
out = {n: raw(*a) for n, a in dict(
    user=(56, 0x10000011), unshare=(272, 0x10000000), ptrace=(101, 0), parent=(56, 0x8011),
    init=(62, 1, 9), setns=(308, 0, 0), socket=(41, 2, 1, 0), clone3=(435, 0, 0)).items()}
""",
        processes=6,
    )
    assert set(escape.out.values()) <= {-1, -38}
    assert jail.run("import os; out = os.getpid() > 1").out is True


def test_mounts_seen_from_outside(jail: Driver) -> None:
    only(jail, "namespaces")
    if not ROOT:
        pytest.skip("reads another process's mount table")
    lines = Path(f"/proc/{jail.inner_pid}/mountinfo").read_text().splitlines()
    mounts = {line.split()[4]: (set(line.split()[5].split(",")), line) for line in lines}
    writable = {point for point, (options, _) in mounts.items() if "rw" in options}
    assert writable <= {"/tmp", "/dev/shm", "/"}  # "/" is read-only as a file system
    assert all("nosuid" in options for options, _ in mounts.values())
    assert not any("shared:" in line or "master:" in line for _, line in mounts.values())
    assert not any(point.startswith(("/proc", "/sys", "/old", "/.old", "/work")) for point in mounts)


def test_everything_dies_with_the_waiting_process(tmp_path: Path) -> None:
    driver = start(("namespaces", WHO[0]), tmp_path)
    inner = driver.inner_pid
    driver.process.kill()
    driver.process.wait()
    deadline = time.monotonic() + 40
    while Path(f"/proc/{inner}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{inner}").exists()
    driver.process.stdin.close()  # type: ignore[union-attr]
    driver.process.stdout.close()  # type: ignore[union-attr]


@pytest.mark.skipif(not ROOT, reason="needs root")
def test_root_where_user_namespaces_are_refused(tmp_path: Path) -> None:
    """As in some containers: the other namespaces still stand, with real uids."""
    driver = start(("namespaces", "root"), tmp_path, without_user_namespaces=True)
    code = "import os; open('/tmp/x', 'w'); out = [os.getuid(), os.path.exists('/proc'), os.getpid() < 10]"
    result = driver.run(code)
    assert (result.out, result.error) == ([65534, False, True], "")
    assert driver.run("import os; out = os.listdir('/tmp')").out == []
    assert driver.run("import os; os.fork()").error.startswith("PermissionError")
    driver.close()
