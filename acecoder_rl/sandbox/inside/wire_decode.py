"""Decoder of plain data: bytes to values.

Covers: the reading of one message, its limits, identities of containers.
Does not cover: the types one by one (wire_readers.py).
Hostile input: any byte string decodes to a value or raises WireError; nothing is executed.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable
from typing import Any

from acecoder_rl.sandbox.inside.wire_types import MAX_BYTES, MAX_DEPTH, TYPES, U32, Info, RemoteError, WireError


def unknown(dec: Any) -> Any:
    raise WireError(f"unknown tag {dec.data[dec.pos - 1]} at byte {dec.pos - 1}")


READERS: list[Callable[[Any], Any]] = [unknown] * 256  # by tag; filled by wire_readers.py


class Decoder:
    """Reads values from one message.

    Args:
        resolve: (id, info) -> the stand-in for the sender's object; (id, None) -> the receiver's own
            object of that id; None: objects decode to Opaque.
        mirror: (base value, id, info) -> local copy of a sender's instance of a subclass of a plain
            type; None: the base value.
        exception: the local exception for one that crossed; None: the RemoteError itself.
        known: containers of the message that this one answers.

    Attributes:
        types: what the names of builtin types stand for.
        guarded_array: what is made of an empty numpy array; None: it stays one.
    """

    types: dict[str, Any] = TYPES
    guarded_array: Callable[[Any], Any] | None = None

    def __init__(
        self,
        data: bytes,
        resolve: Callable[[int, Any], Any] | None = None,
        mirror: Callable[[Any, int, Info], Any] | None = None,
        exception: Callable[[RemoteError], Any] | None = None,
        known: Any = (),
        max_bytes: int = MAX_BYTES,
        max_depth: int = MAX_DEPTH,
    ) -> None:
        if len(data) > max_bytes:
            raise WireError(f"message of {len(data)} bytes is larger than {max_bytes}")
        self.data = data
        self.pos = 0
        self.table: list[Any] = []
        self.resolve, self.mirror, self.exception, self.known = resolve, mirror, exception, known
        self._depth = max_depth
        self._cells = 1000 + max_bytes // 4  # 64-byte units that empty containers may take

    def take(self) -> Any:
        """The next value."""
        return self.guarded(self.value)

    def guarded(self, read: Callable[[], Any]) -> Any:
        """What `read` makes of the message; WireError for whatever malformed data raises in it."""
        try:
            return read()
        except WireError:
            raise
        except (ArithmeticError, LookupError, TypeError, ValueError, RecursionError, struct.error) as exc:
            raise WireError(f"malformed message: {type(exc).__name__}: {str(exc)[:200]}") from None

    def end(self) -> None:
        if self.pos != len(self.data):
            raise WireError(f"{len(self.data) - self.pos} bytes after the end of the message")

    def value(self) -> Any:
        pos = self.pos
        self.pos = pos + 1
        return READERS[self.data[pos]](self)

    def u32(self) -> int:
        pos = self.pos
        self.pos = pos + 4
        return U32.unpack_from(self.data, pos)[0]

    def unpack(self, form: struct.Struct) -> tuple:
        pos = self.pos
        self.pos = pos + form.size
        return form.unpack_from(self.data, pos)

    def raw(self, size: int) -> bytes:
        pos = self.pos
        end = pos + size
        if end > len(self.data):
            raise WireError("message ends inside a value")
        self.pos = end
        return self.data[pos:end]

    def text(self) -> str:
        return self.raw(self.u32()).decode("utf-8", "surrogatepass")

    def cells(self, count: int) -> None:
        self._cells -= count
        if self._cells < 0:
            raise WireError("too many containers in one message")

    def count(self) -> int:
        count = self.u32()
        if count > len(self.data) - self.pos:
            raise WireError("message ends inside a container")
        return count

    def into(self, items: list) -> list:
        """Read the elements of a sequence into `items`, which may already be referred to."""
        form = self.data[self.pos]
        self.pos += 1
        if form == 0x67:  # g: one by one
            count = self.count()
            self._depth -= 1
            if self._depth < 0:
                raise WireError("message nested too deep")
            data, append = self.data, items.append
            for _ in range(count):
                pos = self.pos
                self.pos = pos + 1
                append(READERS[data[pos]](self))
            self._depth += 1
        elif form in (0x71, 0x64):  # q, d: packed int64, float64
            packed = array(chr(form))
            packed.frombytes(self.raw(8 * self.u32()))
            items.extend(packed.tolist())
        elif form == 0x73:  # s: strings joined
            lengths = array("I")
            lengths.frombytes(self.raw(4 * self.u32()))
            whole, start = self.text(), 0
            if sum(lengths) != len(whole):
                raise WireError("string lengths do not add up")
            for length in lengths:
                items.append(whole[start : start + length])
                start += length
        else:
            raise WireError(f"unknown form {form} of a sequence")
        return items

    def pairs(self, into: Any) -> Any:
        count = self.count()
        self._depth -= 1
        if self._depth < 0:
            raise WireError("message nested too deep")
        for _ in range(count):
            key = self.value()
            into[key] = self.value()
        self._depth += 1
        return into

    def integer(self) -> int:
        value = self.value()
        if type(value) is not int:
            raise WireError("expected an int")
        return value

    def info(self) -> Info:
        flags, names, overrides = self.text(), self.into([]), self.into([])
        if not flags or len(flags) > 20 or len(names) > 100 or len(overrides) > 300:
            raise WireError("malformed description of an object")
        if any(type(name) is not str or len(name) > 200 for name in names + overrides):
            raise WireError("malformed description of an object")
        return Info(flags[0], flags[1:], names or ["object"], tuple(overrides))

    def new(self, container: Any, cells: int) -> Any:
        self.cells(cells)
        self.table.append(container)
        return container
