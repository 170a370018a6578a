"""The candidate's half of the connection: serves the program's objects to the judge.

Covers: `Candidate` (every operation of proxies.Handle, done on the real object), `Foreign` (a judge's
object in the candidate: every operation asks the judge), `serve`.
Does not cover: what the judge does with the answers (proxies.py). Nothing here is trusted by the judge.
"""

from __future__ import annotations

import copy
import io
import math
import operator
import os
import sys
from collections.abc import Callable
from typing import Any

from acecoder_rl.sandbox.inside.peer import Peer
from acecoder_rl.sandbox.inside.wire import Info
from acecoder_rl.sandbox.inside.wire_types import MAX_BYTES

CHUNK = 256
SLICE_SECONDS = 0.002  # one request drives the program's event loop this long

COMPARE = ("eq", "ne", "lt", "le", "gt", "ge")
ARITHMETIC = ("add", "sub", "mul", "truediv", "floordiv", "mod", "divmod", "pow", "matmul", "and", "or",
              "xor", "lshift", "rshift")  # fmt: skip
IN_PLACE = tuple("i" + name for name in ARITHMETIC if name != "divmod")
UNARY = ("neg", "pos", "invert", "abs")
CONVERT: dict[str, tuple] = {  # request -> (function, type of its result or None)
    "str": (str, str), "repr": (repr, str), "format": (format, str), "int": (int, int),
    "float": (float, float), "complex": (complex, complex), "index": (operator.index, int),
    "bytes": (bytes, bytes), "len": (len, int), "bool": (bool, bool), "hash": (hash, int),
    "dir": (dir, list), "round": (round, None), "trunc": (math.trunc, None), "ceil": (math.ceil, None),
    "floor": (math.floor, None),
}  # fmt: skip


def function(name: str) -> Callable:
    """The function of the operator module (or divmod) behind an operator's name."""
    return divmod if name == "divmod" else getattr(operator, f"__{name}__")


_OPERATORS = {name: function(name) for name in COMPARE + ARITHMETIC + IN_PLACE + UNARY}


