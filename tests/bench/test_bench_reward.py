"""The reward benchmark measures what it says: its samples, rewards in flight, equal programs, the import.

Covers: the phase without an engine; what is said when a phase fails or the training stack is missing; marked
slow: the whole command, with a real engine.
Does not cover: figures, which depend on the machine.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from acecoder_rl.bench import reward as bench
from acecoder_rl.bench.measure import BenchError
from acecoder_rl.completions import extract_program
from acecoder_rl.problems import Problem

FLIGHT = {
    "in_flight": 1280, "threads_idle": 4, "threads": 4, "asked": 1280, "samples": 512, "runs_at_once": 64,
    "runs_in_turn": 64,
}  # fmt: skip


def test_samples_are_groups_of_different_programs_for_one_label():
    samples = bench._samples(bench.PROMPTS)
    assert len(samples) == 512
    assert len({sample["answer"] for sample in samples}) == 512
    groups = [{sample["label"] for sample in samples[at : at + 8]} for at in range(0, 512, 8)]
    assert all(len(group) == 1 for group in groups)
    assert len(set.union(*groups)) == 64


def test_each_answer_holds_its_program_for_its_problem():
    for sample in bench._samples(50):
        tests = Problem.from_label(sample["label"]).tests
        program = extract_program(f"{sample['answer']}# a stamp\n```", tests)
        assert program.code.endswith("# a stamp")
        assert not program.truncated


def test_flight_counts_rewards_threads_and_runs():
    figures = bench._run("flight", {"samples": bench._samples(20), "groups": 3, "group_size": 4})
    assert 8 < figures["in_flight"] <= 160  # how many of them depends on who is quicker
    assert figures["threads"] <= figures["threads_idle"] + 1
    assert (figures["samples"], figures["runs_at_once"], figures["runs_in_turn"]) == (12, 3, 3)


def test_the_time_added_is_taken_within_a_round():
    rounds = [
        {"generation": {"seconds": 10, "cpu": 20}, "with_rewards": {"seconds": 11, "cpu": 21}},
        {"generation": {"seconds": 20, "cpu": 40}, "with_rewards": {"seconds": 21, "cpu": 44}},
        {"generation": {"seconds": 10, "cpu": 20}, "with_rewards": {"seconds": 10.8, "cpu": 22}},
    ]
    figures = bench._medians(rounds)
    assert figures["added"] == pytest.approx(0.08)
    assert figures["seconds"] == {"generation": 10, "with_rewards": 11}


def test_a_phase_that_fails_says_which_and_why():
    with pytest.raises(BenchError, match=r"phase flight ended with status 1:[\s\S]*KeyError: 'samples'"):
        bench._run("flight", {})


def test_without_the_training_stack_the_rollout_is_left_out_and_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture
):
    monkeypatch.setattr(bench, "STACK", ("torch", "no_such_engine"))
    monkeypatch.setattr(bench, "_run", lambda phase, job: FLIGHT | {"in_flight": 900})
    path = tmp_path / "figures.json"
    assert bench.run_bench_reward(path) == 0
    assert json.loads(path.read_text())["rollout"] is None
    said = capsys.readouterr()
    assert "no_such_engine not installed" in said.err
    assert "no rollout phase" in said.out
    flying = next(line for line in said.out.splitlines() if "in flight" in line)
    assert "900" in flying and "missed" in flying


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="needs the training stack")
def test_the_whole_command(tmp_path: Path, capsys: pytest.CaptureFixture):
    path = tmp_path / "figures.json"
    assert bench.run_bench_reward(path, quick=True) == 0
    figures = json.loads(path.read_text())
    assert figures["rollout"]["passed"] == 256
    assert figures["rollout"]["rounds"][0]["generation"]["seconds"] > 0
    assert figures["flight"]["in_flight"] >= 1000
    assert "time that rewards add" in capsys.readouterr().out
