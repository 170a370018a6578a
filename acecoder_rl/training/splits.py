"""The rows of a prompt file: sources read, rendered, measured, repeated by their weights.

Covers: over-long prompts left out and counted, ids and questions that come twice, the progress bar.
Does not cover: order and files (data.py), single sources (sources.py) and prompts (prompts.py).
"""

from __future__ import annotations

import math
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from itertools import islice
from typing import NamedTuple

from acecoder_rl.problems import Mode, Problem, ProblemError
from acecoder_rl.records import count_rows
from acecoder_rl.training.prompts import Renderer
from acecoder_rl.training.recipe import RecipeError
from acecoder_rl.training.reward_fit import RewardFit
from acecoder_rl.training.sources import Reader

BATCH = 512  # prompts tokenized at once
FEW = 0.05  # the share of over-long prompts that is no reason for a warning


class Row(NamedTuple):
    """A row of a prompt file: its columns."""

    prompt: str
    label: str
    datasource: str


class Split:
    """The rows of "train" or "eval", and what became of the problems.

    Attributes:
        rows: in the sources' order.
        problems: read, after `subset` and `max_problems`.
        dropped: rows of the sources left out, by reason.
        warnings: what the user should know.
    """

    def __init__(self, mode: Mode, renderer: Renderer, seed: int, fit: RewardFit | None = None) -> None:
        self.mode: Mode = mode
        self.rows: list[Row] = []
        self.problems = 0
        self.dropped: Counter[str] = Counter()
        self.warnings: list[str] = []
        self._renderer = renderer
        self._seed = seed
        self._fit = fit
        self._ids: Counter[str] = Counter()
        self._questions: dict[bytes, str] = {}  # hash -> id: the texts of 87,000 problems would take 100 MB

    def read(self, reader: Reader, progress: bool) -> None:
        """Add a source's problems.

        Raises:
            RecipeError: a row is malformed, or no prompt is short enough.
        """
        limit = self._renderer.data.max_prompt_tokens
        kept: list[Row] = []
        shortest, read = math.inf, 0
        with _bar(reader, progress) as on_row:
            rendered = self._render(reader, on_row)
            while batch := list(islice(rendered, BATCH)):
                lengths = self._renderer.lengths([row.prompt for _, row in batch])
                for (problem, row), length in zip(batch, lengths, strict=True):
                    if length <= limit:
                        kept.append(row)
                        self._ids[problem.id] += 1
                        self._questions[_digest(problem.question)] = problem.id
                shortest, read = min(shortest, *lengths), read + len(batch)
        if not kept:
            raise RecipeError(
                [
                    f"data.max_prompt_tokens is {limit}, but all {read} prompts of {reader.field} "
                    f"({reader.source.path}) are longer, the shortest has {shortest:g} tokens: set it higher"
                ]
            )
        too_long = read - len(kept)
        self.problems += read
        self.dropped.update(reader.dropped)
        self.dropped["too_long"] += too_long
        self.warnings += reader.notes
        if too_long > FEW * read:
            self.warnings.append(
                f"{reader.field}: {too_long} of {read} prompts are longer than data.max_prompt_tokens "
                f"{limit} and are left out: set it higher to keep them"
            )
        self.rows += _weighted(kept, reader, random.Random(f"{self._seed}/{reader.field}"))

    @property
    def duplicate_ids(self) -> int:
        """Problems with an id that another one before them has."""
        return self._ids.total() - len(self._ids)

    def also_in(self, train: Split) -> list[str]:
        """Warnings about problems that were trained on."""
        ids = [name for name in self._ids if name in train._ids]
        texts = [name for digest, name in self._questions.items() if digest in train._questions]
        return [
            f"{len(found)} of {len(self._ids)} problems of data.eval are in data.train as well, by their "
            f"{what} ({found[0]}, ...): what they score does not measure learning, take them out of one"
            for what, found in (("id", ids), ("exact question", texts))
            if found
        ]

    def _render(self, reader: Reader, on_row: Callable[[], object]) -> Iterator[tuple[Problem, Row]]:
        for where, problem in reader.problems(on_row):
            try:
                prompt = self._renderer.render(problem, where)
            except ProblemError as error:
                raise RecipeError([f"{reader.field}: {error}"]) from None
            if self._fit:
                self._fit.see(problem)
            source = metric_name(problem.source or reader.name)
            yield problem, Row(prompt, problem.to_label(self.mode), source)


def drawn(problems: int, weight: float) -> int:
    """How many rows so many problems give with a weight."""
    return math.floor(weight * problems + 0.5)


def metric_name(source: str) -> str:
    """A source's name as a part of metrics' names, such as eval_<name>_pass1."""
    return re.sub(r"[^A-Za-z0-9]+", "_", source).strip("_") or "data"


def _weighted(rows: list[Row], reader: Reader, rng: random.Random) -> list[Row]:
    """Each row as often as the weight says, rounded down; a choice of them once more."""
    weight = reader.source.weight
    times, more = divmod(drawn(len(rows), weight), len(rows))
    if not times and not more:
        raise RecipeError(
            [f"{reader.field}.weight is {weight:g}, which leaves none of {len(rows)} problems: set it higher"]
        )
    once_more = [rows[index] for index in sorted(rng.sample(range(len(rows)), more))]
    return rows * times + once_more


def _digest(text: str) -> bytes:
    return blake2b(text.strip().encode("utf-8", "surrogatepass"), digest_size=16).digest()


@contextmanager
def _bar(reader: Reader, progress: bool) -> Iterator[Callable[[], object]]:
    """A progress bar over the rows of a source, on stderr, where that is a terminal."""
    if not progress or not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    passes = 2 if reader.source.subset == "hard" else 1
    rows = count_rows(reader.file) if reader.file else None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"reading {reader.source.path}", total=rows and rows * passes)
        yield lambda: bar.advance(task)
