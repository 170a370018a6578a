"""Concurrent requests joined into batches, for one scorer that blocks.

Covers: `Batcher`: what waits is scored together, in a thread, so that the event loop stays free; no item waits for
    company: the first starts at once, and what comes meanwhile is the next batch. A batch that fails is scored
    again request by request: only the request to blame gets the error.
Does not cover: token budgets (the scorer splits a batch by its own), HTTP (serve.py).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

# Items in one call of the scorer: it sorts them by length and cuts them by tokens; more would only make those wait
# that come later.
TURN_ITEMS = 256
# Waiting items above which requests are turned away: the client backs off and comes again.
QUEUE_ITEMS = 65_536

Pair = tuple[str, str, str | None]  # question, completion, first test


class QueueFull(RuntimeError):
    """Too much is waiting: come again later."""


class Observer(Protocol):
    """Is told of each batch."""

    def batch(self, items: int, seconds: float) -> None: ...


class _Request:
    """A request's pairs, and what has come of them."""

    def __init__(self, pairs: Sequence[Pair], done: asyncio.Future[list[Any]]) -> None:
        self.pairs, self.done, self.taken = pairs, done, 0
        self.results: list[Any] = []


class Batcher:
    """Scores pairs of many callers in one event loop, batch after batch.

    Args:
        score: a blocking function, pairs -> one result each, in order; called in one
            thread, never twice at once.
        observer: is told of each batch.
    """

    def __init__(self, score: Callable[[list[Pair]], list[Any]], observer: Observer | None = None) -> None:
        self._score, self._observer = score, observer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="score")
        self._waiting: deque[_Request] = deque()
        self._worker: asyncio.Task[None] | None = None
        self.queued = 0  # items that wait

    async def score(self, pairs: Sequence[Pair]) -> list[Any]:
        """The results, in order.

        Raises:
            QueueFull: QUEUE_ITEMS wait already.
            Exception: what the scorer raised for these pairs.
        """
        if not pairs:
            return []
        if self.queued + len(pairs) > QUEUE_ITEMS:
            raise QueueFull(f"{self.queued} items are waiting to be scored: come again later")
        request = _Request(pairs, asyncio.get_running_loop().create_future())
        self._waiting.append(request)
        self.queued += len(pairs)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await request.done

    async def _work(self) -> None:
        while batch := self._take():
            shares = [request.pairs[start:end] for request, start, end in batch]
            pairs = [pair for share in shares for pair in share]
            try:
                results = iter(await self._call(pairs))
            except Exception as error:
                await self._one_by_one(batch, error)
                continue
            for request, start, end in batch:
                request.results += [next(results) for _ in range(end - start)]
                self._finish(request)

    async def _one_by_one(self, batch: list[tuple[_Request, int, int]], error: Exception) -> None:
        for request, start, end in batch:
            try:
                if len(batch) == 1:
                    raise error
                request.results += await self._call(list(request.pairs[start:end]))
                self._finish(request)
            except Exception as own:
                if not request.done.done():
                    request.done.set_exception(own)

    def _finish(self, request: _Request) -> None:
        if len(request.results) == len(request.pairs) and not request.done.done():
            request.done.set_result(request.results)

    def _take(self) -> list[tuple[_Request, int, int]]:
        """The next batch, in the order of arrival; the caller's cancelled or failed requests are dropped."""
        batch: list[tuple[_Request, int, int]] = []
        room = TURN_ITEMS
        while self._waiting and room:
            request = self._waiting[0]
            left = len(request.pairs) - request.taken
            if request.done.done():
                taken, share = left, 0
            else:
                taken = share = min(left, room)
            if share:
                batch.append((request, request.taken, request.taken + share))
            request.taken += taken
            self.queued -= taken
            room -= share
            if request.taken == len(request.pairs):
                self._waiting.popleft()
        return batch

    async def _call(self, pairs: list[Pair]) -> list[Any]:
        begun = time.perf_counter()
        results = await asyncio.get_running_loop().run_in_executor(self._thread, self._score, pairs)
        if len(results) != len(pairs):
            raise RuntimeError(f"the scorer gave {len(results)} results for {len(pairs)} pairs")
        if self._observer is not None:
            self._observer.batch(len(pairs), time.perf_counter() - begun)
        return results
