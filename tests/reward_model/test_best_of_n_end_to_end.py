"""`acecoder-rl best-of-n` with a reward model's folder: picks are those of its scores, and nothing is scored twice."""

from __future__ import annotations

import json
import shutil

import pytest
from typer.testing import CliRunner

from acecoder_rl.cli import app
from acecoder_rl.evaluation.best_of_n import BestOfN, best_of_n
from acecoder_rl.records import InputError
from acecoder_rl.reward_model.scoring import RewardScorer

TEXTS = [
    f"```python\ndef add(a, b):\n    return {body}\n```" for body in ("a + b", "b", "a - b", "0", "a * b", "b + a")
]
ROWS = [
    {"id": "add", "question": "Write add(a, b).", "completions": TEXTS, "pass_rate": [1.0, 0.0, 0.5, 0.0, 0.5, 1.0]},
    {"id": "other", "question": "Write add(a, b) with care.", "completions": TEXTS[:4], "pass_rate": [0.0] * 4},
]


@pytest.mark.parametrize("format", ["raw", "acecode"])
def test_the_picks_are_those_of_the_models_scores(tiny_rm, jsonl, tmp_path, monkeypatch, format):
    monkeypatch.chdir(tmp_path)
    jsonl("in.jsonl", ROWS)
    command = ["best-of-n", "in.jsonl", "--rm", tiny_rm, "--format", format, "--max-tokens", 512]
    command += ["-o", "picks.jsonl", "--json", "figures.json"]
    done = CliRunner().invoke(app, list(map(str, command)))
    assert done.exit_code == 0, done.output
    scorer = RewardScorer(tiny_rm, format=format, max_tokens=512)
    for row, line in zip(ROWS, (tmp_path / "picks.jsonl").read_text().splitlines(), strict=True):
        scores = scorer.score([(row["question"], text) for text in row["completions"]])
        best = scores.index(max(scores))
        pick = json.loads(line)
        assert (pick["id"], pick["sample"]) == (row["id"], best)
        assert pick["completion"] == TEXTS[best] and pick["pass_rate"] == row["pass_rate"][best]
        assert pick["score"] == pytest.approx(max(scores), abs=1e-4)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["problems"], figures["candidates"], figures["none_pass"]) == (2, 4, 1)
    average = figures["metrics"]["all_pass"]["average"]["value"]
    assert average == pytest.approx((2 / 6 + 0) / 2) and f" {average:.3f} (" in done.stdout
    folder = tmp_path / "runs/best-of-n/in"
    assert (folder / "report.html").exists() and (folder / "report.png").exists()

    before = (folder / "scores.jsonl").read_text()
    again = CliRunner().invoke(app, [*map(str, command), "--resume"])
    assert again.exit_code == 0 and (folder / "scores.jsonl").read_text() == before
    assert again.stdout == done.stdout


def test_an_over_long_candidate_is_scored_and_flagged(tiny_rm, jsonl, tmp_path):
    source = jsonl(
        "in.jsonl", [{"id": "a", "question": "Write add(a, b).", "completions": [TEXTS[0], "x = 1\n" * 400]}]
    )
    outcome = best_of_n(BestOfN(source, tmp_path / "work", str(tiny_rm), max_tokens=512))
    assert outcome.flags == {"too_long": 1} and len(outcome.picks) == 1


def test_a_model_that_has_changed_is_not_resumed(tiny_rm, jsonl, tmp_path):
    copy = shutil.copytree(tiny_rm, tmp_path / "rm")
    source = jsonl("in.jsonl", ROWS)
    best_of_n(BestOfN(source, tmp_path / "work", str(copy), max_tokens=512))
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\0")
    with pytest.raises(InputError, match="was made with reward_model_files"):
        best_of_n(BestOfN(source, tmp_path / "work", str(copy), max_tokens=512, resume=True))


def test_a_folder_without_a_value_head_is_bad_input(tiny_rm, jsonl, tmp_path):
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(tiny_rm, tmp_path / "rm")
    weights = {key: value for key, value in load_file(copy / "model.safetensors").items() if "v_head" not in key}
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"does not load: .*head"):
        best_of_n(BestOfN(jsonl("in.jsonl", ROWS), tmp_path / "work", str(copy), max_tokens=512))
