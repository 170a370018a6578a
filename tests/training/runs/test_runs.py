"""Real runs through the recipe path: OpenRLHF's trainer, vLLM engines, DeepSpeed, Ray, the sandbox; a tiny model."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.training.runs.looks import left_behind, reports

pytestmark = pytest.mark.training


def test_ppo_learns_from_tests_and_a_reward_model_that_it_serves_and_its_weights_reach_the_engine(
    recipe, start, problems, tiny_model, tmp_path
):
    model = _reward_model(tiny_model, tmp_path / "rm", bias=3.0)
    varied = {"name": "varied", "kind": "scorers:Varied", "mean": 0.5, "std": 0.1}
    rm = {"name": "rm", "kind": "acecode_rm", "weight": 0.5, "mean": 0.25, "std": 2.0, "squash": "none"}
    file = recipe(
        data={"eval": str(problems(6))},
        reward={"parts": [varied, rm]},
        reward_model={"path": str(model)},
        train={
            "advantage_estimator": "gae", "kl_coef": 0.01, "critic_learning_rate": 1e-3, "eval_steps": 2,
            "eval_n_samples_per_prompt": 2,
        },
        openrlhf={"algo.advantage.is_correction_level": "token"},
    )  # fmt: skip
    out, _ = (process := start(file)).communicate(timeout=900)
    assert process.returncode == 0, out
    run = tmp_path / "run"

    steps = reports(run, "train")
    assert [row["step"] for row in steps] == [1, 2, 3]
    # The program that completions begin with passes all tests of every other problem, half of the rest.
    assert sum(row["pass_rate"] for row in steps) / 3 == pytest.approx(0.75)
    assert all({"critic_loss", "kl", "holdout_pass_rate", "varied", "sandbox_seconds"} <= row.keys() for row in steps)
    # Its head has a bias alone, so that whatever was sampled has one score: (3 - mean) / std.
    assert [row["rm"] for row in steps] == pytest.approx([1.375] * 3, abs=1e-4)
    added = [row["rollout/reward_mean"] - row["pass_rate"] for row in steps]
    assert added == pytest.approx([row["varied"] + 0.5 * 1.375 for row in steps], abs=1e-4)

    # The policy moved, and the engine samples with what the trainer computes with: their log-probs stay together,
    # although both have left the first policy by far more.
    before, after = _weights(tiny_model), _weights(run / "model")
    assert max(float((after[name] - before[name]).abs().max()) for name in before) > 1e-2
    assert all(abs(row["vllm_kl"]) < 1e-3 for row in steps)
    assert steps[-1]["kl"] > 1e-2

    # Eval rows get the plain all-tests-pass value, whatever is mixed into training.
    (evaluated,) = reports(run, "eval")
    assert evaluated["eval_problems6_pass1"] == pytest.approx(0.5)

    written = json.loads((run / "run.json").read_text())[0]
    assert written["versions"]["openrlhf"] == "0.11.2" and "--actor.adam.lr" in written["openrlhf_arguments"]
    page = (run / "curves.html").read_text()
    assert "tests: pass rate" in page and "withheld tests" not in page and "<script src" not in page
    assert (run / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert not left_behind()


def test_a_run_fails_loudly_and_goes_on(recipe, start, tmp_path):
    broken, run = tmp_path / "broken", tmp_path / "run"
    broken.touch()
    part = {"name": "varied", "kind": "scorers:Breaks", "broken": str(broken), "after": 8}
    file = recipe(reward={"parts": [part]}, train={"advantage_estimator": "reinforce", "save_steps": 1, "episodes": 2})

    # A reward that fails in step 2 stops the training, with the reward's own words.
    out, _ = (process := start(file)).communicate(timeout=900)
    assert process.returncode == 1, out
    assert "RuntimeError: the scorer's disk is full" in out and "step 1 is saved; --resume goes on from there" in out
    assert [row["step"] for row in reports(run, "train")] == [1]
    assert not left_behind()

    # It goes on from there to its end, with the steps counted on.
    broken.unlink()
    out, _ = (process := start(file, "--resume")).communicate(timeout=900)
    assert process.returncode == 0, out
    assert [row["step"] for row in reports(run, "train")] == [1, 2, 3, 4, 5, 6]
    assert (run / "model" / "config.json").exists() and len(json.loads((run / "run.json").read_text())) == 2


# test_launch.py has the next two with drivers that only wait.


@pytest.mark.slow
def test_a_run_whose_driver_is_killed_leaves_nothing_and_goes_on(recipe, start, tmp_path):
    run = tmp_path / "run"
    file = recipe(train={"save_steps": 1, "episodes": 2})
    process = start(file)
    _until(lambda: len(reports(run, "train")) >= 2, process)
    driver = next(p for p in psutil.Process(process.pid).children() if "training.driver" in " ".join(p.cmdline()))
    os.kill(driver.pid, signal.SIGKILL)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1 and "the driver was killed by SIGKILL" in out
    assert not left_behind()

    out, _ = (process := start(file, "--resume")).communicate(timeout=900)
    assert process.returncode == 0, out
    assert [row["step"] for row in reports(run, "train")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_sigterm_ends_all_that_was_started(recipe, start, tmp_path):
    file = recipe(train={"episodes": 50})
    process = start(file)
    _until(lambda: (tmp_path / "run" / "metrics.jsonl").exists(), process)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    assert "stopped by SIGTERM" in out and "nothing is saved" in out
    assert not left_behind()


def _reward_model(base: Path, folder: Path, bias: float) -> Path:
    """A reward model that scores everything alike."""
    import torch

    from acecoder_rl import Qwen2ForCausalRM

    model = Qwen2ForCausalRM.from_base(base)
    with torch.no_grad():
        model.v_head.summary.weight.zero_()
        model.v_head.summary.bias.fill_(bias)
    model.save_pretrained(folder)
    for file in [*base.glob("*token*"), *base.glob("chat_template*")]:
        shutil.copy(file, folder)
    return folder


def _weights(folder: Path) -> dict:
    from safetensors.torch import load_file

    return {name: value.float() for name, value in load_file(folder / "model.safetensors").items()}


def _until(there, process) -> None:
    end = time.monotonic() + 300
    while not _true(there):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.2)


def _true(there) -> bool:
    try:
        return there()
    except FileNotFoundError:
        return False
