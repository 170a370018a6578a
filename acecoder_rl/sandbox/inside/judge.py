"""Runs tests against a program in another process.

Covers: `main` (a forked child that talks to the program and to the worker), `run_shared` (the same tests
in the program's own process), `warm` (imports before the fork), asserts and scripts.
Does not cover: pytest and unittest (frameworks.py), limits and kills (the worker's), the choice of the
process (names.needs_shared).
Hostile input: what the program returns is plain data or handles (proxies.py); a program that dies or
breaks the protocol ends the run with the test marked crashed.
"""

from __future__ import annotations

import builtins
import json
import marshal
import os
import socket
import sys
import types
from collections.abc import Callable
from typing import Any

from acecoder_rl.sandbox.inside import frameworks, vacuous
from acecoder_rl.sandbox.inside.answers import same_answer
from acecoder_rl.sandbox.inside.candidate import set_seed
from acecoder_rl.sandbox.inside.names import (
    CHECKS,
    MODULES,
    NOT_HERE,
    TYPING,
    Namespace,
    find_entry_point,
    needs_shared,
)
from acecoder_rl.sandbox.inside.prepared import CLASS, SAME, SEEN, TYPE, compile_test, prepare
from acecoder_rl.sandbox.inside.proxies import Judge
from acecoder_rl.sandbox.inside.reasons import one_line, verdict_of
from acecoder_rl.sandbox.inside.wire import recv_frame, send_frame
from acecoder_rl.sandbox.inside.wire_types import MAX_BYTES

__all__ = ["main", "needs_shared", "run_shared", "warm"]

MODULE = "test_solution"


class Local:
    """A program in this same process, with the face of proxies.Judge."""

    dead = ""
    claimed = aliased = False

    def __init__(self, namespace: dict) -> None:
        self.namespace = namespace

    def fetch(self, name: str) -> Any:
        if name in self.namespace:
            return self.namespace[name]
        raise NameError(f"name {name!r} is not defined")

    type_of = staticmethod(type)


