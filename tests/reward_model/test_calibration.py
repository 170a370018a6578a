"""Calibrations: the right mean and deviation, for the right format, or an error."""

import json
import math
import shutil
import statistics

import pytest

from acecoder_rl.records import InputError
from acecoder_rl.reward_model.calibration import Calibration, CalibrationError, calibrate, read_calibration
from acecoder_rl.reward_model.calibration_rows import read_rows
from acecoder_rl.reward_model.convert import convert
from acecoder_rl.reward_model.formats import messages
from tests.reward_model.literal import Literal

ANSWERS = [{"question": "Add two numbers.", "completion": f"def f(a, b):\n    return a + b + {n}"} for n in range(5)]


def wrapped(question, program, test="assert f(1) == 1"):
    """A question and an answer in AceCodePair's schema."""
    user, assistant = messages("acecode", question, program, test)
    return user["content"], assistant["content"]


def pair(number):
    instruction, chosen = wrapped(f"Question {number}?", f"x = {number}")
    _, rejected = wrapped(f"Question {number}?", f"y = {number}")
    return {"id": number, "instruction": instruction, "input": "", "chosen": chosen, "rejected": rejected}


def jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def rm(tiny_rm, tmp_path):
    return shutil.copytree(tiny_rm, tmp_path / "rm")


def test_mean_and_deviation_are_those_of_the_literal_scores(rm, tmp_path):
    literal = Literal(rm)
    scores = [literal.chat(row["question"], row["completion"]) for row in ANSWERS]
    written = calibrate(rm, jsonl(tmp_path / "answers.jsonl", ANSWERS))
    assert written.mean == pytest.approx(statistics.fmean(scores), abs=1e-4)
    assert written.std == pytest.approx(statistics.stdev(scores), abs=1e-4)
    assert (written.count, written.format, written.quantiles["0.5"]) == (5, "raw", sorted_like(written, scores))
    assert read_calibration(rm) == read_calibration(rm / "calibration.json") == written
    # OpenRLHF cannot load this layout: nothing for it in the config.
    assert "mean" not in json.loads((rm / "config.json").read_text())


def sorted_like(written, scores):
    return pytest.approx(sorted(scores)[2], abs=1e-4)


def test_a_classifier_s_calibration_is_the_same_and_openrlhf_s_mean_lacks_the_bias(rm, tmp_path):
    data = jsonl(tmp_path / "answers.jsonl", ANSWERS)
    expected = calibrate(rm, data)
    convert(rm, tmp_path / "carried", verify="none")
    assert read_calibration(tmp_path / "carried") == expected
    (rm / "calibration.json").unlink()
    convert(rm, tmp_path / "anew", verify="none")
    anew = calibrate(tmp_path / "anew", data)
    assert (anew.mean, anew.std) == pytest.approx((expected.mean, expected.std), abs=1e-6)
    for name in ("carried", "anew"):
        config = json.loads((tmp_path / name / "config.json").read_text())
        assert (config["mean"], config["std"]) == pytest.approx((expected.mean - 0.75, expected.std), abs=1e-6)


def test_acecode_pairs_are_scored_as_they_stand_and_said_to_be_acecode(rm, tmp_path):
    rows = [pair(number) for number in range(3)]
    literal = Literal(rm)
    scores = [literal.chat(row["instruction"], row[key]) for row in rows for key in ("chosen", "rejected")]
    written = calibrate(rm, jsonl(tmp_path / "pairs.jsonl", rows))
    assert (written.format, written.count) == ("acecode", 6)
    assert written.mean == pytest.approx(statistics.fmean(scores), abs=1e-4)


def test_answers_put_in_the_acecode_format_are_the_pairs_texts(tmp_path):
    answer = {"question": "Question 1?", "completion": "```python\nx = 1\n```", "first_test": "assert f(1) == 1"}
    rows = read_rows(jsonl(tmp_path / "answers.jsonl", [answer]), "acecode")
    assert (rows.format, rows.rendered) == ("acecode", "acecode")
    (user, assistant) = messages(rows.rendered, *rows.pairs[0])
    assert (user["content"], assistant["content"]) == (pair(1)["instruction"], pair(1)["chosen"])


