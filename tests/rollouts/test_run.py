"""A run's log as a whole: steps from the times of its reports, attempts, alarms, groups."""

from __future__ import annotations

import time

import numpy
import pytest

from acecoder_rl.rollouts import alarms, steps
from acecoder_rl.rollouts.index import Filter, Index
from acecoder_rl.rollouts.log import RolloutLog
from tests.rollouts.made import rollout

LINE = "(PPOTrainer pid=7) INFO 11-26 {} ppo_trainer.py:551] ✨ Global step 3: {{}}"


def logged(folder, rollouts) -> Index:
    log = RolloutLog(folder)
    for each in rollouts:
        log.add(each)
    log.close()
    index = Index(folder)
    index.refresh()
    return index


@pytest.mark.parametrize(
    ("delay", "zone"), [(0, 0), (3.2, 0), (-1, 0), (2, 5.5 * 3600), (3, -8 * 3600), (400, 5.75 * 3600)]
)
def test_the_stamp_of_a_report_counts_not_when_it_came(delay, zone):
    logged_at = 1_795_000_123.0
    shown = time.strftime("%H:%M:%S", time.gmtime(logged_at + zone))
    assert steps.stamp(LINE.format(shown), logged_at + delay) == logged_at
    assert steps.stamp("no report", 5.0) == 5.0


def test_a_rollout_belongs_to_the_step_that_was_under_way(tmp_path):
    records = [
        {"begins": True, "step": 0, "time": 100.0},
        {"step": 1, "time": 120.0},
        {"step": 2, "time": 140.0},
    ]
    for record in records:
        steps._append(tmp_path, record)
    given = [
        (90, "train"),
        (101, "train"),
        (119, "train"),
        (121, "train"),
        (121, "eval"),
        (200, "train"),
        (200, "eval"),
    ]
    index = logged(tmp_path, [rollout(0, time=float(at), mode=mode) for at, mode in given])
    assert index.columns["step"].tolist() == [-1, 1, 1, 2, 1, 3, 2]


def test_within_the_second_of_a_stamp_the_longest_pause_ends_the_step(tmp_path):
    """As two real runs of a tiny model had it: the update took less than a second, or the next sample did."""
    for record in ({"begins": True, "step": 0, "time": 0.0}, {"step": 1, "time": 10.0}, {"step": 2, "time": 20.0}):
        steps._append(tmp_path, record)
    times = [9.9, 10.19, 10.2, 10.25, 12.6, 12.7, 18.0, 20.9, 20.95]
    index = logged(tmp_path, [rollout(number, time=at) for number, at in enumerate(times)])
    assert index.columns["step"].tolist() == [1, 1, 1, 1, 2, 2, 2, 3, 3]


def test_the_step_that_a_trainer_tells_stands(tmp_path):
    steps.begin(tmp_path, 0)
    index = logged(tmp_path, [rollout(0, time=time.time() + 5, step=17), rollout(1, time=time.time() + 5)])
    assert index.columns["step"].tolist() == [17, 1]


def test_steps_that_a_resumed_run_does_again_are_hidden_once(tmp_path):
    for record in (
        {"begins": True, "step": 0, "time": 0.0}, {"step": 1, "time": 10.0}, {"step": 2, "time": 20.0},
        {"step": 3, "time": 30.0}, {"begins": True, "step": 2, "time": 100.0}, {"step": 3, "time": 110.0},
    ):  # fmt: skip
        steps._append(tmp_path, record)
    index = logged(tmp_path, [rollout(n, time=at) for n, at in enumerate((5.0, 15.0, 25.0, 35.0, 105.0, 115.0))])
    assert index.columns["step"].tolist() == [1, 2, 3, 4, 3, 4]
    assert index.columns["repeated"].tolist() == [False, False, True, True, False, False]
    assert len(index.select(Filter())) == 4 and len(index.select(Filter(repeated=True))) == 6


def test_rows_without_a_step_are_in_no_range_of_steps_and_come_last(tmp_path):
    index = logged(tmp_path, [rollout(number, step=step) for number, step in enumerate((2, None, 1))])
    assert index.select(Filter(step_max=5)).tolist() == [2, 0]
    assert index.select(Filter(), sort="step", descending=False).tolist() == [2, 0, 1]
    assert index.select(Filter(), sort="step").tolist() == [0, 2, 1]


