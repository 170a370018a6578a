"""A local server that speaks OpenAI's chat completions, and fails in every way that real ones do."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from unittest.mock import patch

from tests.servers import Server


@dataclass(frozen=True)
class Reply:
    """What the server sends.

    Attributes:
        body: JSON, or a text as it stands.
        hang: it sends nothing before the test is over.
        wait: seconds before it sends.
        reset: it sends half of the body and resets the connection.
    """

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    hang: bool = False
    wait: float = 0.0
    reset: bool = False


def said(*texts: str | None, finish: str = "stop", tokens: tuple[int, int] | None = (10, 5), **message: Any) -> Reply:
    """Answers, as a model gives them."""
    choices = [
        {"index": index, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
        for index, text in enumerate(texts)
    ]
    usage = {"usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}} if tokens else {}
    return Reply(body={"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": choices} | usage)


def error(status: int, message: str, code: str | None = None, **headers: str) -> Reply:
    """An error in OpenAI's words."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"error": {"message": message, "type": "error", "code": code}}, named)


Script = Callable[[dict[str, Any], int], Reply]


@dataclass
class Fake:
    """The server as a test sees it.

    Attributes:
        url: its endpoint.
        asked: the bodies of all requests, in the order they came.
        headers: theirs.
        peak: requests at once, at most.
        over: set it to have replies that hang or wait sent.
    """

    url: str = ""
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    now: int = 0
    peak: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def prompts(self) -> list[str]:
        """What the users' turns said."""
        return [next(m["content"] for m in body["messages"] if m["role"] == "user") for body in self.asked]


@contextmanager
def endpoint(script: Script) -> Iterator[Fake]:
    """Run a server.

    Args:
        script: from a request's body, and how many came before it, to the reply.
    """
    fake = Fake()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with fake.lock:
                number = len(fake.asked)
                fake.asked.append(body)
                fake.headers.append({name.lower(): value for name, value in self.headers.items()})
                fake.now += 1
                fake.peak = max(fake.peak, fake.now)
            try:
                reply = script(body, number)
                if reply.hang:
                    fake.over.wait(300)
                    return
                fake.over.wait(reply.wait)
            finally:
                with fake.lock:
                    fake.now -= 1
            data = (reply.body if isinstance(reply.body, str) else json.dumps(reply.body)).encode()
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if reply.reset:
                self.wfile.write(data[: len(data) // 2])
                self.wfile.flush()
                # Linger of 0 seconds: the connection is not closed but reset.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                self.connection.close()
            else:
                self.wfile.write(data)

        def log_message(self, *_: object) -> None: ...

        def handle(self) -> None:
            with suppress(OSError, ValueError):
                super().handle()

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        with patch.dict(os.environ, {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}):
            yield fake
    finally:
        fake.over.set()
        server.shutdown()
        thread.join()
        server.server_close()
