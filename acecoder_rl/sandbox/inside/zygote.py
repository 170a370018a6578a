"""The warm interpreter in the jail: forks one child per program, or per judge.

Runs in a fresh minimal interpreter started by spawn.py. It never reads a program or a test: a child
reads its own from the socket that came with the fork request, so no child finds an earlier
sample's answers in inherited memory.
Control socket (SOCK_SEQPACKET), one request a packet: b"F" + marshal(confinement) with the child's
descriptors: fork; b"E": kill and reap the child, answer with its exit status and usage; b"K": the
same without an answer. End of file ends everything.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import marshal
import os
import signal
import socket
import struct
import sys

from acecoder_rl.sandbox.inside import jail as jail_module

FORK, END = b"FE"
KILL = int(signal.SIGKILL)  # the enum's members cost more
STATUS = struct.Struct("<iidQ")  # forked?, wait status, CPU seconds, peak resident KiB
# libc's fork, without Python's own after-fork work: that rebuilds the state of threads and locks, of
# which this process has one and none, and re-seeds random. It costs a child 180 page copies, 0.4 ms.
_fork = ctypes.PyDLL(None, use_errno=True).fork
WARM = (
    "math",
    "random",
    "collections",
    "re",
    "itertools",
    "functools",
    "heapq",
    "bisect",
    "string",
    "typing",
    "operator",
)


def main(control):
    """Serve the worker on `control` until it closes."""
    try:
        spec = marshal.loads(control.recv(1 << 20))
        if spec["path"]:
            sys.path[:] = spec["path"]
        candidate = spec["role"] in ("candidate", "shared")
        for name in (*(WARM if candidate else ()), *spec["preload"]):
            importlib.import_module(name)
        if candidate:
            program = importlib.import_module("acecoder_rl.sandbox.inside.candidate")
            program.warm()
        else:
            program = importlib.import_module("acecoder_rl.sandbox.inside.judge")
            program.warm(spec["role"] == "frameworks")
        channels = _channels(1 if candidate else 2)
        jail = jail_module.enter(spec, lambda: _map_ids(control))
    except BaseException as error:
        control.send(f"!{type(error).__name__}: {error}".encode())
        os._exit(1)
    sys.argv = ["solution.py"]
    gc.collect()
    gc.freeze()
    control.send(b"R")
    _serve(control, jail, channels, program.main)


def _channels(count):
    """Socket objects whose descriptors a child puts its own sockets on: making one costs it more."""
    pairs = [socket.socketpair() for _ in range(count)]
    for _, other in pairs:
        other.close()
    return [ours for ours, _ in pairs]


def _map_ids(control):
    control.send(b"M")
    return control.recv(16) == b"ok"


def _serve(control, jail, channels, program):
    child, several, confinements = 0, True, {}
    space = socket.CMSG_SPACE(4 * 4)
    numbers = [channel.fileno() for channel in channels]
    own = (control.fileno(), numbers, max(control.fileno(), *numbers, *jail.fds) + 1)
    while True:
        # Little code here too: each page that this process writes to after a fork costs it a fault.
        packet, ancillary, _, _ = control.recvmsg(4096, space)
        if not packet:
            _end(child, several, jail)
            os._exit(0)
        if packet[0] == FORK:
            descriptors = list(memoryview(ancillary[0][2]).cast("i"))
            if packet not in confinements:
                confinement = marshal.loads(packet[1:])
                confinements[packet] = jail.steps(**confinement), confinement["processes"] > 1
            steps, several = confinements[packet]
            child = _fork()
            if child < 0:
                child = -ctypes.get_errno()
            if child == 0:
                _become(jail, channels, program, steps, descriptors, own)
            for descriptor in descriptors:
                os.close(descriptor)
        else:
            status = _end(child, several, jail)
            if packet[0] == END:
                control.send(status)
            child = 0
            jail.clean()
            _renew_standard_files()


def _renew_standard_files():
    """Opened anew: their flags and locks, which a program can change, belong to what it shares with us."""
    null = os.open("/dev/null", os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    os.close(null)


def _end(child, several, jail):
    """Kill and reap the child, and if it could start `several` whatever is left in the namespace."""
    if child <= 0:
        return STATUS.pack(child, 0, 0.0, 0)
    os.kill(child, KILL)  # it may have exited: then it is a zombie until the wait
    # One that may start none leaves none: its filter, always on at this level, lets it clone threads only.
    if several and jail.level == "namespaces":
        _kill_everything()
    _, status, usage = os.wait4(child, 0)
    if several:
        _reap_everything()
    return STATUS.pack(1, status, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)


def _kill_everything():
    with contextlib.suppress(ProcessLookupError):  # none left
        os.kill(-1, KILL)


def _reap_everything():
    try:
        while os.waitpid(-1, 0):
            pass
    except ChildProcessError:
        pass  # none left


def _become(jail, channels, program, steps, descriptors, own):
    """In the child: keep only the given descriptors, confine, then run. Never returns.

    Little code and few objects on purpose: each that is touched costs the copy of a page.
    """
    try:
        control, numbers, end = own
        os.close(control)
        for number in numbers:
            os.dup2(descriptors[0], number)
            os.close(descriptors.pop(0))
        if descriptors:  # a program with stdin and stdout
            os.dup2(descriptors[0], 0)
            os.dup2(descriptors[1], 1)
            os.close(descriptors[0])
            os.close(descriptors[1])
        os.closerange(end, 65536)
        jail.take(steps)
        program(*channels)
    finally:
        os._exit(70)
