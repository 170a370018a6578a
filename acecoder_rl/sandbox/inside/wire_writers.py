"""Writers of the plain types, for wire_encode.Encoder.

Covers: one writer a type in wire_types.PLAIN, None, bool, range, slice, dict views, timezones, numpy arrays
and scalars without objects, builtin functions by name.
Does not cover: what cannot cross (Encoder.handle).
"""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import sys
from collections.abc import Callable
from struct import error, pack
from typing import Any

from acecoder_rl.sandbox.inside.wire_encode import BODIES, UNUSUAL, WRITERS, Encoder
from acecoder_rl.sandbox.inside.wire_types import F64, FUNCTION_NAMES, I64, MUTABLE, U32, is_subclass, mro

u32, f64 = U32.pack, F64.pack


def _put_int(enc: Encoder, value: int) -> None:
    try:
        enc.out += b"i" + I64.pack(value)
    except error:
        size = (value.bit_length() + 8) // 8
        enc.room(size + 5)
        enc.out += b"I" + u32(size) + value.to_bytes(size, "little", signed=True)


def _put_str(enc: Encoder, value: str) -> None:
    enc.out += b"s"
    enc.text(value)


def _put_bytes(enc: Encoder, value: bytes) -> None:
    enc.room(len(value) + 5)
    enc.out += b"b" + u32(len(value)) + value


def _put_complex(enc: Encoder, value: complex) -> None:
    enc.out += b"c" + f64(value.real) + f64(value.imag)


def _sequence(tag: bytes, read: Callable) -> Callable:
    def write(enc: Encoder, value: Any) -> None:
        enc.out += tag
        enc.body(value if type(value) in (list, tuple) else list(read(value)))

    return write


def _mapping(tag: bytes, items: Callable) -> Callable:
    def write(enc: Encoder, value: Any) -> None:
        enc.out += tag
        enc.pairs(list(items(value)))

    return write


def _body_bytearray(enc: Encoder, value: bytearray) -> None:
    enc.room(bytearray.__len__(value) + 5)
    enc.out += b"B" + u32(bytearray.__len__(value)) + bytearray.__getitem__(value, slice(None))


def _body_defaultdict(enc: Encoder, value: collections.defaultdict) -> None:
    enc.out += b"y"
    enc.put(collections.defaultdict.default_factory.__get__(value))
    enc.pairs(list(dict.items(value)))


def _body_deque(enc: Encoder, value: collections.deque) -> None:
    limit = collections.deque.maxlen.__get__(value)
    enc.out += b"u" + I64.pack(-1 if limit is None else limit)
    enc.body(list(collections.deque.__iter__(value)))


def _put_decimal(enc: Encoder, value: decimal.Decimal) -> None:
    enc.out += b"m"
    enc.text(decimal.Decimal.__str__(value))


def _put_fraction(enc: Encoder, value: fractions.Fraction) -> None:
    enc.out += b"a"
    enc.put(value.numerator)
    enc.put(value.denominator)


def _put_range(enc: Encoder, value: Any) -> None:
    enc.out += b"r" if type(value) is range else b"w"
    for part in (value.start, value.stop, value.step):
        enc.put(part)


def _put_date(enc: Encoder, value: datetime.date) -> None:
    enc.out += pack("<cHBB", b"1", value.year, value.month, value.day)


def _clock(enc: Encoder, value: Any) -> None:
    enc.out += pack("<BBBIB", value.hour, value.minute, value.second, value.microsecond, value.fold)
    offset = value.utcoffset()
    enc.put(None if offset is None else offset)


def _put_time(enc: Encoder, value: datetime.time) -> None:
    enc.out += b"2"
    _clock(enc, value)


def _put_datetime(enc: Encoder, value: datetime.datetime) -> None:
    enc.out += pack("<cHBB", b"3", value.year, value.month, value.day)
    _clock(enc, value)


def _put_timedelta(enc: Encoder, value: datetime.timedelta) -> None:
    enc.out += pack("<cqII", b"4", value.days, value.seconds, value.microseconds)


def _put_timezone(enc: Encoder, value: datetime.tzinfo) -> bool:
    offset = value.utcoffset(None)
    if type(offset) is not datetime.timedelta:
        return False
    enc.out += b"5"
    _put_timedelta(enc, offset)
    return True


