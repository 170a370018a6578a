"""The system-call filter: an allow-list, built once, installed in each child.

Covers: x86_64 and aarch64; a variant for one process and one that may start others; own-pid checks.
Does not cover: paths (mounts.py, landlock.py): a filter sees numbers, never what a pointer points to.
Hostile input: calls of another architecture or of the x32 table kill the process; an unlisted call
fails with EPERM, one newer than the list with ENOSYS, so that C libraries fall back.
Stand-alone: standard library only, Python >= 3.9.
"""

from __future__ import annotations

import ctypes
import errno
import struct

from acecoder_rl.sandbox.inside.kernel import MACHINE, syscall
from acecoder_rl.sandbox.inside.syscalls import ALLOWED, CHECKED, FAILING, NAMESPACED, NUMBERS, SEVERAL

ALLOW, FAIL, KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
EPERM, ENOSYS, ENOTTY = FAIL | errno.EPERM, FAIL | errno.ENOSYS, FAIL | errno.ENOTTY
# AUDIT_ARCH_X86_64, AUDIT_ARCH_AARCH64
ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
X32 = 0x40000000
AFTER_LAST = 450  # the list was made from the table of Linux 6.1

# What threads of glibc (and musl, with the obsolete CLONE_DETACHED) are made with, exactly.
THREAD, DETACHED = 0x3D0F00, 0x400000
# CLONE_NEW*, CLONE_PTRACE, CLONE_PIDFD, and CLONE_PARENT (a sibling would look like the zygote's own child).
NOT_CLONED = 0x7E020000 | 0x2000 | 0x1000 | 0x8000
PERSONALITY_QUERY = 0xFFFFFFFF
AF_UNIX = 1
MSG_OOB = 1  # on unix sockets: nobody uses it, and it had holes (CVE-2025-38236)
# F_SETOWN, F_SETSIG, F_SETOWN_EX: signals to anyone of the same uid; F_SETLEASE, F_NOTIFY: more signals.
FCNTL_REFUSED = (8, 10, 15, 1024, 1026)
# TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX, TCGETS2
IOCTL_ALLOWED = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451, 0x802C542A)
# PR_GET_PDEATHSIG, _DUMPABLE, _KEEPCAPS, _NAME, _SECCOMP, PR_CAPBSET_READ, PR_GET_TIMERSLACK,
# PR_GET_NO_NEW_PRIVS; PR_SET_NAME, PR_SET_TIMERSLACK, PR_SET_NO_NEW_PRIVS.
PRCTL_ALLOWED = (2, 3, 7, 16, 21, 23, 30, 39, 15, 29, 38)
O_TRUNC = 0o1000
OWN_PID = -1  # stands for the pid of the process that installs the filter


class Block:
    """Filter instructions under construction; jumps are by distance, so blocks can be joined."""

    LOAD, JUMP_EQUAL, JUMP_SET, JUMP_AT_LEAST, AND, RETURN = 0x20, 0x15, 0x45, 0x35, 0x54, 0x06

    def __init__(self) -> None:
        self.code: list[tuple[int, int, int, int]] = []

    def add(self, code: int, value: int, if_true: int = 0, if_false: int = 0) -> Block:
        self.code.append((code, if_true, if_false, value))
        return self

    def load(self, offset: int) -> Block:
        return self.add(self.LOAD, offset)

    def low(self, argument: int) -> Block:
        """Load the low 32 bits of an argument: all that the kernel uses of an int."""
        return self.load(16 + 8 * argument)

    def give(self, action: int) -> Block:
        return self.add(self.RETURN, action)

    def any_of(self, values: tuple[int, ...], action: int, otherwise: int) -> Block:
        """Give `action` if the loaded word is one of `values`."""
        for index, value in enumerate(values):
            self.add(self.JUMP_EQUAL, value, if_true=len(values) - index)
        return self.give(otherwise).give(action)

    def any_bit(self, bits: int, action: int, otherwise: int) -> Block:
        return self.add(self.JUMP_SET, bits, if_true=1).give(otherwise).give(action)


def _check(kind: str, several: bool) -> Block:
    """The block for a call whose arguments decide."""
    block = Block()
    if kind == "clone" and several:
        return block.low(0).any_bit(NOT_CLONED, EPERM, ALLOW)
    if kind == "clone":
        return block.low(0).add(Block.AND, ~DETACHED & 0xFFFFFFFF).any_of((THREAD,), ALLOW, EPERM)
    if kind == "own_pid" and several:
        return block.low(0).any_of((1,), EPERM, ALLOW)
    if kind == "own_pid":
        return block.low(0).any_of((OWN_PID,), ALLOW, EPERM)
    if kind == "prctl":
        return block.low(0).any_of(PRCTL_ALLOWED, ALLOW, EPERM)
    if kind == "ioctl":
        return block.low(1).any_of(IOCTL_ALLOWED, ALLOW, ENOTTY)
    if kind == "fcntl":
        return block.low(1).any_of(FCNTL_REFUSED, EPERM, ALLOW)
    if kind == "self":
        return block.low(0).any_of((0,), ALLOW, EPERM)
    if kind == "query":
        return block.low(0).any_of((PERSONALITY_QUERY,), ALLOW, EPERM)
    if kind == "unix":
        return block.low(0).any_of((AF_UNIX,), ALLOW, EPERM)
    if kind == "sendto":  # no address (both halves of the pointer), no out-of-band byte
        block.low(4).add(Block.JUMP_EQUAL, 0, if_false=5)
        block.load(16 + 8 * 4 + 4).add(Block.JUMP_EQUAL, 0, if_false=3)
        return block.low(3).any_bit(MSG_OOB, EPERM, ALLOW)
    if kind == "recvfrom":
        return block.low(3).any_bit(MSG_OOB, EPERM, ALLOW)
    # "open1", "open2": truncating needs an ordinary open for writing
    block.low(int(kind[-1])).add(Block.JUMP_SET, O_TRUNC, if_true=1).give(ALLOW)
    return block.add(Block.AND, 3).any_of((1, 2), ALLOW, EPERM)


