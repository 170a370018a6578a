"""One event loop in a thread of its own, for callers that have none.

Covers: waiting for a coroutine, within a limit, from any thread, also from one that runs an event loop itself
    (notebooks).
Does not cover: callers that can await: they await.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def wait_for(coroutine: Coroutine[Any, Any, T], seconds: float | None = None) -> T:
    """Run a coroutine to its end; the calling thread waits.

    Raises:
        TimeoutError: it took longer than `seconds`, even if it blocks the loop; it is cancelled.
    """
    loop = _running()
    future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        return future.result(seconds)
    except TimeoutError:
        if future.done():
            raise
        _leave(loop)
        raise TimeoutError(f"no result within {seconds:g} s") from None
    finally:
        future.cancel()  # also on Ctrl-C: nothing goes on behind the caller's back


def _running() -> asyncio.AbstractEventLoop:
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            threading.Thread(target=_loop.run_forever, name="reward-loop", daemon=True).start()
        return _loop


def _leave(loop: asyncio.AbstractEventLoop) -> None:
    """Something may block the loop: new calls get another, those under way may still end."""
    global _loop
    with _lock:
        if _loop is loop:
            _loop = None


def _after_fork() -> None:
    global _loop, _lock
    _loop, _lock = None, threading.Lock()  # the thread stayed in the parent


os.register_at_fork(after_in_child=_after_fork)
