"""Stage `build`: sampled questions -> rows in AceCode-87K's schema.

Covers: the columns and their order, the types that `datasets` reads them as; counts of tests, samples and sources.
Does not cover: prompt files (prompt_files.py), the folder to publish and its card (dataset.py, card.py), which rows are
    hard (hard.py).
What differs from AceCode-87K: a pass rate is over the tests that were kept. There it is over all imagined ones, so
that a perfect program scores less than 1 wherever a test was dropped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from acecoder_rl.cases import At, load_json, shown
from acecoder_rl.synthesis.stages import Chunk, fingerprint_of, rows_of, run_stage
from acecoder_rl.synthesis.state import State, state_of
from acecoder_rl.training.recipe import Section, Text

if TYPE_CHECKING:
    import pyarrow

CHUNK = 1000  # rows: some 10 MB, as Python has them some 50


class BuildSettings(Section):
    """The dataset: what its card says, and how its prompt files are split. None of it changes a row.

    Attributes:
        name: of the dataset, in its card; None = the run folder's.
        license: an identifier of the Hugging Face Hub, such as "mit"; None = the card states none. It is yours to
            choose, by what the seeds' and the models' licences allow.
        eval_share: of the questions, which go to the prompt files' eval split. A question's side is a hash of its
            text and `seed`: neither other questions nor the rows' order change it.
        seed: of that choice.
    """

    name: Text | None = None
    license: Text | None = None
    eval_share: Annotated[float, Field(ge=0, lt=1)] = 0.01
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42


def schema() -> pyarrow.Schema:
    """AceCode-87K's: the released columns, in the released order."""
    import pyarrow

    inference = {
        "model_name": pyarrow.string(),
        "completion_id": pyarrow.int64(),
        "completion": pyarrow.string(),
        "pass_rate": pyarrow.float64(),
    }
    message = {"content": pyarrow.string(), "role": pyarrow.string()}
    return pyarrow.schema(
        {
            "id": pyarrow.string(),
            "source": pyarrow.string(),
            "question": pyarrow.string(),
            "test_cases": pyarrow.list_(pyarrow.string()),
            "inferences": pyarrow.list_(pyarrow.struct(inference)),
            "context_messages": pyarrow.list_(pyarrow.struct(message)),
        }
    )


def process(rows: list[dict[str, Any]]) -> Chunk:
    """Rows of stage sample -> rows of the dataset; none is dropped.

    Raises:
        ProblemError: a row is not what stage sample writes.
    """
    counts: Counter[str] = Counter()
    built = []
    for row in rows:
        at = At(f"sample: row {row['id']}")
        tests = load_json(row["tests"], at["tests"])
        samples = load_json(row["inferences"], at["inferences"])
        if not isinstance(tests, list) or not tests or not all(isinstance(test, str) for test in tests):
            at["tests"].fail(f"is {shown(tests)}: give a list of asserts")
        if not isinstance(samples, list):
            at["inferences"].fail(f"is {shown(samples)}: give a list of objects")
        inferences = [inference(sample, at["inferences"][index]) for index, sample in enumerate(samples)]
        built.append(
            {
                "id": row["id"],
                "source": row["source"],
                "question": row["question"],
                "test_cases": tests,
                "inferences": inferences,
                "context_messages": context(row["question"]),
            }
        )
        counts["tests"] += len(tests)
        counts["inferences"] += len(inferences)
        counts[f"source {row['source']}"] += 1
        counts.update(f"inferences of {inference['model_name']}" for inference in inferences)
    return Chunk(built, counts=dict(counts))


def context(question: str) -> list[dict[str, str]]:
    """The chat that asks a question."""
    return [{"content": question, "role": "user"}]


def run(folder: Path, on_done: Callable[[int, int | None], None] = lambda done, total: None) -> State:
    """The stage, on the run's own samples.

    Raises:
        InputError: stage sample is not finished.
        ProblemError: a row is not what it writes.
    """
    fingerprint = fingerprint_of(folder, "sample")
    sample = state_of(folder, "sample")
    total = sample.kept if sample else None
    source = rows_of(folder, "sample", ("id", "source", "question", "tests", "inferences"))
    return run_stage(folder, "build", schema(), source, process, CHUNK, {}, total, on_done, input=fingerprint)


def inference(sample: Any, at: At, rated: bool = True) -> dict[str, Any]:
    """A sampled program as the schema has it, whatever else is known of it.

    Args:
        rated: whether it must have all, and a pass rate; else null is what it has not.

    Raises:
        ProblemError: it is none.
    """
    if not isinstance(sample, dict):
        at.fail(f"is {shown(sample)}: give an object with model_name, completion_id, completion and pass_rate")
    rate = sample.get("pass_rate")
    unknown = rate is None or rate != rate
    if isinstance(rate, bool) or not (not rated if unknown else isinstance(rate, int | float) and 0 <= rate <= 1):
        at["pass_rate"].fail(f"is {shown(rate)}: give a number from 0 to 1")
    kinds = {"model_name": (str, "text"), "completion_id": (int, "number"), "completion": (str, "text")}
    for name, (kind, give) in kinds.items():
        value = sample.get(name)
        missing = value is None and not rated
        if not missing and (isinstance(value, bool) or not isinstance(value, kind)):
            at[name].fail(f"is {shown(value)}: give a {give}")
    return {**{name: sample.get(name) for name in kinds}, "pass_rate": None if rate is None else float(rate)}
