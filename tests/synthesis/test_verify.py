"""The verify stage: which tests programs sort out, and that every one that goes is accounted for.

Models are a local server that speaks OpenAI's protocol, programs run in the sandbox.
Does not cover: tests that their text sorts out (test_tests_kept.py).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import pytest
from pydantic import ValidationError

from acecoder_rl.problems import parse_tests
from acecoder_rl.sandbox import Limits, Outcome, Sandbox, Verdict
from acecoder_rl.synthesis import verify
from acecoder_rl.synthesis.answers import Answers
from acecoder_rl.synthesis.budget import Budget
from acecoder_rl.synthesis.models import Endpoint
from acecoder_rl.synthesis.programs import Runs, results
from acecoder_rl.synthesis.verify import VerifySettings
from tests.synthesis.fake_endpoint import endpoint, said

STEADY = [f"assert f({number}) == {number}" for number in range(100, 105)]
SAME = "def f(x):\n    return x\n"


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(workers=2, limits=Limits(test_seconds=1.0, memory_mb=256)) as sandbox:
        yield sandbox


def row(tests, name="q_0", question="Return x."):
    return {"id": name, "source": "own", "question": question, "tests": json.dumps(tests), "model": "writer"}


def verified(sandbox, folder, rows, programs, finish="stop", **settings):
    """The chunk, and what the server was asked; `programs` are the oracle's of each question, None for no program."""
    folder.mkdir(exist_ok=True)
    oracle = {"model": "oracle", "n": len(next(iter(programs.values()))), **settings.pop("oracle", {})}

    def script(body, number):
        question = next(name for name in programs if name in body["messages"][0]["content"])
        program = programs[question][body["seed"] % verify.SEED]
        return said("I do not know." if program is None else f"Sure:\n```python\n{program}\n```", finish=finish)

    with endpoint(script) as fake, Answers(folder / "answers.sqlite") as answers:
        chunk = verify.process(
            rows,
            settings=VerifySettings(oracle=oracle, **settings),
            models={"oracle": Endpoint(endpoint=fake.url, model="coder")},
            answers=answers,
            budget=Budget(),
            sandbox=sandbox,
        )
    return chunk, fake.asked


def one(sandbox, folder, tests, programs, **settings):
    """The tests that are kept of one question, and the reasons of the others."""
    chunk, _ = verified(sandbox, folder, [row(tests)], {"Return x.": programs}, **settings)
    if chunk.rows:
        kept, gone = json.loads(chunk.rows[0]["tests"]), json.loads(chunk.rows[0]["dropped_tests"])
    else:
        kept, gone = [], chunk.dropped[0].detail["tests"]
    reasons = {each["test"]: each["reason"] for each in gone}
    assert Counter(reasons.values()) == {
        name.removeprefix("tests_dropped."): count
        for name, count in chunk.counts.items()
        if name.startswith("tests_dropped.")
    }
    assert chunk.counts["tests_imagined"] == len(tests) == chunk.counts["tests_kept"] + len(gone)
    assert chunk.counts["tests_kept"] == len(kept)
    return kept, reasons


@pytest.mark.parametrize(("at_least", "kept"), [(1, 3), (2, 2), (3, 1)])
def test_k_of_n_programs(sandbox, tmp_path, at_least, kept):
    tests = ["assert f(1) == 1", "assert f(2) == 2", "assert f(3) == 3", "assert f(4) == 5"]
    programs = [SAME, "def f(x):\n    return min(x, 2)", "def f(x):\n    return min(x, 1)"]
    chunk, asked = verified(
        sandbox, tmp_path, [row(tests)], {"Return": programs}, oracle={"at_least": at_least}, min_tests=1
    )
    (made,) = chunk.rows
    assert json.loads(made["tests"]) == tests[:kept] and made["imagined"] == 4
    assert [each["passed"] for each in json.loads(made["oracle"])] == [
        [1, 1, 1][:kept],
        [1, 1, 0][:kept],
        [1, 0, 0][:kept],
    ]
    assert [each["program"] for each in json.loads(made["oracle"])] == [program.strip("\n") for program in programs]
    assert json.loads(made["dropped_tests"]) == [{"test": test, "reason": "oracle_failed"} for test in tests[kept:]]
    assert {body["temperature"] for body in asked} == {0.7}


def test_one_program_is_greedy_and_is_shown_sound_tests(sandbox, tmp_path):
    tests = ["assert g(0) == 0", "assert f(1) == 1, open('x')", *STEADY]
    _, asked = verified(sandbox, tmp_path, [row(tests)], {"Return x.": [SAME]}, tests_shown=2)
    (body,) = asked
    assert body["temperature"] == 0
    prompt = body["messages"][0]["content"]
    assert "Return x." in prompt and STEADY[0] in prompt and STEADY[1] in prompt
    assert not any(test in prompt for test in (*tests[:2], STEADY[2]))


