"""The jail: made once around a zygote, then confines each child it forks.

Covers: three levels. "namespaces": own user, mount, pid, net, ipc and uts namespaces, a root of
read-only bind mounts, a fresh /tmp. "landlock": the host's tree, cut to the given paths. "none":
limits and the system-call filter only. Limits and filter are on at every level, Landlock above "none".
Does not cover: memory beyond address space (cgroup.py), CPU accounting and killing (the worker).
Below "namespaces" a program may fill the disk with many files, and its threads are not counted.
Hostile input: nothing hostile runs before `Jail.confine` returns; `Jail.clean` runs after it died.
Stand-alone: standard library only, Python >= 3.9.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
from collections.abc import Callable

from acecoder_rl.sandbox.inside import kernel, landlock, namespaces, seccomp
from acecoder_rl.sandbox.inside.kernel import JailError, check, failure, prctl
from acecoder_rl.sandbox.inside.mounts import Root
from acecoder_rl.sandbox.inside.scratch import empty

NOBODY = 65534
THREADS = 256
THREAD_STACK = 8 << 20
# NOROOT and NO_CAP_AMBIENT_RAISE, both locked: uid 0 gains nothing from an exec.
_SECURE_BITS = 0x01 | 0x02 | 0x40 | 0x80
# In the order of the arguments of Jail.confine.
_LIMITED = (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_NPROC)
_NO_LIMIT = 2**64 - 1
_ALSO_READ = ("/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/etc/ld.so.cache", "/etc/localtime")
_READ_ANY = 1 << kernel.CAP_DAC_READ_SEARCH
_SWITCH = 1 << kernel.CAP_SETUID | 1 << kernel.CAP_SETGID | 1 << kernel.CAP_KILL

Steps = tuple[seccomp.Filter, list[tuple[int, ...]], ctypes.Array]


class Jail:
    """What a zygote needs to confine its children.

    Attributes:
        level: "namespaces", "landlock" or "none".
        fds: descriptors that `confine` needs open, and closes.
        filtered: whether the kernel takes system-call filters.
        uid: whom a child becomes; None: it keeps the uid of the zygote.
    """

    def __init__(self, spec: dict, uid: int | None, counted: bool, root: Root | None = None, caps: int = 0) -> None:
        self.level: str = spec["level"]
        self.uid, self.counted, self.root = uid, counted, root
        self.scratch: str = spec.get("scratch", "")
        self.zygote = os.getpid()
        abi = landlock.abi() if self.level != "none" else 0
        wanted = abi or self.level == "landlock"
        self.fds = (landlock.prepare(self._rules(spec)),) if wanted else ()
        self.filter_flags = seccomp.flags()
        self.filtered = self.filter_flags is not None
        if not self.filtered and self.level != "none":
            raise JailError("this kernel takes no system-call filters: it needs CONFIG_SECCOMP_FILTER")
        ceilings = [resource.getrlimit(kind)[1] for kind in _LIMITED]
        self.ceilings = [_NO_LIMIT if ceiling == resource.RLIM_INFINITY else ceiling for ceiling in ceilings]
        self.no_caps, self.capset = kernel.capset_arguments(caps)
        # Without namespaces, what a program starts could outlive it.
        variants = (False, self.level == "namespaces")
        self.filters = [seccomp.Filter(self.level, several, abi) for several in variants]

    def _rules(self, spec: dict) -> list[tuple[str, int]]:
        if self.level == "namespaces":  # the mounts say what is read-only
            return [("/", landlock.READ | landlock.WRITE | landlock.EXECUTE)]
        paths = [*spec["read_only"], *(path for path in _ALSO_READ if os.path.exists(path))]
        rules = [(path, landlock.READ) for path in paths]
        rules += [("/dev/null", landlock.READ_FILE | landlock.WRITE_FILE)]
        return [*rules, (self.scratch, landlock.READ | landlock.WRITE)]

    def steps(self, memory_bytes: int, cpu_seconds: int, fsize_bytes: int, processes: int) -> Steps:
        """The filter and the system calls of a confinement, each a number and its six arguments.

        The last item is memory that the calls point to. For the zygote, to make once a confinement,
        so that a child only makes the calls; the arguments are those of `confine`.
        """
        several = processes > 1
        # A uid that is the zygote's too counts it, and the process that waits for it.
        tasks = (processes if several else THREADS) + (2 if self.uid is None else 0)
        limits = (memory_bytes, cpu_seconds, fsize_bytes, tasks)
        buffer = (ctypes.c_uint64 * (2 * len(limits)))()
        words = memoryview(buffer).cast("B").cast("Q")  # refuses what ctypes would wrap
        for index, ceiling in enumerate(self.ceilings):
            words[2 * index] = words[2 * index + 1] = min(limits[index], ceiling)
        # One process shares the jail's session: a new one would cost 20 to 100 us (sched_autogroup).
        steps = [("setsid",)] if several else []
        if self.uid is not None:
            steps += [("setresgid",) + (self.uid,) * 3, ("setresuid",) + (self.uid,) * 3]
        steps += [("capset", *self.capset)]
        # After the change of uid, which resets both.
        steps += [("prctl", kernel.PR_SET_DUMPABLE, 0), ("prctl", kernel.PR_SET_PDEATHSIG, signal.SIGKILL)]
        for index, kind in enumerate(_LIMITED):
            # A count of tasks that is not ours alone would depend on what else runs on the machine.
            if kind != resource.RLIMIT_NPROC or self.counted:
                steps += [("prlimit64", 0, kind, ctypes.addressof(buffer) + 16 * index, 0)]
        for ruleset in self.fds:
            steps += [("landlock_restrict_self", ruleset, 0), ("close", ruleset)]
        if self.filter_flags is not None:
            steps += [("seccomp", 1, self.filter_flags, self.filters[several].address)]
        calls = [(kernel.number(name), *args, *(0,) * (6 - len(args))) for name, *args in steps]
        return self.filters[several], calls, buffer

    def confine(self, memory_bytes: int, cpu_seconds: int, fsize_bytes: int, processes: int) -> None:
        """Give up, in a forked child and for good, what a program is not to have.

        Args:
            memory_bytes: address space, with what the interpreter has already.
            cpu_seconds: the kernel kills at this many: a last resort.
            fsize_bytes: size of one file.
            processes: above 1, at level "namespaces", it may start processes: that many tasks at once.

        Raises:
            JailError: some part failed; the child must end.
        """
        self.take(self.steps(memory_bytes, cpu_seconds, fsize_bytes, processes))

    def take(self, steps: Steps) -> None:
        """`confine`, in the steps that the zygote has made."""
        steps[0].set_pid(os.getpid())
        # One loop over ready numbers: in a forked child, each Python object that is touched costs the
        # copy of a page (2.5 us), more than most of these calls.
        call = kernel.quick_syscall
        for step in steps[1]:
            if call(*step) < 0:
                kernel.raw_syscall(*step)  # it fails again, and tells why
                raise failure(f"confine: system call {step[0]} {step[1:4]} (are Jail.fds open?)")
        if os.getppid() != self.zygote:
            raise JailError("the zygote has died")

    def clean(self) -> None:
        """Empty what programs can write to, after each is dead. Cheap when nothing was touched."""
        if self.root:
            self.root.fresh()
        elif self.scratch:
            empty(self.scratch)


def enter(spec: dict, map_ids: Callable[[], object]) -> Jail:
    """Build the jail around this process, which must be young: one thread, no descriptors of the host.

    At level "namespaces" the calling process only waits from here on; it is a child, pid 1 of the new pid
    namespace, that returns. Both die with their parent.

    Args:
        spec: "level"; "read_only": absolute paths to show; "tmp_mb"; "stack_mb"; "open_files";
            "scratch": an empty directory of our own, below level "namespaces".
        map_ids: called, when run by root, for the owner to write this process's uid_map and gid_map
            ("0 0 1" and "65534 65534 1"); returns False if it could not.

    Raises:
        JailError: what could not be done, and why.
    """
    level = spec["level"]
    _fixed_limits(spec)
    os.umask(0o022)
    # As pid 1, a process is immune to the signals of its own namespace that it has no handler for.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if level != "namespaces":
        namespaces.die_with_parent()
        if os.getpgrp() != os.getpid():  # else it leads a group already
            os.setsid()
        uid, caps = _unprivileged(spec)
        if uid is not None and spec["scratch"]:
            os.chown(spec["scratch"], uid, uid)
        _reduce(_SWITCH | 1 << kernel.CAP_DAC_OVERRIDE | 1 << kernel.CAP_FOWNER | _READ_ANY)
        os.chdir(spec["scratch"] or "/")
        return Jail(spec, uid, counted=False, caps=caps)
    outer = os.geteuid(), os.getegid()
    own_users = namespaces.unshare()
    if own_users:
        namespaces.map(outer, map_ids)
    uid = NOBODY if namespaces.is_mapped(NOBODY) else None
    namespaces.fork_into_namespace()
    try:
        root = Root(spec["read_only"], spec["tmp_mb"])
    except JailError as error:
        if error.errno not in (errno.EPERM, errno.EACCES):
            raise
        # Ubuntu's AppArmor, for one, lets anyone make a user namespace and forbids everything in it.
        raise JailError(error.errno, f"{error}; `acecoder-rl doctor` says how to allow it") from error
    kernel.set_host_name("sandbox")
    if uid is not None:
        os.setgroups([])
    _reduce(_SWITCH | 1 << kernel.CAP_SYS_ADMIN)
    # Tasks of a uid are counted apart in a user namespace since Linux 5.14. Elsewhere the count is the
    # machine's, and a limit would depend on what else runs there.
    return Jail(spec, uid, counted=own_users and _release() >= (5, 14), root=root)


def _fixed_limits(spec: dict) -> None:
    """The limits that are the same for each program."""
    wanted = {
        resource.RLIMIT_NOFILE: spec["open_files"],
        resource.RLIMIT_CORE: 1,  # no core file is that small; 0 would still start a core_pattern pipe
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_MEMLOCK: 0,
    }
    for kind, value in wanted.items():
        ceiling = resource.getrlimit(kind)[1]
        value = value if ceiling == resource.RLIM_INFINITY else min(value, ceiling)
        resource.setrlimit(kind, (value, value))
    ceiling = resource.getrlimit(resource.RLIMIT_STACK)[1]
    stack = spec["stack_mb"] << 20
    stack = stack if ceiling == resource.RLIM_INFINITY else min(stack, ceiling)
    resource.setrlimit(resource.RLIMIT_STACK, (stack, ceiling))
    kernel.limit_thread_stacks(THREAD_STACK)


def _unprivileged(spec: dict) -> tuple[int | None, int]:
    """Below level "namespaces": the uid for children and the capabilities they need."""
    if not kernel.capabilities() & 1 << kernel.CAP_SETUID or not namespaces.is_mapped(NOBODY):
        return None, 0
    os.setgroups([])
    child = os.fork()
    if child == 0:
        try:
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            os._exit(0 if all(os.access(path, os.R_OK) for path in spec["read_only"]) else 1)
        finally:
            os._exit(2)
    if os.waitpid(child, 0)[1] == 0:
        return NOBODY, 0
    # An interpreter below /root. To read is less than to be root, who may write.
    if kernel.capabilities() & _READ_ANY:
        return NOBODY, _READ_ANY
    return None, 0


def _reduce(keep: int) -> None:
    """Leave the zygote the capabilities of `keep`, and no way to more."""
    check(prctl(kernel.PR_SET_NO_NEW_PRIVS, 1), "set no_new_privs")
    held = kernel.capabilities()
    if held & 1 << kernel.CAP_SETPCAP:
        for capability in range(64):
            prctl(kernel.PR_CAPBSET_DROP, capability)  # fails beyond the kernel's last
        check(prctl(kernel.PR_SET_SECUREBITS, _SECURE_BITS), "set the secure bits")
    prctl(kernel.PR_CAP_AMBIENT, kernel.PR_CAP_AMBIENT_CLEAR_ALL)
    if held:
        # For a child that keeps one capability when it changes its uid; the others drop all they have.
        check(prctl(kernel.PR_SET_KEEPCAPS, 1), "keep capabilities")
    kernel.set_capabilities(held & keep)
    check(prctl(kernel.PR_SET_DUMPABLE, 0), "become unreadable for other processes")


def _release() -> tuple[int, int]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(filter(str.isdigit, minor)) or 0)
