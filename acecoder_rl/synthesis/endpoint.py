"""Asking an OpenAI-compatible endpoint: many requests at once, none lost, none paid twice.

Covers: concurrency, a deadline a try, back-off with jitter, slowing down when told to, the budget, an endpoint that is
    down, Ctrl-C.
Does not cover: what a request and a reply look like (endpoint_requests.py, endpoint_replies.py).
What it promises: a request fails for good only when the endpoint demonstrably answers others: one that was sent after
    the failure, or a few words with the same settings, which are sent to find out. Else asking stops: an outage, or a
    setting that the endpoint does not know, never costs a question.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from acecoder_rl.records import InputError
from acecoder_rl.synthesis.answers import Answers
from acecoder_rl.synthesis.asking import Done, Job
from acecoder_rl.synthesis.budget import Budget
from acecoder_rl.synthesis.endpoint_replies import Again, EndpointDown, Refused, SlowDown, cost_of, down
from acecoder_rl.synthesis.endpoint_requests import Sender, most_tokens_in, probe
from acecoder_rl.synthesis.models import Answer, Endpoint, Failed, Request

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds between tries: doubled each time
DRAIN_SECONDS = 10.0  # that requests in flight get when asking stops: they are paid
IN_DOUBT = 8  # failures that may be the endpoint's, before one finds out
PROBES = 3


def run(model: Endpoint, jobs: list[Job], done: Done, cache: Answers, budget: Budget) -> None:
    """Ask for what is missing; `done` is told each answer as it comes.

    Raises:
        AskStopped, KeyboardInterrupt: see models.ask.
        InputError: the key or the prices are missing.
    """
    key = "none"  # not the client library's default: a key for someone else must not go there
    if model.api_key_env:
        key = os.environ.get(model.api_key_env, "")
        if not key:
            raise InputError(
                f"api_key_env is {model.api_key_env}, but the environment has no such variable: "
                f"export {model.api_key_env}=..."
            )
    if budget.max_cost is not None and (model.price_in is None or model.price_out is None):
        raise InputError(
            f"--max-cost needs prices, and {model.endpoint} (model {model.model}) has none: set its price_in and "
            "price_out (USD for a million tokens; 0 if it is free), or leave --max-cost out"
        )

    async def asking() -> None:
        async with Sender(model, key) as sender:
            await _Asking(model, sender, done, cache, budget).run(jobs)

    asyncio.run(asking())


@dataclass(frozen=True)
class _Doubt:
    """A failure, when it came, and how many answers its last try asked for."""

    job: Job
    left: list[int]
    asked: int
    failed: Failed
    at: float


class _Asking:
    def __init__(self, model: Endpoint, sender: Sender, done: Done, cache: Answers, budget: Budget) -> None:
        self.model, self.sender, self.done, self.cache, self.budget = model, sender, done, cache, budget
        self.now = asyncio.get_running_loop().time
        self.answered = float("-inf")  # when the last request was sent that has been answered
        self.quiet_since = self.now()  # the last answer, or the start
        self.not_before, self.slowed = 0.0, 0
        self.stopping = False
        self.sending: set[asyncio.Task[Any]] = set()
        self.freed, self.probing = asyncio.Event(), asyncio.Lock()
        self.in_doubt: list[_Doubt] = []

    async def run(self, jobs: list[Job]) -> None:
        queue = iter(jobs)
        workers = [asyncio.create_task(self._work(queue)) for _ in range(min(self.model.concurrency, len(jobs)))]
        try:
            await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
            for worker in workers:
                if worker.done():
                    worker.result()
            await self._settle_doubts()
        finally:
            await self._drain(workers)

    async def _drain(self, workers: list[asyncio.Task[None]]) -> None:
        """Nothing more is sent; what is in flight is paid, and gets a while."""
        self.stopping = True
        for worker in workers:
            if worker not in self.sending:
                worker.cancel()
        if self.sending:
            print(
                f"waiting {DRAIN_SECONDS:g} s at most for {len(self.sending)} requests in flight, which may be paid "
                "already; Ctrl-C drops them",
                file=sys.stderr,
            )
            await asyncio.wait(self.sending, timeout=DRAIN_SECONDS)
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, queue: Iterator[Job]) -> None:
        for job in queue:
            await self._answer(job)

    async def _answer(self, job: Job) -> None:
        left, tries = list(job.indices), 0
        while left:
            asked = left[: self.model.samples_per_request]
            try:
                answers = await self._send(job.request, asked)
            except SlowDown as told:
                self._slow_down(told)
            except Refused as refused:
                failed = Failed(refused.reason, str(refused))
                return await self._failed(_Doubt(job, left, len(asked), failed, self.now()))
            except Again as again:
                tries += 1
                if tries > self.model.retries:
                    failed = Failed(again.reason, f"{again} ({tries} tries)")
                    return await self._failed(_Doubt(job, left, len(asked), failed, self.now()))
                await self._sleep(min(LONGEST_WAIT, FIRST_WAIT * 2 ** (tries - 1)) * random.uniform(0.5, 1.5))
            else:
                for index, answer in zip(left, answers, strict=False):
                    self.done(job, index, answer)
                del left[: len(answers)]
                tries = 0

    async def _sleep(self, seconds: float) -> None:
        if self.stopping:  # a worker that was waited for has no more to do
            raise asyncio.CancelledError
        await asyncio.sleep(seconds)

    async def _send(self, request: Request, indices: list[int]) -> list[Answer]:
        """One try, when the endpoint and the budget allow it."""
        await self._sleep(0)
        while (wait := self.not_before - self.now()) > 0:
            # Not all at the same moment, or the same happens again.
            await self._sleep(wait + random.uniform(0, 0.2 * wait))
        most_in = most_tokens_in(request)
        worst = cost_of(self.model, most_in, len(indices) * request.max_tokens)
        while not self.budget.reserve(worst):
            self.freed.clear()
            await self.freed.wait()
        task = asyncio.current_task()
        assert task is not None
        self.sending.add(task)
        sent = self.now()
        paid, unsure = 0.0, worst  # a request that is broken off may be charged
        try:
            async with asyncio.timeout(self.model.timeout_seconds):
                answers = await self.sender.send(request, indices[0], len(indices))
            paid, unsure = sum(answer.cost for answer in answers), 0.0
        except TimeoutError:
            raise Again(f"no answer within {self.model.timeout_seconds:g} s", "timeout", paid=True) from None
        except Again as again:
            unsure = worst if again.paid else 0.0
            raise
        except (Refused, SlowDown, EndpointDown):
            unsure = 0.0
            raise
        finally:
            self.sending.discard(task)
            self.budget.settle(worst, paid, unsure)
            if unsure:
                self.cache.add_unsure(unsure)
            self.freed.set()
        self.answered = max(self.answered, sent)
        self.quiet_since, self.slowed = self.now(), 0
        return answers

    def _slow_down(self, told: SlowDown) -> None:
        now = self.now()
        quiet = now - self.quiet_since
        if now >= self.not_before:  # else it was sent before everybody began to wait
            self.slowed += 1
        wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(self.slowed, 10)) if told.seconds is None else told.seconds
        if quiet + wait > self.model.patience_seconds:
            raise down(
                self.model,
                f"{told}; nothing was answered for {quiet:.0f} s, and one is to wait {wait:.0f} s more",
                "lower concurrency, or raise patience_seconds.",
            )
        self.not_before = max(self.not_before, now + wait)

    async def _failed(self, doubt: _Doubt) -> None:
        self.in_doubt.append(doubt)
        if len(self.in_doubt) >= IN_DOUBT:
            await self._settle_doubts()

    async def _settle_doubts(self) -> None:
        """Failures are the requests' own if the endpoint has answered others that were sent later."""
        async with self.probing:
            while self.in_doubt and not self.stopping:
                doubt = self.in_doubt[0]
                if doubt.at >= self.answered:
                    await self._probe(doubt)
                del self.in_doubt[0]
                for index in doubt.left:
                    self.done(doubt.job, index, doubt.failed)

    async def _probe(self, doubt: _Doubt) -> None:
        tries = 0
        while True:
            try:
                answers = await self._send(probe(doubt.job.request), list(range(doubt.asked)))
                if cost := sum(answer.cost for answer in answers):
                    self.cache.add_unsure(cost)  # it is no answer to keep, but paid
                return
            except SlowDown as slow:
                self._slow_down(slow)
            except (Again, Refused) as told:
                tries += 1
                if tries == PROBES:
                    mend = f"nor does it answer a request of a few words ({told})."
                    raise down(self.model, doubt.failed.message, mend) from None
                await self._sleep(FIRST_WAIT * 2**tries)