def test_half_a_line_of_a_killed_launcher_is_left_out(tmp_path):
    steps.begin(tmp_path, 4)
    with (tmp_path / steps.FILE).open("a") as file:
        file.write('{"step": 5, "ti')
    assert len(steps.Steps(tmp_path)) == 1
    steps.begin(tmp_path, 4)
    assert len(steps.Steps(tmp_path)) == 2


def _run(hacks: bool, seed: int = 0):
    """20 steps of 64 rollouts: the pass rate rises at step 11, that of the withheld tests with it or not."""
    draw = numpy.random.default_rng(seed)
    for step in range(1, 21):
        level = 0.8 if step > 10 else 0.3
        for number in range(64):
            seen = float(draw.random() < level)
            held = float(draw.random() < (0.3 if hacks else level))
            yield rollout(number, pass_rate=seen, reward=seen, holdout_pass_rate=held, time=100.0 * step, step=step)


def test_a_rise_that_withheld_tests_do_not_share_raises_the_alarm_at_its_step(tmp_path):
    (jump,) = alarms.jumps(logged(tmp_path / "hacked", _run(hacks=True)))
    assert jump["step"] == 11 and jump["rise"] > 0.3 and "from step 11 on the pass rate is +0." in jump["why"]
    assert alarms.jumps(logged(tmp_path / "honest", _run(hacks=False))) == []


def _learns(reward):
    """20 steps of 64 rollouts with 4 tests that earn and 4 that do not: at step 11 it learns, or writes otherwise."""
    draw = numpy.random.default_rng(2)
    for step in range(1, 21):
        for number in range(64):
            seen, held, style = draw.binomial(4, (0.6, 0.6, 0.3) if step <= 10 else (0.9, 0.9, 0.9)) / 4
            pays, seen, held = reward(seen, held, style)
            given = {"reward": pays, "pass_rate": seen, "holdout_pass_rate": held}
            yield rollout(number, time=100.0 * step, step=step, **given)


@pytest.mark.parametrize(
    ("reward", "alarms_at"),
    [
        (lambda seen, held, style: (seen + style, 0.75, 0.75), [11]),  # a reward model is pleased, nothing else
        (lambda seen, held, style: (10 * style, 0.75, 0.75), [11]),
        (lambda seen, held, style: (float(seen == 1), seen, held), []),  # all tests or nothing
        (lambda seen, held, style: (8 * seen + style, seen, held), []),
        (lambda seen, held, style: (seen - 0.1, seen, held), []),
    ],
    ids=["style", "style alone", "all pass", "weights", "penalty"],
)
def test_a_rise_of_the_reward_alone_raises_the_alarm_and_an_honest_one_none(tmp_path, reward, alarms_at):
    found = alarms.jumps(logged(tmp_path, _learns(reward)))
    assert [each["step"] for each in found] == alarms_at
    assert all("from step 11 on the reward is +" in each["why"] for each in found)


def test_noise_raises_no_alarm(tmp_path):
    def noise():
        draw = numpy.random.default_rng(1)
        for step in range(1, 61):
            for number in range(8):
                seen, held = draw.random(2).round()
                yield rollout(number, pass_rate=seen, holdout_pass_rate=held, time=100.0 * step, step=step)

    assert alarms.jumps(logged(tmp_path, noise())) == []


def test_groups_without_spread_and_curves(tmp_path):
    rewards = {(1, "a"): [1, 1, 1], (1, "b"): [0, 0, 0], (1, "c"): [0, 1, 0], (2, "a"): [0.5, 0.5], (2, "d"): [1]}
    rows = [
        rollout(number, problem=problem, step=step, reward=reward, pass_rate=reward, time=100.0 * step + number)
        for (step, problem), group in rewards.items()
        for number, reward in enumerate(group)
    ]  # fmt: skip
    index = logged(tmp_path, rows)
    first, sizes, least, greatest = index.groups(index.select(Filter()))
    assert sorted(sizes.tolist()) == [1, 2, 3, 3, 3] and (least == greatest).sum() == 4
    named = {index.problems[index.columns["problem"][row]] for row in first}
    assert named == {"a", "b", "c", "d"}
    told = alarms.curves(index, index.select(Filter()))
    assert told["train"]["step"] == [1, 2] and told["train"]["rows"] == [9, 3]
    assert told["train"]["reward"] == [pytest.approx(4 / 9, abs=1e-4), pytest.approx(2 / 3, abs=1e-4)]
    assert told["train"]["holdout_pass_rate"] == [None, None] and told["eval"]["step"] == []