def _put_function(enc: Encoder, value: Any) -> None:
    name = FUNCTION_NAMES.get(id(value))
    if name is None:
        enc.handle(value)
        return
    enc.out += b"f"
    enc.text(name)


_VIEWS = {}
for _empty in ({}, collections.OrderedDict()):
    _VIEWS.update({type(_empty.keys()): b"k", type(_empty.values()): b"v", type(_empty.items()): b"x"})


def _put_view(enc: Encoder, value: Any) -> bool:
    enc.out += _VIEWS[type(value)]
    enc.body(list(value))
    return True


def _is_numpy(cls: type) -> bool:
    numpy = sys.modules.get("numpy")
    bases = (getattr(numpy, "ndarray", None), getattr(numpy, "generic", None))
    return numpy is not None and any(c is bases[0] or c is bases[1] for c in mro(cls))


def _put_numpy(enc: Encoder, value: Any) -> bool:
    numpy, dtype = sys.modules["numpy"], value.dtype
    if dtype.kind not in "biufcSUMm" or dtype.itemsize == 0 or value.nbytes > enc.max_bytes:
        if dtype.kind in "biufcSUMm" and dtype.itemsize:
            enc.room(value.nbytes)
        return False
    scalar = not is_subclass(type(value), numpy.ndarray)
    data = numpy.asarray(value).tobytes()
    enc.room(len(data) + 100)
    enc.out += b"n" if scalar else b"A"
    enc.text(dtype.str)
    enc.body([] if scalar else list(value.shape))
    enc.out += u32(len(data)) + data
    return True


BODIES.update(
    {
        int: lambda enc, value: _put_int(enc, int.__int__(value)),
        float: lambda enc, value: _put_float(enc, float.__float__(value)),
        complex: lambda enc, value: _put_complex(
            enc, complex(complex.real.__get__(value), complex.imag.__get__(value))
        ),
        str: lambda enc, value: _put_str(enc, str.__str__(value)),
        bytes: lambda enc, value: _put_bytes(enc, bytes.__getitem__(value, slice(None))),
        bytearray: _body_bytearray,
        list: _sequence(b"[", list.__iter__),
        tuple: _sequence(b"(", tuple.__iter__),
        set: _sequence(b"{", set.__iter__),
        frozenset: _sequence(b"}", frozenset.__iter__),
        dict: _mapping(b"D", dict.items),
        collections.Counter: _mapping(b"C", dict.items),
        collections.OrderedDict: _mapping(b"o", collections.OrderedDict.items),
        collections.defaultdict: _body_defaultdict,
        collections.deque: _body_deque,
        decimal.Decimal: _put_decimal,
        fractions.Fraction: _put_fraction,
        datetime.datetime: _put_datetime,
        datetime.date: _put_date,
        datetime.time: _put_time,
        datetime.timedelta: _put_timedelta,
    }
)


def _put_float(enc: Encoder, value: float) -> None:
    enc.out += b"d" + f64(value)


def _put_list(enc: Encoder, value: list) -> None:
    if not enc.again(value):
        enc.out += b"["
        enc.body(value)


def _put_tuple(enc: Encoder, value: tuple) -> None:
    enc.out += b"("
    enc.body(value)


def _once(body: Callable) -> Callable:
    def write(enc: Encoder, value: Any) -> None:
        if not enc.again(value):
            body(enc, value)

    return write


def _constant(tag: bytes) -> Callable:
    def write(enc: Encoder, value: Any) -> None:
        enc.out += tag

    return write


_EXACT = {cls: _once(body) if cls in MUTABLE else body for cls, body in BODIES.items()}
_EXACT.update({
    type(None): _constant(b"N"),
    bool: lambda enc, value: enc.out.extend(b"T" if value else b"F"),
    type(...): _constant(b"."),
    type(NotImplemented): _constant(b"!"),
    int: _put_int, float: _put_float, complex: _put_complex, str: _put_str, bytes: _put_bytes,
    list: _put_list, tuple: _put_tuple, range: _put_range, slice: _put_range,
    type: Encoder.type, type(len): _put_function,
})  # fmt: skip
WRITERS.update((id(cls), writer) for cls, writer in _EXACT.items())
UNUSUAL.append((_is_numpy, _put_numpy))
UNUSUAL.append((lambda cls: is_subclass(cls, datetime.tzinfo), _put_timezone))
UNUSUAL.append((lambda cls: any(cls is view for view in _VIEWS), _put_view))
