"""The stage that makes exercises: seed code -> a question and the tests that a model imagines for it.

Covers: prompts, the schema of the answer where the model can be held to it, what becomes of each answer.
Does not cover: whether the tests are right, or tests at all (verify.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from acecoder_rl.synthesis.answer_text import parse_imagined
from acecoder_rl.synthesis.models import Failed, OnAnswer, Request, ask
from acecoder_rl.synthesis.prompts import Prompt, load_prompt
from acecoder_rl.synthesis.stages import Chunk, Dropped
from acecoder_rl.training.recipe import Above0To1, AtLeast0, Positive, Section, Text

if TYPE_CHECKING:
    import pyarrow

    from acecoder_rl.synthesis.answers import Answers
    from acecoder_rl.synthesis.budget import Budget
    from acecoder_rl.synthesis.models import Endpoint, Engine

ANSWER_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "question": {"type": "string"},
        "tests": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["question", "tests"],
    "additionalProperties": False,
}
SHOWN = 300  # characters of an answer that is dropped


class ImagineSettings(Section):
    """Questions and tests.

    Attributes:
        model: one of `models`.
        tests: that it is asked to write, about.
        prompt: a text file for seeds that have a question; None = ours
            (acecoder_rl/synthesis/prompts/imagine.txt). {instruction} and {program} stand for the seed's,
            {count} for `tests`.
        prompt_without_question: for the others, without {instruction}.
        system_prompt: None = none.
        temperature, top_p, max_tokens, seed: of the sampling.
    """

    model: Text
    tests: Positive = 20
    prompt: Text | None = None
    prompt_without_question: Text | None = None
    system_prompt: str | None = "You write programming exercises for Python, with tests that decide who solved them."
    temperature: AtLeast0 = 0.7
    top_p: Above0To1 = 1.0
    max_tokens: Positive = 8192
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0


def schema() -> pyarrow.Schema:
    """Of the rows."""
    import pyarrow

    columns = ("id", "source", "question", "tests", "model")
    return pyarrow.schema([(column, pyarrow.string()) for column in columns])


def prompts_of(settings: ImagineSettings) -> tuple[Prompt, Prompt]:
    """The prompts for seeds with a question and for those without; their texts decide the rows as the settings do.

    Raises:
        InputError: a file cannot be read, or its placeholders are not right.
    """
    return (
        load_prompt(settings.prompt, "imagine", ("instruction", "program"), ("count",), "imagine.prompt"),
        load_prompt(
            settings.prompt_without_question,
            "imagine_without_question",
            ("program",),
            ("count",),
            "imagine.prompt_without_question",
        ),
    )


def process(
    rows: list[dict[str, Any]],
    *,
    settings: ImagineSettings,
    models: Mapping[str, Endpoint | Engine],
    answers: Answers,
    budget: Budget,
    on_answer: OnAnswer = lambda answer: None,
    prompts: tuple[Prompt, Prompt] | None = None,
) -> Chunk:
    """Seeds -> questions with tests.

    Args:
        prompts: as `prompts_of` gives them; None = they are read.

    Raises:
        InputError: a prompt file is wrong.
        AskStopped: see models.ask.
    """
    prompts = prompts or prompts_of(settings)
    requests = [_request(row, settings, prompts) for row in rows]
    said = ask(models[settings.model], requests, answers, budget, on_answer)
    chunk = Chunk([])
    counts = {"tests": 0, "tokens_in": 0, "tokens_out": 0}
    for row, (answer,) in zip(rows, said, strict=True):
        chunk.cost += answer.cost
        if isinstance(answer, Failed):
            chunk.dropped.append(Dropped(row["id"], answer.reason, {"message": answer.message}))
            continue
        counts["tokens_in"] += answer.tokens_in
        counts["tokens_out"] += answer.tokens_out
        imagined = parse_imagined(answer.text, cut=answer.finish == "length")
        if imagined.reason:
            detail = {"finish": answer.finish, "answer": answer.text[:SHOWN]}
            chunk.dropped.append(Dropped(row["id"], imagined.reason, detail))
            continue
        counts["tests"] += len(imagined.tests)
        chunk.rows.append(
            {
                "id": row["id"],
                "source": row["source"],
                "question": imagined.question,
                "tests": json.dumps(imagined.tests),
                "model": settings.model,
            }
        )
    chunk.counts = counts
    return chunk


def _request(row: dict[str, Any], settings: ImagineSettings, prompts: tuple[Prompt, Prompt]) -> Request:
    with_question, without = prompts
    values = {"program": row["program"].strip("\n"), "count": str(settings.tests)}
    if (row["instruction"] or "").strip():
        text = with_question.fill(instruction=row["instruction"].strip(), **values)
    else:
        text = without.fill(**values)
    messages = [{"role": "user", "content": text}]
    if settings.system_prompt is not None:
        messages.insert(0, {"role": "system", "content": settings.system_prompt})
    return Request(
        messages,
        temperature=settings.temperature,
        top_p=settings.top_p,
        max_tokens=settings.max_tokens,
        seed=settings.seed,
        json_schema=ANSWER_SCHEMA,
    )
