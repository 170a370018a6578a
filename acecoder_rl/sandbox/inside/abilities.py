"""What the handles of some objects can do: be called, iterated, awaited, be a class.

Covers: the kinds of handles, chunked iteration, awaiting, truth.
Does not cover: what every handle can do (handles.py).
Hostile input: the program says what its objects can do; it learns nothing of the judge's values by it.
"""

from __future__ import annotations

import asyncio
import collections
import collections.abc
from collections.abc import Iterator
from typing import Any

from acecoder_rl.sandbox.inside.handles import Handle, convert, is_handle
from acecoder_rl.sandbox.inside.rpc import CHUNK
from acecoder_rl.sandbox.inside.wire import Info
from acecoder_rl.sandbox.inside.wire_types import KINDS


class _Call:
    __slots__ = ()

    def __call__(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._wire_peer.request("call", self, args, kwargs)


class _Len:
    __slots__ = ()

    def __len__(self: Any) -> int:
        told = _told(self)
        size = convert("len", int)(self)
        return _agree(self, size, told if size else None, True)  # 0 is what is left of an iterator


class _Bool:
    """Truth is true or the program's `len`; of a class that tests name, the program's, as for ==."""

    __slots__ = ()

    def __bool__(self: Any) -> bool:
        if self._wire_names & self._wire_peer.named:
            self._wire_peer.claimed = True
            return convert("bool", bool)(self)
        return len(self) > 0 if hasattr(type(self), "__len__") else True


class _Iter:
    __slots__ = ()

    def __iter__(self: Any) -> Any:
        told = _told(self)
        iterator = self._wire_peer.request("iter", self)
        if not hasattr(type(self), "__len__") or self._wire_names & self._wire_peer.named:
            return iterator
        if iterator is self:
            was_length = self._wire_told[2]  # an iterator that has ended gives nothing the next time
            object.__setattr__(self, "_wire_count", [0, told if was_length else None])
            return self
        return _counted(self, iterator, told)

    def __reversed__(self: Any) -> Any:
        told = _told(self)
        iterator = self._wire_peer.request("reversed", self)
        return _counted(self, iterator, told) if hasattr(type(self), "__len__") else iterator


class _Next:
    __slots__ = ()

    def __next__(self: Any) -> Any:
        ahead = self._wire_ahead
        if not ahead:
            _fetch(self, ahead)
        good, item = ahead.popleft()
        count = self._wire_count
        if count is not None:
            count[0] += good
            if type(item) is StopIteration and not good:
                object.__setattr__(self, "_wire_count", None)
                _agree(self, *count)
        if good:
            return item
        raise item


class _Await:
    __slots__ = ()

    def __await__(self: Any) -> Iterator:
        return _drive(self)

    def send(self: Any, value: Any) -> Any:
        return next(self._running())

    def throw(self: Any, kind: Any, value: Any = None, trace: Any = None) -> Any:
        return self._running().throw(kind if value is None else value)

    def close(self: Any) -> None:
        self._running().close()

    def _running(self: Any) -> Any:
        """The one local generator that drives this awaitable, when asyncio steps it like a coroutine."""
        ahead = self._wire_ahead
        if not ahead:
            ahead.append(_drive(self))
        return ahead[0]


class _AsyncIter:
    __slots__ = ()

    def __aiter__(self: Any) -> Any:
        return self

    async def __anext__(self: Any) -> Any:
        peer = self._wire_peer
        if not self._wire_ahead:
            self._wire_ahead.append(peer.request("method", self, "__aiter__", (), {}))
        return await peer.request("method", self._wire_ahead[0], "__anext__", (), {})


class _Class:
    __slots__ = ()

    def __instancecheck__(self: Any, obj: Any) -> bool:
        if not is_handle(obj) and self._wire_peer.foreign(obj) is None:
            return False
        self._wire_peer.claimed = True
        return self._wire_peer.request("isinstance", obj, self) is True

    def __subclasscheck__(self: Any, cls: Any) -> bool:
        if not is_handle(cls):
            return False
        self._wire_peer.claimed = True
        return self._wire_peer.request("issubclass", cls, self) is True


def _told(handle: Any) -> int | None:
    """How many items an object said it has, by its length or its iteration, if the program was asked nothing since.
    The class of one that tests name may mean something else by its length."""
    asked, size, _ = handle._wire_told
    peer = handle._wire_peer
    return size if asked == peer.asked and not handle._wire_names & peer.named else None


def _agree(handle: Any, size: int, told: int | None, is_length: bool = False) -> int:
    """Length and iteration agree, one right after the other. A test that looks at the length, then at each item
    that there is, as by `zip`, would look at none of an object that lies about one of them."""
    if told is not None and told != size:
        raise TypeError(f"a {handle._wire_label} object of the program has {told} items, then {size}")
    object.__setattr__(handle, "_wire_told", (handle._wire_peer.asked, size, is_length))
    return size


def _counted(handle: Any, iterator: Iterator, told: int | None) -> Iterator:
    count = 0
    while True:
        try:
            item = next(iterator)
        except StopIteration:
            break
        count += 1
        yield item
    _agree(handle, count, told)


def _fetch(handle: Any, ahead: collections.deque) -> None:
    """Take from the program's iterator: one item a request at first, since a loop may stop early, then more
    and more ahead."""
    taken = handle._wire_taken
    count = 1 if taken < 16 else min(taken // 8, CHUNK)
    items, error, value = handle._wire_peer.request("next", handle, count)
    object.__setattr__(handle, "_wire_taken", taken + count)
    ahead.extend((True, item) for item in items)
    if error is not None:
        ahead.append((False, StopIteration(value) if type(error) is StopIteration else error))


def _drive(handle: Any) -> Iterator:
    """Await the program's awaitable: its loop runs in slices, between which the judge's own loop may act."""
    peer = handle._wire_peer
    task = peer.request("spawn", handle)
    try:
        yield
        while True:
            done, value = peer.request("step", task)
            if done:
                return value
            yield
    except (asyncio.CancelledError, GeneratorExit):
        peer.request("cancel", task)
        raise


def _of_kind(kind: type) -> type:
    """For `isinstance(g, types.GeneratorType)` and inspect: no type of plain data."""
    return type("_OfKind", (), {"__slots__": (), "__class__": property(lambda self: kind)})


_MIXINS = {"b": _Bool, "c": _Call, "l": _Len, "t": _Iter, "n": _Next, "w": _Await, "a": _AsyncIter}
_MIXINS.update((letter, _of_kind(kind)) for letter, kind in KINDS.items())
_SPACE = {"__slots__": (), "__doc__": vars(Handle)["__doc__"]}  # a class would else have its own
_TYPES: dict[tuple, type] = {}


def handle_type(info: Info) -> type:
    """Handle with the abilities that the sender claims for the object, so that `callable`, `iter` and
    `len` act here as they would there."""
    abilities = {letter for letter in info.can if letter in _MIXINS}
    if info.kind == "f":
        abilities.discard("w")
    key = (info.kind == "c", *sorted(abilities))
    cls = _TYPES.get(key)
    if cls is None:
        mixins = tuple(_MIXINS[letter] for letter in key[1:])
        cls = type("Handle", ((_Class,) if key[0] else ()) + mixins + (Handle,), dict(_SPACE))
        if _Await in mixins:
            collections.abc.Coroutine.register(cls)
        _TYPES[key] = cls
    return cls