def build(level: str, several: bool, landlock_abi: int = 0, machine: str = MACHINE) -> tuple[bytes, tuple[int, ...]]:
    """The filter, and where in it, in words of 4 bytes, the own pid goes.

    Args:
        level: below "namespaces" what changes a file by its path is refused too, since the host's
            files are there and Landlock has no right for it.
        several: whether the program may start other processes.
        landlock_abi: the ABI in force, 0 for none.
        machine: the architecture, as in os.uname().
    """
    column = 0 if machine == "x86_64" else 1
    actions: dict[int, Block] = {}

    def put(names: str, block: Block) -> None:
        for name in names.split():
            if (number := NUMBERS[name][column]) is not None:
                actions[number] = block

    put(ALLOWED, Block().give(ALLOW))
    if level == "namespaces":
        put(NAMESPACED, Block().give(ALLOW))
    if level == "namespaces" or landlock_abi >= 3:
        put("truncate", Block().give(ALLOW))
    if several:
        put(SEVERAL, Block().give(ALLOW))
    for code, names in FAILING.items():
        put(names, Block().give(FAIL | code))
    for kind, names in CHECKED.items():
        put(names, _check(kind, several))
    if level == "landlock" and landlock_abi < 3:
        # Landlock takes such a descriptor for one that only reads, or does neither.
        put("open", _check("open1", several))
        put("openat", _check("open2", several))
    ranges: list[tuple[int, Block]] = []
    denied = Block().give(EPERM)
    for number in range(AFTER_LAST + 1):
        block = Block().give(ENOSYS) if number == AFTER_LAST else actions.get(number, denied)
        if not ranges or ranges[-1][1].code != block.code:
            ranges.append((number, block))
    head = Block().load(4).add(Block.JUMP_EQUAL, ARCHITECTURES[machine], if_true=1).give(KILL_PROCESS).load(0)
    if column == 0:
        head.add(Block.JUMP_AT_LEAST, X32, if_false=1).give(KILL_PROCESS)
    code = head.code + _search(ranges)
    # "B" takes a byte: a jump too far for the format fails here, loudly.
    slots = tuple(2 * index + 1 for index, instruction in enumerate(code) if instruction[3] == OWN_PID)
    return b"".join(struct.pack("=HBBI", op, t, f, value & 0xFFFFFFFF) for op, t, f, value in code), slots


def _search(ranges: list[tuple[int, Block]]) -> list[tuple[int, int, int, int]]:
    """A binary search for the call's number, then each block once.

    Short, and few steps for each number: when a filter is installed, the kernel compiles it and tries
    it with all numbers.
    """
    blocks: list[list[tuple[int, int, int, int]]] = []
    for _, block in ranges:
        if block.code not in blocks:
            blocks.append(block.code)
    starts, end = [], len(ranges) - 1  # a search among n ranges asks n - 1 questions
    for code in blocks:
        starts.append(end)
        end += len(code)
    questions: list[tuple[int, int, int, int]] = []

    def ask(low: int, high: int) -> int:
        """Write the questions that tell ranges[low:high] apart; where they begin."""
        if high - low == 1:
            return starts[blocks.index(ranges[low][1].code)]
        here, middle = len(questions), (low + high) // 2
        questions.append((0, 0, 0, 0))
        if_less, if_not = ask(low, middle) - here - 1, ask(middle, high) - here - 1
        questions[here] = (Block.JUMP_AT_LEAST, if_not, if_less, ranges[middle][0])
        return here

    ask(0, len(ranges))
    return questions + [instruction for code in blocks for instruction in code]


class Filter:
    """A filter in memory, ready to install.

    Args:
        level, several, landlock_abi: see `build`.
    """

    def __init__(self, level: str, several: bool, landlock_abi: int = 0) -> None:
        code, self.slots = build(level, several, landlock_abi)
        self.buffer = ctypes.create_string_buffer(code, len(code))
        self.words = memoryview(self.buffer).cast("B").cast("I")
        program = struct.pack("@HP", len(code) // 8, ctypes.addressof(self.buffer))
        self.program = ctypes.create_string_buffer(program, 16)
        self.address = ctypes.addressof(self.program)

    def set_pid(self, pid: int) -> None:
        """Fill in the pid of the process that is going to install the filter."""
        for slot in self.slots:
            self.words[slot] = pid


def flags() -> int | None:
    """The flags to install a filter with; None where the kernel takes none."""
    SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW = 1, 4
    # With the flag, kernels before 5.16 leave speculative stores on: off is slower, and no help here.
    for wanted in (SECCOMP_FILTER_FLAG_SPEC_ALLOW, 0):
        # No filter is given, so nothing is installed: the right flags get as far as missing it.
        if syscall("seccomp", SECCOMP_SET_MODE_FILTER, wanted, 0) < 0 and ctypes.get_errno() == errno.EFAULT:
            return wanted if MACHINE in ARCHITECTURES else None
    return None
