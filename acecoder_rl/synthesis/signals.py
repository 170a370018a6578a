"""Ctrl-C and SIGTERM end a run the same way: KeyboardInterrupt in the main thread.

Covers: a shell that started us with SIGINT ignored; which signal it was.
Does not cover: what is cleaned up (whoever is interrupted).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

NUMBERS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Both signals raise KeyboardInterrupt, a second one again; gives the numbers of those that came.

    Python's own handler for SIGINT is put in place, as asyncio knows that one: it cancels tasks instead of breaking
    them off in the middle.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came  # tests and notebooks: whoever owns the main thread handles them
        return

    def terminate(number: int, frame: object) -> None:
        came.append(number)
        handler = signal.getsignal(signal.SIGINT)  # asyncio's, while it runs
        if not callable(handler):
            raise KeyboardInterrupt
        handler(signal.SIGINT, frame)  # type: ignore[arg-type]

    before = {number: signal.getsignal(number) for number in NUMBERS}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, terminate)
    try:
        yield came
    except KeyboardInterrupt:
        came.append(signal.SIGINT)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
