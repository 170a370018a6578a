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
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

TOKEN_VARIABLE = "ACECODER_RL_RM_TOKEN"
SCHEMES = ("http://", "https://", "ray://", "vllm+http://", "vllm+https://")
RETRIED = (408, 425, 429, 500, 502, 503, 504)
FIRST_WAIT, LONGEST_WAIT = 0.25, 10.0  # seconds between tries: doubled each time
SHOWN = 300  # characters of a server's answer in an error

Pair = tuple[str, str]


class RewardModelError(RuntimeError):
    """No score: the message names the endpoint, what happened last, and the mend."""


class _Again(Exception):
    """This try failed in a way that another may not; `wait` is what the server asked for, in seconds."""

    def __init__(self, told: str, wait: float | None = None) -> None:
        super().__init__(told)
        self.wait = wait


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

    async def score(self, pairs: Sequence[Pair]) -> list[float]:
        """The raw scores of (question, completion) pairs, in order, from any event loop.

        Raises:
            RewardModelError: the server is down, refuses, or answers with what is no score.
        """
        raise NotImplementedError
