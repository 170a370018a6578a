"""What clients send a served reward model -> pairs to score; and what they get.

Covers: `/score` (ours) and `/get_reward` (OpenRLHF's contract), field by field, with caps.
Does not cover: HTTP (serve.py), joining requests (microbatch.py).
Hostile input: any bytes give pairs or a BadRequest that names the field.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NoReturn, Protocol

from acecoder_rl.cases import ProblemError, shown
from acecoder_rl.problems import Problem
from acecoder_rl.queries import completion_in, question_in
from acecoder_rl.reward_model.client import first_test

MAX_BYTES = 64 * 2**20  # of a body
MAX_ITEMS = 4096  # in a body
FLAGS = ("question_cut", "too_long", "empty", "special_tokens")

Pair = tuple[str, str, str | None]  # question, completion, first test


class BadRequest(ValueError):
    """The client's mistake: an HTTP status, and a message that names the field and the mend."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)  # both, so that it can be pickled
        self.status = status

    def __str__(self) -> str:
        return str(self.args[1])


class Scored(Protocol):
    """As scoring.py has it."""

    value: float
    tokens: int
    flags: Sequence[str]


def read_score(body: bytes, format: str) -> list[Pair]:
    """The pairs of `{"pairs": [[question, completion] or [question, completion, first test], ...], "format": ...}`.

    Args:
        format: this server's; a client that names another is refused, since scores of the two have nothing in common.
    """
    fields = _object(body)
    check_format(fields.get("format"), format)
    return checked_pairs(_list(fields, "pairs"))


def check_format(asked: Any, served: str) -> None:
    """Refuse a client that asks for another prompt format."""
    if asked is not None and asked != served:
        _fail(f"format is {shown(asked)}, but this server scores {served!r}: ask for that, or serve with --format")


def checked_pairs(pairs: Sequence[Any]) -> list[Pair]:
    """Pairs, each completed with its first test or None."""
    checked = []
    for index, pair in enumerate(pairs):
        texts = isinstance(pair, list | tuple) and 2 <= len(pair) <= 3 and all(isinstance(t, str) for t in pair[:2])
        if not texts or not isinstance(pair[2] if len(pair) == 3 else None, str | None):
            _fail(f"pairs[{index}] is {shown(pair)}: give [question, completion] or [question, completion, first test]")
        checked.append((pair[0], pair[1], pair[2] if len(pair) == 3 else None))
    return checked


def read_get_reward(body: bytes) -> list[Pair]:
    """The pairs of OpenRLHF's `{"query": [...], "prompts": [...], "labels": [...]}`.

    The completion is the query without its prompt. The question is the label's, where the label is `Problem.to_label`'s
    (so are all of our recipes'); else the prompt's last user turn, read from ChatML or Llama 3 markup; else the prompt.
    The first test, which only format "acecode" shows, is the label's.
    """
    fields = _object(body)
    queries, prompts = _list(fields, "query"), _list(fields, "prompts")
    labels = fields.get("labels")
    if labels is None:
        labels = [None] * len(queries)
    elif not isinstance(labels, list):
        _fail(f"labels is {shown(labels)}: give a list, one label a query, or leave it out")
    for name, given in (("prompts", prompts), ("labels", labels)):
        if len(given) != len(queries):
            _fail(f"{name} has {len(given)} items, but query has {len(queries)}: give one for each")
    pairs = []
    for index, (query, prompt, label) in enumerate(zip(queries, prompts, labels, strict=True)):
        for name, text in (("query", query), ("prompts", prompt)):
            if not isinstance(text, str):
                _fail(f"{name}[{index}] is {shown(text)}: give a string")
        try:
            completion = completion_in(query, prompt)
        except ValueError as error:
            _fail(f"query[{index}]: {error}")
        problem = _problem(label, index)
        question = problem.question if problem and problem.question else question_in(prompt)
        pairs.append((question, completion, first_test(problem) if problem else None))
    return pairs


def score_answer(scored: Sequence[Scored], format: str) -> dict[str, Any]:
    """What `/score` answers."""
    return {
        "scores": [one.value for one in scored],
        "flags": [list(one.flags) for one in scored],
        "tokens": [one.tokens for one in scored],
        "format": format,
    }


def get_reward_answer(scored: Sequence[Scored]) -> dict[str, Any]:
    """What `/get_reward` answers: OpenRLHF logs `extra_logs`, numbers under the same keys every time."""
    values = [one.value for one in scored]
    logs = {f"rm_{flag}": [float(flag in one.flags) for one in scored] for flag in FLAGS}
    return {
        "rewards": values,
        "scores": values,
        "extra_logs": {"rm_score": values, "rm_tokens": [float(one.tokens) for one in scored], **logs},
    }


def _problem(label: Any, index: int) -> Problem | None:
    """The label's problem; None where the label is of another kind."""
    if not isinstance(label, str) or not label.lstrip().startswith("{"):
        return None
    try:
        row = json.loads(label)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not {"version", "question", "mode"} <= row.keys():
        return None
    try:
        return Problem.from_label(label)
    except ProblemError as error:
        _fail(f"labels[{index}]: {error}")


def _object(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(400, f"the body is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise BadRequest(400, f"the body is {shown(fields)}: give an object")
    return fields


def _list(fields: dict[str, Any], name: str) -> list[Any]:
    value = fields.get(name)
    if not isinstance(value, list):
        _fail(f"{name} is {shown(value) if name in fields else 'missing'}: give a list")
    if len(value) > MAX_ITEMS:
        raise BadRequest(413, f"{name} has {len(value)} items: send at most {MAX_ITEMS} at once")
    return value


def _fail(message: str) -> NoReturn:
    raise BadRequest(422, message)