class Foreign:
    """A judge's object in the candidate: every operation asks the judge, which decides."""

    __slots__ = ("_wire_id", "_wire_peer")
    __hash__ = object.__hash__

    def __getattr__(self, name: str) -> Any:
        return self._wire_peer.request("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._wire_peer.request("setattr", self, name, value)

    def __iter__(self) -> Any:
        iterator = self._wire_peer.request("iter", self)
        return iterator if isinstance(iterator, Foreign) else iter(iterator)

    def __next__(self) -> Any:
        items, error, value = self._wire_peer.request("next", self, 1)
        if items:
            return items[0]
        raise error or StopIteration(value)

    def __bool__(self) -> bool:
        return self._wire_peer.request("bool", self)

    def __await__(self) -> Any:
        return self._wire_peer.request("await", self)
        yield  # a generator, as __await__ must be


class ForeignCallable(Foreign):
    """A judge's object that can be called."""

    __slots__ = ()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._wire_peer.request("call", self, args, kwargs)


def _ask(op: str) -> Callable:
    if op == "deepcopy":
        return lambda self, memo: self._wire_peer.request(op, self)
    return lambda self, *args: self._wire_peer.request(op, self, *args)


def _operate(op: str, swapped: bool = False) -> Callable:
    if swapped:
        return lambda self, other: self._wire_peer.request("operator", op, other, self)
    return lambda self, *other: self._wire_peer.request("operator", op, self, *other)


for _name in COMPARE + ARITHMETIC + UNARY:
    setattr(Foreign, f"__{_name}__", _operate(_name))
for _name in ARITHMETIC:
    setattr(Foreign, f"__r{_name}__", _operate(_name, swapped=True))
for _name in ("len", "str", "repr", "int", "float", "index", "getitem", "setitem", "delitem", "contains",
              "copy", "deepcopy"):  # fmt: skip
    setattr(Foreign, f"__{_name}__", _ask(_name))


class Candidate(Peer):
    """Serves a program's namespace to the judge at the other end of `sock`."""

    def __init__(self, sock: Any, namespace: dict, max_bytes: int = MAX_BYTES) -> None:
        super().__init__(sock, max_bytes)
        self.namespace = namespace
        self.loop: Any = None

    def stand_in(self, ident: int, info: Info) -> Any:
        if info.kind == "f":
            value = self.function(info)
        else:
            value = (ForeignCallable if "c" in info.can else Foreign)()
            object.__setattr__(value, "_wire_id", ident)
            object.__setattr__(value, "_wire_peer", self)
        return self.keep(ident, value)

    def function(self, info: Info) -> Callable:
        """A function that calls the judge's, with its name and parameters: programs look at them (curry)."""
        parameters = info.overrides[1:]
        named = info.overrides[:1] == ("def",) and all(map(str.isidentifier, parameters))
        given = ", ".join(parameters) if named else "*_wire_args, **_wire_kwargs"
        passed = f"({given}{',' if parameters else ''}), {{}}" if named else "_wire_args, _wire_kwargs"
        wait = ("async ", "await ") if "w" in info.can else ("", "")
        source = f"{wait[0]}def _wire_function({given}): return {wait[1]}_wire_call({passed})"
        space: dict[str, Any] = {}
        space["_wire_call"] = lambda args, kwargs: self.request("call", space["_wire_function"], args, kwargs)
        exec(source, space)
        value = space["_wire_function"]
        value.__name__ = value.__qualname__ = info.names[0]
        return value

    def lost(self, reason: str) -> Any:
        os._exit(0)

    def perform(self, op: str, args: tuple) -> Any:
        if op == "call":
            return args[0](*args[1], **args[2])
        if op == "method":
            return getattr(args[0], args[1])(*args[2], **args[3])
        if op == "operator":
            return _OPERATORS[args[0]](*args[1:])
        if op in CONVERT:
            return CONVERT[op][0](*args)
        return getattr(self, "do_" + op)(*args)

    def do_global(self, name: str) -> Any:
        if name in self.namespace:
            return self.namespace[name]
        raise NameError(f"name {name!r} is not defined")

    def do_setglobal(self, name: str, value: Any) -> None:
        self.namespace[name] = value

    def do_globals(self) -> list:
        return [name for name in self.namespace if type(name) is str]

    do_getattr = staticmethod(getattr)
    do_setattr = staticmethod(setattr)
    do_delattr = staticmethod(delattr)
    do_getitem = staticmethod(operator.getitem)
    do_setitem = staticmethod(operator.setitem)
    do_delitem = staticmethod(operator.delitem)
    do_contains = staticmethod(operator.contains)
    do_iter = staticmethod(iter)
    do_reversed = staticmethod(reversed)
    do_type = staticmethod(type)
    do_copy = staticmethod(copy.copy)
    do_deepcopy = staticmethod(copy.deepcopy)
    do_isinstance = staticmethod(isinstance)
    do_issubclass = staticmethod(issubclass)

    def do_exception_parents(self, cls: type) -> list:
        return [base for base in cls.__bases__ if issubclass(base, BaseException)]

    def do_next(self, iterator: Any, count: int) -> tuple:
        """Up to `count` items, then what ended it: an exception or the value of StopIteration."""
        items: list = []
        for _ in range(min(count, CHUNK)):
            try:
                items.append(next(iterator))
            except BaseException as exc:
                stop = type(exc) is StopIteration
                return items, (StopIteration() if stop else exc), exc.value if stop else None
        return items, None, None

    def do_exit(self, manager: Any, exc: BaseException | None) -> Any:
        """Leave a `with` block as Python does."""
        trace = None if exc is None else exc.__traceback__
        return type(manager).__exit__(manager, None if exc is None else type(exc), exc, trace)

    def do_enter(self, manager: Any) -> Any:
        return type(manager).__enter__(manager)

    def do_spawn(self, awaitable: Any) -> Any:
        """A task for an awaitable, in an event loop that runs while `step` is asked for."""
        import asyncio

        if self.loop is None:
            self.loop = asyncio.new_event_loop()

        async def drive() -> Any:
            return await awaitable

        return self.loop.create_task(drive())

    def do_step(self, task: Any) -> tuple:
        """Run the loop until the task is done or a slice of time is over."""
        import asyncio

        self.loop.run_until_complete(asyncio.wait({task}, timeout=SLICE_SECONDS))
        return (True, task.result()) if task.done() else (False, None)

    def do_cancel(self, task: Any) -> None:
        task.cancel()

    def do_seed(self, *args: Any) -> None:
        import random

        random.seed(*args)

    def do_stdout(self, write: Callable) -> None:
        """Hand what the program prints to the tests, which look at their own sys.stdout."""
        sys.stdout = _Output(write)


class _Output(io.TextIOBase):
    def __init__(self, write: Callable) -> None:
        self._hand_over = write

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._hand_over(text)
        return len(text)


def serve(sock: Any, namespace: dict, max_bytes: int = MAX_BYTES) -> None:
    """Answer the judge's requests about the program in `namespace` until the judge hangs up."""
    peer = Candidate(sock, namespace, max_bytes)
    with peer.gate:
        while True:
            peer.answer(peer.receive())
