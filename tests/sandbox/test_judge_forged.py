"""A candidate process that writes to the judge's connection itself gains nothing by it.

Covers: forged, random and broken frames.
Does not cover: programs that find that connection (tests/hostile/frames.py), the codec (test_wire.py).
"""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acecoder_rl.sandbox.inside.wire import Encoder, encode, recv_frame, send_frame
from tests.sandbox.two_processes import judge_tests, statuses


def forged(*frames: bytes) -> Any:
    """A candidate that answers every request with these frames, whatever was asked."""

    def candidate(sock: socket.socket) -> None:
        while recv_frame(sock) is not None:
            for frame in frames:
                sock.sendall(frame)

    return candidate


def frame(payload: bytes) -> bytes:
    return struct.pack("<I", len(payload)) + payload


ZERO = struct.pack("<I", 0)
NO_UPDATES = ZERO


def answer(value: Any) -> bytes:
    return frame(b"A" + encode(value) + NO_UPDATES)


def request(op: str, *args: Any) -> bytes:
    return frame(b"Q" + ZERO + encode(op) + encode(args))


def handle(ident: int = 1) -> bytes:
    enc = Encoder(lambda obj: ident)
    enc.put(lambda: 1)
    return bytes(enc.out)


def subclass_of(base: bytes) -> bytes:
    """An object that says it is of a subclass of the type of `base`."""
    enc = Encoder(lambda obj: 1)
    enc.put(type("L", (list,), {})())
    return bytes(enc.out).removesuffix(encode([])) + base


# One number, 1000; as the shape of an array it would be filled with what the memory held before.
SHAPE = b"A" + struct.pack("<I", 3) + b"<i8" + encode([1])[1:] + struct.pack("<Iq", 8, 1000)


@pytest.mark.parametrize(
    "frames",
    [
        [frame(b"")],
        [b"\xff\xff\xff\xff"],
        [frame(b"Z" + encode(4) + NO_UPDATES)],
        [frame(b"A")],
        [frame(b"A" + encode(4) + struct.pack("<II", 1, 7) + encode([4]))],
        [frame(b"A" + encode(4) + struct.pack("<I", 0xFFFFFFFF))],
        [frame(b"X" + encode(4) + NO_UPDATES)],
        [frame(b"L" + encode(4) + NO_UPDATES)],
        [frame(b"A" + b"M\x63\0\0\0" + NO_UPDATES)],
        [frame(b"A" + b"K\0\0\0\0" + NO_UPDATES)],
        [frame(b"Q" + ZERO + encode(4) + encode(()))],
        [frame(b"Q" + struct.pack("<I", 0xFFFFFF))],
        [request("call", 4, (), {})] * 3 + [frame(b"Q")],
        [request("getattr", (), "__class__"), request("eval", "1"), request("operator", "eq", 4), frame(b"")],
        [answer(4), answer(4), answer(4), frame(b"junk")],
    ],
)
def test_forged_frames_end_the_run_or_are_only_answers(frames: list[bytes]) -> None:
    reports = judge_tests(forged(*frames), ["assert f([2]) == 5", "assert f(2) == 5"])
    assert reports and all(r.status in ("crashed", "error", "failed") for r in reports)


def test_a_forged_handle_is_only_a_handle() -> None:
    liar = forged(frame(b"A" + handle() + NO_UPDATES))
    reports = judge_tests(liar, ["assert f(2) == 4", "assert f(2) is None"])
    assert [r.status for r in reports] == ["failed", "failed"]


@pytest.mark.parametrize("base", ["array", "handle", "None", "range"])
def test_a_forged_subclass_is_of_a_plain_type(base: str) -> None:
    bases = {"array": SHAPE, "handle": handle(), "None": encode(None), "range": encode(range(9))}
    liar = forged(frame(b"A" + subclass_of(bases[base]) + NO_UPDATES))
    assert statuses(liar, ["assert f(2) == 4"]) == ["crashed"]


tags = st.sampled_from([b"A", b"X", b"Q", b"L", b""])


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=4), tags)
@settings(max_examples=40, deadline=None)
def test_random_frames_never_pass(payloads: list[bytes], tag: bytes) -> None:
    reports = judge_tests(forged(*(frame(tag + payload) for payload in payloads)), ["assert f(2) == 4321"])
    assert [r.status for r in reports if r.status == "passed"] == []


def test_frames_of_a_dead_peer_end() -> None:
    ours, theirs = socket.socketpair()
    send_frame(ours, b"x" * 10)
    ours.send(b"\x05\0")
    ours.close()
    assert recv_frame(theirs) == b"x" * 10
    assert recv_frame(theirs) is None
    theirs.close()
