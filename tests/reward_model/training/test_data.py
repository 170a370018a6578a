"""Rows become pairs, or errors that name them; no question is on both sides; nothing is cut."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acecoder_rl.reward_model.training import data
from acecoder_rl.reward_model.training.recipe import Data
from acecoder_rl.training.recipe import RecipeError

ROW = {"id": 1, "instruction": "Q?", "input": "", "chosen": "good", "rejected": "bad"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"chosen": None}, "chosen is missing: give a text"),
        ({"chosen": "  "}, "chosen is '  ': give a text"),
        ({"instruction": 3}, "instruction is 3: give a text"),
        ({"input": ["x"]}, "input is ['x']: give a text, or leave it out"),
        ({"chosen_score": 1.0}, "it has only one of chosen_score and rejected_score: give both or none"),
        ({"chosen_score": 0.2, "rejected_score": 1}, "chosen_score 0.2 is below rejected_score 1: swap the sides"),
        ({"chosen_score": 100, "rejected_score": 0}, "chosen_score is 100: give a number of 0 to 1, or leave it out"),
        ({"margin": float("inf")}, "margin is inf: give a number of 0 to inf, or leave it out"),
        ({"margin": True}, "margin is true: give a number of 0 to inf, or leave it out"),
    ],
)
def test_a_wrong_row_is_named(jsonl: Callable[..., Path], change: dict[str, Any], told: str) -> None:
    file = jsonl("pairs.jsonl", [ROW, ROW | change])
    with pytest.raises(RecipeError) as error:
        list(data.rows(Data(path=str(file))))
    assert error.value.mistakes == (f"data.path: pairs.jsonl:2: {told}",)


def test_a_margin_needs_numbers(jsonl: Callable[..., Path]) -> None:
    file = jsonl("pairs.jsonl", [ROW | {"margin": 0.5}, ROW])
    with pytest.raises(RecipeError, match=r"pairs.jsonl:2: it has neither margin nor chosen_score and rejected_score"):
        list(data.rows(Data(path=str(file), margin="gap")))
    assert len(list(data.rows(Data(path=str(file))))) == 2


def test_margins_are_upstreams() -> None:
    pair = data.parse(ROW | {"chosen_score": 0.9, "rejected_score": 0.4})
    assert data.margin_of(pair, "gap") == pytest.approx(1.5) and data.margin_of(pair, "none") == 0
    assert data.margin_of(data.parse(ROW | {"margin": 0.25}), "gap") == 0.25
    # Pairs of `acecoder-rl synthesize` have the bare gap as their margin: the factor is the same for them.
    both = data.parse(ROW | {"chosen_score": 0.9, "rejected_score": 0.4, "margin": 0.5})
    assert data.margin_of(both, "gap") == pytest.approx(1.5)
    even = data.parse(ROW | {"chosen_score": 0.5, "rejected_score": 0.5, "margin": 2.0})
    assert data.margin_of(even, "gap") == 0


def test_files_that_are_none(jsonl: Callable[..., Path], tmp_path: Path) -> None:
    broken = jsonl("pairs.jsonl", [ROW, '{"id": '])
    with pytest.raises(RecipeError, match=r"pairs.jsonl:2 is not JSON"):
        list(data.rows(Data(path=str(broken))))
    with pytest.raises(RecipeError, match=r"which has no rows"):
        list(data.rows(Data(path=str(jsonl("none.jsonl", [])))))
    with pytest.raises(RecipeError, match=r"data.path is .*away.jsonl', which does not exist"):
        list(data.rows(Data(path=str(tmp_path / "away.jsonl"))))
    with pytest.raises(RecipeError, match=r"data.config is '32B', but .* is a file: leave it out"):
        list(data.rows(Data(path=str(broken), config="32B")))


def test_an_input_stands_below_the_instruction() -> None:
    assert data.parse(ROW | {"input": "more"}).question == "Q?\nmore"


def test_no_question_is_on_both_sides() -> None:
    pairs = [data.parse(ROW | {"instruction": f"Q{number // 3}?"}) for number in range(300)]
    out = data.held_out([pair.digest for pair in pairs], 0.1, seed=1)
    assert len(out) == 10 and sum(pair.digest in out for pair in pairs) == 30
    # Neither the order of rows nor white space around the question matters; the seed does.
    assert data.held_out(reversed([pair.digest for pair in pairs]), 0.1, seed=1) == out
    assert data.parse(ROW | {"instruction": " Q0?\n"}).digest == pairs[0].digest
    assert data.held_out([pair.digest for pair in pairs], 0.1, seed=2) != out
    assert len(data.held_out([pair.digest for pair in pairs], 1e-6, seed=1)) == 1
    assert data.held_out([pair.digest for pair in pairs], 0, seed=1) == set()


def test_pairs_that_do_not_fit_are_left_out_and_counted(
    jsonl: Callable[..., Path], base_model: Callable[[str], Path], tmp_path: Path
) -> None:
    import datasets
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base_model("qwen2"))
    long, same = ROW | {"rejected": "bad " * 200}, ROW | {"rejected": "good"}
    file = jsonl("pairs.jsonl", [ROW, long, same, *(ROW | {"instruction": f"Q{number}?"} for number in range(7))])
    some = Data(path=str(file), val_share=0.25, cutoff_len=64)
    prepared = data.prepare(some, 1, data.questions(some), tokenizer, tmp_path / "out")
    assert prepared.dropped == {"too_long": 1, "identical": 1}
    assert (prepared.train + prepared.val, prepared.questions, prepared.val_questions) == (8, 8, 2)
    assert prepared.warnings == (
        "1 of 10 pairs are longer than data.cutoff_len 64 tokens and are left out: set it higher to keep them",
        "1 of 10 pairs have two sides that are the same and are left out",
    )
    # The last token is the one that ends the rendered chat, and each row knows its number.
    train = datasets.Dataset.from_file(str(tmp_path / "out" / "train.arrow"))
    assert tokenizer.decode(train[0]["chosen_ids"]).endswith("<|im_start|>assistant\ngood<|im_end|>\n")
    assert train["index"][:] == list(range(prepared.train))
    none = Data(path=str(jsonl("long.jsonl", [long])), val_share=0, cutoff_len=64)
    with pytest.raises(RecipeError, match=r"data.cutoff_len is 64, which leaves no pair to train on"):
        data.prepare(none, 1, data.questions(none), tokenizer, tmp_path / "none")


def test_the_starters_pairs_are_what_they_promise() -> None:
    """Some of them, tried anew in the sandbox."""
    from acecoder_rl import starter
    from acecoder_rl.completions import extract_program
    from acecoder_rl.problems import Problem
    from acecoder_rl.sandbox import Sandbox

    problems = [json.loads(line) for line in starter.path("train").read_text().splitlines()]
    tests = {row["question"]: Problem.from_record(row).tests for row in problems}
    pairs = [json.loads(line) for line in starter.pairs().read_text().splitlines()]
    assert len(pairs) > 200 and len({(row["instruction"], row["rejected"]) for row in pairs}) == len(pairs)
    assert all(0 < row["rejected_score"] <= 0.6 and row["chosen_score"] == 1 for row in pairs)
    some = pairs[::40]
    with Sandbox(workers=1, require="none") as sandbox:
        for row in some:
            for side in ("chosen", "rejected"):
                program = extract_program(row[side]).code
                rate = sandbox.run(program, tests[row["instruction"]]).pass_rate
                assert rate == pytest.approx(row[f"{side}_score"], abs=1e-3), row
