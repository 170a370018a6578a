"""Local classes for the other side's subclasses of plain types and for its exceptions.

Covers: `mirror` (an instance of a subclass of int, list, dict, ...: compares and computes here as its base
does; what its own classes add, and its text, is asked for), `exception_type`, `to_exception`.
Does not cover: objects without a plain base (rpc.py, proxies.py).
Hostile input: a class that overrides `__eq__` and the like loses them; names are claims.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any

from acecoder_rl.sandbox.inside.exits import may_swallow
from acecoder_rl.sandbox.inside.predicates import OF_DATA, OF_SETS
from acecoder_rl.sandbox.inside.wire import Info, RemoteError
from acecoder_rl.sandbox.inside.wire_types import EXCEPTIONS, MUTABLE, restore, snapshot

MAX_TYPES = 1000
# Of the special methods that a subclass adds or replaces, those that hand it no value to judge.
_SPECIAL = ("__call__", "__enter__", "__getitem__", "__setitem__", "__delitem__", "__missing__")
_TEXT = {"__str__": "str", "__repr__": "repr", "__format__": "format"}
# Containers whose methods are the program's where it replaces them, since they live on in its process. Not a
# Counter's, whose comparisons are Python code that asks for its items; nor, unless the tests name the class, those
# that compare or list.
_LIVE = tuple(kind for kind in MUTABLE if kind is not collections.Counter)
_BASES_OWN = OF_SETS | OF_DATA | {"keys", "values", "items"}


def mirror(peer: Any, base: Any, ident: int, info: Info) -> Any:
    """The local copy of an instance of the other side's subclass of `type(base)`."""
    kind = type(base)
    member = "Enum" in info.names and kind not in MUTABLE
    found = peer.members.get(ident) if member else None
    if found is not None and type(found).__name__ == info.names[0]:
        return found
    key = (kind, tuple(info.names), info.overrides)
    cls = peer.mirror_types.get(key)
    if cls is None:
        if len(peer.mirror_types) > MAX_TYPES:
            return base
        cls = _mirror_type(peer, kind, info)
        peer.mirror_types[key] = peer.mirror_types[id(cls)] = cls
    try:
        if kind in MUTABLE:
            value = kind.__new__(cls)
            if kind is collections.deque:
                kind.__init__(value, (), base.maxlen)
            elif kind is collections.defaultdict:
                kind.__init__(value, base.default_factory)
            restore(value, snapshot(base))
        else:
            value = kind.__new__(cls, base)
    except TypeError:  # Fraction, datetime: rarely derived from
        return base
    value.__dict__["_wire_id"] = ident
    if member and len(peer.members) < MAX_TYPES:
        peer.members[ident] = value  # kept, since tests compare members with `is`
    return value


def _mirror_type(peer: Any, kind: type, info: Info) -> type:
    def missing(self: Any, name: str) -> Any:
        if name[:2] == "__" and name[-2:] == "__":
            raise AttributeError(name)
        return peer.vet(info.names, name, peer.request("getattr", self, name))

    def leave(self: Any, kind: Any, exc: BaseException | None, trace: Any) -> bool:
        return may_swallow(peer, exc, peer.request("exit", self, exc))

    def assign(self: Any, name: str, value: Any) -> None:
        peer.request("setattr", self, name, value)

    def to_base(self: Any, protocol: int) -> tuple:
        return kind, (_plain(kind, self),)

    def let_go(self: Any) -> None:
        peer.dropped.extend((self.__dict__.get("_wire_id", 0), 1))

    space: dict[str, Any] = {"_wire_base": kind, "__getattr__": missing, "__setattr__": assign,
                             "__reduce_ex__": to_base, "__del__": let_go}  # fmt: skip
    named = peer.is_named(info.names)
    for entry in info.overrides:
        name = entry[:-2] if entry.endswith("()") else entry
        if name == "__exit__":
            space[name] = leave
        if peer.shows and name in _TEXT:
            space[name] = _text_of(peer, _TEXT[name])
        if name[:2] == "__" and name not in _SPECIAL:
            continue
        if not entry.endswith("()"):  # also a field of a named tuple, such as `count`
            space[name] = _attribute(peer, kind, info.names, name)
        # Of a value, the base's own methods are right.
        elif not hasattr(kind, name) or (kind in _LIVE and (named or name not in _BASES_OWN)):
            space[name] = _method(peer, info.names, name)
    return type(info.names[0], (kind,), space)


