"""The line between two nodes' processes: both are heard, and nobody else, whatever he has overheard."""

from __future__ import annotations

import contextlib
import json
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from acecoder_rl.slurm.line import Line, Place, reach

SECONDS = 240
Heard = SimpleQueue  # of what one end heard: (line, message)


@pytest.fixture
def first(tmp_path: Path) -> Iterator[tuple[Place, Heard]]:
    heard: Heard = SimpleQueue()
    place = Place(tmp_path / "7.json", lambda line, message: heard.put((line, message)))
    yield place, heard
    place.close()


def _reach(file: Path) -> tuple[Line, Heard]:
    heard: Heard = SimpleQueue()
    line, _ = reach(file, lambda line, message: heard.put((line, message)), SECONDS)
    return line, heard


class Between:
    """Passes on what two ends say to each other, for whom the second file is; it keeps what the second end said."""

    def __init__(self, file: Path, instead: Path) -> None:
        self.said = b""
        self.to_second: list[socket.socket] = []
        told = json.loads(file.read_text())
        self._address = ("127.0.0.1", told["port"])
        self._listener = socket.create_server(("127.0.0.1", 0))
        instead.write_text(json.dumps(told | {"addresses": ["127.0.0.1"], "port": self._listener.getsockname()[1]}))
        threading.Thread(target=self._pass_on, daemon=True).start()

    def _pass_on(self) -> None:
        second, _ = self._listener.accept()
        first = socket.create_connection(self._address)
        self.to_second.append(second)
        threading.Thread(target=self._copy, args=(first, second, lambda data: None), daemon=True).start()
        self._copy(second, first, self._keep)

    def _keep(self, data: bytes) -> None:
        self.said += data

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket, seen: Callable[[bytes], Any]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                seen(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


def test_both_ends_are_heard_and_missed(first, tmp_path):
    _, at_first = first
    line, at_second = _reach(tmp_path / "7.json")
    line.say("hello", node="n2")
    back, message = at_first.get(timeout=SECONDS)
    assert message == {"kind": "hello", "node": "n2"}
    for number in range(3):
        back.say("ray", address=str(number))
    assert [at_second.get(timeout=SECONDS)[1]["address"] for _ in range(3)] == ["0", "1", "2"]
    line.close()
    assert at_first.get(timeout=SECONDS) == (back, None)


def test_the_file_is_its_owners_alone_and_goes(first, tmp_path):
    place, _ = first
    assert stat.S_IMODE((tmp_path / "7.json").stat().st_mode) == 0o600
    place.close()
    assert list(tmp_path.iterdir()) == []


def test_who_has_not_the_file_is_not_heard_with_what_he_overheard(first, tmp_path):
    _, at_first = first
    between = Between(tmp_path / "7.json", tmp_path / "8.json")
    line, _ = _reach(tmp_path / "8.json")
    line.say("hello", node="n2")
    assert at_first.get(timeout=SECONDS)[1]["node"] == "n2"
    line.close()
    assert at_first.get(timeout=SECONDS)[1] is None
    port = json.loads((tmp_path / "7.json").read_text())["port"]
    for again in (between.said, b"\0" * 4096):
        with socket.create_connection(("127.0.0.1", port), SECONDS) as stranger:
            stranger.settimeout(SECONDS)
            stranger.sendall(again)
            with contextlib.suppress(ConnectionError):
                while stranger.recv(4096):  # until he is turned away
                    pass
    _reach(tmp_path / "7.json")[0].say("hello", node="n3")
    assert at_first.get(timeout=SECONDS)[1]["node"] == "n3"


def test_who_passes_messages_on_cannot_add_one(first, tmp_path):
    _, at_first = first
    between = Between(tmp_path / "7.json", tmp_path / "8.json")
    line, at_second = _reach(tmp_path / "8.json")
    line.say("hello", node="n2")
    back, _ = at_first.get(timeout=SECONDS)
    back.say("ray", address="right")
    assert at_second.get(timeout=SECONDS)[1]["address"] == "right"
    seal = between.said[-200:].split(b"\n")[-2].split(b" ")[0]  # of the other end's own message
    between.to_second[0].sendall(seal + b' {"kind": "ray", "address": "mine"}\n')
    assert at_second.get(timeout=SECONDS) == (line, None)
