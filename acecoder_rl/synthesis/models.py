"""Models to ask, and asking them: what a recipe's `models:` section says, requests, answers, `ask`.

Covers: any OpenAI-compatible endpoint (endpoint.py), a vLLM engine of our own (engine.py); answers that are in the
    cache are never asked for again, and every new one is in it before anything else happens (answers.py).
Does not cover: what is asked (prompts.py) and what the answers mean (answer_text.py, the stages).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from acecoder_rl.training.recipe import Above0, AtLeast0, Positive, Section, Text

if TYPE_CHECKING:
    from acecoder_rl.synthesis.answers import Answers
    from acecoder_rl.synthesis.budget import Budget

Structured = Literal["json_schema", "json_object", "none"]
_LENGTH = "set max_tokens of the stage, or max_tokens_name"
# Fields of a request that no endpoint's `extra` may have, and what there is instead.
OURS = {
    "messages": "they are the stage's",
    "stream": "leave it out: replies are read whole",
    "n": "set samples_per_request",
    "max_tokens": _LENGTH,
    "max_completion_tokens": _LENGTH,
}
STRIDE = 1_000_003  # between the first answers of two seeds; odd, so that no two seeds below 2**31 begin alike


class Endpoint(Section):
    """A model behind an OpenAI-compatible endpoint: OpenAI itself, `vllm serve`, and so on.

    Attributes:
        endpoint: up to the version: "https://api.openai.com/v1", "http://host:8000/v1".
        model: its name there.
        api_key_env: the environment variable with the key; None = no key.
        price_in, price_out: USD for a million tokens of prompts and of answers; 0 = free, None = unknown, which
            `--max-cost` refuses.
        concurrency: requests in flight at once.
        samples_per_request: answers asked for by one request (`n`), where the endpoint has that: the prompt is
            paid once for them.
        structured: how JSON is asked for, where a stage wants it: `response_format` of type "json_schema" or
            "json_object", or by the prompt alone.
        continue_prefix: the first words of an answer are sent as an assistant's turn to be continued (vLLM,
            SGLang); false: they are not sent.
        seeds: whether the endpoint takes a `seed`.
        max_tokens_name: of the field that bounds an answer; newer models of OpenAI want "max_completion_tokens".
        extra: more fields of the request, verbatim; null leaves a field out: `{temperature: null}`. Not those that
            say how much is answered (OURS): what a request may cost is reckoned from them.
        timeout_seconds: of one try, from sending it to its last byte.
        retries: further tries of a request after server errors, time-outs and lost connections. Being told to
            slow down is no failed try.
        patience_seconds: that an endpoint may tell everyone to slow down without answering anything.
    """

    endpoint: Annotated[str, Field(pattern=r"^https?://[^/\s]+")]
    model: Text
    api_key_env: Text | None = None
    price_in: AtLeast0 | None = None
    price_out: AtLeast0 | None = None
    concurrency: Positive = 32
    samples_per_request: Positive = 1
    structured: Structured = "none"
    continue_prefix: bool = False
    seeds: bool = True
    max_tokens_name: Text = "max_tokens"
    extra: dict[str, Any] = Field(default_factory=dict)
    timeout_seconds: Above0 = 300.0
    retries: Annotated[int, Field(ge=0)] = 6
    patience_seconds: Above0 = 900.0

    @field_validator("extra")
    @classmethod
    def _not_ours(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if name in OURS:
                raise ValueError(f"{name!r} is not its own to say: {OURS[name]}")
        if value.get("seed") is not None:  # then a question's answers would be copies of one
            raise ValueError("'seed' is not its own to say: set seed of the stage; each answer has its own")
        return value


class Engine(Section):
    """A model in a vLLM engine that the stage starts itself, in a process of its own.

    Attributes:
        path: folder or Hub id.
        device: "gpu" or "cpu".
        tensor_parallel_size: GPUs of the engine.
        gpu_memory_utilization: None = vLLM's own.
        max_model_len: tokens of prompt and answer; None = the model's own.
        structured: how JSON is forced, where a stage wants it: by the schema, any JSON, or by the prompt alone.
        chat: render with the model's chat template; false for base models: the bare texts.
        threads: on CPU.
        engine: more arguments of `vllm.LLM`, verbatim.
    """

    path: Text
    device: Literal["gpu", "cpu"] = "gpu"
    tensor_parallel_size: Positive = 1
    gpu_memory_utilization: Annotated[float, Field(gt=0, lt=1)] | None = None
    max_model_len: Positive | None = None
    structured: Structured = "none"
    chat: bool = True
    threads: Positive = 2
    engine: dict[str, Any] = Field(default_factory=dict)


def _kind(value: Any) -> str:
    if isinstance(value, Engine) or (isinstance(value, dict) and "path" in value and "endpoint" not in value):
        return "path"
    return "endpoint"


# One of `models:`; told apart by its `endpoint` or `path`, so that an error names the fields of the right one.
Model = Annotated[Annotated[Endpoint, Tag("endpoint")] | Annotated[Engine, Tag("path")], Discriminator(_kind)]


@dataclass(frozen=True)
class Request:
    """Something to ask a model, `n` times.

    Attributes:
        messages: the chat, as OpenAI has it: role and content.
        n: answers wanted.
        temperature, top_p: of the sampling; 0 = greedy.
        max_tokens: of an answer; longer ones end with finish "length".
        seed: of the sampling; other answers have other seeds (`seed_of`).
        json_schema: that the answer should have, where the model can be made to.
        assistant_prefix: what the answer starts with, where the model can be made to; part of the answer's text.
        stop: texts at which an engine may end the answer; they may be in it. Not sent to endpoints.
    """

    messages: list[dict[str, str]]
    n: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 1024
    seed: int = 0
    json_schema: dict[str, Any] | None = None
    assistant_prefix: str | None = None
    stop: tuple[str, ...] = ()

    def seed_of(self, index: int) -> int:
        """Of an answer, below 2**31. With seed 1 all of 16 answers are others than with 0, not 15 of them the same."""
        return (self.seed * STRIDE + index) % 2**31


@dataclass(frozen=True)
class Answer:
    """What a model said.

    Attributes:
        text: with the prefix it was given.
        finish: "stop", "length" or whatever else the model's server says.
        tokens_in, tokens_out: of prompt and answer; the prompt of several answers is counted once, their tokens are
            shared out evenly.
        cost: USD, when it was paid.
    """

    text: str
    finish: str
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0


FailedReason = Literal[
    "too_long",  # prompt and answer do not fit the model
    "content_filter",  # the endpoint's filter
    "refused",  # by the model, or by the endpoint for what is in this request
    "server_failed",  # this request fails for ever, while the endpoint answers others
    "timeout",  # likewise
]


@dataclass(frozen=True)
class Failed:
    """No answer, and asking again would not help.

    Attributes:
        reason: see FailedReason.
        message: as the server told it.
        cost: USD: a filter's answer is paid as well.
    """

    reason: FailedReason
    message: str
    cost: float = 0.0


class AskStopped(RuntimeError):
    """Asking cannot go on; what was answered is in the cache. The message tells why, and how to go on."""


OnAnswer = Callable[[Answer | Failed], None]


def ask(
    model: Endpoint | Engine,
    requests: Sequence[Request],
    cache: Answers,
    budget: Budget,
    on_answer: OnAnswer = lambda answer: None,
) -> list[list[Answer | Failed]]:
    """Ask a model; whatever the cache has is not asked for.

    Args:
        requests: a chunk of them: all of their answers are in memory at once.
        on_answer: told of each answer as it comes, in any order.

    Returns:
        For each request its n answers, in order. Equal requests have equal answers.

    Raises:
        AskStopped: the endpoint or engine is down or refuses everything, or the budget is spent.
        KeyboardInterrupt: after the requests in flight were waited for, for some seconds, as they are paid.
    """
    from acecoder_rl.synthesis import asking

    return asking.ask(model, requests, cache, budget, on_answer)


def release() -> None:
    """End the engine that is kept for the next `ask`, if there is one, and with it its memory."""
    from acecoder_rl.synthesis import engine

    engine.stop()
