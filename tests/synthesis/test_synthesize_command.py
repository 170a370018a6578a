"""`acecoder-rl synthesize` as a user meets it: the table, exit statuses, Ctrl-C, what a dry run tells.

Does not cover: what the stages make (test_chain.py).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from acecoder_rl.cli import app
from acecoder_rl.synthesis.state import state_of
from tests.synthesis import prepared
from tests.synthesis.chain import requests, run, write_recipe
from tests.synthesis.fake_endpoint import Reply, endpoint


def test_a_run_ends_with_its_funnel(cli, tmp_path):
    with endpoint(prepared.answer) as fake:
        ended = cli("synthesize", write_recipe(tmp_path, fake.url))
    assert ended.returncode == 0, ended.stderr
    lines = {line.split()[0]: line.split() for line in ended.stdout.splitlines() if line.strip()}
    assert lines["imagine"][1:3] == ["6", "5"] and lines["imagine"][-2:] == ["unreadable", "1"]
    assert lines["verify"][1:3] == ["5", "4"] and lines["verify"][-2:] == ["few_tests", "1"]
    assert lines["pairs"][1:3] == ["4", "3"] and lines["hard"][1:3] == ["4", "1"]
    assert lines["dataset"][1] == str(tmp_path / "run" / "dataset")
    assert lines["report"][-1] == str(tmp_path / "run" / "report.html")
    assert (tmp_path / "run" / "recipe.yaml").exists() and (tmp_path / "run" / "run.json").exists()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_cleanly_and_the_same_again_goes_on(tmp_path, number, status):
    came = threading.Event()

    def answer(body: dict, count: int) -> Reply:
        if body["model"] == "solver" and count >= 15:
            came.set()
            return replace(prepared.answer(body), wait=300)  # until the signal has come
        return prepared.answer(body)

    with endpoint(answer) as fake:
        recipe = write_recipe(tmp_path, fake.url)
        process = subprocess.Popen(
            [sys.executable, "-m", "acecoder_rl.cli", "synthesize", str(recipe)],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # as a shell's background has it
        )
        assert came.wait(240)
        process.send_signal(number)
        assert process.stderr is not None
        before = ""
        while "requests in flight" not in before and (line := process.stderr.readline()):
            before += line
        fake.over.set()
        out, told = process.communicate(timeout=120)
        assert process.returncode == status, before + told
        assert "interrupted: what is done is kept: the same command goes on" in told
        assert "Traceback" not in before + told and not out
        assert state_of(tmp_path / "run", "sample").state == "running"
        assert len(fake.asked) < 27
        # Requests in flight were waited for: they are paid.
        run(recipe)
        assert len(requests(fake)) == len(set(requests(fake))) == 27


def test_a_mistake_has_status_2_and_no_traceback(tmp_path):
    with endpoint(prepared.answer) as fake:
        recipe = write_recipe(tmp_path, fake.url)
        for arguments, told in (
            (["--set", "sample.n=0"], "sample.n is 0: give a whole number of at least 1"),
            (["verfy"], "STAGE is 'verfy': did you mean verify?"),
            (["sample"], "stage verify has not begun: run it first"),
            (["seeds", "--from", "hard"], "--from hard is none of the stages to run"),
            (["seeds", "--from", "hard", "--dry-run"], "--from hard is none of the stages to run"),
            (["--dry-run", "--max-cost", "1", "--set", "models.solver.price_in=null"], "--max-cost needs both"),
        ):
            ended = CliRunner().invoke(app, ["synthesize", str(recipe), *arguments])
            assert (ended.exit_code, type(ended.exception)) == (2, SystemExit), ended.output
            assert told in ended.stderr
    assert not fake.asked


def test_ctrl_c_before_the_run_begins_is_no_fault_of_ours(tmp_path, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("acecoder_rl.synthesis.recipe.load", interrupted)
    ended = CliRunner().invoke(app, ["synthesize", str(tmp_path / "recipe.yaml")])
    assert (ended.exit_code, type(ended.exception)) == (130, SystemExit) and "interrupted" in ended.stderr


def test_an_endpoint_that_goes_down_has_status_1(tmp_path):
    def answer(body: dict, count: int) -> Reply:
        return prepared.answer(body) if count < 8 else Reply(500, {"error": {"message": "out of order"}})

    with endpoint(answer) as fake:
        ended = CliRunner().invoke(app, ["synthesize", str(write_recipe(tmp_path, fake.url, retries=0))])
    assert (ended.exit_code, type(ended.exception)) == (1, SystemExit), ended.output
    assert "out of order" in ended.stderr


def test_a_dry_run_asks_nothing_and_tells_the_worst_cost(tmp_path):
    def dry() -> str:
        ended = CliRunner().invoke(app, ["synthesize", str(recipe), "--dry-run"])
        assert ended.exit_code == 0, ended.output
        return ended.stdout

    with endpoint(prepared.answer) as fake:
        recipe = write_recipe(tmp_path, fake.url)
        told = dry()
        assert not fake.asked and not (tmp_path / "run").exists()
        lines = {line.split()[0]: line.split() for line in told.splitlines() if line.strip()}
        assert lines["imagine"][2:] == ["6", "writer", "(writer)", "6", "unknown"]
        assert "temperature: 0.7" in told
        run(recipe, "seeds..imagine")
        asked = len(fake.asked)
        told = dry()
        assert len(fake.asked) == asked
    lines = {line.split()[0]: line.split() for line in told.splitlines() if line.strip()}
    assert lines["imagine"][1] == "finished,"
    # 5 questions at most, 4 answers of 1,024 tokens each; a question has at most 8,192 tokens.
    assert lines["sample"][-2] == "20"
    assert float(lines["sample"][-1]) >= (20 * 1024 * 2 + 20 * 8192) / 1e6


def test_the_help_loads_nothing_heavy():
    code = (
        "import sys\nimport acecoder_rl.cli\nprint(sorted({'pyarrow', 'openai', 'torch', 'vllm'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert run.stdout.strip() == "[]", run.stderr
