"""The stage that samples programs: n of each model for each question, with the tests that they pass.

Covers: `process`: answers of any mix of models, their programs, pass rates over the question's tests.
    A question without any answer stays, with no inferences; an answer without a program is one that passes nothing.
Does not cover: asking and running (programs.py).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, field_validator, model_validator

from acecoder_rl.completions import Program
from acecoder_rl.problems import Tests, parse_tests
from acecoder_rl.sandbox.verdict import Verdict
from acecoder_rl.synthesis.models import Failed, OnAnswer, ask
from acecoder_rl.synthesis.programs import ProgramSettings, Runs, program_in, prompt_of, results
from acecoder_rl.synthesis.prompts import Prompt
from acecoder_rl.synthesis.stages import Chunk
from acecoder_rl.training.recipe import AtLeast0, Positive, Text

if TYPE_CHECKING:
    import pyarrow

    from acecoder_rl.sandbox.calls import Calls
    from acecoder_rl.synthesis.answers import Answers
    from acecoder_rl.synthesis.budget import Budget
    from acecoder_rl.synthesis.models import Endpoint, Engine


class SampleSettings(ProgramSettings):
    """Programs.

    Attributes:
        models: of `models`, each asked for n programs a question.
        n: programs a question and model.
        temperature: of the sampling.
    """

    models: Annotated[list[Text], Field(min_length=1)]
    n: Positive = 16
    temperature: AtLeast0 = 0.7

    @field_validator("models")
    @classmethod
    def _once_each(cls, value: list[str]) -> list[str]:
        for name in value:
            if value.count(name) > 1:
                raise ValueError(f"{name!r} stands there twice: name each model once, and set n")
        return value

    @model_validator(mode="after")
    def _different(self) -> Self:
        if self.n > 1 and self.temperature == 0:
            raise ValueError(f"n is {self.n}, and temperature 0 makes them all the same: give more, or n: 1")
        return self


def schema() -> pyarrow.Schema:
    """Of the rows. `tests` and `inferences` are JSON; of the latter each has model_name, completion_id (of the model's
    programs), completion (the program), pass_rate, test_results (1 for a test that passed) and truncated."""
    import pyarrow

    return pyarrow.schema([(name, pyarrow.string()) for name in ("id", "source", "question", "tests", "inferences")])


def prompts_of(settings: SampleSettings) -> tuple[Prompt]:
    """The prompt; its text decides the rows as the settings do.

    Raises:
        InputError: the file cannot be read, or its placeholders are not right.
    """
    return (prompt_of(settings, "sample"),)


def process(
    rows: list[dict[str, Any]],
    *,
    settings: SampleSettings,
    models: Mapping[str, Endpoint | Engine],
    answers: Answers,
    budget: Budget,
    sandbox: Calls,
    on_answer: OnAnswer = lambda answer: None,
    prompts: tuple[Prompt] | None = None,
) -> Chunk:
    """Questions with tests -> questions with programs.

    Args:
        prompts: as `prompts_of` gives them; None = they are read.

    Raises:
        InputError: a prompt file is wrong.
        AskStopped: see models.ask.
        SandboxError: the sandbox failed; never for what a program did.
    """
    (prompt,) = prompts or prompts_of(settings)
    texts = [json.loads(row["tests"]) for row in rows]
    requests = [
        settings.request(prompt, row["question"], tests, settings.n, settings.temperature)
        for row, tests in zip(rows, texts, strict=True)
    ]
    parsed: list[Tests] = []
    started: list[list[_Started]] = [[] for _ in rows]
    chunk = Chunk([])
    names = ("tokens_in", "tokens_out", "programs", "no_program", "truncated", "without_answers")
    counts = Counter(dict.fromkeys(names, 0))
    with Runs(sandbox) as runs:
        for name in settings.models:  # the programs of one run while the next is asked
            said = ask(models[name], requests, answers, budget, on_answer)
            for at, answered in enumerate(said):
                if at == len(parsed):  # for the first model, while programs of the rows above run
                    parsed.append(parse_tests(texts[at]))
                for number, answer in enumerate(answered):
                    chunk.cost += answer.cost
                    if isinstance(answer, Failed):
                        counts[f"failed.{answer.reason}"] += 1
                        continue
                    counts["tokens_in"] += answer.tokens_in
                    counts["tokens_out"] += answer.tokens_out
                    program = program_in(answer, parsed[at])
                    run = runs.start(program.code, parsed[at]) if program.code else None
                    started[at].append((name, number, program, run))
        for row, tests, of_row in zip(rows, parsed, started, strict=True):
            inferences = [_inference(each, tests) for each in of_row]
            counts["programs"] += sum(run is not None for *_, run in of_row)
            counts["no_program"] += sum(run is None for *_, run in of_row)
            counts["truncated"] += sum(program.truncated for _, _, program, _ in of_row)
            counts["without_answers"] += not inferences
            chunk.rows.append({**_columns(row), "inferences": json.dumps(inferences)})
    chunk.counts = dict(counts)
    return chunk


_Started = tuple[str, int, Program, Future[Verdict] | None]  # model, number, program, its run


def _columns(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("id", "source", "question", "tests")}


def _inference(started: _Started, tests: Tests) -> dict[str, Any]:
    name, number, program, run = started
    passed = [0] * len(tests) if run is None else results(run.result())
    return {
        "model_name": name,
        "completion_id": number,
        "completion": program.code,
        "pass_rate": sum(passed) / len(passed),
        "test_results": passed,
        "truncated": program.truncated,
    }
