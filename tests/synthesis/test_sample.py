"""The sample stage: programs of several models, their pass rates over the tests that were kept, and resuming.

Models are a local server that speaks OpenAI's protocol, programs run in the sandbox.
Does not cover: which tests are kept (test_verify.py).
"""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from acecoder_rl.sandbox import Limits, Sandbox
from acecoder_rl.synthesis import sample
from acecoder_rl.synthesis.answers import Answers
from acecoder_rl.synthesis.budget import Budget
from acecoder_rl.synthesis.models import Endpoint
from acecoder_rl.synthesis.sample import SampleSettings
from acecoder_rl.synthesis.stages import rows_of, run_stage
from tests.synthesis.fake_endpoint import endpoint, said

TESTS = [f"assert f({number}) == {number}" for number in range(4)]
MODELS = ("small", "large")


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(workers=2, limits=Limits(test_seconds=2.0, memory_mb=256)) as sandbox:
        yield sandbox


def row(number):
    return {
        "id": f"q_{number}",
        "source": "own",
        "question": f"Question {number}.",
        "tests": json.dumps(TESTS),
        "imagined": 9,
        "oracle": "[]",
        "dropped_tests": "[]",
    }


def upto(most):
    """A program that passes so many of TESTS."""
    return f"def f(x):\n    return x if x < {most} else None"


def fenced(program):
    return said(f"Sure:\n```python\n{program}\n```\nDone.")


class Sampling:
    """The stage, with a server that answers by `script(model, question number, sample number)`."""

    def __init__(self, script, folder, sandbox, **settings):
        self.script, self.folder, self.sandbox = script, folder, sandbox
        self.settings = SampleSettings(**{"models": list(MODELS), "n": 3, **settings})
        self.asked = 0

    def reply(self, body, _):
        number = int(body["messages"][0]["content"].partition("Question ")[2].partition(".")[0])
        return self.script(body["model"], number, body["seed"])

    def __call__(self, rows):
        with endpoint(self.reply) as fake, Answers(self.folder / "answers.sqlite") as answers:
            chunk = sample.process(
                rows,
                settings=self.settings,
                models={name: Endpoint(endpoint=fake.url, model=name) for name in MODELS},
                answers=answers,
                budget=Budget(),
                sandbox=self.sandbox,
            )
        self.asked += len(fake.asked)
        return chunk


def inferences(chunk):
    return [json.loads(each["inferences"]) for each in chunk.rows]


def test_pass_rates_of_a_mix_of_models(sandbox, tmp_path):
    passes = {("small", 0): [0, 1, 2], ("large", 0): [4, 3, 4], ("small", 1): [2, 2, 2], ("large", 1): [1, 0, 4]}
    stage = Sampling(lambda *who: fenced(upto(passes[who[:2]][who[2]])), tmp_path, sandbox)
    chunk = stage([row(0), row(1)])
    assert [each["id"] for each in chunk.rows] == ["q_0", "q_1"] and chunk.dropped == []
    assert all(each.keys() == set(sample.schema().names) for each in chunk.rows)
    for number, found in enumerate(inferences(chunk)):
        expected = [(name, index) for name in MODELS for index in range(3)]
        assert [(each["model_name"], each["completion_id"]) for each in found] == expected
        for each in found:
            most = passes[each["model_name"], number][each["completion_id"]]
            assert each["completion"] == upto(most) and each["truncated"] is False
            assert each["test_results"] == [1] * most + [0] * (4 - most) and each["pass_rate"] == most / 4
    assert chunk.counts["programs"] == 12 and chunk.counts["without_answers"] == 0
    assert chunk.counts["tokens_in"] == 120 and chunk.counts["tokens_out"] == 60


def test_questions_without_answers_stay_and_are_counted(sandbox, tmp_path):
    def script(model, number, index):
        if number == 1 or (model, index) == ("small", 1):
            return said("", finish="content_filter")
        return fenced(upto(4))

    chunk = Sampling(script, tmp_path, sandbox)([row(0), row(1)])
    first, second = inferences(chunk)
    assert [(each["model_name"], each["completion_id"]) for each in first] == [
        ("small", 0), ("small", 2), ("large", 0), ("large", 1), ("large", 2),
    ]  # fmt: skip
    assert second == [] and chunk.rows[1]["id"] == "q_1"
    assert chunk.counts["without_answers"] == 1 and chunk.counts["failed.content_filter"] == 7


def test_answers_that_are_cut_off_or_no_program(sandbox, tmp_path):
    said_by = [
        said("I cannot do that."),
        said(f"```python\n{upto(3)}\n# and", finish="length"),
        said(f"```python\n{upto(2)}\n```\nThis works bec", finish="length"),
    ]
    chunk = Sampling(lambda model, number, index: said_by[index], tmp_path, sandbox, models=["small"])([row(0)])
    (found,) = inferences(chunk)
    assert [each["truncated"] for each in found] == [False, True, True]
    assert [each["pass_rate"] for each in found] == [0, 0.75, 0.5]
    assert found[0]["completion"] == "" and found[0]["test_results"] == [0, 0, 0, 0]
    assert (chunk.counts["no_program"], chunk.counts["programs"], chunk.counts["truncated"]) == (1, 2, 2)


def test_the_answer_is_begun_for_models_that_go_on(sandbox, tmp_path):
    bodies = []

    def script(body, number):
        bodies.append(body)
        return said(f"{upto(4)}\n```\n")  # what follows the fence that the prefix opened

    with endpoint(script) as fake, Answers(tmp_path / "answers.sqlite") as answers:
        chunk = sample.process(
            [row(0)],
            settings=SampleSettings(models=["small"], n=1, tests_shown=1),
            models={"small": Endpoint(endpoint=fake.url, model="small", continue_prefix=True)},
            answers=answers,
            budget=Budget(),
            sandbox=sandbox,
        )
    assert inferences(chunk)[0][0]["pass_rate"] == 1
    user, assistant = bodies[0]["messages"]
    assert TESTS[0] in user["content"] and TESTS[1] not in user["content"]
    assert assistant["role"] == "assistant" and assistant["content"].endswith("```python\n")


class Stopped(Exception):
    pass


def test_a_stage_that_was_stopped_goes_on_to_the_same_rows(sandbox, tmp_path):
    rows = [row(number) for number in range(7)]

    def stage(name, process):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        run_stage(folder, "sample", sample.schema(), rows, process, 3, process.settings.model_dump(mode="json"))
        return list(rows_of(folder, "sample"))

    def script(model, number, index):
        return fenced(upto((number + index + len(model)) % 5))

    whole = Sampling(script, tmp_path / "whole", sandbox)
    expected = stage("whole", whole)
    assert [each["id"] for each in expected] == [each["id"] for each in rows] and whole.asked == 7 * 6

    def stopping(model, number, index):
        if number == 4 and model == "large":
            stopped.seen = True
        return script(model, number, index)

    class Stopping(Sampling):
        seen = False

        def __call__(self, rows):
            chunk = super().__call__(rows)
            if self.seen:  # all is paid and run, nothing is written
                raise Stopped
            return chunk

    stopped = Stopping(stopping, tmp_path / "stopped", sandbox)
    with pytest.raises(Stopped):
        stage("stopped", stopped)
    went_on = Sampling(script, tmp_path / "stopped", sandbox)
    assert stage("stopped", went_on) == expected
    assert stopped.asked + went_on.asked == 7 * 6 and went_on.asked == 6  # no answer is paid twice


def test_a_model_is_named_once():
    with pytest.raises(ValidationError, match="'small' stands there twice"):
        SampleSettings(models=["small", "large", "small"])