def at_seed_0(expression):
    """What the sandbox's first run gives: its interpreters have a fixed hash seed."""
    command = [sys.executable, "-c", f"print(repr({expression}))"]
    return subprocess.run(
        command, env={"PYTHONHASHSEED": "0"}, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.parametrize(
    "expression", ["hash('some text')", "''.join({letter for letter in 'abcdefghijklmnop'})"], ids=["hash", "set order"]
)
def test_what_depends_on_hashes_is_flaky(sandbox, tmp_path, expression):
    flaky = f"assert f(1) == {at_seed_0(expression)}"
    program = f"def f(x):\n    return x if x >= 100 else {expression}"
    assert sandbox.run(program, [flaky]).passed
    assert one(sandbox, tmp_path, [flaky, *STEADY], [program]) == (STEADY, {flaky: "flaky"})
    # Without further runs nobody notices.
    assert one(sandbox, tmp_path, [flaky, *STEADY], [program], fresh_runs=0) == ([flaky, *STEADY], {})


def test_what_depends_on_chance_is_flaky(sandbox, tmp_path):
    coins = [f"assert f({number}) == {number}" for number in range(60)]
    program = "import random\ndef f(x):\n    return x if x >= 100 or random.random() < 0.5 else -1"
    kept, reasons = one(sandbox, tmp_path, [*coins, *STEADY], [program], fresh_runs=3)
    # About 30 pass at first; each of them passes three more times by one chance in eight.
    assert set(STEADY) <= set(kept) and len(kept) < len(STEADY) + 25
    assert "flaky" in reasons.values() and not set(STEADY) & reasons.keys()


def test_a_flaky_program_does_not_take_steady_ones_tests(sandbox, tmp_path):
    known = at_seed_0("hash('some text')")
    flaky = f"def f(x):\n    same = hash('some text') == {known}\n    return x if same or x > 100 else -1"
    assert one(sandbox, tmp_path, STEADY, [flaky, SAME]) == (STEADY, {})
    kept, reasons = one(sandbox, tmp_path, STEADY, [flaky, SAME], oracle={"at_least": 2}, min_tests=4)
    assert kept == STEADY[1:] and reasons == {STEADY[0]: "flaky"}


PUSHES = [f"assert push({number}) == {list(range(number + 1))}" for number in range(6)]
KEEPS = {
    "a variable of the module": "kept = []\ndef push(x):\n    kept.append(x)\n    return list(kept)",
    "global": "kept = ()\ndef push(x):\n    global kept\n    kept += (x,)\n    return list(kept)",
    "a default value": "def push(x, kept=[]):\n    kept.append(x)\n    return list(kept)",
    "of a class": "class Kept:\n    all = []\ndef push(x):\n    Kept.all.append(x)\n    return list(Kept.all)",
    "of a function": "def push(x):\n    push.kept = push.kept + (x,)\n    return list(push.kept)\npush.kept = ()",
}


@pytest.mark.parametrize("program", KEEPS.values(), ids=KEEPS)
def test_tests_that_need_an_earlier_one_go(sandbox, tmp_path, program):
    assert sandbox.run(program, PUSHES).passed
    # In the opposite order each finds what it should not: [5], [5, 4], ...
    assert one(sandbox, tmp_path, PUSHES, [program]) == ([], dict.fromkeys(PUSHES, "flaky"))


def test_a_memory_that_changes_no_answer_costs_no_test(sandbox, tmp_path):
    hangs = "assert f(99) == 99"
    program = "known = {}\ndef f(x):\n    while x == 99: pass\n    return known.setdefault(x, x)"
    assert one(sandbox, tmp_path, [*STEADY, hangs], [program]) == (STEADY, {hangs: "oracle_failed"})


HOSTILE = {
    "exits": "import os\nos._exit(0)",
    "exits in a test": "import os\ndef f(x):\n    os._exit(0)",
    "SystemExit": "raise SystemExit(0)",
    "loops": "while True: pass",
    "loops in a test": "def f(x):\n    while True: pass",
    "sleeps": "import time\ndef f(x):\n    time.sleep(60)",
    "no syntax": "def f(x) return x",
    "memory": "def f(x):\n    return [0] * 10**10",
    "equal to all": "class A:\n    def __eq__(self, other): return True\ndef f(x):\n    return A()",
    "kills": "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\nos.kill(os.getpid(), signal.SIGKILL)",
    "not the function": "def g(x):\n    return x",
    "half a character": "def f(x):\n    return '\\ud800'",
}


def test_a_hostile_oracle_costs_its_question_only(sandbox, tmp_path):
    programs = {f"Do {name}.": [program] for name, program in HOSTILE.items()} | {"Be good.": [SAME]}
    rows = [row(STEADY, f"q_{number}", question) for number, question in enumerate(programs)]
    chunk, _ = verified(sandbox, tmp_path, rows, programs)
    assert [each["question"] for each in chunk.rows] == ["Be good."]
    assert json.loads(chunk.rows[0]["tests"]) == STEADY
    assert [each.id for each in chunk.dropped] == [each["id"] for each in rows[:-1]]
    assert {each.reason for each in chunk.dropped} == {"few_tests"}
    for each in chunk.dropped:
        assert each.detail == {"imagined": 5, "tests": [{"test": test, "reason": "oracle_failed"} for test in STEADY]}


def test_a_program_that_fails_at_times_only_keeps_the_other_tests(sandbox, tmp_path):
    program = "import os\ndef f(x):\n    if x == 102: os._exit(0)\n    while x == 103: pass\n    return x"
    kept, reasons = one(sandbox, tmp_path, STEADY, [program], min_tests=3)
    assert kept == [STEADY[0], STEADY[1], STEADY[4]]
    assert reasons == {STEADY[2]: "oracle_failed", STEADY[3]: "oracle_failed"}


def test_every_test_that_goes_is_counted_and_listed(sandbox, tmp_path):
    bad = {
        "assert f(": "unparsable",
        "x = 1": "not_one_assert",
        "assert f(x) == 1": "other_test",
        "assert f(0) == f(0)": "not_constant",
        "assert f(7) == 8": "oracle_failed",
        "assert f(8) == 8": "contradictory",
        "assert f(8) == 9": "contradictory",
    }
    assert one(sandbox, tmp_path, [*bad, *STEADY], [SAME]) == (STEADY, bad)
    # One fewer is too few: those that nothing is wrong with go with their question.
    sound = dict.fromkeys(STEADY[:4], "few_tests")
    assert one(sandbox, tmp_path, [*bad, *STEADY[:4]], [SAME]) == ([], bad | sound)


def test_no_model_is_asked_for_a_question_that_goes_anyhow(sandbox, tmp_path):
    chunk, asked = verified(sandbox, tmp_path, [row(STEADY[:4])], {"Return x.": [SAME]})
    assert chunk.rows == [] and asked == [] and chunk.dropped[0].reason == "few_tests"
    assert [each["reason"] for each in chunk.dropped[0].detail["tests"]] == ["few_tests"] * 4


def test_no_program_and_no_answer(sandbox, tmp_path):
    rows = [row(STEADY)]
    chunk, _ = verified(sandbox, tmp_path / "none", rows, {"Return x.": [None, None]})
    assert [each.reason for each in chunk.dropped] == ["no_program"] and chunk.counts["tests_dropped.no_program"] == 5
    chunk, _ = verified(sandbox, tmp_path / "filtered", rows, {"Return x.": [SAME]}, finish="content_filter")
    assert [each.reason for each in chunk.dropped] == ["unanswered"]
    assert chunk.counts["tests_dropped.unanswered"] == 5 and chunk.counts["oracle.content_filter"] == 1
    # One of three programs cannot be two: that is not the tests' fault.
    rows = [row(STEADY), row(STEADY, "q_1", "Return y.")]
    few = {"Return x.": [None, SAME, None], "Return y.": [SAME, None, SAME]}
    chunk, _ = verified(sandbox, tmp_path / "few", rows, few, oracle={"at_least": 2})
    assert [(each.id, each.reason) for each in chunk.dropped] == [("q_0", "no_program")]
    assert [each["id"] for each in chunk.rows] == ["q_1"]
    # One program of two will do.
    assert one(sandbox, tmp_path / "one", STEADY, [None, SAME]) == (STEADY, {})


def test_the_same_again_from_the_cache(sandbox, tmp_path):
    rows = [row(STEADY, f"q_{number}", f"Return x, {number}.") for number in range(6)]
    programs = {f"Return x, {number}.": [SAME, SAME + f"# {number}"] for number in range(6)}
    chunk, asked = verified(sandbox, tmp_path, rows, programs)
    again, nothing = verified(sandbox, tmp_path, rows, programs)
    assert len(asked) == 12 and nothing == []
    assert again == chunk and [each["id"] for each in chunk.rows] == [each["id"] for each in rows]


def test_a_programs_own_word_is_no_pass():
    passed = (Outcome("passed"), Outcome("passed", claimed=True), Outcome("failed"))
    assert results(Verdict(passed)) == [1, 0, 0]
    assert results(Verdict(passed, isolation="shared")) == [0, 0, 0]


def test_what_still_runs_when_a_stage_ends_is_killed(sandbox):
    hang = "import time\ntime.sleep(100)\n"
    limits = Limits(test_seconds=100, wall_seconds=200, memory_mb=256)
    with pytest.raises(RuntimeError, match="stopped"), Runs(sandbox) as runs:
        futures = [runs.start(f"{hang}# {number}", parse_tests(STEADY), limits=limits) for number in range(8)]
        raise RuntimeError("stopped")
    assert all(future.cancelled() for future in futures)
    verdict = sandbox.run(SAME, STEADY)
    assert verdict.passed and verdict.wall_seconds < 60


@pytest.mark.parametrize(
    ("oracle", "told"),
    [
        ({"n": 2, "at_least": 3}, "at_least is 3, and n is 2: give at most n"),
        ({"n": 2, "temperature": 0.0}, "temperature 0 makes them all the same"),
        ({"n": 0}, "oracle.n"),
    ],
)
def test_settings_that_cannot_be(oracle, told):
    with pytest.raises(ValidationError, match=told):
        VerifySettings(oracle={"model": "a", **oracle})
