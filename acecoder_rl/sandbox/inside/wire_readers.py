"""Readers of the types that cross, for wire_decode.Decoder.

Covers: one reader a tag.
Hostile input: what a reader gets is arbitrary; it may raise WireError or what the types' own constructors
raise, which Decoder.take turns into WireError. No class but builtin and standard value types is called.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import math
import re
import struct
from collections.abc import Callable
from typing import Any

from acecoder_rl.sandbox.inside.wire_decode import READERS, Decoder
from acecoder_rl.sandbox.inside.wire_types import (
    F64,
    FUNCTIONS,
    I64,
    MAX_FRACTION_BITS,
    PLAIN,
    Opaque,
    OpaqueArray,
    RemoteError,
    WireError,
    find_exception,
    restore,
)


def _big_int(dec: Decoder) -> int:
    return int.from_bytes(dec.raw(dec.u32()), "little", signed=True)


def _again(dec: Decoder) -> Any:
    return dec.table[dec.u32()]


def _known(dec: Decoder) -> Any:
    return dec.known[dec.u32()]


def _list(dec: Decoder) -> list:
    return dec.into(dec.new([], 1))


def _tuple(dec: Decoder) -> tuple:
    dec.cells(1)
    return tuple(dec.into([]))


def _set(dec: Decoder) -> set:
    value = dec.new(set(), 4)
    value.update(dec.into([]))
    return value


def _frozenset(dec: Decoder) -> frozenset:
    dec.cells(4)
    return frozenset(dec.into([]))


def _counter(dec: Decoder) -> Any:
    return dec.pairs(dec.new(collections.Counter(), 4))


def _dict(dec: Decoder) -> dict:
    return dec.pairs(dec.new({}, 4))


def _ordered(dec: Decoder) -> Any:
    return dec.pairs(dec.new(collections.OrderedDict(), 8))


def _defaultdict(dec: Decoder) -> Any:
    value = dec.new(collections.defaultdict(), 4)
    factory = dec.value()
    if factory is not None and callable(factory):
        value.default_factory = factory
    return dec.pairs(value)


def _deque(dec: Decoder) -> Any:
    limit = I64.unpack(dec.raw(8))[0]
    value = dec.new(collections.deque(maxlen=None if limit < 0 else limit), 12)
    value.extend(dec.into([]))
    return value


def _bytearray(dec: Decoder) -> bytearray:
    return dec.new(bytearray(dec.raw(dec.u32())), 1)


def _fraction(dec: Decoder) -> fractions.Fraction:
    top, bottom = dec.integer(), dec.integer()
    if max(top.bit_length(), bottom.bit_length()) > MAX_FRACTION_BITS:
        raise WireError("fraction too large")
    return fractions.Fraction(top, bottom)


_DATE, _CLOCK, _DELTA = struct.Struct("<HBB"), struct.Struct("<BBBIB"), struct.Struct("<qII")


def _delta(dec: Decoder) -> datetime.timedelta:
    return datetime.timedelta(*dec.unpack(_DELTA))


def _zone(dec: Decoder) -> datetime.timezone:
    if dec.raw(1) != b"4":
        raise WireError("malformed timezone")
    return datetime.timezone(_delta(dec))


def _clock(dec: Decoder) -> tuple:
    *parts, fold = dec.unpack(_CLOCK)
    offset = dec.value()
    if offset is not None and type(offset) is not datetime.timedelta:
        raise WireError("malformed timezone")
    return tuple(parts), {"tzinfo": None if offset is None else datetime.timezone(offset), "fold": fold}


def _time(dec: Decoder) -> datetime.time:
    parts, rest = _clock(dec)
    return datetime.time(*parts, **rest)


def _datetime(dec: Decoder) -> datetime.datetime:
    day = dec.unpack(_DATE)
    parts, rest = _clock(dec)
    return datetime.datetime(*day, *parts, **rest)


_DTYPE = re.compile(r"[<>|=][biufcSUMm]\d{1,6}(\[\d{0,6}[a-zA-Z]{1,2}\])?")


def _numpy(dec: Decoder, scalar: bool) -> Any:
    form, shape = dec.text(), dec.into([])
    data = dec.raw(dec.u32())
    dec.cells(2)
    if not _DTYPE.fullmatch(form) or len(shape) > 32 or any(type(n) is not int or n < 0 for n in shape):
        raise WireError("malformed numpy value")
    try:
        import numpy
    except ImportError:
        return OpaqueArray("numpy", math.prod(shape))
    value = numpy.frombuffer(data, dtype=numpy.dtype(form)).copy()
    if scalar:
        return value[0]
    value = value.reshape(shape)
    return value if value.size or dec.guarded_array is None else dec.guarded_array(value)


def _named(names: dict) -> Callable:
    def read(dec: Decoder) -> Any:
        return names[dec.text()]

    return read


def _handle(dec: Decoder) -> Any:
    ident, info = dec.u32(), dec.info()
    dec.cells(8)
    return Opaque(info.names[0]) if dec.resolve is None else dec.resolve(ident, info)


def _mine(dec: Decoder) -> Any:
    if dec.resolve is None:
        raise WireError("reference to an object in a message of plain data")
    return dec.resolve(dec.u32(), None)


def _opaque(dec: Decoder) -> Opaque:
    dec.cells(4)
    return Opaque(dec.text()[:100])


def _subclass(dec: Decoder) -> Any:
    """An instance of a sender's subclass of a plain type."""
    ident, info, slot = dec.u32(), dec.info(), len(dec.table)
    base = dec.value()
    dec.cells(8)
    if type(base) not in PLAIN:  # no writer sends that: numpy would make an array of this process's memory of it
        raise WireError("an instance of a subclass of what is no plain type")
    if dec.mirror is None:
        return base
    value = dec.mirror(base, ident, info)
    if slot < len(dec.table) and dec.table[slot] is base:
        dec.table[slot] = value
    return value


