"""One rollout: a completion with everything that was found out about it, and its row in the log.

Covers: the columns, bounds on what a row holds, tests as texts.
Does not cover: writing rows (log.py), what is suspicious about one (suspects.py).
Hostile input: lone surrogates are replaced; texts are cut, so that no row is larger than a few MB.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from acecoder_rl.cases import Test, Tests
from acecoder_rl.sandbox.verdict import Verdict

if TYPE_CHECKING:
    import pyarrow

TEXT_CHARS = 200_000  # of a question, completion or program
TEST_CHARS = 1_000  # of a test
TESTS = 100  # of a problem; the others are counted
SMALL = (  # all that lists and curves need; the rest is read when one rollout is looked at
    "seq", "time", "run", "step", "mode", "problem", "sample", "truncated", "tests_count", "reward", "pass_rate",
    "holdout_pass_rate", "timeouts", "length", "seconds", "flags",
)  # fmt: skip


@dataclass(frozen=True)
class Rollout:
    """A completion that was scored.

    Attributes:
        problem: the problem's id.
        question: as the data set has it; "" where tests are all there is.
        tests: those it was run against.
        completion: the model's text.
        program: the one in it, or "".
        reward: what the trainer got; for `acecoder-rl score` the pass rate.
        pass_rate: of the tests that earn, in [0, 1].
        holdout_pass_rate: of those withheld from the reward; None where none are.
        held_out: the indices of those.
        verdict: None when there was no program to run.
        components: what the reward logs.
        mode: "eval" rows are measured, they earn nothing.
        truncated: whether the completion was cut off.
        seconds: wall clock of scoring it, with the wait for a free core.
        time: when it was scored, seconds since 1970.
        step: of the training, where whoever scores knows it; None: see steps.py.
        sample: its place among the samples of its problem; None counts them, a process.
    """

    problem: str
    question: str
    tests: Tests
    completion: str
    program: str
    reward: float
    pass_rate: float
    time: float
    holdout_pass_rate: float | None = None
    held_out: frozenset[int] = frozenset()
    verdict: Verdict | None = None
    components: dict[str, float] = field(default_factory=dict)
    mode: Literal["train", "eval"] = "train"
    truncated: bool = False
    seconds: float = 0.0
    step: int | None = None
    sample: int | None = None

    @property
    def size(self) -> int:
        """Roughly the characters that it keeps from being freed: its tests are shared by the samples of a problem."""
        return len(self.completion) + len(self.program) + 2_000

    def row(self, seq: int, run: str, sample: int, flags: dict[str, str]) -> dict[str, Any]:
        """Its row in the log.

        Args:
            seq: its number among those of its writer.
            flags: what is suspicious about it, with the reasons.
        """
        outcomes = self.verdict.outcomes if self.verdict else ()
        return {
            "seq": seq,
            "time": self.time,
            "run": run,
            "step": self.step,
            "mode": self.mode,
            "problem": clean(self.problem, 500),
            "sample": sample if self.sample is None else self.sample,
            "truncated": self.truncated,
            "tests_count": len(self.tests),
            "reward": self.reward,
            "pass_rate": self.pass_rate,
            "holdout_pass_rate": self.holdout_pass_rate,
            "timeouts": sum(outcome.status == "timeout" for outcome in outcomes),
            "length": len(self.completion),
            "seconds": self.seconds,
            "flags": ",".join(flags),
            "reasons": json.dumps(flags),
            "status": self.verdict.status if self.verdict else "no_program",
            "message": clean(self.verdict.message) if self.verdict else "",
            "isolation": self.verdict.isolation if self.verdict else None,
            "components": json.dumps(self.components),
            "question": clean(self.question),
            "completion": clean(self.completion),
            "program": clean(self.program),
            "tests": json.dumps(list(self._tests())),
        }

    def _tests(self) -> Iterable[dict[str, Any]]:
        outcomes = self.verdict.outcomes if self.verdict else ()
        for index, test in enumerate(self.tests.tests[:TESTS]):
            outcome = outcomes[index] if index < len(outcomes) else None
            yield {
                "text": clean(test_text(test), TEST_CHARS),
                "status": outcome.status if outcome else "not_run",
                "message": clean(outcome.message) if outcome else "",
                "cpu_seconds": round(outcome.cpu_seconds, 6) if outcome else 0.0,
                "claimed": outcome.claimed if outcome else False,
                "held_out": index in self.held_out,
            }


def test_text(test: Test) -> str:
    """A test as people read it."""
    if test.kind == "stdio":
        return f"stdin:\n{test.stdin[:TEST_CHARS]}\nstdout:\n{test.stdout[:TEST_CHARS]}"
    if test.kind == "call":
        return f"{test.function}({', '.join(map(_short, test.args))}) == {_short(test.expected)}"
    return test.code


def _short(value: Any) -> str:
    try:
        return repr(value)[:TEST_CHARS]
    except (ValueError, RecursionError):  # ints past the digit limit, nesting past the stack
        return f"<{type(value).__name__}>"


def clean(text: str, most: int = TEXT_CHARS) -> str:
    """A text that every reader of Parquet and JSON bears, cut in its middle where it is too long."""
    if len(text) > most:
        half = most // 2
        text = f"{text[:half]}\n... {len(text) - 2 * half} characters are left out ...\n{text[-half:]}"
    return text.encode("utf-8", "replace").decode()


def table(rows: list[dict[str, Any]]) -> pyarrow.Table:
    """Rows as a table.

    From buffers: pyarrow's own ways import pandas where it is installed, for a second, in the middle of a training,
    and a process that is forked meanwhile would have half of it.
    """
    import pyarrow

    columns = schema()
    arrays = [_array([row[field.name] for row in rows], field.type) for field in columns]
    return pyarrow.Table.from_arrays(arrays, schema=columns)


def _array(values: list[Any], kind: pyarrow.DataType) -> pyarrow.Array:
    import numpy
    import pyarrow

    there = numpy.array([value is not None for value in values], bool)
    buffers = [None if there.all() else pyarrow.py_buffer(numpy.packbits(there, bitorder="little"))]
    if kind == pyarrow.string():
        texts = [b"" if value is None else value.encode() for value in values]
        offsets = numpy.cumsum([0, *map(len, texts)], dtype=numpy.int32)
        buffers += [pyarrow.py_buffer(offsets), pyarrow.py_buffer(b"".join(texts))]
    elif kind == pyarrow.bool_():
        buffers.append(pyarrow.py_buffer(numpy.packbits(numpy.array(values, bool), bitorder="little")))
    else:
        numbers = numpy.array([0 if value is None else value for value in values])
        whole = kind == pyarrow.int32()
        buffers.append(pyarrow.py_buffer(numbers.astype(numpy.int32 if whole else numpy.float64)))
    return pyarrow.Array.from_buffers(kind, len(values), buffers)


def schema() -> pyarrow.Schema:
    """The columns of a shard."""
    import pyarrow

    text, real, whole = pyarrow.string(), pyarrow.float64(), pyarrow.int32()
    kinds = {"time": real, "reward": real, "pass_rate": real, "holdout_pass_rate": real, "seconds": real}
    kinds |= dict.fromkeys(("seq", "step", "sample", "tests_count", "timeouts", "length"), whole)
    kinds["truncated"] = pyarrow.bool_()
    large = ("reasons", "status", "message", "isolation", "components", "question", "completion", "program", "tests")
    return pyarrow.schema({name: kinds.get(name, text) for name in (*SMALL, *large)})
