"""A line between the first node's process and another's: messages, and whether the other still lives.

Covers: JSON messages over TCP, both ways; a beat, so that a node that has gone without a word is missed; finding
    the first node by a file in the run's folder, which all nodes see.
Does not cover: what the messages mean (lead.py, follow.py).
Hostile input: each end proves that it has read the file, which is its owner's alone, before it is heard, and each
    message that it comes from there: what was overheard of one line, or is passed on to it, is worth nothing. Messages
    are not encrypted, and hold no secret.
"""

from __future__ import annotations

import contextlib
import hmac
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

BEAT = 5.0  # seconds between signs of life
SILENCE = 60.0  # seconds without one, after which the other is taken for lost
GREETING = 10.0  # seconds for proving oneself
AGAIN = 0.2  # seconds between looks at the file
SIDES = FIRST, OTHER = 0, 1
GREETS = -1  # in the place of a message's number
SEAL = 64  # bytes

Heard = Callable[["Line", "dict[str, Any] | None"], None]


class Line:
    """One end of it.

    Args:
        connection: to the other end.
        heard: called for each message, in a thread; with None once, when the other end has gone.
        key: that the two ends have, and nobody else.
        side: which of SIDES this one is.
    """

    def __init__(self, connection: socket.socket, heard: Heard, key: bytes, side: int) -> None:
        self._connection = connection
        self._heard = heard
        self._key, self._side = key, side
        self._said = 0  # messages
        self._lock = threading.Lock()
        self.closed = threading.Event()
        self.here: str = connection.getsockname()[0]  # this node's address, on the network that joins them
        self.node = ""
        connection.settimeout(SILENCE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=self._listen, daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()

    def say(self, kind: str, **fields: Any) -> None:
        """Send a message; to one that has gone, nothing."""
        message = json.dumps({"kind": kind, **fields}).encode()
        with self._lock, contextlib.suppress(OSError):
            self._connection.sendall(_seal(self._key, self._side, self._said, message) + b" " + message + b"\n")
            self._said += 1

    def close(self) -> None:
        """End it; the other end hears of it."""
        self.closed.set()
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()

    def _listen(self) -> None:
        # OSError: silence, and a connection that broke; ValueError: one closed here, half a message, a forged one.
        with contextlib.suppress(OSError, ValueError), self._connection.makefile("rb") as lines:
            for number, line in enumerate(lines):
                seal, _, text = line.rstrip(b"\n").partition(b" ")
                if not hmac.compare_digest(seal, _seal(self._key, 1 - self._side, number, text)):
                    raise ValueError
                message = json.loads(text)
                if message["kind"] != "beat":
                    self._heard(self, message)
        self.closed.set()
        self._heard(self, None)

    def _beat(self) -> None:
        while not self.closed.wait(BEAT):
            self.say("beat")


class Place:
    """Where the others find the first node's process.

    Args:
        file: on storage that all nodes see, in a folder that is there.
        heard: as of `Line`, for every line that comes in.

    Attributes:
        token: that this job's nodes have, and nobody else.
    """

    def __init__(self, file: Path, heard: Heard) -> None:
        self._file = file
        self._heard = heard
        self.token = secrets.token_hex(16)
        self._socket = socket.create_server(("", 0), backlog=128)
        told = {"addresses": addresses(), "port": self._socket.getsockname()[1], "token": self.token}
        half = file.with_name(f"{file.name}.half")
        half.unlink(missing_ok=True)
        with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as text:
            json.dump(told, text)
        half.replace(file)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """No more can come; lines that are there stay."""
        self._file.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._greet, args=(connection,), daemon=True).start()

    def _greet(self, connection: socket.socket) -> None:
        try:
            key = _greeted(connection, self.token, FIRST)
        except OSError:
            connection.close()
            return
        Line(connection, self._heard, key, FIRST)


def reach(file: Path, heard: Heard, seconds: float) -> tuple[Line, str]:
    """A line to the first node's process, and the job's token.

    Raises:
        TimeoutError: the file did not come, or nobody answers.
    """
    end = time.monotonic() + seconds
    why = f"{file} has not come: is the run's folder on storage that all nodes see?"
    while time.monotonic() < end:
        with contextlib.suppress(OSError, ValueError):
            os.listdir(file.parent)  # a file server's client would go on believing that there is no such file
            told = json.loads(file.read_text())
            why = f"the first node answers at none of {', '.join(told['addresses'])}, port {told['port']}"
            for address in told["addresses"]:
                if (line := _connect(address, told["port"], told["token"], heard)) is not None:
                    return line, told["token"]
        time.sleep(AGAIN)
    raise TimeoutError(why)


def addresses() -> list[str]:
    """This node's IPv4 addresses, the one of its name in Slurm first, its own loopback last."""
    every = [
        each.address for found in psutil.net_if_addrs().values() for each in found if each.family == socket.AF_INET
    ]
    named: list[str] = []
    with contextlib.suppress(OSError):
        infos = socket.getaddrinfo(os.environ.get("SLURMD_NODENAME"), None, socket.AF_INET, socket.SOCK_STREAM)
        named = [str(info[4][0]) for info in infos]
    ordered = dict.fromkeys([address for address in [*named, *every] if address in every])
    return sorted(ordered, key=lambda address: address.startswith("127."))


def _connect(address: str, port: int, token: str, heard: Heard) -> Line | None:
    try:
        connection = socket.create_connection((address, port), GREETING)
    except OSError:
        return None
    try:
        key = _greeted(connection, token, OTHER)  # another program may have this port at this address
    except OSError:
        connection.close()
        return None
    return Line(connection, heard, key, OTHER)


def _greeted(connection: socket.socket, token: str, side: int) -> bytes:
    """This line's key, which both ends make of the token and of a number that each has drawn for it.

    Raises:
        OSError: the other end has not the token.
    """
    connection.settimeout(GREETING)
    drawn = secrets.token_bytes(32)
    connection.sendall(drawn)
    both = [drawn, _receive(connection, 32)]
    key = hmac.digest(token.encode(), b"".join(both if side == FIRST else reversed(both)), "sha256")
    connection.sendall(_seal(key, side, GREETS, b""))
    if not hmac.compare_digest(_receive(connection, SEAL), _seal(key, 1 - side, GREETS, b"")):
        raise OSError
    return key


def _seal(key: bytes, side: int, number: int, message: bytes) -> bytes:
    """Of a side's message, which is so many others' successor."""
    return hmac.digest(key, b"%d %d " % (side, number) + message, "sha256").hex().encode()


def _receive(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := connection.recv(size - len(data))):
        data += more
    return data
