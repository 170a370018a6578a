"""A recipe's Source -> a stream of Problems.

Covers: starter sets, JSONL, JSON and Parquet files, datasets of the Hub and folders that hold one; `subset`
    and `max_problems`; the place of every row in errors.
Does not cover: which rows are hard (hard.py), prompts, weights and files (data.py).
A malformed row is an error at once, with its place: no problem is lost without a word. Rows are streamed: the
    `inferences`, most of AceCode-87K's 5 GB, are never in memory together.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from acecoder_rl import hard, starter
from acecoder_rl.problems import Problem, ProblemError, iter_records
from acecoder_rl.records import InputError, check_readable
from acecoder_rl.training.recipe import RecipeError, Source

ENDINGS = (".jsonl", ".json", ".parquet", ".pq")
UNREAD = ("inferences", "context_messages")  # columns that no problem is made of
Records = Iterator[tuple[str, dict[str, Any]]]


class Reader:
    """The problems of one source.

    Attributes:
        field: where the recipe names it: "data.train.0".
        file: what it is read from; None for a dataset of the Hub, or in a folder.
        name: of the source, short.
        dropped: rows left out, by reason, once they were read: "not_hard", "no_inferences".
        notes: what a user should know, once the rows were read.
    """

    def __init__(self, source: Source, field: str) -> None:
        """Raises RecipeError where there is nothing to read."""
        self.source = source
        self.field = field
        self.file = _file(source, field)
        self.name = source.path.partition(":")[0] if _is_starter(source) else Path(source.path).stem
        self.dropped: Counter[str] = Counter()
        self.notes: list[str] = []
        self._dataset: Any = None

    def problems(self, on_row: Callable[[], object] = lambda: None) -> Iterator[tuple[str, Problem]]:
        """(where, problem), after `subset` and `max_problems`.

        Args:
            on_row: called for every row that is read, twice with `subset: hard`.

        Raises:
            RecipeError: a row is malformed, the source cannot be read or has no problem.
        """
        count = 0
        try:
            rows = _told(self.records(UNREAD), on_row)
            if self.source.subset == "hard":
                rows = self._hard(rows, on_row)
            for where, record in islice(rows, self.source.max_problems):
                problem = Problem.from_record(record, where=where)
                if not problem.question.strip():
                    raise ProblemError(f"{where}: the record has no question: give one as 'question'")
                count += 1
                yield where, problem
        except (ProblemError, InputError) as error:
            raise RecipeError([f"{self.field}: {error}"]) from None
        if not count:
            raise RecipeError([f"{self.field}.path is {self.source.path!r}, which has no problems: give some"])

    def first(self, rows: int) -> int:
        """Check the first so many rows alone, `subset` or not; returns how many of them there are."""
        try:
            records = list(islice(self.records(), rows))
            for where, record in records:
                Problem.from_record(record, where=where)
            if self.source.subset == "hard":
                self._usable(hard.choose(records))
        except (ProblemError, InputError) as error:
            raise RecipeError([f"{self.field}: {error}"]) from None
        return len(records)

    def _hard(self, rows: Records, on_row: Callable[[], object]) -> Records:
        choice = hard.choose(_told(self.records(), on_row))
        self._usable(choice)
        without = len(choice.chosen) - choice.usable
        self.dropped["no_inferences"] += without
        self.dropped["not_hard"] += choice.usable - sum(choice.chosen)
        if without:
            self.notes.append(
                f"{self.field}.subset is 'hard': {without} of {len(choice.chosen)} rows have no pass rates "
                "and are left out"
            )
        if choice.others:
            names = ", ".join(name for name, _ in choice.others.most_common(3))
            self.notes.append(
                f"{self.field}.subset is 'hard': {choice.others.total()} of {len(choice.chosen)} rows have "
                f"samples of neither {' nor '.join(hard.MODELS)}; all of theirs counted (of {names})"
            )
        return (row for row, chosen in zip(rows, choice.chosen, strict=True) if chosen)

    def _usable(self, choice: hard.Choice) -> None:
        if not choice.usable:
            raise RecipeError(
                [
                    f"{self.field}.subset is 'hard', but no row of {self.source.path} has `inferences` with "
                    "a pass_rate: leave subset out, or take a dataset that has them, such as "
                    "TIGER-Lab/AceCode-87K"
                ]
            )

    def records(self, unread: tuple[str, ...] = ()) -> Records:
        """(where, row) from the first row on; columns named in `unread` may be missing.

        Raises:
            ProblemError, InputError, RecipeError: a row is malformed, or the source cannot be read.
        """
        if self.file is not None:
            for where, record in iter_records(self.file):
                if isinstance(record, ProblemError):
                    raise record
                yield where, record
            return
        if self._dataset is None:
            self._dataset = load_hub(self.source.path, self.source.split, self.field)
        names = [name for name in unread if name in (self._dataset.column_names or ())]
        for number, record in enumerate(self._dataset.remove_columns(names)):
            yield f"{self.source.path}: row {number}", record


def load_hub(path: str, split: str, field: str, config: str | None = None) -> Any:
    """A dataset of the Hub, or in a folder.

    Args:
        field: where the recipe names it, for the message.
        config: of a dataset that has several.

    Raises:
        RecipeError: it is not to be had.
    """
    from datasets import load_dataset

    try:
        return load_dataset(str(Path(path).expanduser()), config, split=split)
    except Exception as error:  # whatever Hub, cache and builders raise: the user needs the field and a mend
        reason = str(error).strip().partition("\n")[0]
        which = f"split {split!r}" if config is None else f"config {config!r}, split {split!r}"
        raise RecipeError(
            [
                f"{field}.path is {path!r} ({which}), no file here, and not to be had from the Hugging Face Hub: "
                f"{reason}: mend the path, or give a local JSONL or Parquet file"
            ]
        ) from error


def _told(rows: Iterable[tuple[str, dict[str, Any]]], on_row: Callable[[], object]) -> Records:
    for row in rows:
        on_row()
        yield row


def _is_starter(source: Source) -> bool:
    return source.path.startswith("starter:")


def _file(source: Source, field: str) -> Path | None:
    path = Path(source.path).expanduser()
    if _is_starter(source):
        try:
            path = starter.path(source.path.removeprefix("starter:"))
        except ValueError as error:
            raise RecipeError([f"{field}.path is {source.path!r}: {error}"]) from None
    elif path.is_dir() or is_hub_id(source.path):
        return None
    if source.split != "train":
        raise RecipeError(
            [f"{field}.split is {source.split!r}, but {source.path} is a file, without splits: leave it out"]
        )
    if not path.exists():
        raise RecipeError(
            [
                f"{field}.path is {source.path!r}, which does not exist: give a file ({', '.join(ENDINGS)}), "
                f"{' or '.join(f'starter:{split}' for split in starter.SPLITS)}, or a dataset id of the Hub"
            ]
        )
    try:
        check_readable(path)
    except InputError as error:
        raise RecipeError([f"{field}.path: {error}"]) from None
    return path


def is_hub_id(path: str) -> bool:
    """Whether a path can only be a dataset id: `owner/name` or `name`, neither a file nor named as one."""
    return (
        re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", path) is not None
        and not path.lower().endswith(ENDINGS)
        and not Path(path).exists()
    )
