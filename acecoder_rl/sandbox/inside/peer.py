"""One side of the connection between a judge and a candidate process.

Covers: requests and answers, callbacks nested in them, the table of exported objects, arguments changed
in place.
Does not cover: the operations (rpc.py for the candidate, proxies.py for the judge).
Hostile input: everything the other side says passes wire.py; a message out of form ends the connection.

A frame is a tag byte (Q request, A answer, X exception, L cannot be sent) and values in wire format. A
side that waits for an answer serves requests meanwhile, so calls nest like a stack.
"""

from __future__ import annotations

import struct
import sys
import threading
from typing import Any

from acecoder_rl.sandbox.inside.mirrors import exception_type, mirror, to_exception
from acecoder_rl.sandbox.inside.wire import (
    Decoder,
    Encoder,
    Info,
    RemoteError,
    WireError,
    recv_frame,
    send_frame,
)
from acecoder_rl.sandbox.inside.wire_types import MAX_BYTES, U32, is_subclass, restore, snapshot

NESTING = 400
HEADROOM = 800  # Python frames that a request itself may need: it must not fail half way
SLACK = 4096  # a frame may be longer than the values in it by this


class Unsendable(Exception):
    """A value is too large or too deep to cross."""


class Peer:
    """Subclasses give `perform` (serve a request), `stand_in` (for the other side's object) and `lost`
    (the connection ended, or the other side broke its form)."""

    shows = False  # whether the text of the other side's subclasses of plain types is asked for

    def __init__(self, sock: Any, max_bytes: int = MAX_BYTES) -> None:
        self.sock = sock
        self.max_bytes = max_bytes
        self.gate = threading.Lock()  # held while this side reads or writes frames, free while code runs
        self.nesting = 0
        self.exported: dict[int, list] = {}  # id -> [object, times sent]
        self.export_ids: dict[int, int] = {}  # id(object) -> id
        self.last_id = 0
        self.dropped: list[int] = []  # id, times received, ... of the other side's objects we let go
        self.foreign_ids: dict[int, int] = {}  # id(stand-in) -> id, for those kept in stand_ins
        self.stand_ins: dict[int, Any] = {}
        self.mirror_types: dict[Any, type] = {}
        self.members: dict[int, Any] = {}  # of enumerations whose members are plain data as well

    def export(self, obj: Any) -> int:
        """Our id of an object of ours that is being sent."""
        ident = self.export_ids.get(id(obj))
        if ident is None:
            self.last_id = ident = self.last_id + 1
            self.export_ids[id(obj)] = ident
            self.exported[ident] = [obj, 0]
        self.exported[ident][1] += 1
        return ident

    def drop(self, pairs: list) -> None:
        """Forget objects that the other side let go. It says how often it received each, since an answer
        on its way may carry the same id again."""
        for ident, times in zip(pairs[::2], pairs[1::2]):  # noqa: B905
            entry = self.exported.get(ident)
            if entry is not None:
                entry[1] -= times
                if entry[1] <= 0:
                    del self.exported[ident], self.export_ids[id(entry[0])]

    def keep(self, ident: int, stand_in: Any) -> Any:
        self.foreign_ids[id(stand_in)] = ident
        return self.stand_ins.setdefault(ident, stand_in)

    def foreign(self, obj: Any) -> int | None:
        """The other side's id of the object that `obj` stands for."""
        ident = self.foreign_ids.get(id(obj))
        cls = type(obj)
        if ident is None and (id(cls) in self.mirror_types or is_subclass(cls, BaseException)):
            ident = object.__getattribute__(obj, "__dict__").get("_wire_id")
        return ident

    def resolve(self, ident: int, info: Info | None) -> Any:
        if info is None:
            entry = self.exported.get(ident)
            if entry is None:
                raise WireError(f"no object {ident}")
            return entry[0]
        if ident in self.stand_ins:
            return self.stand_ins[ident]
        if info.kind == "x":
            return exception_type(self, ident, info)
        return self.stand_in(ident, info)

    def request(self, op: str, *args: Any) -> Any:
        """Ask the other side; serves its requests while waiting."""
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(limit + HEADROOM)
        try:
            return self.exchange(op, args)
        finally:
            sys.setrecursionlimit(limit)

    def exchange(self, op: str, args: tuple) -> Any:
        enc = Encoder(self.export, self.foreign, max_bytes=self.max_bytes)
        dropped, self.dropped = self.dropped, []
        enc.out += b"Q" + U32.pack(len(dropped))
        enc.out += b"".join(map(U32.pack, dropped))
        enc.put(op)
        try:
            enc.put(args)
        except (WireError, RecursionError) as exc:
            self.dropped += dropped
            raise Unsendable(str(exc)) from None
        with self.gate:
            self.send(enc.out)
            while True:
                frame = self.receive()
                if frame[:1] != b"Q":
                    break
                self.answer(frame)
        return self.finish(frame, enc.table)

    def finish(self, frame: bytes, known: list) -> Any:
        """The value in an answer, or its exception; puts changes of arguments into effect."""
        try:
            dec = self.decoder(frame, known)
            value = dec.take()
            for _ in range(dec.count()):
                index = dec.u32()
                contents = dec.take()
                if index >= len(known):
                    raise WireError("contents of an unknown container")
                restore(known[index], contents)
            dec.end()
            if frame[:1] == b"A":
                return value
            if frame[:1] == b"X" and isinstance(value, BaseException):
                raise value
            if frame[:1] == b"L" and type(value) is str:
                raise Unsendable(value[:200])
            raise WireError("malformed answer")
        except (WireError, struct.error) as exc:
            return self.lost(str(exc))

    def answer(self, frame: bytes) -> None:
        """Serve one request; called with the gate held."""
        self.nesting += 1
        self.gate.release()
        try:
            try:
                dec = self.decoder(frame, ())
                self.drop([dec.u32() for _ in range(dec.count())])
                op, start = dec.take(), dec.pos
                args = dec.take()
                dec.end()
                if type(op) is not str or type(args) is not tuple:
                    raise WireError("malformed request")
            except (WireError, struct.error) as exc:
                return self.lost(str(exc))
            tag = b"A"
            try:
                if self.nesting > NESTING:
                    raise RecursionError("calls between the program and its tests nest too deep")
                value = self.perform(op, args)
            except BaseException as exc:
                if self.fatal(exc):
                    raise
                tag, value = b"X", exc
            out = self.encode_answer(tag, value, dec.table, args, frame[start:])
        finally:
            self.gate.acquire()
            self.nesting -= 1
        self.send(out)

    def encode_answer(self, tag: bytes, value: Any, table: list, args: tuple, before: bytes) -> Any:
        known = {id(container): index for index, container in enumerate(table)}
        enc = Encoder(self.export, self.foreign, known, self.max_bytes)
        enc.out += tag
        try:
            if tag == b"A":
                enc.put(value)
            else:
                enc.reference(value) if self.foreign(value) is not None else enc.exception(value)
            if table and self.changed(args, before):
                enc.out += U32.pack(len(table))
                for index, container in enumerate(table):
                    enc.out += U32.pack(index)
                    enc.put(snapshot(container))
            else:
                enc.out += U32.pack(0)
            enc.room(0)
        except (WireError, RecursionError) as exc:
            enc = Encoder()
            enc.out += b"L"
            enc.put(str(exc))
            enc.out += U32.pack(0)
        return enc.out

    def changed(self, args: tuple, before: bytes) -> bool:
        """Whether arguments were changed in place: true where in doubt."""
        enc = Encoder(None, self.foreign, max_bytes=len(before) + 64)
        try:
            enc.put(args)
        except (WireError, RecursionError):
            return True
        return enc.out != before

    def decoder(self, frame: bytes, known: Any) -> Decoder:
        limit = self.max_bytes + SLACK
        dec = Decoder(frame, self.resolve, self.mirror, self.to_exception, known, max_bytes=limit)
        dec.pos = 1
        return dec

    def mirror(self, base: Any, ident: int, info: Info) -> Any:
        return mirror(self, base, ident, info)

    def to_exception(self, error: RemoteError) -> BaseException:
        return to_exception(self, error)

    def send(self, payload: Any) -> None:
        try:
            send_frame(self.sock, payload)
        except OSError:
            self.lost("the connection ended")

    def receive(self) -> bytes:
        try:
            frame = recv_frame(self.sock, self.max_bytes + SLACK)
        except OSError:
            frame = None
        except WireError as exc:
            return self.lost(str(exc))
        return frame or self.lost("the process died")

    def is_named(self, names: Any) -> bool:
        """Whether tests name a class that has one of these names."""
        return False

    def vet(self, names: Any, name: str, value: Any) -> Any:
        """The value of an attribute of an object of such a class."""
        return value

    def fatal(self, exc: BaseException) -> bool:
        """Whether an exception of `perform` ends this side instead of crossing."""
        return False

    def stand_in(self, ident: int, info: Info) -> Any:
        raise NotImplementedError

    def perform(self, op: str, args: tuple) -> Any:
        raise NotImplementedError

    def lost(self, reason: str) -> Any:
        """Never returns."""
        raise NotImplementedError
