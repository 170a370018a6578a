"""What the tests of endpoints share: requests of a few words, a model that is the fake server, short waits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acecoder_rl.synthesis import endpoint as asking_endpoint
from acecoder_rl.synthesis.answers import Answers
from acecoder_rl.synthesis.budget import Budget
from acecoder_rl.synthesis.models import Answer, Endpoint, Request, ask
from tests.synthesis.fake_endpoint import Fake, Reply, Script, endpoint, said


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Waits that the server does not ask for are short."""
    monkeypatch.setattr(asking_endpoint, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(asking_endpoint, "LONGEST_WAIT", 0.05)


def words(text: str, **more: Any) -> Request:
    return Request([{"role": "user", "content": text}], **more)


def model(fake: Fake, **more: Any) -> Endpoint:
    return Endpoint(endpoint=fake.url, model="coder", **{"timeout_seconds": 120.0, "retries": 3, **more})


def asked(
    script: Script, requests: list[Request], folder: Path, max_cost: float | None = None, **more: Any
) -> tuple[list[Any], Fake]:
    """The answers' texts, or the failures, and the server."""
    with endpoint(script) as fake, Answers(folder / "answers.sqlite") as answers:
        told = ask(model(fake, **more), requests, answers, Budget(max_cost, answers))
    return [[one.text if isinstance(one, Answer) else one for one in each] for each in told], fake


def echo(body: dict[str, Any], number: int = 0) -> Reply:
    return said(body["messages"][-1]["content"].upper())


def first(*replies: Reply) -> Script:
    """These, then echoes."""
    return lambda body, number: replies[number] if number < len(replies) else echo(body)
