"""A real browser without a window, driven through its DevTools protocol.

Covers: finding Chromium, or installing it from Debian where that is allowed; pages, scripts in them with their values.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

START_SECONDS = 240.0
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--mute-audio",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--window-size=1400,900", "--remote-debugging-port=0",
)  # fmt: skip


def chromium() -> str | None:
    """The path of a Chromium; installed from Debian where there is none and root may; None with no way to one."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found or os.geteuid() != 0 or not shutil.which("apt-get"):
        return found
    quiet = ["apt-get", "-o", "DPkg::Lock::Timeout=300"]
    install = [*quiet, "install", "-y", "--no-install-recommends", "chromium"]
    for command in (install, [*quiet, "update"], install):
        try:
            done = subprocess.run(
                command, capture_output=True, timeout=1800, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
            )
        except subprocess.TimeoutExpired:
            break
        if command is install and done.returncode == 0:
            break
    return shutil.which("chromium")


class Browser:
    """One page of a browser."""

    def __init__(self, url: str) -> None:
        self._url = url

    def run(self, *steps: tuple[str, dict[str, Any]]) -> list[Any]:
        """Send DevTools commands one after the other; their results."""
        return asyncio.run(self._run(steps))

    async def _run(self, steps: tuple[tuple[str, dict[str, Any]], ...]) -> list[Any]:
        import aiohttp

        results = []
        async with aiohttp.ClientSession() as session, session.ws_connect(self._url, max_msg_size=0) as socket:
            for number, (method, parameters) in enumerate(steps):
                await socket.send_json({"id": number, "method": method, "params": parameters})
                async with asyncio.timeout(240):
                    while (answer := await socket.receive_json()).get("id") != number:
                        pass
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                results.append(answer["result"])
        return results

    def go(self, url: str) -> None:
        """Begin to load a page."""
        self.run(("Page.navigate", {"url": url}))

    def value(self, script: str) -> Any:
        """What an expression, or a promise, in the page gives."""
        parameters = {"expression": script, "awaitPromise": True, "returnByValue": True}
        (answer,) = self.run(("Runtime.evaluate", parameters))
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:2000])
        return answer["result"].get("value")

    def until(self, script: str, seconds: float = 120) -> Any:
        """The value of an expression once it is true; of objects, only what JSON has of them."""
        end = time.monotonic() + seconds
        # What it asks of may not be there yet.
        guarded = f"(() => {{ try {{ return {script} }} catch {{ return null }} }})()"
        while not (value := self.value(guarded)):
            assert time.monotonic() < end, (
                f"never true within {seconds} s: {script}\n{self.value('document.body.innerText')}"
            )
            time.sleep(0.05)
        return value


@contextmanager
def browser(path: str, profile: Path) -> Iterator[Browser]:
    """A browser with an empty page."""
    command = [path, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        env=os.environ | {"HOME": str(profile)},
    )  # fmt: skip
    try:
        yield Browser(_page(profile, process))
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _page(profile: Path, process: subprocess.Popen[bytes]) -> str:
    import httpx

    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        assert process.poll() is None, f"chromium ended with status {process.returncode}"
        port = profile / "DevToolsActivePort"
        if port.exists() and (lines := port.read_text().splitlines()):
            # Not by a proxy that the environment may name.
            with httpx.Client(trust_env=False, timeout=60) as client:
                pages = client.get(f"http://127.0.0.1:{lines[0]}/json/list").json()
            if found := [page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page"]:
                return found[0]
        time.sleep(0.05)
    raise AssertionError(f"chromium did not start within {START_SECONDS:g} s")
