"""One request to an OpenAI-compatible endpoint, by the client library of OpenAI.

Covers: the fields of a request, the most that its prompt may cost, sending it once, what becomes of errors.
Does not cover: further tries (endpoint.py).
"""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from typing import Any, Self

from acecoder_rl.records import InputError
from acecoder_rl.synthesis.endpoint_replies import Again, answers_of, cut, of_status
from acecoder_rl.synthesis.models import Answer, Endpoint, Request

CONNECT_SECONDS = 10.0
_OVERHEAD = 64  # tokens that a chat template may add to a message


def decides(model: Endpoint, request: Request) -> dict[str, Any]:
    """All that decides an answer, but its index. Not where the endpoint is: it may move."""
    structured = model.structured if request.json_schema else "none"
    return {
        "model": model.model,
        "messages": request.messages,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_tokens": request.max_tokens,
        # Also where no seed is sent: another one asks for other answers.
        "seed": request.seed if model.seeds or request.seed else None,
        "structured": structured,
        "schema": request.json_schema if structured == "json_schema" else None,
        "prefix": _prefix(model, request) or None,
        "extra": model.extra,
    }


def most_tokens_in(request: Request) -> int:
    """Tokens of the prompt, the answer's first words included, at most: each is one byte at least."""
    texts = [request.messages, request.json_schema, request.assistant_prefix]
    return len(json.dumps(texts, ensure_ascii=False).encode(errors="replace")) + _OVERHEAD * (2 + len(request.messages))


def probe(request: Request) -> Request:
    """The same, settings and all, with a few words: to see whether an endpoint that fails on it answers at all."""
    words = {"role": "user", "content": "Answer with one word: ready"}
    system = [message for message in request.messages if message["role"] == "system"]
    return replace(request, messages=[*system, words])


class Sender:
    """The connections to an endpoint, in a running event loop."""

    def __init__(self, model: Endpoint, key: str) -> None:
        """Raises InputError where the client library is not installed."""
        try:
            import openai
        except ModuleNotFoundError as error:
            raise InputError(
                f"asking an endpoint needs {error.name}, which is not installed: pip install openai"
            ) from None
        self.model, self._openai = model, openai
        # The library's own HTTP client.
        self._http = importlib.import_module("httpx" if int(openai.__version__.partition(".")[0]) < 3 else "httpx2")
        try:
            self._client = openai.AsyncOpenAI(
                base_url=model.endpoint,
                api_key=key,
                max_retries=0,  # they are endpoint.py's: each try is counted by the budget
                timeout=openai.Timeout(None, connect=CONNECT_SECONDS),
            )
        except self._http.InvalidURL as error:
            raise InputError(f"endpoint is {model.endpoint!r}, which is no URL ({error})") from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._client.close()

    async def send(self, request: Request, first: int, number: int) -> list[Answer]:
        """Ask once.

        Args:
            first: index of the first answer that is asked for; it decides the seed.
            number: of answers.

        Raises:
            Again, SlowDown, Refused, EndpointDown: see endpoint_replies.py.
        """
        fields = self._fields(request, first, number)
        try:
            # Not `chat.completions.create`: that would read the reply as what it should be, whatever it is.
            reply = await self._client.post("/chat/completions", cast_to=self._http.Response, body=fields)
        except self._openai.APIStatusError as error:
            response = error.response
            raise of_status(
                self.model, response.status_code, response.headers, response.text, "response_format" in fields
            ) from None
        except self._openai.APIConnectionError as error:
            cause = error.__cause__ or error
            # Without a connection nothing was sent.
            paid = not type(cause).__name__.startswith("Connect")
            raise Again(f"{type(cause).__name__}: {cut(str(cause))}", paid=paid) from None
        except self._openai.OpenAIError as error:
            raise Again(f"{type(error).__name__}: {cut(str(error))}", paid=True) from None
        return answers_of(self.model, reply.content, number, most_tokens_in(request), _prefix(self.model, request))

    def _fields(self, request: Request, first: int, number: int) -> dict[str, Any]:
        model = self.model
        messages = [{name: _utf8(text) for name, text in message.items()} for message in request.messages]
        if prefix := _prefix(model, request):
            messages.append({"role": "assistant", "content": prefix})
        fields: dict[str, Any] = {
            "model": model.model,
            "messages": messages,
            "temperature": request.temperature,
            "top_p": request.top_p,
            model.max_tokens_name: request.max_tokens,
        }
        if model.seeds:
            fields["seed"] = request.seed_of(first)
        if number > 1:
            fields["n"] = number
        if request.json_schema and model.structured == "json_schema":
            told = {"name": "answer", "strict": True, "schema": request.json_schema}
            fields["response_format"] = {"type": "json_schema", "json_schema": told}
        elif request.json_schema and model.structured == "json_object":
            fields["response_format"] = {"type": "json_object"}
        if prefix:
            fields |= {"continue_final_message": True, "add_generation_prompt": False}
        return {name: value for name, value in (fields | model.extra).items() if value is not None}


def _prefix(model: Endpoint, request: Request) -> str:
    return request.assistant_prefix or "" if model.continue_prefix else ""


def _utf8(text: str) -> str:
    """Half a character, which JSON can hold and UTF-8 cannot, becomes a question mark."""
    return text.encode(errors="replace").decode()
