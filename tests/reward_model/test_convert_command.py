"""`acecoder-rl convert-rm`: what it tells, and its exit status."""

import json
import shutil

import pytest
from typer.testing import CliRunner

from acecoder_rl.cli import app
from acecoder_rl.reward_model.calibration import read_calibration


@pytest.fixture
def run():
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    yield lambda *arguments: CliRunner().invoke(app, ["convert-rm", *map(str, arguments)])
    logging.set_verbosity(verbosity)
    logging.enable_progress_bar()


@pytest.fixture
def answers(tmp_path):
    file = tmp_path / "answers.jsonl"
    rows = [{"question": "Add.", "response": f"def f(a, b):\n    return a + b * {n}"} for n in range(4)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_converts_and_calibrates_in_one_go(tiny_rm, tmp_path, run, answers):
    done = run(tiny_rm, tmp_path / "out", "--calibrate", answers, "--format", "acecode")
    assert done.exit_code == 0, done.output
    assert "Qwen2ForSequenceClassification" in done.output and "vLLM adds it" in done.output
    assert read_calibration(tmp_path / "out").format == "acecode"
    assert "mean" in json.loads((tmp_path / "out" / "config.json").read_text())


def test_without_a_target_it_only_calibrates(tiny_rm, tmp_path, run, answers):
    rm = shutil.copytree(tiny_rm, tmp_path / "rm")
    before = {file.name: file.read_bytes() for file in rm.iterdir()}
    done = run(rm, "--calibrate", answers)
    assert done.exit_code == 0 and "of 4 scores in format 'raw'" in done.output, done.output
    (rm / "calibration.json").unlink()
    assert {file.name: file.read_bytes() for file in rm.iterdir()} == before


def test_bad_input_is_one_line_and_status_2(tiny_rm, tmp_path, run, answers):
    (tmp_path / "no-model").mkdir()
    for arguments, told in (
        ((tiny_rm,), "give TARGET"),
        ((tiny_rm, tmp_path / "out", "--format", "raw"), "--calibrate FILE"),
        ((tmp_path / "no-model", tmp_path / "out"), "no config.json"),
        ((tmp_path / "absent", tmp_path / "out"), "neither a folder nor a model"),
        ((tiny_rm, tmp_path / "out", "--base", tiny_rm), "--base"),
        # Told before the conversion begins.
        ((tiny_rm, tmp_path / "out", "--calibrate", tmp_path / "absent.jsonl"), "absent.jsonl cannot be read"),
    ):
        done = run(*arguments)
        assert done.exit_code == 2 and told in done.output and "Traceback" not in done.output, done.output
    assert not (tmp_path / "out").exists()
