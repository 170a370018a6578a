"""Stage `hard`: the hard ones of the dataset's rows, as they stand.

Covers: the paper's choice by mean and spread of the pass rates, or a band of mean pass rates; of the run's own dataset,
    or of any in AceCode-87K's schema (a file, a folder, the Hub); why each other row was left out.
Does not cover: the choice itself (acecoder_rl/hard.py, which training uses as well).
The rows are read twice, since medians are of all of them; of the run's own dataset the first time without its programs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator

from acecoder_rl.cases import At, shown
from acecoder_rl.hard import choose
from acecoder_rl.records import InputError, count_rows
from acecoder_rl.synthesis import build
from acecoder_rl.synthesis.stages import Chunk, Dropped, fingerprint_of, rows_of, run_stage
from acecoder_rl.synthesis.state import State, state_of
from acecoder_rl.training.recipe import RecipeError, Section, Share, Source, Text
from acecoder_rl.training.sources import ENDINGS, Reader

if TYPE_CHECKING:
    import pyarrow

Row = dict[str, Any]
Rows = Callable[[bool], Iterator[tuple[str, Row]]]
RATES = tuple(f"inferences.list.element.{name}" for name in ("model_name", "pass_rate"))


class HardSettings(Section):
    """Which rows are hard.

    Attributes:
        source: another dataset in AceCode-87K's schema instead of the run's own: a JSONL or Parquet file, a folder, a
            dataset id of the Hub such as "TIGER-Lab/AceCode-87K".
        split: of a dataset in a folder or on the Hub.
        band: lowest and highest mean pass rate, both in it, such as [0.1, 0.7]; None = the paper's choice: mean at
            most the median, then spread at least the median, about a quarter.
    """

    source: Text | None = None
    split: Text = "train"
    band: Annotated[list[Share], Field(min_length=2, max_length=2)] | None = None

    @field_validator("band")
    @classmethod
    def _ordered(cls, value: list[float] | None) -> list[float] | None:
        if value and value[0] > value[1]:
            raise ValueError("the lowest mean pass rate comes first")
        return value


def schema() -> pyarrow.Schema:
    """As the dataset's."""
    return build.schema()


def marked(rows: Rows, settings: HardSettings) -> Iterator[Row]:
    """Every row with a further column "reason": why it is left out, "" where it is hard.

    Args:
        rows: gives (where, row) from the first on; asked with True only `inferences` count.

    Raises:
        ProblemError: a row is not in AceCode-87K's schema.
        InputError: no row has pass rates.
    """
    choice = choose(rows(True), (settings.band[0], settings.band[1]) if settings.band else None)
    if choice.reasons and not choice.usable:
        raise InputError(
            f"hard: none of {len(choice.reasons)} rows has `inferences` with a pass_rate: set hard.source to a dataset "
            "that has them, such as TIGER-Lab/AceCode-87K, or sample programs"
        )
    for (where, row), reason in zip(rows(False), choice.reasons, strict=True):
        yield {**_row(row, At(where)), "reason": reason}


def process(rows: list[Row]) -> Chunk:
    """Rows of `marked` -> the hard ones."""
    kept, dropped = [], []
    for row in rows:
        reason = row.pop("reason")
        if reason:
            dropped.append(Dropped(row["id"], reason))
        else:
            kept.append(row)
    counts = {
        "tests": sum(len(row["test_cases"]) for row in kept),
        "inferences": sum(len(row["inferences"]) for row in kept),
    }
    return Chunk(kept, dropped, counts)


@contextmanager
def _in_its_words() -> Iterator[None]:
    """The reader's mistakes, by the names that this section has for path and split."""
    try:
        yield
    except RecipeError as error:
        names = {"hard.source.path": "hard.source", "hard.source.split": "hard.split"}
        told = list(error.mistakes)
        for theirs, ours in names.items():
            told = [line.replace(theirs, ours) for line in told]
        raise RecipeError(told) from error.__cause__


@_in_its_words()
def check(settings: HardSettings) -> None:
    """Raises RecipeError where the source can be seen not to be there."""
    if settings.source is not None:
        _reader(settings.source, settings.split)


@_in_its_words()
def run(
    folder: Path, settings: HardSettings, on_done: Callable[[int, int | None], None] = lambda done, total: None
) -> State:
    """The stage, on the run's own dataset or on `settings.source`.

    Raises:
        InputError: stage build is not finished or the source cannot be read, or no row has pass rates, or the settings
            are others than those the stage was begun with.
        ProblemError: a row of the source is not in AceCode-87K's schema.
        RecipeError: there is no such source.
    """
    if settings.source is None:
        rows, fingerprint, total = partial(_own, folder), fingerprint_of(folder, "build"), None
        if built := state_of(folder, "build"):
            total = built.kept
    else:
        reader = _reader(settings.source, settings.split)
        rows, fingerprint, total = partial(_read, reader), stamp(reader), None
        state = state_of(folder, "hard")
        if state is None or state.state != "finished":  # a large file takes its time
            total = count_rows(reader.file or Path("-"))
    values = settings.model_dump(mode="json")
    return run_stage(
        folder, "hard", schema(), marked(rows, settings), process, build.CHUNK, values, total, on_done,
        input=fingerprint,
    )  # fmt: skip


def _reader(source: str, split: str) -> Reader:
    return Reader(Source(path=source, split=split), "hard.source")


def _own(folder: Path, rates: bool) -> Iterator[tuple[str, Row]]:
    for number, row in enumerate(rows_of(folder, "build", RATES if rates else None)):
        yield f"build: row {number}", row


def _read(reader: Reader, rates: bool) -> Iterator[tuple[str, Row]]:
    return reader.records()


def stamp(reader: Reader) -> dict[str, Any]:
    """What tells a file, or the files of a folder, from others of that name; a dataset of the Hub is known by its name
    alone."""
    path = Path(reader.source.path).expanduser()
    if reader.file is not None:
        files = [reader.file.stat()]
    elif path.is_dir():
        files = [each.stat() for each in path.rglob("*") if each.name.lower().endswith(ENDINGS)]
    else:
        return {"path": reader.source.path}
    changed = max((file.st_mtime_ns for file in files), default=0)
    return {"path": reader.source.path, "bytes": sum(file.st_size for file in files), "changed": changed}


def _row(row: Row, at: At) -> Row:
    """A row in the schema, whatever the source has beyond it or without it."""
    tests, question, name, source = (row.get(field) for field in ("test_cases", "question", "id", "source"))
    if not isinstance(question, str) or not question.strip():
        at["question"].fail(f"is {shown(question)}: give a text")
    if not isinstance(tests, list) or not tests or not all(isinstance(test, str) for test in tests):
        at["test_cases"].fail(f"is {shown(tests)}: give a list of asserts")
    if isinstance(name, bool) or not isinstance(name, str | int):
        at["id"].fail(f"is {shown(name)}: give a text")
    if source is not None and not isinstance(source, str):
        at["source"].fail(f"is {shown(source)}: give a text")
    inferences, place = row.get("inferences") or [], at["inferences"]
    return {
        "id": str(name),
        "source": source,
        "question": question,
        "test_cases": tests,
        "inferences": [build.inference(each, place[number], rated=False) for number, each in enumerate(inferences)],
        "context_messages": build.context(question),
    }
