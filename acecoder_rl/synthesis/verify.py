"""The stage that sorts out tests: those that are no tests, those that an oracle's programs fail, those that are flaky.

Covers: `process`: of each question's tests the ones that are sound by themselves (tests_kept.py) and that at least
    `oracle.at_least` of `oracle.n` programs pass, each time they run. Questions with fewer than `min_tests` go.
    Every test that goes has a reason, and is counted by it: REASONS of tests_kept.py, and
    oracle_failed   too few programs pass it
    flaky           programs pass it at times: run again with other hashes and random numbers, and those that may
                    remember earlier calls with the tests in the opposite order, too few still do
    unanswered      the model gave fewer than `at_least` answers for the question
    no_program      fewer than `at_least` of its answers have a program
    few_tests       nothing is wrong with it, but its question goes
Does not cover: asking and running (programs.py).
The same rows give the same again, but for flaky tests: chance decides whether further runs show them.
Hostile input: an oracle's program may do what it likes, it costs its question some tests at most.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, model_validator

from acecoder_rl.completions import Program
from acecoder_rl.problems import Tests
from acecoder_rl.sandbox.verdict import Verdict
from acecoder_rl.synthesis.models import Answer, Failed, OnAnswer, ask
from acecoder_rl.synthesis.programs import ProgramSettings, Runs, asserts, program_in, prompt_of, remembers, results
from acecoder_rl.synthesis.prompts import Prompt
from acecoder_rl.synthesis.stages import Chunk, Dropped
from acecoder_rl.synthesis.tests_kept import Kept, keep_tests
from acecoder_rl.training.recipe import AtLeast0, Positive, Section, Text

if TYPE_CHECKING:
    import pyarrow

    from acecoder_rl.sandbox.calls import Calls
    from acecoder_rl.synthesis.answers import Answers
    from acecoder_rl.synthesis.budget import Budget
    from acecoder_rl.synthesis.models import Endpoint, Engine

TEMPERATURE = 0.7  # of several programs, if the recipe has none
# Added to the seed: stage sample may ask the same model the same, and programs that chose the tests would judge them
# kindly when they came again as samples.
SEED = 2**30


class Oracle(Section):
    """Whose programs decide.

    Attributes:
        model: one of `models`; its programs are others than those that `sample` gets of it, but for greedy ones.
        n: programs a question.
        at_least: so many of them must pass a test for it to stay.
        temperature: None = 0 (greedy) for one program, 0.7 for more.
    """

    model: Text
    n: Positive = 1
    at_least: Positive = 1
    temperature: AtLeast0 | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.at_least > self.n:
            raise ValueError(f"at_least is {self.at_least}, and n is {self.n}: give at most n")
        if self.n > 1 and self.temperature == 0:
            raise ValueError(f"n is {self.n}, and temperature 0 makes them all the same: give more, or n: 1")
        return self


class VerifySettings(ProgramSettings):
    """Tests.

    Attributes:
        oracle: whose programs decide.
        fresh_runs: how often programs run again, with another hash seed and other random numbers, to find flaky tests
            and those that need an earlier one.
        min_tests: questions with fewer left go.
    """

    oracle: Oracle
    fresh_runs: Annotated[int, Field(ge=0)] = 1
    min_tests: Positive = 5


def schema() -> pyarrow.Schema:
    """Of the rows. `tests`, `oracle` and `dropped_tests` are JSON: the tests that are kept; the oracle's programs, and
    for each of these tests whether they pass it; the other tests with their reasons. `imagined` counts all tests."""
    import pyarrow

    text = pyarrow.string()
    columns = {name: text for name in ("id", "source", "question", "tests")}
    return pyarrow.schema({**columns, "imagined": pyarrow.int64(), "oracle": text, "dropped_tests": text})


def prompts_of(settings: VerifySettings) -> tuple[Prompt]:
    """The prompt; its text decides the rows as the settings do.

    Raises:
        InputError: the file cannot be read, or its placeholders are not right.
    """
    return (prompt_of(settings, "verify"),)


def process(
    rows: list[dict[str, Any]],
    *,
    settings: VerifySettings,
    models: Mapping[str, Endpoint | Engine],
    answers: Answers,
    budget: Budget,
    sandbox: Calls,
    on_answer: OnAnswer = lambda answer: None,
    prompts: tuple[Prompt] | None = None,
) -> Chunk:
    """Questions with imagined tests -> questions with tests to trust.

    Args:
        prompts: as `prompts_of` gives them; None = they are read.

    Raises:
        InputError: a prompt file is wrong.
        AskStopped: see models.ask.
        SandboxError: the sandbox failed; never for what a program did.
    """
    (prompt,) = prompts or prompts_of(settings)
    oracle = settings.oracle
    greedy = 0.0 if oracle.n == 1 else TEMPERATURE
    temperature = greedy if oracle.temperature is None else oracle.temperature
    questions = [_Question(row, keep_tests(json.loads(row["tests"]))) for row in rows]
    asked = [each for each in questions if len(each.sound.tests) >= settings.min_tests]
    requests = [
        settings.request(prompt, each.row["question"], each.sound.tests, oracle.n, temperature) for each in asked
    ]
    if temperature:
        requests = [replace(request, seed=request.seed + SEED) for request in requests]
    said = ask(models[oracle.model], requests, answers, budget, on_answer)
    chunk = Chunk([])
    counts = Counter({"tokens_in": 0, "tokens_out": 0, "tests_imagined": 0, "tests_kept": 0})
    with Runs(sandbox) as runs:
        for each, answered in zip(asked, said, strict=True):
            each.start(answered, settings, runs)
        for each in asked:  # while later ones run for the first time
            each.start_again(settings, runs)
        for each in questions:
            each.decide(settings)
    for each in questions:
        each.settle(settings, chunk, counts)
    for answer in (answer for answered in said for answer in answered):
        chunk.cost += answer.cost
        if isinstance(answer, Failed):
            counts[f"oracle.{answer.reason}"] += 1
        else:
            counts["tokens_in"] += answer.tokens_in
            counts["tokens_out"] += answer.tokens_out
    chunk.counts = dict(counts)
    return chunk


_Run = tuple[Sequence[int], Future[Verdict]]


@dataclass
class _Question:
    """A question on its way.

    Attributes:
        row: as it came.
        sound: its tests that are sound by themselves, and the others.
        programs: the oracle's; each counts, also where two are the same.
        runs: of each different program, the first run and those after it, each with the numbers of its tests.
        failure: why there are no programs, where there are none, or too few.
        passed: for each program, 1 for the sound tests that it passes each time.
        reasons: for each sound test, why it goes; None = it stays.
    """

    row: dict[str, Any]
    sound: Kept
    programs: list[Program] = field(default_factory=list)
    runs: dict[str, list[_Run]] = field(default_factory=dict)
    failure: str = ""
    passed: list[list[int]] = field(default_factory=list)
    reasons: list[str | None] = field(default_factory=list)

    @cached_property
    def tests(self) -> Tests:
        return asserts(self.sound.tests, self.sound.entry_point)

    def start(self, answered: list[Answer | Failed], settings: VerifySettings, runs: Runs) -> None:
        found = [program_in(answer, self.tests) for answer in answered if isinstance(answer, Answer)]
        self.programs = [program for program in found if program.code]
        if len(self.programs) < settings.oracle.at_least:  # no test can stay, and it is not for what the programs did
            self.failure = "no_program" if len(found) >= settings.oracle.at_least else "unanswered"
            self.programs = []
        for code in dict.fromkeys(program.code for program in self.programs):
            self.runs[code] = [(range(len(self.tests)), runs.start(code, self.tests))]

    def start_again(self, settings: VerifySettings, runs: Runs) -> None:
        first = {code: self._passed(started[0]) for code, started in self.runs.items()}
        passing = [sum(each) for each in zip(*(first[program.code] for program in self.programs), strict=True)]
        if sum(count >= settings.oracle.at_least for count in passing) < settings.min_tests:
            return  # the question goes anyhow
        for code, started in self.runs.items():
            if any(first[code]):
                numbers, tests = started[0][0], self.tests
                if remembers(code):  # without those that it fails: they may hang, which leaves others no time
                    numbers = [number for number in reversed(numbers) if first[code][number]]
                    tests = asserts([self.sound.tests[number] for number in numbers], self.sound.entry_point)
                for _ in range(settings.fresh_runs):
                    started.append((numbers, runs.start(code, tests, fresh=True)))

    def _passed(self, run: _Run) -> list[int]:
        """For each sound test, 1 if it passed."""
        numbers, future = run
        passed = [0] * len(self.sound.tests)
        for number, one in zip(numbers, results(future.result()), strict=True):
            passed[number] = one
        return passed

    def decide(self, settings: VerifySettings) -> None:
        if not self.programs:
            self.reasons = [self.failure or None for _ in self.sound.tests]
            return
        outcomes = {code: [self._passed(each) for each in started] for code, started in self.runs.items()}
        always = {code: [min(each) for each in zip(*runs, strict=True)] for code, runs in outcomes.items()}
        ever = {code: [max(each) for each in zip(*runs, strict=True)] for code, runs in outcomes.items()}
        self.passed = [always[program.code] for program in self.programs]
        at_times = [ever[program.code] for program in self.programs]
        for sure, maybe in zip(zip(*self.passed, strict=True), zip(*at_times, strict=True), strict=True):
            if sum(sure) >= settings.oracle.at_least:
                self.reasons.append(None)
            else:
                self.reasons.append("flaky" if sum(maybe) >= settings.oracle.at_least else "oracle_failed")

    def settle(self, settings: VerifySettings, chunk: Chunk, counts: Counter[str]) -> None:
        kept = [number for number, reason in enumerate(self.reasons) if reason is None]
        stays = len(kept) >= settings.min_tests
        gone = [{"test": test, "reason": reason} for test, reason in self.sound.dropped]
        for test, reason in zip(self.sound.tests, self.reasons, strict=True):
            if reason is not None or not stays:
                gone.append({"test": test, "reason": reason or "few_tests"})
        imagined = len(self.sound.tests) + len(self.sound.dropped)
        counts["tests_imagined"] += imagined
        counts["tests_kept"] += len(kept) if stays else 0
        counts.update(f"tests_dropped.{each['reason']}" for each in gone)
        if not stays:
            reason = self.failure or "few_tests"
            chunk.dropped.append(Dropped(self.row["id"], reason, {"imagined": imagined, "tests": gone}))
            return
        oracle = [
            {"model": settings.oracle.model, "program": program.code, "passed": [passed[number] for number in kept]}
            for program, passed in zip(self.programs, self.passed, strict=True)
        ]
        chunk.rows.append(
            {
                "id": self.row["id"],
                "source": self.row["source"],
                "question": self.row["question"],
                "tests": json.dumps([self.sound.tests[number] for number in kept]),
                "imagined": imagined,
                "oracle": json.dumps(oracle),
                "dropped_tests": json.dumps(gone),
            }
        )
