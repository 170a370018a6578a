"""What an endpoint's reply means: answers, try again, slow down, not this request, or nothing will come from there.

Covers: the replies of OpenAI, vLLM and their kin; replies that are none.
Does not cover: what is done about it (endpoint.py).
Hostile input: any bytes of any server are one of these.
"""

from __future__ import annotations

import email.utils
import json
import math
import re
import time
from collections.abc import Mapping
from typing import Any

from acecoder_rl.synthesis.models import Answer, AskStopped, Endpoint, FailedReason

SHOWN = 300  # characters of a server's reply in a message
_TRY_AGAIN = (408, 409, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529)
_TOO_LONG = re.compile(
    r"context.{0,10}length|maximum context|context window|max_model_len|too long|too many tokens|longer than", re.I
)
# OpenAI's words for a request that alone is more than it gives in a minute: it would wait for ever.
_NEVER = re.compile(r"request too large\b.{0,200}\bper (?:min|day)", re.I | re.S)
_FILTER = re.compile(r"content.?(filter|policy|management)", re.I)
_STRUCTURE = re.compile(r"response_format|json_schema|json_object|structured|guided|schema", re.I)


class EndpointDown(AskStopped):
    """The endpoint answers nobody; the message has its own words."""


class Again(Exception):
    """Another try may do.

    Attributes:
        reason: of the failure if none does.
        paid: whether the server may charge this one.
    """

    def __init__(self, told: str, reason: FailedReason = "server_failed", paid: bool = False) -> None:
        super().__init__(told)
        self.reason: FailedReason = reason
        self.paid = paid


class SlowDown(Exception):
    """Everybody is to wait; `seconds` where the server said how long."""

    def __init__(self, told: str, seconds: float | None) -> None:
        super().__init__(told)
        self.seconds = seconds


class Refused(Exception):
    """This request would get the same another time."""

    def __init__(self, told: str, reason: FailedReason) -> None:
        super().__init__(told)
        self.reason: FailedReason = reason


def of_status(model: Endpoint, status: int, headers: Mapping[str, str], body: str, structured: bool) -> Exception:
    """What a reply that is an error means.

    Args:
        body: of the reply.
        structured: whether the request had a response_format.

    Returns:
        One of the above, to be raised.
    """
    told = f"status {status}: {cut(body)}"
    code = _code(body)
    if status == 429 and code == "insufficient_quota":
        return down(model, told, "is the account in credit?")
    if status == 429 and _NEVER.search(body):
        return Refused(told, "too_long")
    wait = retry_after(headers)
    if status == 429 or (status == 503 and wait is not None):
        return SlowDown(told, wait)
    if status in _TRY_AGAIN or status >= 500:
        return Again(told)
    if status in (401, 402, 403):
        variable = f"the key in {model.api_key_env}" if model.api_key_env else "api_key_env, which is not set"
        return down(model, told, f"check {variable}.")
    if status == 404:
        return down(model, told, f"is there a model {model.model!r}, and does the URL end in /v1, as most do?")
    if _FILTER.search(code) or (status == 400 and _FILTER.search(body)):
        return Refused(told, "content_filter")
    if status == 413 or _TOO_LONG.search(code) or _TOO_LONG.search(body):
        return Refused(told, "too_long")
    if structured and status in (400, 422) and _STRUCTURE.search(body):
        return down(
            model, told, f"it seems not to know structured: {model.structured}: give another (json_object, none)."
        )
    return Refused(told, "refused")


def answers_of(model: Endpoint, body: bytes, asked: int, most_in: int, prefix: str) -> list[Answer]:
    """The answers in a reply; at most as many as were asked for, at least one.

    Args:
        most_in: tokens of the prompt, at most; used where the reply does not say.
        prefix: that the answers continue.

    Raises:
        Again: the reply is no chat completion.
    """
    try:
        data = json.loads(body)
        choices = sorted(data["choices"], key=lambda choice: choice.get("index") or 0)[:asked]
        said = [_said(choice) for choice in choices]
        usage = data.get("usage") or {}
        tokens_in, tokens_out = usage.get("prompt_tokens"), usage.get("completion_tokens")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        said = []
    if not said:
        raise Again(f"its reply is no chat completion: {cut(body.decode(errors='replace'))}", paid=True)
    if not _is_count(tokens_in):
        tokens_in = most_in
    if not _is_count(tokens_out):
        tokens_out = sum(len(text.encode(errors="replace")) for text, _ in said)
    answers = []
    for number, (text, finish) in enumerate(said):
        share = tokens_out // len(said) + (number < tokens_out % len(said))
        first = tokens_in if number == 0 else 0
        text = text if finish == "refusal" else prefix + text
        answers.append(Answer(text, finish, first, share, cost_of(model, first, share)))
    return answers


def cost_of(model: Endpoint, tokens_in: int, tokens_out: int) -> float:
    """USD."""
    return (tokens_in * (model.price_in or 0.0) + tokens_out * (model.price_out or 0.0)) / 1e6


def down(model: Endpoint, told: str, mend: str) -> EndpointDown:
    """The error of an endpoint that answers nobody."""
    return EndpointDown(
        f"{model.endpoint} (model {model.model}): {told}: {mend} Answers so far are kept: run the same again to go on"
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a reply asks to wait, by `retry-after-ms` or `Retry-After` (seconds or a date)."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        text = headers.get(name)
        if text is None:
            continue
        try:
            seconds = float(text) * unit
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(text).timestamp() - time.time()
            except (ValueError, TypeError, OverflowError):
                continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None


def cut(text: str) -> str:
    """A server's words, in one short line."""
    text = " ".join(text[: 4 * SHOWN].split())
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def _said(choice: dict[str, Any]) -> tuple[str, str]:
    message = choice["message"]
    text, finish = message.get("content"), choice.get("finish_reason")
    if text is None and isinstance(message.get("refusal"), str):
        return message["refusal"], "refusal"
    if not isinstance(text, str | None) or not isinstance(finish, str | None):
        raise TypeError
    return text or "", finish or "stop"


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _code(body: str) -> str:
    try:
        error = json.loads(body)["error"]
        return str(error.get("code") or error.get("type") or "")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ""
