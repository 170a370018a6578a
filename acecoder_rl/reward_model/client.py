"""What asks a served reward model for scores.

Covers: `RewardClient`: our server (`http://host:port`), an app in the running Ray cluster (`ray://name`), or vLLM's
    `/classify` (`vllm+http://host:port`); thousands of calls in flight, retries with back-off, a deadline.
Does not cover: what the reward function makes of a score (reward_fns/acecode_rm.py), serving (serve.py).
What it promises: a finite score for each pair, or RewardModelError; never 0 for a failure.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from acecoder_rl.problems import Problem
from acecoder_rl.reward_model.formats import encodable, messages
from acecoder_rl.reward_model.microbatch import QueueFull

TOKEN_VARIABLE = "ACECODER_RL_RM_TOKEN"
SCHEMES = ("http://", "https://", "ray://", "vllm+http://", "vllm+https://")
RETRIED = (408, 425, 429, 500, 502, 503, 504)
FIRST_WAIT, LONGEST_WAIT = 0.25, 10.0  # seconds between tries: doubled each time
SHOWN = 300  # characters of a server's answer in an error

Pair = tuple[str, str] | tuple[str, str, str | None]


class RewardModelError(RuntimeError):
    """No score: the message names the endpoint, what happened last, and the mend."""


class _Again(Exception):
    """This try failed in a way that another may not; `wait` is what the server asked for, in seconds."""

    def __init__(self, told: str, wait: float | None = None) -> None:
        super().__init__(told)
        self.wait = wait


class _Refused(Exception):
    """The server's answer would be the same another time."""


@dataclass(frozen=True)
class RewardClient:
    """A served reward model. Picklable; connections are kept per event loop and shared by equal clients.

    Args:
        endpoint: "http://host:port" of `acecoder-rl serve-rm`, "ray://name" of `start_in_ray`, or
            "vllm+http://host:port" of `vllm serve --runner pooling` with a converted checkpoint.
        format: the prompt format that the server must score, "raw" or "acecode". Our server refuses another than
            its own.
        token: of the server; else the environment variable ACECODER_RL_RM_TOKEN of the calling process.
        deadline_seconds: that a call may take once it is sent, retries included.
        retries: further tries after connection errors and the statuses 408, 425, 429 and 5xx.
        in_flight: calls sent at once, per event loop; the others wait for their turn before the deadline begins.
        model: the model's name for vLLM (its --served-model-name); "" where the server has only one.

    Raises:
        ValueError: an argument is wrong.
    """

    endpoint: str
    format: str = "raw"
    token: str | None = field(default=None, repr=False)
    deadline_seconds: float = 120.0
    retries: int = 8
    in_flight: int = 256
    model: str = ""

    def __post_init__(self) -> None:
        scheme = next((s for s in SCHEMES if isinstance(self.endpoint, str) and self.endpoint.startswith(s)), None)
        if scheme is None or not self.endpoint[len(scheme) :].strip("/"):
            raise ValueError(
                f"endpoint is {self.endpoint!r}: give http://host:port, ray://app or vllm+http://host:port"
            )
        if self.format not in ("raw", "acecode"):
            raise ValueError(f"format is {self.format!r}: give 'raw' or 'acecode'")
        if isinstance(self.deadline_seconds, bool) or not isinstance(self.deadline_seconds, int | float):
            raise ValueError(f"deadline_seconds is {self.deadline_seconds!r}: give a number of seconds")
        if not 0 < self.deadline_seconds < math.inf:
            raise ValueError(f"deadline_seconds is {self.deadline_seconds!r}: give more than 0")
        for name, least in (("retries", 0), ("in_flight", 1)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} is {value!r}: give a whole number from {least}")

    async def scores(self, pairs: Sequence[Pair]) -> list[float]:
        """The raw scores, in order; from any event loop.

        Args:
            pairs: (question, completion), or (question, completion, first test), which only "acecode" shows.

        Raises:
            RewardModelError: the server is down, refuses, or answers with what is no score.
        """
        link = _link(self)
        pairs = [tuple(text and encodable(text) for text in pair) for pair in pairs]
        async with link.gate:
            values = await self._tried(lambda: link.ask(pairs))
        return self._checked(values, len(pairs))

    async def _tried(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        loop = asyncio.get_running_loop()
        begun, last = loop.time(), ""
        for number in range(self.retries + 1):
            try:
                async with asyncio.timeout_at(begun + self.deadline_seconds):
                    return await ask()
            except TimeoutError:
                raise self._down(
                    f"no answer within {self.deadline_seconds:g} s" + (last and f"; before: {last}")
                ) from None
            except _Refused as error:
                raise RewardModelError(f"reward model {self.endpoint}: {error}") from error
            except _Again as again:
                last = str(again)
                wait = min(LONGEST_WAIT, FIRST_WAIT * 2**number) * random.uniform(0.8, 1.2)
                wait = wait if again.wait is None else again.wait
            if number == self.retries or loop.time() + wait - begun >= self.deadline_seconds:
                break
            await asyncio.sleep(wait)
        raise self._down(f"{last} ({number + 1} tries in {loop.time() - begun:.1f} s)")

    def _down(self, told: str) -> RewardModelError:
        scheme, _, place = self.endpoint.partition("://")
        mend = {
            "ray": f"does the app {place!r} run in this Ray cluster (start_in_ray, `reward_model:` in a recipe)?",
            "vllm+http": "does `vllm serve --runner pooling` run there?",
            "vllm+https": "does `vllm serve --runner pooling` run there?",
        }.get(scheme, "does `acecoder-rl serve-rm` run there, and does it keep up?")
        return RewardModelError(f"reward model {self.endpoint}: {told}: {mend}")

    def _checked(self, values: Any, expected: int) -> list[float]:
        if not isinstance(values, list) or len(values) != expected:
            raise RewardModelError(
                f"reward model {self.endpoint}: answered {_cut(values)} for {expected} pairs: is it another program?"
            )
        for value in values:
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise RewardModelError(f"reward model {self.endpoint}: gave the score {_cut(value)}: this is no score")
        return [float(value) for value in values]


def first_test(problem: Problem) -> str | None:
    """The test that format "acecode" shows: the problem's first, where it is source code."""
    test = next(iter(problem.tests), None)
    return test.code if test is not None and test.kind == "assert" else None


class _Http:
    """Our own server."""

    def __init__(self, client: RewardClient) -> None:
        import httpx

        self.asked, self.gate = client, asyncio.Semaphore(client.in_flight)
        # The deadline is ours; only a connection that nobody takes is given up sooner, to be tried again.
        timeout = httpx.Timeout(None, connect=10.0)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=client.in_flight)
        # trust_env=False: a proxy for the outside world does not lead to a server in the cluster.
        self.http = httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False)

    async def ask(self, pairs: Sequence[Pair]) -> Any:
        answer = await self.post("/score", {"pairs": [list(pair) for pair in pairs], "format": self.asked.format})
        if not isinstance(answer, dict) or "scores" not in answer:
            raise _Refused(f"answered {_cut(answer)}: is it another program?")
        return answer["scores"]

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        import httpx

        token = self.asked.token or os.environ.get(TOKEN_VARIABLE)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        base = self.asked.endpoint.removeprefix("vllm+").rstrip("/")
        try:
            answer = await self.http.post(base + path, json=body, headers=headers)
        except httpx.TransportError as error:
            raise _Again(f"{type(error).__name__}: {error}") from error
        except httpx.InvalidURL as error:
            raise _Refused(f"is no URL: {error}") from error
        told = f"status {answer.status_code}: {_cut(answer.text)}"
        if answer.status_code in RETRIED:
            raise _Again(told, _seconds(answer.headers.get("Retry-After")))
        if answer.status_code == 401:
            raise _Refused(f"{told} (set token, or {TOKEN_VARIABLE})")
        if answer.status_code != 200:
            raise _Refused(told)
        try:
            return json.loads(answer.content)
        except ValueError as error:
            raise _Refused(f"answered what is not JSON: {_cut(answer.text)}") from error