def test_the_first_test_is_taken_from_the_row_s_tests(tmp_path):
    row = {"question": "q", "test_cases": ["assert f(2) == 2", "assert f(3) == 3"], "completions": ["a", "b"]}
    rows = read_rows(jsonl(tmp_path / "answers.jsonl", [row]), "acecode")
    assert rows.pairs == [("q", "a", "assert f(2) == 2"), ("q", "b", "assert f(2) == 2")]


def test_parquet_rows_are_the_same(tmp_path):
    import pyarrow
    import pyarrow.parquet

    rows = [pair(number) for number in range(3)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "pairs.parquet")
    assert read_rows(tmp_path / "pairs.parquet").pairs == read_rows(jsonl(tmp_path / "pairs.jsonl", rows)).pairs


@pytest.mark.parametrize(
    ("rows", "format", "told"),
    [
        ([], None, "holds no rows"),
        ([ANSWERS[0], pair(1)], None, "rows.jsonl:2 is a preference pair of format 'acecode'.*not on one scale"),
        ([pair(1)], "raw", "not of format 'raw'"),
        ([{"instruction": "q", "chosen": "a", "rejected": "b"}], "acecode", "not of format 'acecode'"),
        ([{"question": "q", "completion": 3}], None, r"rows.jsonl:1: completion is 3"),
        ([{"question": "q"}], None, "has neither chosen and rejected nor an answer"),
        ([{"completion": "a"}], None, "has no question"),
        ([{"instruction": "q", "chosen": ["a"], "rejected": "b"}], None, "chosen is"),
        ([["not", "a", "row"]], None, "is a JSON list"),
    ],
)
def test_rows_that_would_calibrate_something_else_are_refused(tmp_path, rows, format, told):
    with pytest.raises(InputError, match=told):
        read_rows(jsonl(tmp_path / "rows.jsonl", rows), format)


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        ([], "0 score"),
        ([1.0], "no standard deviation"),
        ([2.5] * 9, "standard deviation of 0"),
        # fp32's rounding: a deviation that means nothing.
        ([20.000001, 20.0, 20.000002], "standard deviation of 0"),
        ([1.0, math.nan], "score 1 is nan"),
        ([math.inf, 1.0], "score 0 is inf"),
    ],
)
def test_scores_that_normalise_nothing_are_an_error(scores, told):
    with pytest.raises(CalibrationError, match=told):
        Calibration.of(scores, "raw")


def test_deviations_are_right_where_sums_of_squares_would_cancel():
    calibration = Calibration.of([1e8 + n for n in (1000, 2000, 3000, 4000)], "raw")
    assert calibration.std == pytest.approx(1290.9944487358057, rel=1e-12)
    assert calibration.mean == 1e8 + 2500


def test_equal_answers_leave_no_calibration(rm, tmp_path):
    with pytest.raises(CalibrationError, match=r"same\.jsonl: all 3 scores"):
        calibrate(rm, jsonl(tmp_path / "same.jsonl", [ANSWERS[0]] * 3))
    assert not (rm / "calibration.json").exists()
    with pytest.raises(CalibrationError, match="--calibrate"):
        read_calibration(rm)


@pytest.mark.parametrize(
    "damage",
    [
        {"std": 0},
        {"std": -1.0},
        {"std": "1.0"},
        {"mean": None},
        {"mean": math.nan},
        {"count": 1},
        {"version": 2},
        {"surprise": 1},
    ],
)
def test_damaged_calibrations_are_named(tmp_path, damage):
    file = tmp_path / "calibration.json"
    whole = {"version": 1, "mean": 0.0, "std": 1.0, "count": 9, "format": "raw", "low": -1.0, "high": 1.0}
    file.write_text(json.dumps(whole))
    assert read_calibration(file).count == 9
    file.write_text(json.dumps(whole | damage))
    with pytest.raises(CalibrationError, match=str(file)):
        read_calibration(tmp_path)
    file.write_text("{")
    with pytest.raises(CalibrationError, match=str(file)):
        read_calibration(tmp_path)
