"""Servers that the tests of serving talk to: our replica behind a plain HTTP server, and one that misbehaves."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any

from acecoder_rl.reward_model.replica import Replica, Served
from tests.servers import Server


@dataclass(frozen=True)
class Scored:
    """As scoring.py has it, without torch."""

    value: float
    tokens: int
    flags: tuple[str, ...]


class LengthScorer:
    """A scorer with a known answer: the completion's length. Some completions do what models do on bad days."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def scored(self, pairs: list[tuple[str, str, str | None]]) -> list[Scored]:
        time.sleep(self.seconds)
        if any(completion == "boom" for _, completion, _ in pairs):
            raise RuntimeError("CUDA error: out of memory")
        return [
            Scored(float("nan" if completion == "nan" else len(completion)), 7, () if completion else ("empty",))
            for _, completion, _ in pairs
        ]


def quick(served: Served) -> LengthScorer:
    return LengthScorer()


def slow(served: Served) -> LengthScorer:
    return LengthScorer(0.3)


@contextmanager
def replica(**told: Any) -> Iterator[str]:
    """The URL of a replica behind uvicorn, without Ray."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import Route

    made = Replica(Served(model="a-model", **{"load": quick, **told}))
    methods = ["GET", "POST"]
    app = Starlette(routes=[Route("/{path:path}", made.__call__, methods=methods)])
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


Answer = tuple[int, str, dict[str, str]]


class Scripted:
    """Gives the answers of a script in turn, the last one for ever; keeps what it was asked."""

    def __init__(self, *script: Answer | float) -> None:
        self.script, self.asked = list(script), list[tuple[str, dict[str, str], Any]]()
        self.url = ""
        self.lock = threading.Lock()
        self.now = self.peak = 0  # requests at once

    def enter(self, change: int) -> None:
        with self.lock:
            self.now += change
            self.peak = max(self.peak, self.now)

    def next(self) -> Answer | float:
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


def ok(scores: Any) -> Answer:
    return 200, json.dumps({"scores": scores}), {}


@contextmanager
def scripted(*script: Answer | float) -> Iterator[Scripted]:
    """A server that answers by a script; a number is seconds that it keeps the caller waiting."""
    told = Scripted(*script)
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.asked.append((self.path, dict(self.headers), json.loads(body)))
            told.enter(1)
            answer = told.next()
            if isinstance(answer, int | float):
                over.wait(answer)
                answer = ok([0.0])
            told.enter(-1)
            status, text, headers = answer
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: object) -> None: ...

        def handle(self) -> None:
            with suppress(BrokenPipeError, ConnectionResetError):
                super().handle()

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield told
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()
