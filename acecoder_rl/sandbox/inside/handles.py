"""Handles: a program's objects as the judge sees them.

Covers: `Handle`: attributes, items, operators, `with` blocks.
Does not cover: calls, iteration, awaiting (abilities.py); the connection, and what the program may do with
the tests' objects (proxies.py).
Hostile input: a handle never acts as plain data. It has no `__class__` of the program's. Unless the tests
name its class, it has no `__eq__`, `__bool__` or `__hash__` of the program's either, and no value of the
judge reaches an operator of the program: == is False, the rest TypeError; nor a method that only sets have
(predicates.py). What rests on the program's word sets `Judge.claimed`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from acecoder_rl.sandbox.inside.exits import may_swallow
from acecoder_rl.sandbox.inside.rpc import ARITHMETIC, COMPARE, CONVERT, IN_PLACE, UNARY
from acecoder_rl.sandbox.inside.wire_types import mro


def is_handle(obj: Any) -> bool:
    return Handle in mro(type(obj))


class Handle:
    """An object of the program. What the judge's own code must see of it is in slots; all else asks."""

    __slots__ = ("__weakref__", "_wire_ahead", "_wire_count", "_wire_id", "_wire_label", "_wire_names", "_wire_peer",
                 "_wire_sent", "_wire_taken", "_wire_told")  # fmt: skip

    def __hash__(self) -> int:
        """By identity; of a class that tests name, the program's, as for ==: its objects may be keys."""
        if not self._wire_names & self._wire_peer.named:
            return object.__hash__(self)
        self._wire_peer.claimed = True
        return convert("hash", int)(self)

    @property
    def __doc__(self) -> Any:  # type: ignore[override]
        return self._wire_peer.request("getattr", self, "__doc__")

    def __getattr__(self, name: str) -> Any:
        if name in _LOCAL:
            raise AttributeError(name)
        value = self._wire_peer.take(name, self._wire_peer.request("getattr", self, name))
        return self._wire_peer.vet(self._wire_names, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        self._wire_peer.request("setattr", self, name, value)

    def __delattr__(self, name: str) -> None:
        self._wire_peer.request("delattr", self, name)

    def __getitem__(self, key: Any) -> Any:
        return self._wire_peer.request("getitem", self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._wire_peer.request("setitem", self, key, value)

    def __delitem__(self, key: Any) -> None:
        self._wire_peer.request("delitem", self, key)

    def __contains__(self, item: Any) -> bool:
        peer = self._wire_peer
        if is_handle(item) or self._wire_names & peer.named:
            peer.claimed = True
            return bool(peer.request("contains", self, item))
        return any(value is item or value == item for value in self)

    def __enter__(self) -> Any:
        return self._wire_peer.request("enter", self)

    def __exit__(self, kind: Any, exc: BaseException | None, trace: Any) -> bool:
        return may_swallow(self._wire_peer, exc, self._wire_peer.request("exit", self, exc))

    async def __aenter__(self) -> Any:
        return await self._wire_peer.request("getattr", self, "__aenter__")()

    async def __aexit__(self, kind: Any, exc: BaseException | None, trace: Any) -> bool:
        leave = self._wire_peer.request("getattr", self, "__aexit__")
        return may_swallow(self._wire_peer, exc, await leave(None if exc is None else type(exc), exc, None))

    def __copy__(self) -> Any:
        return self._wire_peer.request("copy", self)

    def __deepcopy__(self, memo: dict) -> Any:
        return self._wire_peer.request("deepcopy", self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError(f"cannot pickle a {self._wire_label} object of the program")

    def __del__(self) -> None:
        peer = getattr(self, "_wire_peer", None)
        if peer is not None:
            peer.dropped.extend((self._wire_id, self._wire_sent))


# Looked up by name on instances by libraries; the program's answer would speak for the judge's code.
_LOCAL = frozenset(("__class__", "__array__", "__array_interface__", "__array_struct__", "__array_ufunc__",
                    "__array_priority__", "__array_function__", "__array_wrap__", "__tracebackhide__",
                    "_wire_peer", "_wire_id", "__instancecheck__", "__subclasscheck__"))  # fmt: skip


def _operator(op: str, swapped: bool = False) -> Callable:
    def operate(self: Handle, other: Any) -> Any:
        peer = self._wire_peer
        if not is_handle(other) and not self._wire_names & peer.named:
            return NotImplemented
        peer.claimed = True
        left, right = (other, self) if swapped else (self, other)
        value = peer.request("operator", op, left, right)
        return value if value is not NotImplemented else NotImplemented

    return operate


def _power(self: Handle, other: Any, modulo: Any = None) -> Any:
    return NotImplemented if modulo is not None else _operator("pow")(self, other)


def _unary(op: str) -> Callable:
    return lambda self: self._wire_peer.request("operator", op, self)


def convert(op: str, kind: type | None) -> Callable:
    def converted(self: Handle, *args: Any) -> Any:
        value = self._wire_peer.request(op, self, *args)
        if kind is not None and type(value) is not kind:
            raise TypeError(f"__{op}__ of a {self._wire_label} object did not give {kind.__name__}")
        return value

    return converted


for _name in COMPARE + ARITHMETIC + IN_PLACE:
    setattr(Handle, f"__{_name}__", _operator(_name))
for _name in ARITHMETIC:
    setattr(Handle, f"__r{_name}__", _operator(_name, swapped=True))
for _name in UNARY:
    setattr(Handle, f"__{_name}__", _unary(_name))
for _name, (_, _kind) in CONVERT.items():
    if _name not in ("bool", "hash", "len"):  # those are not for every handle
        setattr(Handle, f"__{_name}__", convert(_name, _kind))
Handle.__pow__ = _power  # type: ignore[assignment]
