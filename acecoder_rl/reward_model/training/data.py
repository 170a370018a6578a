"""Preference pairs -> token files: train.arrow and val.arrow.

Covers: JSONL, Parquet, the starter's pairs and datasets of the Hub in AceCodePair-300K's schema; every row checked,
    and named when it is wrong; the split by question; pairs that do not fit, left out and counted; margins.
Does not cover: making pairs (synthesis), batches (trainer.py).
A row that is malformed is an error before anything is tokenized: no pair is lost without a word. Tokens are the
encoder's of RewardScorer, so a reward model is trained on what it will be shown.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from acecoder_rl import starter
from acecoder_rl.records import InputError, check_readable, iter_rows
from acecoder_rl.reward_model.training.recipe import Data
from acecoder_rl.reward_model.training.token_file import TokenFile
from acecoder_rl.training.mistakes import shown
from acecoder_rl.training.recipe import RecipeError
from acecoder_rl.training.sources import is_hub_id, load_hub

STARTER = "starter:pairs"
MARGIN = 3.0  # a pass-rate gap of 1, as the AceCoder authors' get_margin_rm_data.py has it
FEW = 0.05  # the share of pairs left out that is no reason for a warning
CUT = {"question_cut", "too_long"}


@dataclass(frozen=True)
class Pair:
    """One row.

    Attributes:
        question: instruction, and input below it where there is one.
        gap: pass rate of the chosen side minus that of the rejected; None where the row has none.
        margin: the row's own column.
    """

    question: str
    chosen: str
    rejected: str
    gap: float | None = None
    margin: float | None = None

    @property
    def digest(self) -> bytes:
        """Of the question: what makes two rows pairs of one question."""
        return blake2b(self.question.strip().encode("utf-8", "surrogatepass"), digest_size=16).digest()


@dataclass(frozen=True)
class Prepared:
    """What became of the rows.

    Attributes:
        train, val: pairs on each side.
        questions, val_questions: in all, and held out.
        dropped: rows left out, by reason: "too_long", "identical".
        warnings: what the user should know.
    """

    train: int
    val: int
    questions: int
    val_questions: int
    dropped: Counter[str]
    warnings: tuple[str, ...]


class PairError(ValueError):
    """A row that is no preference pair; the message says what to mend."""


def parse(record: dict[str, Any]) -> Pair:
    """A row's pair.

    Raises:
        PairError: a column is missing or holds something else.
    """
    texts = {}
    for name in ("instruction", "chosen", "rejected"):
        value = record.get(name)
        if not isinstance(value, str) or not value.strip():
            told = "is missing" if value is None else f"is {shown(value)}"
            raise PairError(f"{name} {told}: give a text")
        texts[name] = value
    further = record.get("input")
    if further is not None and not isinstance(further, str):
        raise PairError(f"input is {shown(further)}: give a text, or leave it out")
    # As LLaMA-Factory, which AceCodeRM was trained with, joins them.
    question = f"{texts['instruction']}\n{further}" if further else texts["instruction"]
    scores = [_number(record, name, 0, 1) for name in ("chosen_score", "rejected_score")]
    chosen, rejected = scores
    if (chosen is None) != (rejected is None):
        raise PairError("it has only one of chosen_score and rejected_score: give both or none")
    gap = None if chosen is None or rejected is None else chosen - rejected
    if gap is not None and gap < 0:
        raise PairError(f"chosen_score {chosen:g} is below rejected_score {rejected:g}: swap the sides")
    return Pair(question, texts["chosen"], texts["rejected"], gap, _number(record, "margin", 0, math.inf))


def _number(record: dict[str, Any], name: str, low: float, high: float) -> float | None:
    value = record.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high or value == math.inf:
        raise PairError(f"{name} is {shown(value)}: give a number of {low:g} to {high:g}, or leave it out")
    return float(value)


def source_file(data: Data) -> Path | None:
    """The file that the pairs are in; None for a dataset of the Hub, or in a folder.

    Raises:
        RecipeError: there is no such file.
    """
    if data.path == STARTER:
        return starter.pairs()
    path = Path(data.path).expanduser()
    if path.is_dir() or is_hub_id(data.path):
        return None
    for name, usual in (("config", None), ("split", "train")):
        if getattr(data, name) != usual:
            raise RecipeError([f"data.{name} is {getattr(data, name)!r}, but {data.path} is a file: leave it out"])
    if not path.exists():
        raise RecipeError(
            [
                f"data.path is {data.path!r}, which does not exist: give a JSONL or Parquet file, {STARTER}, or a "
                "dataset id of the Hub"
            ]
        )
    return path


def rows(data: Data) -> Iterator[tuple[str, Pair]]:
    """(place, pair) of each row.

    Raises:
        RecipeError: a row is malformed, or there is none.
    """
    where, empty = data.path, True
    try:
        for where, record in _records(data):
            pair = parse(record)
            if data.margin == "gap" and pair.margin is None and pair.gap is None:
                raise PairError(
                    "it has neither margin nor chosen_score and rejected_score, which data.margin 'gap' needs: add "
                    "them, or set data.margin to none"
                )
            empty = False
            yield where, pair
    except PairError as error:
        raise RecipeError([f"data.path: {where}: {error}"]) from None
    except InputError as error:
        raise RecipeError([f"data.path: {error}"]) from None
    if empty:
        raise RecipeError([f"data.path is {data.path!r}, which has no rows: give some"])


def _records(data: Data) -> Iterator[tuple[str, dict[str, Any]]]:
    file = source_file(data)
    if file is None:
        for number, record in enumerate(load_hub(data.path, data.split, "data", data.config)):
            yield f"{data.path}: row {number}", record
        return
    check_readable(file)
    for row in iter_rows(file):
        if row.record is None:
            raise InputError(f"{row.where} {row.reason}")
        yield row.where, row.record


def held_out(questions: Iterable[bytes], share: float, seed: int) -> set[bytes]:
    """The digests of the questions whose pairs are held out: at least one where `share` is above 0.

    Chosen by a hash of seed and question alone: the order of the rows changes nothing.
    """
    ranked = sorted(set(questions), key=lambda digest: blake2b(digest, key=str(seed).encode()).digest())
    return set(ranked[: max(1, round(share * len(ranked)))]) if share else set()


def margin_of(pair: Pair, kind: str) -> float:
    """What the chosen side must be ahead by: nothing, or by kind "gap" what `Data.margin` says."""
    if kind == "none":
        return 0.0
    # The scores come first: a column `margin` beside them may be the bare gap, as stage `pairs` of synthesis writes it.
    return MARGIN * pair.gap if pair.gap is not None else pair.margin or 0.0


def questions(data: Data, on_row: Callable[[], object] = int) -> set[bytes]:
    """The digests of all questions; every row is checked.

    Raises:
        RecipeError: a row is malformed, or there is none.
    """
    found = set()
    for _, pair in rows(data):
        found.add(pair.digest)
        on_row()
    return found


def prepare(
    data: Data, seed: int, digests: set[bytes], tokenizer: Any, folder: Path, on_row: Callable[[], object] = int
) -> Prepared:
    """Write folder/train.arrow and folder/val.arrow.

    Args:
        digests: of all questions, from `questions`.
        tokenizer: of the backbone.
        on_row: called for every row.

    Raises:
        RecipeError: no pair fits, or the tokenizer has no chat template.
    """
    from acecoder_rl.reward_model.encoding import Encoder

    try:
        encoder = Encoder(tokenizer, "raw", data.cutoff_len)
    except ValueError as error:
        raise RecipeError([f"model.path, data.cutoff_len: {error}"]) from None
    out = held_out(digests, data.val_share, seed)
    if len(out) == len(digests) and out:
        raise RecipeError(
            [
                f"data.val_share is {data.val_share:g}, which leaves no question of {len(digests)} to train on: set it "
                "lower"
            ]
        )
    counts, dropped = Counter[str](), Counter[str]()
    folder.mkdir(parents=True, exist_ok=True)
    with TokenFile(folder / "train.arrow") as train, TokenFile(folder / "val.arrow") as val:
        for _, pair in rows(data):
            on_row()
            side = "val" if pair.digest in out else "train"
            sides = [encoder.encode(pair.question, answer) for answer in (pair.chosen, pair.rejected)]
            if any(CUT & set(encoded.flags) for encoded in sides):
                dropped["too_long"] += 1
            elif sides[0].ids == sides[1].ids:
                dropped["identical"] += 1
            else:
                lengths = len(pair.chosen), len(pair.rejected)
                ids = (list(encoded.ids) for encoded in sides)
                writer = val if side == "val" else train
                writer.add(*ids, margin_of(pair, data.margin), pair.gap, *lengths, counts[side])
                counts[side] += 1
    if not counts["train"]:
        raise RecipeError(
            [
                f"data.cutoff_len is {data.cutoff_len}, which leaves no pair to train on "
                f"({dropped['too_long']} are longer): set it higher"
            ]
        )
    return Prepared(
        counts["train"], counts["val"], len(digests), len(out), dropped, tuple(_warnings(data, counts, dropped))
    )


def _warnings(data: Data, counts: Counter[str], dropped: Counter[str]) -> Iterator[str]:
    total = counts.total() + dropped.total()
    if dropped["too_long"]:
        much = ": set it higher to keep them" if dropped["too_long"] > FEW * total else ""
        yield (
            f"{dropped['too_long']} of {total} pairs are longer than data.cutoff_len {data.cutoff_len} tokens and are "
            f"left out{much}"
        )
    if dropped["identical"]:
        yield f"{dropped['identical']} of {total} pairs have two sides that are the same and are left out"
    if data.val_share and not counts["val"]:
        yield "no held-out pair is left: there will be no evaluation"
