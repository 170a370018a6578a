"""Stage `pairs`: rows of the dataset -> preference pairs in AceCodePair-300K's schema.

Covers: the paper's rule and its released code's; a cap a question, chosen by a hash; texts that are the same; the
    released wrapper around question and program (reward_model/formats.py); the gap between the pass rates, as margin.
Does not cover: training on them (reward_model/training/).
Bounds are exact: pass rates are shares k/n, which floats only approach (0.95 - 0.55 is a little less than 0.4), so
numbers within 1e-9 of each other are the same here. Shares of fewer than 10,000 tests never come that near.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from acecoder_rl.reward_model.formats import FORMATS
from acecoder_rl.synthesis.build import CHUNK
from acecoder_rl.synthesis.stages import Chunk, Dropped, fingerprint_of, rows_of, run_stage
from acecoder_rl.synthesis.state import State, state_of
from acecoder_rl.training.recipe import Positive, Section, Share

if TYPE_CHECKING:
    import pyarrow

SAME = 1e-9


class PairsSettings(Section):
    """Which two programs of a question make a pair.

    Attributes:
        rule: "paper" = the chosen program's pass rate is above `min_chosen`, and by more than `min_gap` above the
            rejected one's; "code" = at least that, as the authors' released code has it.
        min_chosen: of the chosen program's pass rate.
        min_gap: between the two pass rates.
        min_rejected: the rejected program's pass rate is above it, by either rule: programs that pass nothing are
            often broken in trivial ways. None = any.
        max_per_question: pairs a question, chosen by a hash of the pair and `seed`; None = all.
        seed: of that choice.
        ascii_only: leave out questions that are not plain ASCII, as the authors' released code does.
    """

    rule: Literal["paper", "code"] = "paper"
    min_chosen: Share = 0.8
    min_gap: Share = 0.4
    min_rejected: Share | None = 0.0
    max_per_question: Positive | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 42
    ascii_only: bool = False

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.rule == "paper" and self.min_chosen >= 1:
            raise ValueError(
                "min_chosen is 1, and rule 'paper' asks for more than that: set rule to code, or min_chosen lower"
            )
        widest = 1 - (self.min_rejected or 0)
        reached = self.rule == "code" and self.min_rejected is None
        if self.min_gap > widest + (SAME if reached else -SAME):
            raise ValueError(f"min_gap is {self.min_gap:g}, and no two programs are that far apart: set it lower")
        return self


class Side(NamedTuple):
    """A program and its pass rate."""

    program: str
    rate: float


def schema() -> pyarrow.Schema:
    """AceCodePair-300K's columns, then ours: margin (the gap), both pass rates, the question's id."""
    import pyarrow

    return pyarrow.schema(
        {
            "id": pyarrow.int64(),
            **{name: pyarrow.string() for name in ("instruction", "input", "chosen", "rejected")},
            **{name: pyarrow.float64() for name in ("margin", "chosen_score", "rejected_score")},
            "question_id": pyarrow.string(),
        }
    )


class Numbered:
    """`process`, with the pairs numbered from 0 over all chunks of a stage.

    It has to see the chunks that an earlier process did as well: `run_stage(..., replay=True)`.
    """

    def __init__(self, settings: PairsSettings) -> None:
        self.settings = settings
        self.next = 0

    def __call__(self, rows: list[dict[str, Any]]) -> Chunk:
        """A chunk's pairs."""
        chunk = process(rows, self.settings, self.next)
        self.next += len(chunk.rows)
        return chunk