class _Vllm(_Http):
    """vLLM's `/classify`, one chat a request; vLLM renders the chat by the checkpoint's template."""

    async def ask(self, pairs: Sequence[Pair]) -> Any:
        return list(await asyncio.gather(*(self.one(*pair) for pair in pairs)))

    async def one(self, question: str, completion: str, test: str | None = None) -> Any:
        # vLLM reads special tokens in a text as such: a completion could end its own turn.
        question, completion, test = (text and _SPECIAL.sub(r"< \1", text) for text in (question, completion, test))
        body = {
            "messages": messages(self.asked.format, question, completion, test),
            "use_activation": False,
            "add_special_tokens": False,
        }
        if self.asked.model:
            body["model"] = self.asked.model
        answer = await self.post("/classify", body)
        try:
            (row,) = answer["data"]
            (score,) = row["probs"]
        except (TypeError, KeyError, ValueError) as error:
            raise _Refused(f"answered {_cut(answer)}: is it a converted reward model with one label?") from error
        return score


class _Ray:
    """An app in the Ray cluster that this process belongs to."""

    def __init__(self, client: RewardClient) -> None:
        self.asked, self.gate = client, asyncio.Semaphore(client.in_flight)
        self.name = client.endpoint.removeprefix("ray://").strip("/")
        self.handle: Any = None

    async def ask(self, pairs: Sequence[Pair]) -> Any:
        ray = sys.modules.get("ray")
        if ray is None or not ray.is_initialized():
            raise _Refused("this process has not joined a Ray cluster: ray:// is for actors and drivers of a job")
        from ray import serve
        from ray.serve.exceptions import RayServeException

        try:
            if self.handle is None:
                # It asks the controller, which blocks.
                self.handle = await asyncio.to_thread(serve.get_app_handle, self.name)
            response = self.handle.score.remote([tuple(pair) for pair in pairs], self.asked.format)
            try:
                return await response
            except asyncio.CancelledError:
                response.cancel()
                raise
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, QueueFull):
                raise _Again(str(error.cause)) from error
            # What the scorer raised: the same pairs would raise it again.
            raise _Refused(_cut(error.cause or error)) from error
        except (ray.exceptions.RayError, RayServeException) as error:
            self.handle = None
            raise _Again(f"{type(error).__name__}: {_cut(error)}") from error


_Link = _Http | _Ray
_links: dict[asyncio.AbstractEventLoop, dict[RewardClient, _Link]] = {}
_SPECIAL = re.compile(r"<(\|[\w-]+\|>)")


def _link(client: RewardClient) -> _Link:
    """The connections of a client in the running loop."""
    loop = asyncio.get_running_loop()
    if loop not in _links:
        for other in [other for other in list(_links) if other.is_closed()]:
            _links.pop(other, None)
        _links[loop] = {}
    if client not in _links[loop]:
        kind = _Ray if client.endpoint.startswith("ray://") else _Vllm if client.endpoint.startswith("vllm+") else _Http
        _links[loop][client] = kind(client)
    return _links[loop][client]


def _seconds(text: str | None) -> float | None:
    """What a Retry-After header asks for; None for a date or nonsense."""
    try:
        return max(0.0, float(text)) if text is not None else None
    except ValueError:
        return None


def _cut(value: object) -> str:
    text = value if isinstance(value, str) else str(value) if isinstance(value, Exception) else repr(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."
