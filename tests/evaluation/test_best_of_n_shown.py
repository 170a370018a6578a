"""What a user sees: the table's figures are the report's, the page and the picture open alone, errors are one line."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from io import StringIO

import pytest
from rich.console import Console
from typer.testing import CliRunner

from acecoder_rl.cli import app
from acecoder_rl.evaluation.best_of_n_shown import draw, print_table
from acecoder_rl.evaluation.estimates import Ranked, report

FIGURES = report(
    [
        Ranked([3.0, 2.0, 1.0, 0.0], [True, False, False, False], [1.0, 0.5, 0.5, 0.0]),
        Ranked([0.0, 1.0, 2.0, 3.0], [False, False, False, False], [0.0, 0.25, 0.5, 0.0]),
        Ranked([0.0, 1.0, 2.0, 3.0], [False, True, True, False], [0.0, 1.0, 1.0, 0.75]),
    ]
)


def shown(figures) -> str:
    out = StringIO()
    print_table(figures, Console(file=out))
    return out.getvalue()


def test_the_tables_have_every_figure():
    text = shown(FIGURES)
    tables = re.split("all tests pass|mean pass rate", text)[1:]
    for lines, metric in zip(tables, FIGURES["metrics"].values(), strict=True):
        rows = {"first": metric["first"], "average": metric["average"], "oracle, best of 4": metric["oracle"]["4"]}
        rows |= {f"RM best of {k}": metric["best_of"][k] for k in ("1", "2", "4")}
        for name, told in rows.items():
            (line,) = (line for line in lines.splitlines() if line.startswith(f"│ {name} "))
            assert f" {told['value']:.3f} ({told['low']:.3f} .. {told['high']:.3f}) " in line
            if name.startswith("RM"):
                assert f" {metric['gain'][name.split()[-1]]['value']:+.3f} (" in line
    assert "none passes: 1, where all pass: 0" in text and "(2 problems have both; 0.5 is chance)" in text
    assert max(map(len, tables[0].splitlines())) <= 80


def test_what_cannot_be_told_is_not_told_as_a_figure():
    text = shown({**report([Ranked([1.0, 2.0], [False, False], [0.0, 0.5])]), "without_tests": 3})
    assert "ranking cannot be told from chance" in text and "None" not in text and "nan" not in text
    assert "3 problems have no tests: picked, but not in these figures" in text


def test_page_and_picture(tmp_path):
    pytest.importorskip("plotly")
    draw(FIGURES, tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert not re.search(r"<(script|link)[^>]+(src|href)=", page)  # nothing is fetched
    assert "oracle" in page and "3 problems" in page
    picture = (tmp_path / "report.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 10_000


def test_plots_that_cannot_be_written_are_told_and_not_raised(tmp_path, capsys):
    draw(FIGURES, tmp_path / "absent")
    assert "warning: no plot:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "no reward model: give --rm PATH or --endpoint URL"),
        (["--rm", "./absent"], "./absent is no folder: give a model's folder or its Hub id"),
        (["--rm", "a/b", "--model", "./absent"], "./absent is no folder"),
        (["--rm", "a/b", "--endpoint", "http://localhost:1"], "exclude each other"),
        (["--rm", "a/b", "--format", "chat"], "'chat'"),
        (["--endpoint", "localhost:1"], "endpoint is 'localhost:1'"),
        (["--rm", "a/b", "--model", "c/d", "--n", "4", "--temperature", "0"], "temperature is 0.0"),
        (["--rm", "a/b", "--model", "c/d", "--top-p", "0"], "top_p is 0.0"),
        (["--rm", "a/b", "--model", "c/d", "--verdicts", "in.jsonl"], "leave out --verdicts"),
        (["--rm", "a/b", "--resume", "--overwrite"], "exclude each other"),
    ],
)
def test_bad_usage_is_one_line_and_status_2(arguments, told, jsonl, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jsonl("in.jsonl", [{"id": "a", "question": "Add.", "completion": "x", "pass_rate": 1.0}])
    done = CliRunner().invoke(app, ["best-of-n", "in.jsonl", *arguments])
    assert done.exit_code == 2 and told in done.stderr, done.output
    assert len(done.stderr.splitlines()) == 1 and done.stdout == ""


def test_a_server_that_is_down_is_no_score_and_status_1(jsonl, tmp_path):
    jsonl("in.jsonl", [{"id": "a", "question": "Add.", "completion": "x", "pass_rate": 1.0}])
    script = (
        "import sys; from acecoder_rl.reward_model import client; client.FIRST_WAIT = client.LONGEST_WAIT = 0.01;"
        "from acecoder_rl.cli import main; sys.argv[1:] = ['best-of-n', 'in.jsonl', '--endpoint',"
        "'http://127.0.0.1:9']; main()"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1 and "http://127.0.0.1:9" in done.stderr and "--resume goes on" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs/best-of-n/in/scores.jsonl").read_text()
    settings = json.loads((tmp_path / "runs/best-of-n/in/best-of-n.json").read_text())
    assert settings["endpoint"] == "http://127.0.0.1:9"