def process(rows: list[dict[str, Any]], settings: PairsSettings, first: int = 0) -> Chunk:
    """Rows of the dataset -> their pairs; questions without one are dropped.

    Args:
        first: number of the first pair.
    """
    made: list[dict[str, Any]] = []
    dropped, counts = [], Counter[str](questions=0, over_cap=0)
    for row in rows:
        sides = [Side(each["completion"], each["pass_rate"]) for each in row["inferences"]]
        reason = _reason(row["question"], sides, settings)
        found = [] if reason else list(pairs_of(sides, settings))
        if not found:
            best = max((side.rate for side in sides), default=None)
            dropped.append(Dropped(row["id"], reason or "no_pair", {"programs": len(sides), "best": best}))
            continue
        kept = _capped(found, row["id"], settings)
        counts["questions"] += 1
        counts["over_cap"] += len(found) - len(kept)
        for chosen, rejected in kept:
            made.append({"id": first + len(made), **_record(row, chosen, rejected)})
    return Chunk(made, dropped, dict(counts))


def pairs_of(sides: list[Side], settings: PairsSettings) -> Iterator[tuple[Side, Side]]:
    """(chosen, rejected) of a question: the best programs first, the worst rejected first; equal texts once."""
    # A strict bound is one that a number must pass by more than the tolerance.
    above = SAME if settings.rule == "paper" else -SAME
    least = -1.0 if settings.min_rejected is None else settings.min_rejected + SAME
    ranked = sorted(sides, key=lambda side: -side.rate)
    seen = set()
    for number, chosen in enumerate(ranked):
        if chosen.rate < settings.min_chosen + above:
            return
        for rejected in reversed(ranked[number + 1 :]):
            texts = (chosen.program.strip(), rejected.program.strip())
            if rejected.rate < least or texts in seen or texts[0] == texts[1]:
                continue
            # The side that passes more is the chosen one, also where no gap is asked for.
            if chosen.rate - rejected.rate < max(settings.min_gap + above, SAME):
                break  # the next ones pass even more
            seen.add(texts)
            yield chosen, rejected


def run(
    folder: Path, settings: PairsSettings, on_done: Callable[[int, int | None], None] = lambda done, total: None
) -> State:
    """The stage, on the run's own dataset.

    Raises:
        InputError: stage build is not finished, or the settings are others than those it was begun with.
    """
    fingerprint = fingerprint_of(folder, "build")
    built = state_of(folder, "build")
    return run_stage(
        folder,
        "pairs",
        schema(),
        rows_of(folder, "build", ("id", "question", "test_cases", "inferences")),
        Numbered(settings),
        CHUNK,
        settings.model_dump(mode="json"),
        built.kept if built else None,
        on_done,
        input=fingerprint,
        replay=True,
    )


def _reason(question: str, sides: list[Side], settings: PairsSettings) -> str:
    """Why a question cannot have a pair, as far as that is seen at once."""
    if settings.ascii_only and not question.isascii():
        return "not_ascii"
    if not sides:
        return "no_inferences"
    best = max(side.rate for side in sides)
    bound = settings.min_chosen + (SAME if settings.rule == "paper" else -SAME)
    return "none_good_enough" if best < bound else ""


def _capped(pairs: list[tuple[Side, Side]], question: str, settings: PairsSettings) -> list[tuple[Side, Side]]:
    most = settings.max_per_question
    if most is None or len(pairs) <= most:
        return pairs

    def rank(number: int) -> bytes:
        text = "\0".join((question, pairs[number][0].program, pairs[number][1].program))
        return blake2b(text.encode("utf-8", "surrogatepass"), key=str(settings.seed).encode()).digest()

    return [pairs[number] for number in sorted(sorted(range(len(pairs)), key=rank)[:most])]


def _record(row: dict[str, Any], chosen: Side, rejected: Side) -> dict[str, Any]:
    first_test = next(iter(row["test_cases"]), None)
    ask, good = FORMATS["acecode"].chat(row["question"], chosen.program.strip(), first_test)
    _, bad = FORMATS["acecode"].chat(row["question"], rejected.program.strip(), first_test)
    return {
        "instruction": ask["content"],
        "input": "",
        "chosen": good["content"],
        "rejected": bad["content"],
        "margin": chosen.rate - rejected.rate,
        "chosen_score": chosen.rate,
        "rejected_score": rejected.rate,
        "question_id": row["id"],
    }
