"""`acecoder-rl rollouts`: arguments, the port, the browser; the page is in acecoder_rl/rollouts/app.py."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from pathlib import Path
from typing import Annotated

import typer

from acecoder_rl.commands.told import BAD_INPUT, errors_told, fail

EPILOG = """[bold]Examples[/bold]

acecoder-rl rollouts runs/quickstart

acecoder-rl score answers.jsonl --rollouts looked-at && acecoder-rl rollouts looked-at

ssh -L 8111:127.0.0.1:8111 node, and there: acecoder-rl rollouts runs/rule --port 8111 --no-open"""


def rollouts(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="A run's folder, or one that rollouts were logged to.", show_default=False),
    ],
    port: Annotated[int, typer.Option(min=0, max=65535, help="On 127.0.0.1; 0 takes one that is free.")] = 0,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open a browser.")] = False,
) -> None:
    """Look at rollouts: curves, every completion with its tests, groups, suspects; also while a run goes on.

    Served on 127.0.0.1 only, read only. Ctrl-C ends it.
    """
    with errors_told():
        try:
            import uvicorn

            from acecoder_rl.rollouts.app import app
        except ModuleNotFoundError as error:
            fail(f"the page needs {error.name}, which is not installed: pip install starlette uvicorn", BAD_INPUT)
        from acecoder_rl.rollouts.index import Index

        index = Index(folder)
        with socket.socket() as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listening.bind(("127.0.0.1", port))
            except OSError as error:
                fail(f"--port {port} cannot be had: {error.strerror}: give another, or none", BAD_INPUT)
            index.refresh()
            url = f"http://127.0.0.1:{listening.getsockname()[1]}/"
            # Before the server runs, so that whoever reads it can connect: the socket takes connections from here on.
            listening.listen(128)
            print(f"{len(index):,} rollouts: {url}", flush=True)
            if not no_open and any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")):
                import webbrowser

                webbrowser.open(url)
            threading.Thread(target=index.prepare_search, name="rollout-texts", daemon=True).start()
            server = uvicorn.Server(uvicorn.Config(app(index), log_level="warning", access_log=False, lifespan="off"))
            with contextlib.suppress(KeyboardInterrupt):  # how it is meant to end
                server.run(sockets=[listening])
