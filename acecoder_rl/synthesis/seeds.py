"""Stage `seeds`: rows of other people's code, or of your own -> programs to make exercises of.

Covers: sources (files, datasets of the Hub, `starter:seeds`), each through the filter of its name (filters.py), then
    near-duplicates over all sources (duplicates.py), then benchmarks (contamination.py); why each other row went.
Does not cover: the questions (imagine.py).
A seed's id is `<source>_<row>`, its row in the source from 0: other settings give the same seed the same id.
Memory: a chunk of rows; some 4 KB a seed for near-duplicates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator, model_validator

from acecoder_rl.cases import At
from acecoder_rl.records import count_rows
from acecoder_rl.synthesis import contamination, duplicates
from acecoder_rl.synthesis.contamination import Benchmark
from acecoder_rl.synthesis.filters import FILTERS, FilterName, Refused, Seed, seed_of
from acecoder_rl.synthesis.hard import stamp
from acecoder_rl.synthesis.stages import Chunk, Dropped, OnDone, run_stage
from acecoder_rl.synthesis.state import State, state_of
from acecoder_rl.training.recipe import Positive, RecipeError, Section, Source, Text
from acecoder_rl.training.sources import Reader

if TYPE_CHECKING:
    import pyarrow

CHUNK = 1000
STARTER = "starter:seeds"


class SeedSource(Section):
    """Where programs come from.

    Attributes:
        path: a JSONL or Parquet file, a dataset id of the Hub, or "starter:seeds", a few dozen functions of ours.
        filter: "evol", "oss", "stack" for AceCoder's sources; "plain" for others (filters.py).
        name: in ids and in the column `source`; None = the filter's ("bigcode_python_fns" of "stack"), the file's of
            "plain".
        split: of a dataset of the Hub.
        program: the column with the program, or with a text that has it in a block; None = the filter's ("program").
        instruction: the column with what the program was the answer to; rows may be without it.
        min_chars, max_chars: of a program; None = 101 of "stack", 1 of the others.
        max_rows: the first so many.
    """

    path: Text
    filter: FilterName = "plain"
    name: Annotated[str, Field(pattern=r"^\w[\w.-]*$")] | None = None
    split: Text = "train"
    program: Text | None = None
    instruction: Text = "instruction"
    min_chars: Positive | None = None
    max_chars: Annotated[int, Field(ge=1, le=60_000)] = 20_000
    max_rows: Positive | None = None

    @property
    def called(self) -> str:
        """Its name, given or not."""
        return self.name or FILTERS[self.filter].source or Path(self.path.replace(":", "/")).name.partition(".")[0]


class SeedsSettings(Section):
    """Programs.

    Attributes:
        sources: a path, a source, or a list of these.
        near_duplicate: programs as alike as this go, but for the first; None = all stay.
        benchmarks: seeds that show a problem of these go: "humaneval", "mbpp", files, dataset ids.
        ngram: words in a row that a seed may not have in common with them.
    """

    sources: Annotated[list[SeedSource], Field(min_length=1)]
    near_duplicate: Annotated[float, Field(ge=0.5, le=0.99)] | None = 0.8
    benchmarks: list[Benchmark] = Field(default_factory=list)
    ngram: Annotated[int, Field(ge=4)] = 10

    @field_validator("sources", "benchmarks", mode="before")
    @classmethod
    def _paths(cls, value: Any) -> Any:
        items = value if isinstance(value, list) else [value]
        return [{"path": item} if isinstance(item, str) else item for item in items]

    @model_validator(mode="after")
    def _apart(self) -> SeedsSettings:
        for name, count in Counter(each.called for each in self.sources).items():
            if count > 1:
                raise ValueError(f"{count} sources are called {name!r}: give each a `name` of its own")
        return self


def schema() -> pyarrow.Schema:
    """Of the rows; `instruction` is null where none is known."""
    import pyarrow

    return pyarrow.schema([(name, pyarrow.string()) for name in ("id", "source", "instruction", "program")])


class Sieve:
    """`process`: rows -> seeds. It remembers the seeds of earlier chunks: `run_stage(..., replay=True)`."""

    def __init__(self, settings: SeedsSettings) -> None:
        """Raises RecipeError where a benchmark is not to be had."""
        self._benchmarks = contamination.read(settings.benchmarks, settings.ngram, "seeds.benchmarks")
        self._near = duplicates.Near(settings.near_duplicate) if settings.near_duplicate else None

    def __call__(self, rows: list[dict[str, Any]]) -> Chunk:
        """Sift a chunk.

        Raises:
            ProblemError: a row has not the source's columns.
        """
        chunk, counts = Chunk([]), Counter[str](prints_removed=0)
        for row in rows:
            source: SeedSource = row["source"]
            found = _sifted(source, row["record"], row["where"])
            refused = found if isinstance(found, Refused) else self._refused(row["id"], found)
            if refused is not None:
                chunk.dropped.append(Dropped(row["id"], refused.reason, refused.detail))
                counts[f"dropped of {source.called}"] += 1
                continue
            assert isinstance(found, Seed)
            counts["prints_removed"] += found.prints
            counts[f"source {source.called}"] += 1
            columns = {"instruction": found.instruction, "program": found.program}
            chunk.rows.append({"id": row["id"], "source": source.called, **columns})
        chunk.counts = dict(counts)
        return chunk

    def _refused(self, identity: str, seed: Seed) -> Refused | None:
        if overlap := self._benchmarks.found_in(seed.instruction or "", seed.program):
            return Refused("contaminated", vars(overlap))
        if self._near and (same := self._near.add(identity, seed.program)):
            return Refused("near_duplicate", vars(same))
        return None


def run(folder: Path, settings: SeedsSettings, on_done: OnDone = lambda done, total: None) -> State:
    """The stage.

    Raises:
        RecipeError: a source or a benchmark is not to be had.
        InputError, ProblemError: a row cannot be read, or has not the source's columns.
    """
    readers = _readers(settings)
    benchmarks = contamination.readers(settings.benchmarks, "seeds.benchmarks")
    # Of the starter set, installing the package anew changes the file's date and place.
    stamps = [
        {"path": STARTER} if source.path == STARTER else stamp(reader)
        for reader, source in zip(readers, settings.sources, strict=True)
    ]
    before = state_of(folder, "seeds")
    # A benchmark that is missing must be told before the stage begins: then the recipe could not be mended any more.
    sieve = None if before and before.state == "finished" else Sieve(settings)
    return run_stage(
        folder,
        "seeds",
        schema(),
        _rows(settings, readers),
        sieve or (lambda rows: Chunk([])),
        CHUNK,
        settings.model_dump(mode="json"),
        _total(settings, readers),
        on_done,
        input=stamps + [stamp(reader) for reader in benchmarks],
        replay=True,
    )


def check(settings: SeedsSettings, *, reach: bool = True) -> None:
    """What can be seen before the stage runs, and before an earlier one is forgotten.

    Args:
        reach: whether to ask the Hub.

    Raises:
        RecipeError, InputError, ProblemError: a source, a benchmark or a package is not to be had, or a source's first
            row has other columns.
    """
    if settings.near_duplicate and not duplicates.installed():
        raise RecipeError(
            [
                f"seeds.near_duplicate is {settings.near_duplicate}, which needs the package {duplicates.PACKAGE}, "
                f"which is not installed: pip install {duplicates.PACKAGE}, or set seeds.near_duplicate to null"
            ]
        )
    list(contamination.readers(settings.benchmarks, "seeds.benchmarks"))
    if reach:
        contamination.read(settings.benchmarks, settings.ngram, "seeds.benchmarks", 1)
    for reader, source in zip(_readers(settings), settings.sources, strict=True):
        if reach or reader.file is not None:
            for where, record in islice(reader.records(), 1):
                _sifted(source, record, where)


def total(settings: SeedsSettings) -> int | None:
    """Rows of all sources; None where that is not cheap to know."""
    return _total(settings, _readers(settings))


def _readers(settings: SeedsSettings) -> list[Reader]:
    found = []
    for number, source in enumerate(settings.sources):
        path = str(Path(__file__).with_name("starter_seeds.jsonl")) if source.path == STARTER else source.path
        found.append(Reader(Source(path=path, split=source.split), f"seeds.sources.{number}"))
    return found


def _rows(settings: SeedsSettings, readers: list[Reader]) -> Iterator[dict[str, Any]]:
    for reader, source in zip(readers, settings.sources, strict=True):
        for number, (where, record) in enumerate(islice(reader.records(), source.max_rows)):
            yield {"id": f"{source.called}_{number}", "source": source, "where": where, "record": record}


def _sifted(source: SeedSource, record: dict[str, Any], where: str) -> Seed | Refused:
    return seed_of(
        record,
        source.filter,
        program=source.program,
        instruction=source.instruction,
        min_chars=source.min_chars,
        max_chars=source.max_chars,
        at=At(where),
    )


def _total(settings: SeedsSettings, readers: list[Reader]) -> int | None:
    """Rows of all sources, where that is cheap to know."""
    total = 0
    for reader, source in zip(readers, settings.sources, strict=True):
        rows = count_rows(reader.file) if reader.file else None
        if rows is None:
            return None
        total += rows if source.max_rows is None else min(rows, source.max_rows)
    return total
