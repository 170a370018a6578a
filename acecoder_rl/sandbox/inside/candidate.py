"""The untrusted process: loads one program and answers for it.

Runs in a forked, confined child of the zygote that holds its own socket and nothing else. Modes of
a job: "calls" (answer a list of calls in order), "serve" (answer a judge's requests, rpc.py),
"stdio" (run as a script on fd 0 and 1), "shared" (tests that patch the program's internals run
right here; what they report is the program's own claim).
Does not cover: any judging; no expected value ever comes here, but in "shared".
Everything sent from here is hostile to its reader: frames of 4 bytes length + 1 byte kind + body.
"""

from __future__ import annotations

import marshal
import os
import socket
import sys
import types

from acecoder_rl.sandbox.inside import rpc, usual, wire

HELLO = b"\1\0\0\0H"  # a frame; with it the kernel tells the worker our pid
AS_IS, ITERATE, LENGTH, TRUTH = 0, 1, 2, 3  # asserts.py
MAX_FRAME = 1 << 31  # what we are sent is ours: no need to bound it
MAX_ITERATED = 1_000_000
WARM_UP = '''
from typing import List
class Point:
    def __init__(self, x: int = 0) -> None:
        self.x = x
def answer(n, word, items: List[float]):
    """Every kind of statement that programs use most."""
    found, total = {}, 0
    for i in range(n):
        total += i if i % 2 == 0 and i not in (1,) else -i
        found[i] = [j * 2 for j in items if j > 0]
    while total > 100:
        break
    try:
        first, *rest = sorted({"a": 1, **found}, key=lambda k: str(k))
    except (KeyError, ValueError) as error:
        raise TypeError(f"{error!r}") from error
    return [n, word, {"total": total, "x": Point(1).x}, (first, rest), {1, 2}, None, True, 1.5]
'''
OPAQUE = b"O"  # what wire.encode begins an object with that is not plain data


def main(sock):
    """Serve one job from `sock`, then wait to be killed (calls, serve) or exit (stdio)."""
    sock.send(HELLO)
    job = wire.recv_frame(sock, MAX_FRAME)
    if job is None:
        os._exit(0)
    mode, program, seed, limit, leetcode = marshal.loads(job)
    set_seed(seed)
    if leetcode:
        usual.provide_leetcode()
    if mode == "stdio":
        _run_script(sock, program)
    namespace = _load(sock, program, "solution")
    if mode == "calls":
        _answer_calls(sock, namespace, marshal.loads(wire.recv_frame(sock, MAX_FRAME)), limit)
        sock.shutdown(socket.SHUT_WR)  # wakes the worker, which reads all answers at once
        sock.recv(1)  # the worker kills us, or its end of file lets us go
    elif mode == "serve":
        rpc.serve(sock, namespace, limit)
    elif mode == "shared":
        _run_tests_here(sock, namespace)
    os._exit(0)


def set_seed(seed):
    """Random numbers that are the same in every run of a program."""
    if "random" in sys.modules:
        sys.modules["random"].seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed % 2**32)


def warm():
    """Go the usual way once, before the fork: the compiler's own set-up alone costs a child 1 ms."""
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)
    set_seed(0)
    usual.warm()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        namespace = _load(ours, WARM_UP, "solution")
        calls = [("", "answer", (3, "a", [1.5]), {}, form) for form in (AS_IS, ITERATE, LENGTH, TRUTH)]
        _answer_calls(ours, namespace, [*calls, ("", "answer", (), {}, AS_IS)], 1 << 20)
    del sys.modules["solution"]


def _module(name):
    module = types.ModuleType(name)
    sys.modules[name] = module
    return module.__dict__


def _load(sock, program, name):
    """Execute the program as module `name`; reports how that went; never returns if it failed."""
    namespace = _module(name)
    try:
        code = compile(program, "<solution>", "exec", dont_inherit=True)
    except BaseException as error:
        wire.send_frame(sock, b"S" + wire.encode_exception(error))
        os._exit(0)
    try:
        exec(code, namespace)
    except BaseException as error:
        wire.send_frame(sock, b"E" + wire.encode_exception(error))
        os._exit(0)
    wire.send_frame(sock, b"L")
    return namespace


def _answer_calls(sock, namespace, calls, limit):
    for owner, name, args, kwargs, form in calls:
        try:
            if owner:
                function = getattr(_lookup(namespace, owner)(), name)
            elif name not in namespace and "Solution" in namespace:
                function = getattr(namespace["Solution"](), name)
            else:
                function = _lookup(namespace, name)
            reply = _reply(function(*args, **kwargs), form, limit)
        except BaseException as error:
            reply = b"X" + wire.encode_exception(error)
        wire.send_frame(sock, reply)


def _reply(value, form, limit):
    try:
        data = wire.encode(value, max_bytes=limit)
    except wire.WireError:
        if form != LENGTH:
            raise
        data = OPAQUE
    if form == AS_IS or data[:1] != OPAQUE:
        return b"V" + data
    if form == ITERATE:
        return b"V" + wire.encode(_iterated(value), max_bytes=limit)
    return b"N" + wire.encode(len(value) if form == LENGTH or hasattr(type(value), "__len__") else 1)


def _lookup(namespace, name):
    if name in namespace:
        return namespace[name]
    raise NameError(f"name {name!r} is not defined")


def _iterated(value):
    """The items of what is not plain data: for `list(f(3))` of a generator."""
    items = []
    for item in value:
        items.append(item)
        if len(items) > MAX_ITERATED:
            raise ValueError(f"more than {MAX_ITERATED} items")
    return items


def _run_script(sock, program):
    """Run the program as a script; its stdin is fd 0 and its stdout fd 1. Ends the process."""
    if "/dev/stdin" in program:  # a link to this file; there is no /proc in the jail
        with open("/tmp/.stdin", "wb") as copy:
            copy.write(os.pread(0, os.fstat(0).st_size, 0))
    namespace = _module("__main__")
    code = 0
    report = b"D"
    try:
        compiled = compile(program, "<solution>", "exec", dont_inherit=True)
    except BaseException as error:
        wire.send_frame(sock, b"S" + wire.encode_exception(error))
        os._exit(0)
    wire.send_frame(sock, b"L")
    try:
        exec(compiled, namespace)
    except SystemExit as error:
        code = error.code if type(error.code) is int else 0 if error.code is None else 1
    except BaseException as error:
        code = 1
        report = b"D" + wire.encode_exception(error)
    try:
        if "threading" in sys.modules:
            sys.modules["threading"]._shutdown()
        import atexit

        atexit._run_exitfuncs()
        if sys.stdout is not None:
            sys.stdout.flush()
    except BaseException as error:
        code = code or 1
        report = b"D" + wire.encode_exception(error)
    wire.send_frame(sock, report)
    os._exit(code & 255)


def _run_tests_here(sock, namespace):
    """The "shared" route: the tests come into the program's own process (judge.run_shared)."""
    import json

    from acecoder_rl.sandbox.inside import judge

    spec = marshal.loads(wire.recv_frame(sock, MAX_FRAME))
    judge.run_shared(spec, namespace, lambda record: wire.send_frame(sock, b"J" + json.dumps(record).encode()))
