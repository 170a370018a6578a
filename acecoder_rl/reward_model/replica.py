"""One replica of a served reward model: its scorer, and what it answers.

Covers: `Served` (what a replica is told), `Replica`: `/score`, `/get_reward`, `/health`, `/metrics` over HTTP, and
    `score` for handles; the token, the caps.
Does not cover: deploying it (serve.py), bodies (bodies.py), joining requests (microbatch.py).
"""

from __future__ import annotations

import asyncio
import hmac
import json
import math
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from acecoder_rl.reward_model.bodies import (
    MAX_BYTES,
    BadRequest,
    Pair,
    Scored,
    check_format,
    checked_pairs,
    get_reward_answer,
    read_get_reward,
    read_score,
    score_answer,
)
from acecoder_rl.reward_model.microbatch import Batcher, QueueFull
from acecoder_rl.reward_model.serve_metrics import Figures, exposition

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

SHARED = b"acecoder_rl.rm"  # where replicas leave their figures for each other, in Ray's key-value store
SHARE_SECONDS = 1.0
GONE_SECONDS = 30.0  # figures older than this are a dead replica's


@dataclass(frozen=True, kw_only=True)
class Served:
    """What a replica serves.

    Attributes:
        model: folder or Hub id of the reward model.
        format: "raw" or "acecode".
        replicas, gpus_per_replica: how it was deployed.
        threads: of torch, on CPUs; None for the cores we may use, divided among the replicas.
        max_tokens, batch_tokens: RewardScorer's; None for its defaults.
        dtype: "float32", "bfloat16", ...; None for RewardScorer's choice.
        token: that HTTP clients must show; None for none.
        load: makes the scorer; for tests and other models. None for RewardScorer.
    """

    model: str
    format: str = "raw"
    replicas: int = 1
    gpus_per_replica: float = 0.0
    threads: int | None = None
    max_tokens: int | None = None
    batch_tokens: int | None = None
    dtype: str | None = None
    token: str | None = field(default=None, repr=False)
    load: Callable[[Served], Any] | None = None

    def __post_init__(self) -> None:
        if self.format not in ("raw", "acecode"):
            raise ValueError(f"format is {self.format!r}: give 'raw' or 'acecode'")
        if self.replicas < 1 or self.gpus_per_replica < 0:
            raise ValueError(
                f"replicas is {self.replicas}, gpus_per_replica {self.gpus_per_replica}: give 1 or more, 0 or more"
            )