def _own_container(dec: Decoder) -> Any:
    """The receiver's own container, of which the sender held a copy: takes over the copy's contents."""
    own, slot = _mine(dec), len(dec.table)
    contents = dec.value()
    if slot >= len(dec.table) or dec.table[slot] is not contents:
        raise WireError("malformed container")
    dec.table[slot] = own
    if isinstance(contents, collections.deque):
        contents = list(contents)
    elif isinstance(contents, dict):
        contents = dict(contents)
    restore(own, contents)
    return own


def _exception(dec: Decoder) -> RemoteError:
    dec.cells(8)
    dec._depth -= 1
    if dec._depth < 0:
        raise WireError("message nested too deep")
    names, message, args = dec.into([]), dec.text()[:1000], dec.value()
    value, cls = dec.value(), dec.value()
    dec._depth += 1
    if type(args) is not tuple or not all(type(name) is str for name in names) or len(names) > 100:
        raise WireError("malformed exception")
    error = RemoteError(names, message, args, cls, value)
    return error if dec.exception is None else dec.exception(error)


def _view(name: str) -> Callable:
    def read(dec: Decoder) -> Any:
        dec.cells(6)
        items = dec.into([])
        if name == "items":
            return dict(items).items()
        return (dict.fromkeys(items) if name == "keys" else dict(enumerate(items))).__getattribute__(name)()

    return read


_BY_TAG: dict[str, Callable[[Decoder], Any]] = {
    "N": lambda dec: None, "T": lambda dec: True, "F": lambda dec: False,
    ".": lambda dec: ..., "!": lambda dec: NotImplemented,
    "i": lambda dec: dec.unpack(I64)[0], "I": _big_int, "d": lambda dec: dec.unpack(F64)[0],
    "c": lambda dec: complex(dec.unpack(F64)[0], dec.unpack(F64)[0]),
    "s": Decoder.text, "b": lambda dec: dec.raw(dec.u32()), "B": _bytearray,
    "[": _list, "(": _tuple, "{": _set, "}": _frozenset, "D": _dict, "C": _counter, "o": _ordered,
    "y": _defaultdict, "u": _deque, "k": _view("keys"), "v": _view("values"), "x": _view("items"),
    "r": lambda dec: range(dec.integer(), dec.integer(), dec.integer()),
    "w": lambda dec: slice(dec.value(), dec.value(), dec.value()),
    "m": lambda dec: decimal.Decimal(dec.text()), "a": _fraction,
    "1": lambda dec: datetime.date(*dec.unpack(_DATE)), "2": _time, "3": _datetime, "4": _delta, "5": _zone,
    "A": lambda dec: _numpy(dec, False), "n": lambda dec: _numpy(dec, True),
    "t": lambda dec: dec.types[dec.text()], "q": lambda dec: find_exception(dec.text()), "f": _named(FUNCTIONS),
    "R": _again, "K": _known,
    "H": _handle, "M": _mine, "O": _opaque, "P": _subclass, "Y": _own_container, "E": _exception,
}  # fmt: skip
for _tag, _read in _BY_TAG.items():
    READERS[ord(_tag)] = _read
