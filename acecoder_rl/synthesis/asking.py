"""From requests to answers: the cache first, then whoever answers; the same request is asked once.

Covers: which answers are missing, putting new ones into the cache as they come, answers that are failures.
Does not cover: endpoints (endpoint.py) and engines (engine.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from acecoder_rl.synthesis.answers import Answers, key_of
from acecoder_rl.synthesis.budget import Budget
from acecoder_rl.synthesis.models import Answer, Endpoint, Engine, Failed, OnAnswer, Request

Said = Answer | Failed


@dataclass
class Job:
    """What is missing of a request.

    Attributes:
        request: the request.
        indices: the answers that are missing, of `request.n`.
        keys: of these answers in the cache.
    """

    request: Request
    indices: list[int] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)


# Called once for each missing answer, with its index.
Done = Callable[[Job, int, Said], None]


def ask(
    model: Endpoint | Engine, requests: Sequence[Request], cache: Answers, budget: Budget, on_answer: OnAnswer
) -> list[list[Said]]:
    """See models.ask."""
    from acecoder_rl.synthesis import endpoint, engine

    run: Any = endpoint.run if isinstance(model, Endpoint) else engine.run
    name = model.model if isinstance(model, Endpoint) else model.path
    said: list[list[Said | None]] = [[None] * request.n for request in requests]
    places: dict[bytes, list[tuple[int, int]]] = {}
    jobs: list[Job] = []

    def place(key: bytes, answer: Said) -> None:
        told = _as_failure(answer)
        for row, index in places.pop(key):
            said[row][index] = told
            on_answer(told)

    for row, request in enumerate(requests):
        same = decides(model, request)
        job = Job(request)
        for index in range(request.n):
            key = key_of({**same, "index": index})
            if key in places:
                places[key].append((row, index))
                continue
            places[key] = [(row, index)]
            if (known := cache.get(key)) is not None:
                place(key, known)
            else:
                job.indices.append(index)
                job.keys.append(key)
        if job.indices:
            jobs.append(job)

    def done(job: Job, index: int, answer: Said) -> None:
        key = job.keys[job.indices.index(index)]
        if isinstance(answer, Answer):
            cache.put(key, answer, name)
        place(key, answer)

    if jobs:
        run(model, jobs, done, cache, budget)
    return said  # type: ignore[return-value]  # each has been told


def decides(model: Endpoint | Engine, request: Request) -> dict[str, Any]:
    """All that decides an answer, but its index: models and requests that are alike in it have the same answers."""
    from acecoder_rl.synthesis import endpoint_requests, engine

    if isinstance(model, Endpoint):
        return endpoint_requests.decides(model, request)
    return engine.decides(model, request)


def _as_failure(answer: Said) -> Said:
    """An answer that was paid and is none."""
    if isinstance(answer, Answer) and answer.finish == "content_filter":
        return Failed("content_filter", "the endpoint's filter ended the answer", answer.cost)
    if isinstance(answer, Answer) and answer.finish == "refusal":
        return Failed("refused", answer.text, answer.cost)
    return answer
