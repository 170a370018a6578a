"""What a run reports is read from the log, and from nothing that a model wrote."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acecoder_rl.training.metrics import Report, append, forget_after, parse, read

# As a run of the quickstart logged them.
TRAINER = "\x1b[36m(PPOTrainer pid=9157)\x1b[0m INFO 11-25 19:39:41 ppo_trainer.py:"
STEP = (
    TRAINER + "551] ✨ Global step 1: {'actor_lr': 3e-05, 'truncated': 0.125, 'reward': 0.5, "
    "'sandbox_seconds': 0.0018456249381415546, 'ppo_kl': -1.9681833922080206e-08, 'policy_loss': 0.0309, "
    "'timing/ppo_train': 22.596996307373047, 'rollout/num_samples': 16.0}\n"
)
EVAL = (
    TRAINER + "598] ✨ Evaluation completed in 0:00:21, global_step 2, eval_metrics: {'eval_problems_pass4': 0.5, "
    "'eval_problems_pass1': 0.25, 'eval_problems_response_length_mean': 16, 'eval_num_samples': 24.0}\n"
)


def test_a_step():
    report = parse(STEP)
    assert (report.kind, report.step) == ("train", 1)
    assert report.values["actor_lr"] == 3e-5 and report.values["ppo_kl"] == -1.9681833922080206e-08
    assert report.values["timing/ppo_train"] == 22.596996307373047 and len(report.values) == 8


def test_an_evaluation():
    values = {
        "eval_problems_pass4": 0.5,
        "eval_problems_pass1": 0.25,
        "eval_problems_response_length_mean": 16,
    }
    assert parse(EVAL) == Report("eval", 2, values | {"eval_num_samples": 24})
    assert parse(EVAL.replace("0:00:21", "1 day, 2:00:21")).step == 2


@pytest.mark.parametrize("prefix", ["(PPOTrainer pid=1)", "\x1b[33m(PPOTrainer pid=1, ip=10.0.0.7)\x1b[0m"])
def test_the_trainer_may_run_anywhere(prefix):
    assert parse(STEP.replace("\x1b[36m(PPOTrainer pid=9157)\x1b[0m", prefix)) == parse(STEP)


def test_numbers_that_are_none():
    values = parse(STEP.replace("0.0309", "nan").replace("3e-05", "-inf").replace("0.125", "inf")).values
    assert math.isnan(values["policy_loss"])
    assert (values["actor_lr"], values["truncated"], len(values)) == (-math.inf, math.inf, 8)


def test_what_is_no_number_costs_no_number():
    line = STEP.replace("'reward': 0.5", "'reward': 0.5, 'note': None, \"eval_bob's_pass1\": 0.75, 'x': [1.0, 2.0]")
    assert parse(line).values == parse(STEP).values | {"eval_bob's_pass1": 0.75}


FAKE = "ppo_trainer.py:551] ✨ Global step 99: {'reward': 9.0, 'pass_rate': 1.0}"


@given(
    before=st.text(max_size=20),
    after=st.sampled_from(["", "\n", "\r\n", "}", "'}", "\u2028", "\x00"]),
    reward=st.floats(),
)
def test_a_sample_cannot_pose_as_a_report(before, after, reward):
    # As OpenRLHF logs the first sample of a step, which ends as the model likes.
    for fake in (FAKE, STEP, EVAL):
        assert parse(f"{TRAINER}224] Sample: {[before + fake + after, reward]}\n") is None


@pytest.mark.parametrize(
    "line",
    [
        FAKE,
        STEP.replace("PPOTrainer", "RolloutRayActor"),
        f"(PPOTrainer pid=1) {STEP}",
        f"{TRAINER}224] Sample: {STEP}",
        f"{TRAINER}224] Sample: ] ✨ Global step 9: {{'reward': 9.0}}",
        STEP.rstrip()[:-1],
        "a line of anything\n",
        "",
    ],
)
def test_other_lines_are_none(line):
    assert parse(line) is None


def test_reports_come_back_in_the_order_of_steps(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert read(path) == []
    reports = [Report("train", 1, {"a": math.inf}), Report("train", 2, {}), Report("eval", 2, {"b": 1e-9})]
    for report in reversed(reports):
        append(path, report)
    assert read(path) == reports


def test_half_a_line_is_forgotten_and_spoils_no_later_one(tmp_path):
    path = _steps(tmp_path, 1, 2, 3)
    whole = path.read_text()
    for cut in (2, 5, len(whole.splitlines()[-1])):
        path.write_text(whole[:-cut])
        assert [report.step for report in read(path)] == [1, 2]
    path.write_text(whole[:-5])
    forget_after(path, 2)
    append(path, Report("train", 3, {}))
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3]


def test_what_is_done_again_is_forgotten(tmp_path):
    path = _steps(tmp_path, 1, 2, 3)
    append(path, Report("eval", 2, {}))
    append(path, Report("eval", 3, {}))
    forget_after(path, 2)
    assert [(report.kind, report.step) for report in read(path)] == [("train", 1), ("train", 2), ("eval", 2)]


def _steps(folder: Path, *steps: int) -> Path:
    path = folder / "metrics.jsonl"
    for step in steps:
        append(path, Report("train", step, {"reward": step / 10}))
    return path
