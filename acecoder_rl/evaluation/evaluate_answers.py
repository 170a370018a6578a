"""Answers to a benchmark's problems: from a model, an endpoint, or a file.

Covers: prompts of base and chat models; answers that are there already are never asked for again (synthesis/models.py);
    files of completions, matched by id.
Does not cover: what program an answer is (benchmarks/prompts.py).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acecoder_rl.evaluation.benchmarks.items import Benchmark, Item
from acecoder_rl.evaluation.ledger import digest, fingerprint
from acecoder_rl.jobs import COMPLETION_FIELDS, JOIN_FIELDS
from acecoder_rl.records import InputError, iter_rows
from acecoder_rl.synthesis.models import Endpoint, Engine, Failed, Request, ask
from acecoder_rl.training import model_path
from acecoder_rl.training.recipe import RecipeError

CHUNK = 512  # answers asked for at once: what is in memory
OnAnswer = Callable[[str, int, int], None]


class AnswersFailed(RuntimeError):
    """An answer could not be had, though others could: it would be wrong to count it as a failure of the model."""


@dataclass(frozen=True)
class Source:
    """Whose answers.

    Attributes:
        name: in tables.
        origin: an engine or endpoint, or a file of completions.
    """

    name: str
    origin: Engine | Endpoint | Path

    def settings(self) -> dict[str, Any]:
        """What a resumed run must share."""
        if isinstance(self.origin, Path):
            return {"model": self.name, "completions": digest(self.origin)}
        if isinstance(self.origin, Endpoint):
            return {"model": self.name, "endpoint": self.origin.endpoint, "endpoint_model": self.origin.model}
        engine = self.origin
        return {
            "model": self.name, "path": engine.path, "weights": fingerprint(engine.path),
            "max_model_len": engine.max_model_len,
        }  # fmt: skip


@dataclass(frozen=True)
class How:
    """How a model is asked.

    Attributes:
        samples: answers a problem.
        temperature, top_p: of the sampling; temperature 0 is greedy.
        max_new_tokens: of an answer.
        base: a base model, which goes on from the prompt.
        seed: of the sampling.
    """

    samples: int = 1
    temperature: float = 0.0
    top_p: float = 1.0
    max_new_tokens: int = 2048
    base: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, fits, mend in (
            ("samples", self.samples >= 1, "1 or more"),
            ("temperature", self.temperature >= 0, "0 (greedy) or more"),
            ("top_p", 0 < self.top_p <= 1, "more than 0, at most 1"),
            ("max_new_tokens", self.max_new_tokens >= 1, "1 or more"),
        ):
            if not fits:
                raise InputError(f"{name} is {getattr(self, name)!r}: give {mend}")
        if self.temperature == 0 and self.samples > 1:
            raise InputError(f"{self.samples} greedy answers are all the same: give --temperature, or one sample")


@dataclass(frozen=True)
class Said:
    """An answer.

    Attributes:
        text: "" for none.
        truncated: it broke off.
        refused: why there is none, "" otherwise.
    """

    text: str
    truncated: bool = False
    refused: str = ""


def answers(
    source: Source, benchmark: Benchmark, how: How, folder: Path, on_done: OnAnswer | None = None
) -> list[list[Said]]:
    """For each problem its answers, in order.

    Args:
        folder: where the answers of this source are kept, and shared by benchmarks.
        on_done: called with ("answers", done, all).

    Raises:
        InputError: bad usage, or a file without answers to all problems.
        AskStopped, AnswersFailed: the model is down, or failed on some; what was answered is kept.
    """
    if isinstance(source.origin, Path):
        return _from_file(source.origin, benchmark)
    return _asked(source.origin, benchmark, how, folder, on_done)


def check(source: Source, how: How) -> None:
    """Raises InputError where a source cannot be asked so."""
    origin = source.origin
    if isinstance(origin, Endpoint) and how.base:
        raise InputError("an endpoint is asked by chat, and --base has a model go on from a text: leave it out")
    if isinstance(origin, Engine):
        if model_path.missing(origin.path):
            raise InputError(f"--model: {origin.path} is no folder: give a model's folder or its Hub id")
        if not how.base:
            from acecoder_rl.training.prompts import load_tokenizer

            try:
                tokenizer = load_tokenizer(model_path.resolve(origin.path))
            except RecipeError as error:
                raise InputError(str(error).replace("model.path", "--model")) from None
            if not tokenizer.chat_template:
                raise InputError(f"{origin.path} has no chat template, so it is a base model: give --base")


def _asked(
    model: Engine | Endpoint, benchmark: Benchmark, how: How, folder: Path, on_done: OnAnswer | None
) -> list[list[Said]]:
    from acecoder_rl.synthesis.answers import Answers
    from acecoder_rl.synthesis.budget import Budget

    requests = [_request(item, benchmark, how) for item in benchmark.items]
    total, done = how.samples * len(requests), 0

    def on_answer(answer: Any) -> None:
        nonlocal done
        done += 1
        if on_done is not None:
            on_done("answers", done, total)

    found: list[list[Said]] = []
    size = max(1, CHUNK // how.samples)
    with Answers(folder / "answers.db") as cache:
        budget, before = Budget(None, cache), len(cache)
        for start in range(0, len(requests), size):
            said = ask(model, requests[start : start + size], cache, budget, on_answer)
            for item, texts in zip(benchmark.items[start:], said, strict=False):
                found.append([_said(item, each) for each in texts])
        asked = len(cache) - before
    if isinstance(model, Endpoint) and before and asked < total:
        # Of a folder's weights we know when they changed, of an endpoint's nothing.
        print(
            f"{benchmark.name}: {asked} of {total} answers are new, the others an earlier run's, or failed: if "
            f"{model.model!r} has other weights by now, give another --folder, or delete {cache.path}",
            file=sys.stderr,
        )
    return found


def _request(item: Item, benchmark: Benchmark, how: How) -> Request:
    sampling = (how.samples, how.temperature, how.top_p, how.max_new_tokens, how.seed)
    if how.base:
        return Request([{"role": "user", "content": item.bare}], *sampling, stop=benchmark.stops)
    system = [{"role": "system", "content": benchmark.system}] if benchmark.system else []
    messages = [*system, {"role": "user", "content": item.chat}]
    return Request(messages, *sampling, assistant_prefix=benchmark.prefix or None)


def _said(item: Item, answer: Any) -> Said:
    if isinstance(answer, Failed):
        if answer.reason in ("server_failed", "timeout"):
            raise AnswersFailed(f"{item.id} was not answered: {answer.message}")
        return Said("", refused=f"{answer.reason}: {answer.message}")
    return Said(answer.text, answer.finish == "length")


def _from_file(path: Path, benchmark: Benchmark) -> list[list[Said]]:
    texts: dict[str, list[str]] = {}
    for row in iter_rows(path):
        if row.record is None:
            raise InputError(f"{row.where} {row.reason}")
        record = row.record
        id_ = next((record[name] for name in JOIN_FIELDS if isinstance(record.get(name), str | int)), None)
        if id_ is None:
            raise InputError(
                f"{row.where} has no id (looked for {', '.join(JOIN_FIELDS)}): add the benchmark's task_id"
            )
        name = next((name for name in COMPLETION_FIELDS if record.get(name) is not None), None)
        if name is None:
            raise InputError(f"{row.where} has no completion (looked for {', '.join(COMPLETION_FIELDS)}): add it")
        values = record[name] if isinstance(record[name], list) else [record[name]]
        if not all(isinstance(value, str) for value in values):
            raise InputError(f"{row.where}: {name} is {str(record[name])[:60]!r}: give a text, or a list of texts")
        texts.setdefault(str(id_), []).extend(values)
    found, missing = [], []
    for item in benchmark.items:
        given = next((texts[name] for name in (item.id, *item.other_ids) if texts.get(name)), None)
        if given is None:
            missing.append(item.id)
        else:
            found.append([Said(text) for text in given])
    if missing:
        told = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        count = f"{len(missing)} of the {len(benchmark.items)} problems of {benchmark.name}"
        raise InputError(f"{path} has no answer to {count} ({told}): give at least one to each")
    return found