def _plain(kind: type, value: Any) -> Any:
    if kind in MUTABLE:
        return snapshot(value)
    if kind in (tuple, frozenset):
        return list(value)
    return str.__str__(value) if kind is str else kind.__add__(value, kind())


def _method(peer: Any, names: list, name: str) -> Callable:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        peer.vet(names, name, call)
        return peer.request("method", self, name, args, kwargs)

    return call


def _text_of(peer: Any, op: str) -> Callable:
    def text(self: Any, *args: Any) -> str:
        told = peer.request(op, self, *args)
        if type(told) is not str:
            raise TypeError(f"__{op}__ of a {type(self).__name__} object did not give str")
        return told

    return text


def unmirrored(value: Any) -> Any:
    """A copy of an instance of the other side's class as its plain base, whose text is made here."""
    if "_wire_base" not in vars(type(value)):
        return value
    return _plain(vars(type(value))["_wire_base"], value)


def _attribute(peer: Any, kind: type, names: list, name: str) -> property:
    def read(self: Any) -> Any:
        value = peer.request("getattr", self, name)
        if callable(value) and hasattr(kind, name):
            return getattr(super(type(self), self), name)  # the base's own method
        return peer.vet(names, name, value)

    return property(read)


def nearest(names: list) -> type:
    """The nearest builtin exception class in a list of class names."""
    return next((EXCEPTIONS[name] for name in names if name in EXCEPTIONS), Exception)


def exception_type(peer: Any, ident: int, info: Info) -> type:
    """The local class for the other side's exception class, below those of its parents."""
    remote = peer.stand_in(ident, info)
    parents = peer.request("exception_parents", remote)
    found = peer.stand_ins.get(ident)
    if isinstance(found, type):
        return found
    bases = tuple(p for p in parents if isinstance(p, type) and issubclass(p, BaseException))[:3]
    space = {"__str__": _message, "__getattr__": _ask(peer), "__init__": _made_by(peer, remote),
             "_wire_handle": remote}  # fmt: skip
    try:
        cls = type(info.names[0], bases or (nearest(info.names),), space)
    except TypeError:  # parents that do not fit together here
        cls = type(info.names[0], (nearest(info.names),), space)
    peer.stand_ins.pop(ident, None)  # `remote`, until now
    return peer.keep(ident, cls)


def _made_by(peer: Any, remote: Any) -> Callable:
    """The constructor, for exceptions made on this side: the other side makes one, which has what its class adds."""

    def init(exc: Any, *args: Any, **kwargs: Any) -> None:
        made = peer.request("call", remote, args, kwargs)
        if type(made) is type(exc):
            exc.args = made.args
            names = ("_wire_message", "_wire_value", "_wire_id")
            exc.__dict__.update((name, made.__dict__[name]) for name in names if name in made.__dict__)

    return init


def _message(exc: Any) -> str:
    message = exc.__dict__.get("_wire_message")
    return BaseException.__str__(exc) if message is None else message


def _ask(peer: Any) -> Callable:
    def read(exc: Any, name: str) -> Any:
        value = exc.__dict__.get("_wire_value")
        if value is None or (name[:2] == "__" and name[-2:] == "__"):
            raise AttributeError(f"{type(exc).__name__!r} object has no attribute {name!r}")
        return peer.request("getattr", value, name)

    return read


def to_exception(peer: Any, error: RemoteError) -> BaseException:
    """The local exception for one that crossed."""
    cls = error.cls
    if not isinstance(cls, type) or not issubclass(cls, BaseException):
        cls = nearest(error.names)
    mirrored = id(cls) in peer.foreign_ids
    builtin = EXCEPTIONS.get(cls.__name__) is cls
    try:
        # A class of the standard library may do anything in its constructor.
        exc = cls(*error.args) if builtin else None
    except Exception:
        exc = None
    if exc is None:
        exc = cls.__new__(cls)
        exc.args = error.args
    if mirrored:
        exc.__dict__.update(_wire_message=error.message, _wire_value=error.value)
        ident = peer.foreign(error.value)
        if ident is not None:
            exc.__dict__["_wire_id"] = ident
    elif builtin and _text(exc) != error.message:
        exc.args = (error.message,)
    return exc


def _text(exc: BaseException) -> str:
    try:
        return str(exc)[:500]
    except Exception:  # made without its usual arguments
        return ""
