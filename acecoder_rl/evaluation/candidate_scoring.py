"""A reward model's score for each candidate, each written down as it comes.

Covers: a local reward model, a served one, any scorer; equal completions of a problem are scored once.
Does not cover: what is made of the scores (best_of_n.py), the models (reward_model/).
What it promises: a finite score for each candidate, or an error; a kill loses the batch that was being computed.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from acecoder_rl.evaluation.candidates import Candidates
from acecoder_rl.evaluation.ledger import Ledger
from acecoder_rl.records import InputError
from acecoder_rl.reward_model.client import RewardClient, RewardModelError, first_test

BATCH_CHARACTERS = 24_000  # handed to a local scorer at once: about one batch of its own
IN_FLIGHT = 64  # calls to an endpoint at once
OnDone = Callable[[str, int, int], None]
Keep = Callable[..., None]  # (item, score, flags)


class ScoreError(RuntimeError):
    """The reward model gave no usable score."""


class Scorer(Protocol):
    """Scores pairs; acecoder_rl.reward_model.scoring.RewardScorer is one."""

    def score(self, pairs: Sequence[tuple[Any, ...]]) -> list[float]:
        """One finite number for each (question, completion, first test or None), in order; higher is better."""
        ...


@dataclass(frozen=True)
class _Item:
    """A text to score, for all candidates of the problem that are that text."""

    id: str
    pair: tuple[str, str, str | None]
    samples: tuple[int, ...]

    @property
    def length(self) -> int:
        return len(self.pair[0]) + len(self.pair[1])


def score_candidates(
    found: Sequence[Candidates],
    scores: Ledger,
    *,
    scorer: Scorer | None = None,
    reward_model: str | None = None,
    endpoint: str | None = None,
    format: str = "raw",
    max_tokens: int = 4096,
    on_done: OnDone | None = None,
) -> None:
    """Add a row with `score` and `flags` to the ledger for each candidate that has none.

    Args:
        scorer, reward_model, endpoint: who scores; the first that is given.
        format: of the reward model's prompt; acecode shows the first test, where there is one.
        max_tokens: of question and completion for `reward_model`; what does not fit is flagged (`Encoder`).

    Raises:
        InputError: the reward model cannot be loaded, or the endpoint is none.
        ScoreError: a score is not finite, or the endpoint gave none.
    """
    todo = _todo(found, scores, format)
    if not todo:
        return
    done = 0

    def keep(item: _Item, score: float, flags: Sequence[str] = ()) -> None:
        nonlocal done
        if isinstance(score, bool) or not isinstance(score, int | float) or not math.isfinite(score):
            raise ScoreError(
                f"the reward model scored candidate {item.samples[0]} of problem {item.id} {score!r}: nothing can be "
                "ranked by that; see whether its weights are whole"
            )
        for sample in item.samples:
            scores.add(item.id, sample, score=float(score), flags=list(flags))
        done += 1
        if on_done is not None:
            on_done("scores", done, len(todo))

    if scorer is not None:
        _local(scorer, todo, keep)
    elif reward_model is not None:
        _loaded(reward_model, format, max_tokens, todo, keep)
    else:
        assert endpoint is not None
        _served(endpoint, format, todo, keep)


def _todo(found: Sequence[Candidates], scores: Ledger, format: str) -> list[_Item]:
    todo = []
    for each in found:
        same: dict[str, list[int]] = {}
        for sample, completion in enumerate(each.completions):
            same.setdefault(completion.text, []).append(sample)
        shown = first_test(each.problem) if format == "acecode" and each.problem is not None else None
        for text, samples in same.items():
            missing = [sample for sample in samples if (each.id, sample) not in scores.rows]
            if missing and len(missing) < len(samples):  # killed between two rows of one text
                before = next(scores.rows[each.id, at] for at in samples if at not in missing)
                for sample in missing:
                    scores.add(each.id, sample, score=before["score"], flags=before["flags"])
            elif missing:
                todo.append(_Item(each.id, (each.question, text, shown), tuple(samples)))
    return todo


def _local(scorer: Scorer, todo: list[_Item], keep: Keep) -> None:
    for batch in _batches(todo):
        for item, score in zip(batch, scorer.score([item.pair for item in batch]), strict=True):
            keep(item, score)


def _loaded(reward_model: str, format: str, max_tokens: int, todo: list[_Item], keep: Keep) -> None:
    from acecoder_rl.reward_model import scoring
    from acecoder_rl.reward_model.checkpoint import HeadError

    try:
        scorer = scoring.RewardScorer(reward_model, format=format, max_tokens=max_tokens)
    except (HeadError, ValueError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"the reward model {reward_model} does not load: {reason}") from error
    try:
        for batch in _batches(todo):
            for item, scored in zip(batch, scorer.scored([item.pair for item in batch]), strict=True):
                keep(item, scored.value, scored.flags)
    except scoring.ScoreError as error:
        raise ScoreError(f"{reward_model}: {error}") from error


def _batches(todo: list[_Item]) -> Iterator[list[_Item]]:
    """Of like length, the longest first: where memory does not suffice, that is told at once."""
    batch: list[_Item] = []
    size = 0
    for item in sorted(todo, key=lambda item: -item.length):
        if batch and size + item.length > BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += item.length
    yield batch


def _served(endpoint: str, format: str, todo: list[_Item], keep: Keep) -> None:
    try:
        client = RewardClient(endpoint, format=format, in_flight=IN_FLIGHT)
    except ValueError as error:
        raise InputError(str(error)) from None

    async def one(item: _Item) -> None:
        # One a call: the server batches, and each score is written down as soon as it is there.
        pair = item.pair[:2] if item.pair[2] is None else item.pair
        (score,) = await client.scores([pair])
        keep(item, score)

    async def run() -> None:
        tasks = [asyncio.ensure_future(one(item)) for item in todo]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    try:
        asyncio.run(run())
    except RewardModelError as error:
        raise ScoreError(str(error)) from error
