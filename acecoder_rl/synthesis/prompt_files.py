"""Rows of the dataset -> prompt files that trainers read as they are, with the tests in a label.

Covers: OpenRLHF (JSONL: prompt, label, datasource, as training writes them), verl and TRL (Parquet); the split by a
    hash of the question; files written whole or not at all.
Does not cover: chat templates: a prompt is the question, or the chat that asks it, and the trainer renders it
    (`acecoder-rl train` renders its own, training/prompts.py); what reads the labels (reward_fns).
Memory: a batch of rows.

    OpenRLHF  --data.prompt_dataset F --data.input_key prompt --data.label_key label --data.apply_chat_template
    verl      data.train_files=F; reward_fns.verl gets the label as ground_truth
    TRL       load_dataset("parquet", data_files=F); reward_fns.trl gets the labels as the column `label`
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from acecoder_rl.problems import Mode, Problem, ProblemError
from acecoder_rl.records import jsonl_line
from acecoder_rl.synthesis.parts import commit

if TYPE_CHECKING:
    import pyarrow

FORMATS = ("openrlhf", "verl", "trl")
MODES: tuple[Mode, ...] = ("train", "eval")
ENDINGS = {"openrlhf": "jsonl", "verl": "parquet", "trl": "parquet"}
BATCH = 512


class _File(Protocol):
    """An open prompt file."""

    def add(self, record: dict[str, Any]) -> None:
        """One more row."""


def write(rows: Iterable[dict[str, Any]], folder: Path, eval_share: float, seed: int) -> dict[str, int]:
    """Write folder/FORMAT/MODE.jsonl or .parquet for every format; a split without rows has no file.

    Args:
        rows: in AceCode-87K's schema.
        eval_share: see `is_eval`.

    Returns:
        Rows of the splits, and as "left_out" those whose tests no reward could read: another dataset may have such.
    """
    counts = dict.fromkeys((*MODES, "left_out"), 0)
    paths = {(form, mode): folder / form / f"{mode}.{ENDINGS[form]}" for form in FORMATS for mode in MODES}
    with ExitStack() as stack:
        files = {key: stack.enter_context(_open(path, key[0])) for key, path in paths.items()}
        for row in rows:
            mode: Mode = "eval" if is_eval(row["question"], eval_share, seed) else "train"
            try:
                problem = Problem.from_record(row)
            except ProblemError:
                counts["left_out"] += 1
                continue
            for form in FORMATS:
                files[form, mode].add(record(problem, form, mode, counts[mode]))
            counts[mode] += 1
    for (_, mode), path in paths.items():
        if not counts[mode]:
            path.unlink()
    return counts


def is_eval(question: str, share: float, seed: int) -> bool:
    """Whether a question belongs to the eval split: about `share` of all do, by a hash of seed and text alone."""
    text = question.strip().encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8, key=str(seed).encode()).digest()) < share * 2**64


def record(problem: Problem, form: str, mode: Mode, index: int) -> dict[str, Any]:
    """A row of a prompt file.

    Args:
        index: of the row in its file.
    """
    # Imported here: it brings the recipes of training along.
    from acecoder_rl.training.splits import Row, metric_name

    label, source = problem.to_label(mode), problem.source or "acecode"
    if form == "openrlhf":
        return Row(problem.question, label, metric_name(source))._asdict()
    chat = [{"role": "user", "content": problem.question}]
    if form == "trl":
        return {"prompt": chat, "label": label}
    return {
        "data_source": source,
        "prompt": chat,
        "ability": "code",
        "reward_model": {"style": "rule", "ground_truth": label},
        "extra_info": {"split": mode, "index": index, "id": problem.id},
    }


def schema(form: str) -> pyarrow.Schema:
    """Of the Parquet files."""
    import pyarrow

    text = pyarrow.string()
    chat = pyarrow.list_(pyarrow.struct({"role": text, "content": text}))
    if form == "trl":
        return pyarrow.schema({"prompt": chat, "label": text})
    return pyarrow.schema(
        {
            "data_source": text,
            "prompt": chat,
            "ability": text,
            "reward_model": pyarrow.struct({"style": text, "ground_truth": text}),
            "extra_info": pyarrow.struct({"split": text, "index": pyarrow.int64(), "id": text}),
        }
    )


@contextmanager
def _open(path: Path, form: str) -> Iterator[_File]:
    """A file that has its name only once it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(path.name + ".tmp")
    with _Lines(half) if ENDINGS[form] == "jsonl" else _Parquet(half, schema(form)) as file:
        yield file
    commit(half, path)


class _Lines:
    """JSONL."""

    def __init__(self, path: Path) -> None:
        self.file = path.open("wb")

    def add(self, record: dict[str, Any]) -> None:
        self.file.write(jsonl_line(record))

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()


class _Parquet:
    """Parquet, a batch of rows at a time."""

    def __init__(self, path: Path, schema: pyarrow.Schema) -> None:
        import pyarrow
        import pyarrow.parquet

        self.schema, self.batch = schema, list[dict[str, Any]]()
        self.writer = pyarrow.parquet.ParquetWriter(path, schema, compression="zstd")
        self.table = partial(pyarrow.Table.from_pylist, schema=schema)

    def add(self, record: dict[str, Any]) -> None:
        self.batch.append(record)
        if len(self.batch) == BATCH:
            self.flush()

    def flush(self) -> None:
        self.writer.write_table(self.table(self.batch))
        self.batch = []

    def __enter__(self) -> _Parquet:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self.batch and kind is None:
            self.flush()
        self.writer.close()
