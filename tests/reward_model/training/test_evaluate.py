"""Figures of held-out pairs: by gap and by length, with intervals."""

from __future__ import annotations

import pytest

from acecoder_rl.reward_model.training.evaluate import Scored, flat, interval, report


def test_buckets_tell_where_the_model_is_wrong() -> None:
    pairs = [
        Scored(2.0, 1.0, 200, 100, gap=0.6),  # right, and the chosen side is the longer one
        Scored(3.0, 0.0, 200, 100, gap=1.0),
        Scored(0.0, 2.0, 100, 200, gap=0.4),  # wrong where it is the shorter one
        Scored(1.0, 1.0, 100, 105, gap=None),  # a tie is not right
    ]
    figures = report(pairs)
    assert (figures["pairs"], figures["accuracy"], figures["mean_margin"]) == (4, 0.5, 0.5)
    assert {name: inner["accuracy"] for name, inner in figures["by_length"].items()} == {
        "chosen longer": 1.0,
        "chosen shorter": 0.0,
        "similar length": 0.0,
    }
    assert {name: inner["pairs"] for name, inner in figures["by_gap"].items()} == {
        "gap 0.4 to 0.6": 1,
        "gap 0.6 to 0.8": 1,
        "gap 0.8 to 1.0": 1,
    }
    assert flat(figures)["eval_accuracy/chosen longer"] == 1.0 and flat(figures)["eval_margin"] == 0.5


def test_an_interval_is_wilsons() -> None:
    assert interval(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert interval(10, 10)[1] == 1.0 and interval(10, 10)[0] == pytest.approx(0.7225, abs=1e-4)
