"""Pairs are those of the rule, to the last boundary; both rules by hand and against fractions.

Run: pytest tests/synthesis/test_pairs.py
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from acecoder_rl.reward_model.training import data
from acecoder_rl.reward_model.training.recipe import Data
from acecoder_rl.synthesis import build, pairs
from acecoder_rl.synthesis.pairs import PairsSettings, Side
from acecoder_rl.synthesis.stages import dropped_of, parts_of, rows_of
from tests.synthesis.tables import question, sampled

# Programs by letter, of 10 tests: 1.0, 0.9, 0.8, 0.5, 0.4, 0.0.
RATES = {"A": 10, "B": 9, "C": 8, "D": 5, "E": 4, "F": 0}


def found(rates: dict[str, float], **settings: Any) -> list[str]:
    sides = [Side(program, rate) for program, rate in rates.items()]
    return [a.program + b.program for a, b in pairs.pairs_of(sides, PairsSettings(**settings))]


def rows(*passed: list[int], **changes: Any) -> list[dict[str, Any]]:
    return build.process([question(number, each, **changes) for number, each in enumerate(passed)]).rows


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # 0.9 - 0.5 is 0.4, not above it; 0.8 is not above 0.8; 0 is not above 0.
        ({"rule": "paper"}, ["AE", "AD", "BE"]),
        # 0.8 is enough, and 0.8 - 0.4 is; 0 still is not.
        ({"rule": "code"}, ["AE", "AD", "BE", "BD", "CE"]),
        ({"rule": "paper", "min_rejected": None}, ["AF", "AE", "AD", "BF", "BE"]),
        ({"rule": "paper", "min_rejected": 0.4}, ["AD"]),
        ({"rule": "paper", "min_chosen": 0.9}, ["AE", "AD"]),
        ({"rule": "code", "min_gap": 0.6}, ["AE"]),
        # Without a gap, what is chosen still passes more: B is no better than B.
        ({"rule": "code", "min_gap": 0.0, "min_chosen": 0.9}, ["AE", "AD", "AC", "AB", "BE", "BD", "BC"]),
    ],
)
def test_pairs_by_hand(settings, expected):
    rates = {name: count / 10 for name, count in RATES.items()}
    assert found(rates, **settings) == expected
    assert found(dict(reversed(rates.items())), **settings) == expected


def test_floats_that_miss_the_bound_by_their_last_digit():
    assert 19 / 20 - 11 / 20 < 0.4 and 29 / 30 - 17 / 30 == 0.4 and 0.9 - 0.3 > 0.6
    for chosen, rejected in ((19 / 20, 11 / 20), (29 / 30, 17 / 30)):
        assert found({"A": chosen, "B": rejected}, rule="code") == ["AB"]
        assert found({"A": chosen, "B": rejected}, rule="paper") == []
    assert found({"A": 0.9, "B": 0.3}, rule="paper", min_gap=0.6) == []


@settings(deadline=None)
@given(
    st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n), max_size=12))),
    st.sampled_from(["paper", "code"]),
)
def test_the_rules_are_those_of_exact_fractions(drawn, rule):
    tests, passed = drawn
    high, gap = Fraction(8, 10), Fraction(4, 10)
    expected = set()
    for i, a in enumerate(passed):
        for j, b in enumerate(passed):
            share, less = Fraction(a, tests), Fraction(b, tests)
            strict = share > high and share - less > gap
            if b > 0 and (strict or (rule == "code" and share >= high and share - less >= gap)):
                expected.add(f"{i:02}{j:02}")
    assert set(found({f"{i:02}": count / tests for i, count in enumerate(passed)}, rule=rule)) == expected


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"min_chosen": 1.0}, "min_chosen is 1, and rule 'paper' asks for more than that: set rule to code"),
        ({"min_gap": 1.0, "min_rejected": None}, "min_gap is 1, and no two programs are that far apart"),
        ({"rule": "code", "min_gap": 1.0}, "min_gap is 1, and no two programs are that far apart"),
        ({"rule": "code", "min_gap": 0.4, "min_rejected": 0.6}, "min_gap is 0.4, and no two programs are"),
    ],
)
def test_a_rule_that_no_pair_can_meet_is_refused(wrong, told):
    with pytest.raises(ValidationError, match=told):
        PairsSettings(**wrong)


def test_the_strictest_rules_that_some_pair_can_meet():
    assert found({"A": 1.0, "B": 0.0}, rule="code", min_chosen=1.0, min_gap=1.0, min_rejected=None) == ["AB"]
    assert found({"A": 1.0, "B": 0.625}, rule="code", min_gap=0.375, min_rejected=0.6) == ["AB"]
    assert found({"A": 1.0, "B": 0.01}, rule="paper", min_chosen=0.99, min_gap=0.98) == ["AB"]


def test_equal_texts_make_one_pair_and_none_with_themselves():
    sides = [Side("good\n", 1.0), Side("good", 1.0), Side("bad", 0.1), Side("bad", 0.1), Side("good", 0.2)]
    assert list(pairs.pairs_of(sides, PairsSettings())) == [(sides[0], sides[3])]


def test_a_row_is_acecodepairs_with_what_train_rm_reads_beyond_it():
    chunk = pairs.process(rows([10, 4]), PairsSettings())
    asked = (
        "Please provide a self-contained Python script that solves the following problem in a markdown code block:\n"
        '```\n"""\nWrite add_0(x).\nassert add_0(0) == 0\n"""\n\n```\n'
    )
    lead = (
        "Below is a Python script with a self-contained function that solves the problem and passes corresponding "
        "tests:\n```python\ndef add_0(x):\n    return x + 0 + "
    )
    assert chunk.rows == [
        {
            "id": 0,
            "instruction": asked,
            "input": "",
            "chosen": f"{lead}0\n```",
            "rejected": f"{lead}1\n```",
            "margin": 0.6,
            "chosen_score": 1.0,
            "rejected_score": 0.4,
            "question_id": "oss_0",
        }
    ]
    assert list(chunk.rows[0]) == pairs.schema().names
    assert chunk.counts == {"questions": 1, "over_cap": 0} and not chunk.dropped


def test_questions_without_a_pair_are_dropped_by_reason():
    table = rows([10, 7], [8, 1], [], [10, 0])
    table += rows([10, 4], question="Größe?")
    chunk = pairs.process(table, PairsSettings())
    assert len(chunk.rows) == 1  # what is not ASCII is kept
    assert [(each.id, each.reason) for each in chunk.dropped] == [
        ("oss_0", "no_pair"),
        ("oss_1", "none_good_enough"),
        ("oss_2", "no_inferences"),
        ("oss_3", "no_pair"),
    ]
    chunk = pairs.process(table, PairsSettings(ascii_only=True))
    assert (chunk.dropped[-1].reason, chunk.rows) == ("not_ascii", [])


def test_a_cap_chooses_by_seed_and_not_by_what_else_is_there():
    table = rows([10] * 4 + [3] * 4, [10] * 4 + [2] * 4)
    whole = pairs.process(table, PairsSettings()).rows
    assert len(whole) == 32
    capped = [pairs.process(table, PairsSettings(max_per_question=5, seed=seed)) for seed in range(4)]
    assert {len(chunk.rows) for chunk in capped} == {10} and capped[0].counts == {"questions": 2, "over_cap": 22}

    def texts(made: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
        return [(row["question_id"], row["chosen"], row["rejected"]) for row in made]

    assert len({tuple(texts(chunk.rows)) for chunk in capped}) == 4  # another seed, another choice
    for chunk in capped:  # a part of the whole, in its order
        assert texts(chunk.rows) == [each for each in texts(whole) if each in texts(chunk.rows)]
    alone = pairs.process(table[1:], PairsSettings(max_per_question=5, seed=0)).rows
    assert texts(alone) == texts(capped[0].rows)[5:]
    assert texts(pairs.process(table, PairsSettings(max_per_question=16)).rows) == texts(whole)


def test_the_stage_numbers_its_pairs_through_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pairs, "CHUNK", 2)
    table = [question(number, [10, 10, 4]) for number in range(5)] + [question(5, [10, 9])]
    folder = sampled(tmp_path / "run", table)
    build.run(folder)
    state = pairs.run(folder, PairsSettings())
    assert (state.read, state.kept, state.dropped, state.parts) == (6, 10, {"no_pair": 1}, 3)
    made = list(rows_of(folder, "pairs"))
    assert [row["id"] for row in made] == list(range(10))
    assert [each.id for each in dropped_of(folder, "pairs")] == ["oss_5"]
    # As after a kill in the middle.
    for path in (folder / "pairs").glob("*-0000[12].parquet"):
        path.unlink()
    (folder / "pairs" / "stage.json").write_text(
        (folder / "pairs" / "stage.json").read_text().replace('"finished"', '"running"')
    )
    pairs.run(folder, PairsSettings())
    assert list(rows_of(folder, "pairs")) == made


def test_train_rm_reads_the_pairs_as_they_are(tmp_path: Path, cli):
    folder = sampled(tmp_path / "run", [question(number, [10, 9, 4, 1]) for number in range(20)])
    build.run(folder)
    pairs.run(folder, PairsSettings())
    (file,) = parts_of(folder, "pairs")
    read = [pair for _, pair in data.rows(Data(path=str(file), margin="gap"))]
    assert len(read) == 80 and len({pair.digest for pair in read}) == 20
    assert [(pair.gap, pair.margin) for pair in read[:2]] == [(0.9, 0.9), (0.6, 0.6)]
    assert [data.margin_of(pair, "gap") for pair in read[:2]] == pytest.approx([2.7, 1.8])
    repository = Path(__file__).resolve().parents[2]
    recipe = repository / "recipes" / "rm_qwen_coder_7b.yaml"
    told = cli("train-rm", recipe, "--dry-run", "--set", f"data.path={file}", "--set", "train.batch_size=32")
    assert told.returncode == 0, told.stderr
    assert "76 of 19 questions to train on, 4 of 1 questions held out" in told.stdout
