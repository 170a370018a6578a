"""`acecoder-rl bench rm` shows what its phases say; on a tiny model (slow) both ways give one set of scores."""

import json

import pytest

from acecoder_rl.bench import rm as bench
from acecoder_rl.bench.measure import BenchError

TINY = bench.CONFIG | {"vocab_size": 512, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}


# What the phases say, as if they had run.
PHASES = {
    "make": {},
    "card": {"seconds": 8.0, "cpu_seconds": 12.0, "peak_mb": 900.0, "loaded_mb": 50.0, "scores": [0.5] * 9},
    "scorer": {"seconds": 2.0, "cpu_seconds": 3.0, "peak_mb": 450.0, "loaded_mb": 40.0, "scores": [0.5] * 8 + [0.75]},
}


@pytest.mark.slow
def test_both_ways_score_the_same_and_are_measured():
    """Three processes that import torch; that our scores are the literal ones is in tests/reward_model."""
    pytest.importorskip("torch")
    figures = bench.measure(9, 1, TINY)
    assert figures["difference"] <= 1e-4
    for row in figures["medians"].values():
        assert row["seconds"] > 0 and row["cpu_seconds"] > 0 and row["peak_mb"] >= row["loaded_mb"] - 1


def test_the_tables_show_what_the_json_holds(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "_run", lambda job, folder: PHASES[job["phase"]])
    figures = bench.measure(9, 1, TINY)
    assert [figures[name] for name in ("faster", "less_cpu", "memory", "difference")] == [4.0, 4.0, 0.5, 0.25]
    settings = figures["settings"]
    assert settings["tokens"] <= settings["own_tokens"] <= settings["card_tokens"]
    monkeypatch.setattr(bench, "measure", lambda pairs, rounds: figures)
    round_ = {"one_by_one": 8.0, "one_by_one_batches": 64, "at_once": 2.0, "at_once_batches": 4}
    served = {
        "machine": {"cores": 2, "load_before": 0.1}, "settings": {"clients": 64, "rounds": 1, "tokens": 90,
        "config": bench.CONFIG}, "rounds": [round_], "faster": 4.0, "bar": 3.0,
    }  # fmt: skip
    monkeypatch.setattr(bench, "serving", lambda rounds: served)
    assert bench.run_bench_rm(tmp_path / "rm.json") == 0
    shown = capsys.readouterr().out
    assert json.loads((tmp_path / "rm.json").read_text())["memory"] == 0.5
    assert "4.0 times as fast" in shown
    assert "missed" in shown and "608,256 bytes a token" in shown and "1.09 GB" in shown


def test_a_phase_that_fails_shows_why(tmp_path, monkeypatch, capsys):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho torch is broken >&2\nexit 3\n")
    python.chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setattr(bench.sys, "executable", str(python))
        with pytest.raises(BenchError, match="phase card ended with status 3:\ntorch is broken"):
            bench._run({"phase": "card"}, str(tmp_path))

    def fail(pairs, rounds):
        raise BenchError("bench: no")

    monkeypatch.setattr(bench, "measure", fail)
    assert bench.run_bench_rm() == 1
    assert "bench: no" in capsys.readouterr().err


def test_the_arithmetic_of_the_7b():
    """By hand: 28 layers of 233,046,016 weights in the projections; 152,064 rows of 3,584."""
    found = bench.arithmetic(**bench.SHAPES_7B)
    lm_head, backbone = 152_064 * 3584, 28 * 233_046_016
    assert found["lm_head_share_of_flops"] == pytest.approx(lm_head / (lm_head + backbone))
    assert found["batch_logits_gb"] == pytest.approx(19.93, abs=0.01)