def load_scorer(served: Served) -> Any:
    """A RewardScorer as `served` says."""
    import torch

    from acecoder_rl.reward_model.scoring import RewardScorer
    from acecoder_rl.sandbox.granted import granted_cores

    if served.gpus_per_replica == 0:
        torch.set_num_threads(served.threads or max(1, int(granted_cores()) // served.replicas))
    given: dict[str, Any] = {"max_tokens": served.max_tokens, "batch_tokens": served.batch_tokens}
    if served.dtype is not None:
        given["dtype"] = getattr(torch, served.dtype)
    # Without GPUs of its own a replica must not take those it may see; with them, all that Ray gave it.
    given["device"] = None if served.gpus_per_replica else "cpu"
    chosen = {name: value for name, value in given.items() if value is not None}
    return RewardScorer(served.model, format=served.format, **chosen)


class Replica:
    """A Serve deployment; loading the model in the constructor makes it ready only then."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.figures = Figures()
        self.name = uuid.uuid4().hex[:8]
        self.scorer = (served.load or load_scorer)(served)
        self.batcher = Batcher(self._scored, self.figures)
        self._sharing: asyncio.Task[None] | None = None

    async def score(self, pairs: Sequence[Any], format: str | None = None) -> list[float]:
        """Scores for a Ray handle.

        Raises:
            BadRequest: malformed pairs, or another format than this server's.
            QueueFull: too much waits.
        """
        self._share()
        check_format(format, self.served.format)
        return [one.value for one in await self._score("handle", checked_pairs(pairs))]

    async def __call__(self, request: Request) -> Response:
        """An HTTP request."""
        from starlette.responses import JSONResponse, PlainTextResponse, Response

        self._share()
        begun, path = time.perf_counter(), request.url.path
        headers: dict[str, str] = {}
        try:
            answer = await self._answer(request, path)
            status = 200
        except BadRequest as error:
            status, answer = error.status, {"error": str(error)}
            headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
        except QueueFull as error:
            status, answer, headers = 429, {"error": str(error)}, {"Retry-After": "1"}
        except Exception as error:
            status, answer = 500, {"error": f"{type(error).__name__}: {error}"}
        known = path if path in _ROUTES else "other"
        self.figures.requests[f"{known} {status}"] += 1
        self.figures.request_seconds += time.perf_counter() - begun
        if isinstance(answer, str):
            return PlainTextResponse(answer, status, media_type="text/plain; version=0.0.4")
        if status != 200:
            return JSONResponse(answer, status, headers=headers)
        return Response(json.dumps(answer, allow_nan=False), media_type="application/json")

    async def _answer(self, request: Request, path: str) -> dict[str, Any] | str:
        method = _ROUTES.get(path)
        if method is None:
            raise BadRequest(404, f"{path} is not known: {', '.join(_ROUTES)} are")
        if request.method != method:
            raise BadRequest(405, f"{path} takes {method}, not {request.method}")
        trusted = self._trusted(request.headers.get("authorization", ""))
        if path == "/health":
            return self._health() if trusted else {"status": "ok"}
        if not trusted:
            raise BadRequest(401, "the token is missing or wrong: send the header 'Authorization: Bearer TOKEN'")
        if path == "/metrics":
            return await self._metrics()
        body = await _body(request)
        if path == "/score":
            return score_answer(await self._score(path, read_score(body, self.served.format)), self.served.format)
        return get_reward_answer(await self._score(path, read_get_reward(body)))

    async def _score(self, path: str, pairs: list[Pair]) -> list[Scored]:
        scored = await self.batcher.score(pairs)
        if path == "handle":
            self.figures.requests["handle 200"] += 1
        for one in scored:
            self.figures.flags.update(one.flags)
        return scored

    def _scored(self, pairs: list[Pair]) -> list[Scored]:
        scored = self.scorer.scored(pairs)
        for one in scored:
            if not math.isfinite(one.value):  # JSON has no word for it
                raise RuntimeError(f"the model gave the score {one.value}: the weights or the dtype are at fault")
        return scored

    def _trusted(self, header: str) -> bool:
        if self.served.token is None:
            return True
        return hmac.compare_digest(header.encode(), f"Bearer {self.served.token}".encode())

    def _health(self) -> dict[str, Any]:
        model = getattr(self.scorer, "model", None)
        return {
            "status": "ok",
            "model": self.served.model,
            "format": self.served.format,
            "dtype": str(getattr(model, "dtype", "")).removeprefix("torch."),
            "device": str(getattr(model, "device", "")),
            "replicas": self.served.replicas,
            "replica": self.name,
        }

    async def _metrics(self) -> str:
        if self.served.replicas == 1:
            return exposition({self.name: self._now()})
        await asyncio.to_thread(self._put)
        return exposition(await asyncio.to_thread(_shared))

    def _now(self) -> dict[str, Any]:
        self.figures.queued = self.batcher.queued
        return self.figures.to_dict()

    def _share(self) -> None:
        """With several replicas, any of them may be asked for the figures of all."""
        if self.served.replicas > 1 and self._sharing is None:
            self._sharing = asyncio.create_task(self._keep_sharing())

    async def _keep_sharing(self) -> None:
        while True:
            await asyncio.to_thread(self._put)
            await asyncio.sleep(SHARE_SECONDS)

    def _put(self) -> None:
        from ray.experimental.internal_kv import _internal_kv_put

        told = json.dumps({"time": time.time(), "figures": self._now()})
        _internal_kv_put(self.name.encode(), told.encode(), overwrite=True, namespace=SHARED)


def _shared() -> dict[str, dict[str, Any]]:
    from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_list

    found = {}
    for name in sorted(_internal_kv_list(b"", namespace=SHARED)):
        told = json.loads(_internal_kv_get(name, namespace=SHARED) or b'{"time": 0}')
        if time.time() - told["time"] < GONE_SECONDS:
            found[name.decode()] = told["figures"]
    return found


_ROUTES = {"/score": "POST", "/get_reward": "POST", "/health": "GET", "/metrics": "GET"}


async def _body(request: Request) -> bytes:
    """The body, unless it is too large: then no more of it is read than the cap."""
    told = f"the body is larger than {MAX_BYTES} bytes: send fewer items at once"
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > MAX_BYTES:
        raise BadRequest(413, told)
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MAX_BYTES:
            raise BadRequest(413, told)
        parts.append(part)
    return b"".join(parts)