class Solution(types.ModuleType):
    """The module `solution` as tests see it: the program's globals."""

    def __init__(self, judge: Judge, entry_point: str | None, hidden: set) -> None:
        super().__init__("solution")
        self.__dict__.update(_judge=judge, _entry_point=entry_point, _hidden=hidden)

    def __getattr__(self, name: str) -> Any:
        if name == "__all__":
            # What the tests bind themselves, builtins and known modules stay what they are: a program
            # could else replace `abs` or `isclose` under the tests.
            names = [n for n in self._judge.request("globals") if n.isidentifier() and n[0] != "_"]
            kept = self._hidden | set(vars(builtins))
            return [n for n in names if n == self._entry_point or n not in kept]
        if name[:2] == "__":
            raise AttributeError(name)
        try:
            if name == self._entry_point:
                return find_entry_point(name, self._judge.fetch)
            return self._judge.fetch(name)
        except NameError:
            raise AttributeError(f"module 'solution' has no attribute {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name[:2] != "__":
            self._judge.request("setglobal", name, value)


class Run:
    """The tests of one program, reported one by one.

    `report` is given ["start", i] before test i, ["done", i, status, message, claimed] after it, and
    ["end"]. `Stop` ends the run early, after the program died.
    """

    def __init__(
        self,
        spec: dict,
        program: Any,
        report: Callable[[list], None],
        prepare: Callable[[], None] = lambda: None,
    ) -> None:
        self.spec, self.program, self.report, self.prepare = spec, program, report, prepare
        self.tests = spec["tests"]
        self.namespace = Namespace(spec.get("entry_point"), program)
        self.namespace.update({TYPE: program.type_of, CLASS: self.class_of, SAME: same_answer})
        sys.modules[MODULE] = types.ModuleType(MODULE)  # where classes of the tests say they are from

    def class_of(self, obj: Any) -> Any:
        found = self.program.type_of(obj)
        return obj.__class__ if found is type(obj) else found

    def start(self, index: int) -> None:
        self.program.claimed = self.program.aliased
        self.report(["start", index])

    def done(self, index: int, status: str, message: str) -> None:
        if self.program.dead:
            status, message = "crashed", self.program.dead
        self.report(["done", index, status, one_line(message), bool(self.program.claimed)])
        if self.program.dead:
            raise Stop

    def all(self) -> None:
        """Run setup and every test from `spec["start"]` on."""
        start, kind = self.spec.get("start", 0), self.spec["kind"]
        try:
            problem = self.setup()
            if problem is not None:
                for index in range(start, len(self.tests)):
                    self.start(index)
                    self.done(index, problem[0], "setup: " + problem[1])
            elif kind in ("assert", "script"):
                for index in range(start, len(self.tests)):
                    self.start(index)
                    self.done(index, *self.one(index))
            else:
                self.framework(kind, start)
        except Stop:
            return
        self.report(["end"])

    def framework(self, kind: str, start: int) -> None:
        try:
            frameworks.RUNNERS[kind](self, start)
        except ImportError as exc:  # tests that share the process of a program have its packages
            for index in range(start, len(self.tests)):
                self.start(index)
                self.done(index, "error", f"{exc} in the program's Python, where these tests must run")

    def setup(self) -> tuple | None:
        """Run the tests' setup code: status and message if it failed."""
        source = self.spec.get("setup") or ""
        try:
            self.prepare()
            exec(self.spec.get("setup_code") or compile_test(source, "<tests>"), self.namespace)
        except BaseException as exc:
            status, message = verdict_of(exc, source)
            return ("error" if status == "failed" else status), message
        return None

    def one(self, index: int) -> tuple:
        """Run one test's code in the common namespace: its status and message."""
        source = self.tests[index]
        try:
            ready = self.spec["code"][index] if "code" in self.spec else None
            exec(ready or compile_test(source), self.namespace)
        except BaseException as exc:
            return verdict_of(exc, self.spec.get("setup") or "", source)
        finally:
            for name in [name for name in self.namespace if name.startswith(SEEN)]:
                del self.namespace[name]
        return "passed", ""


class Stop(BaseException):
    """The program died: no further test can run."""


def warm(frameworks_too: bool = True) -> None:
    """Import what tests may need, in the process that forks judges."""
    for name in ("asyncio", "collections", "copy", "decimal", "fractions", "itertools", "math", "random"):
        __import__(name)
    if frameworks_too:
        frameworks.warm()
    rehearse()


def rehearse() -> None:
    """Judge one program of our own, before the fork: what is first used there costs every judge."""
    from acecoder_rl.sandbox.inside import rpc

    (ours, candidate), (control, worker) = socket.socketpair(), socket.socketpair()
    program: dict = {}
    exec("class Box:\n    def __init__(self, x): self.x = x\ndef f(x): return Box(x) if x else [x]", program)
    tests = ["assert f(0) == [0] and f(1).x == 1", "assert f(0) == 2", "assert f(f) != f(lambda: 1)", "f[0]"]
    spec = {"kind": "assert", "setup": "import math", "tests": tests, "entry_point": "f"}
    serving = os.fork()
    if serving == 0:
        ours.close()
        rpc.serve(candidate, program)
    candidate.close()
    send_frame(worker, marshal.dumps(spec))
    random, limit = __import__("random"), sys.getrecursionlimit()
    seed, digits = random.seed, getattr(sys, "get_int_max_str_digits", int)()
    main(ours, control)
    random.seed = seed
    sys.setrecursionlimit(limit)
    if digits:
        sys.set_int_max_str_digits(digits)
    for sock in (ours, control, worker):
        sock.close()
    os.waitpid(serving, 0)
    for name in ("solution", MODULE):
        sys.modules.pop(name, None)


def main(candidate: Any, control: Any) -> None:
    """Run the tests that the worker sends on `control` against the program on `candidate`: two sockets,
    or their descriptors."""
    candidate, control = (socket.socket(fileno=s) if isinstance(s, int) else s for s in (candidate, control))
    send_frame(control, b"H")  # carries our pid to the worker, as the kernel's credentials
    frame = recv_frame(control, 1 << 30)
    if frame is None:
        return
    spec = marshal.loads(frame)
    prepare_process()
    if "code" not in spec:
        spec = prepare(spec)
    vacuous.guard_libraries(spec["compares_by"])
    set_seed(spec.get("seed", 0))  # numpy's too, where it has just been imported
    limit = int(spec.get("max_bytes") or MAX_BYTES)
    entry_point = spec.get("entry_point")
    judge = Judge(candidate, spec["mentioned"], spec["classes"], {MODULE}, limit, entry_point)
    hidden = spec["bound"] | set(MODULES) | set(CHECKS) | NOT_HERE | TYPING | {SAME}
    sys.modules["solution"] = Solution(judge, entry_point, hidden)

    def listen() -> None:
        if spec["watches_output"]:
            judge.request("stdout", lambda text: sys.stdout.write(str(text)))
        follow_seed(judge)

    Run(spec, judge, lambda event: send_frame(control, json.dumps(event).encode()), listen).all()


def run_shared(spec: dict, namespace: dict, report: Callable[[list], None]) -> None:
    """Run tests in the program's own process, where they may patch it: nothing here is trustworthy.

    Args:
        namespace: the globals of the module `solution`, which is in sys.modules.
    """
    prepare_process()
    Run(spec, Local(namespace), report).all()


def prepare_process() -> None:
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 3000))
    if sys.stdout is None or sys.stderr is None:
        sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def follow_seed(judge: Judge) -> None:
    """`random.seed(...)` in a test is meant for the program as well."""
    import random

    own = random.seed

    def seed(*args: Any, **kwargs: Any) -> None:
        own(*args, **kwargs)
        judge.request("seed", *args, *kwargs.values())

    random.seed = seed
