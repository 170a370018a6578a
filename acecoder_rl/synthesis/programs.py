"""Programs of models for questions, and which tests they pass: what the oracle and the samples have in common.

Covers: the prompt with the first tests, requests, programs out of answers; running them, many at once, and what counts
    as passing; whether one call of a program may change the next.
Does not cover: what is made of it (verify.py, sample.py), asking (models.py), the sandbox.
Hostile input: programs run in the sandbox only. A test that passed on the program's own word (`Outcome.claimed`), or in
    its own process (`Verdict.isolation`), has not passed.
"""

from __future__ import annotations

import ast
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field

from acecoder_rl.completions import Program, extract_program
from acecoder_rl.fences import PARSE_BUDGET, Parser
from acecoder_rl.problems import Test, Tests
from acecoder_rl.sandbox.verdict import Verdict
from acecoder_rl.synthesis.models import Answer, Request
from acecoder_rl.synthesis.prompts import Prompt, load_prompt
from acecoder_rl.training.recipe import Above0To1, Positive, Section, Text

if TYPE_CHECKING:
    from acecoder_rl.sandbox.calls import Calls

LEAST_IN_FLIGHT, IN_FLIGHT_A_WORKER = 32, 4
LEAD = "Here is a Python program that solves the problem and passes its tests:\n\n```python\n"


class ProgramSettings(Section):
    """How a model is asked for a program.

    Attributes:
        prompt: a text file; None = ours (acecoder_rl/synthesis/prompts/solve.txt). {question} stands for the question,
            {tests} for its first tests.
        assistant_prefix: what the answer starts with, where the model can be made to (see `models:`); "" = nothing.
        tests_shown: of the question's tests, the first so many.
        top_p, max_tokens, seed: of the sampling.
    """

    prompt: Text | None = None
    assistant_prefix: str = LEAD
    tests_shown: Annotated[int, Field(ge=0)] = 2
    top_p: Above0To1 = 1.0
    max_tokens: Positive = 1024
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    def request(self, prompt: Prompt, question: str, tests: Sequence[str], n: int, temperature: float) -> Request:
        """What the model is asked, `n` times."""
        shown = "\n".join(tests[: self.tests_shown])
        return Request(
            [{"role": "user", "content": prompt.fill(question=question.strip(), tests=shown)}],
            n=n,
            temperature=temperature,
            top_p=self.top_p,
            max_tokens=self.max_tokens,
            seed=self.seed,
            assistant_prefix=self.assistant_prefix or None,
        )


def prompt_of(settings: ProgramSettings, stage: str) -> Prompt:
    """The prompt; its text decides the rows as the settings do.

    Raises:
        InputError: the file cannot be read, or its placeholders are not right.
    """
    return load_prompt(settings.prompt, "solve", ("question",), ("tests",), f"{stage}.prompt")


def asserts(tests: Sequence[str], entry_point: str | None) -> Tests:
    """Tests that are known to be asserts, without parsing them again."""
    return Tests(tuple(Test("assert", code=test) for test in tests), entry_point=entry_point)


def program_in(answer: Answer, tests: Tests) -> Program:
    """The program of an answer; `truncated` also where the model was cut off behind it."""
    program = extract_program(answer.text, tests)
    return Program(program.code, program.truncated or answer.finish == "length", program.reason)


def results(verdict: Verdict) -> list[int]:
    """1 for each test that passed, 0 for the others."""
    if verdict.isolation != "split":
        return [0] * len(verdict.outcomes)
    return [int(outcome.status == "passed" and not outcome.claimed) for outcome in verdict.outcomes]


def remembers(program: str) -> bool:
    """Whether a program may keep something from one call to the next, as far as its text shows it: what it calls
    `global`, the attributes of its functions, variables and default values that are no constants."""
    tree, _ = Parser(PARSE_BUDGET)(program)
    if tree is None:
        return False
    named = {each.name for each in tree.body if isinstance(each, ast.FunctionDef | ast.ClassDef)} | {"cls"}
    for node in ast.walk(tree):
        match node:
            case ast.Global():
                return True
            case ast.Attribute(value=ast.Name(id=name), ctx=ast.Store()) if name in named:
                return True
            case ast.arguments(defaults=defaults, kw_defaults=others):
                if not all(_is_fixed(each) for each in (*defaults, *others)):
                    return True
            case ast.Module(body=body) | ast.ClassDef(body=body):
                if not all(_is_fixed(each.value) for each in body if isinstance(each, ast.Assign | ast.AnnAssign)):
                    return True
    return False


def _is_fixed(value: ast.expr | None) -> bool:
    """Whether nothing can be put into what an expression gives."""
    match value:
        case None | ast.Constant() | ast.Name() | ast.Attribute() | ast.Lambda() | ast.Subscript():
            return True
        case ast.Tuple(elts=parts):
            return all(map(_is_fixed, parts))
        case ast.UnaryOp(operand=part):
            return _is_fixed(part)
        case ast.BinOp(left=left, right=right):
            return _is_fixed(left) and _is_fixed(right)
    return False


class Runs:
    """Programs in a sandbox, which runs them meanwhile on all its cores. What still runs at the end is killed."""

    def __init__(self, sandbox: Calls) -> None:
        self._sandbox = sandbox
        self._futures: list[Future[Verdict]] = []
        # Who hands over hundreds at once keeps the interpreter from the sandbox's own thread meanwhile, and its workers
        # wait for it.
        self._room = threading.Semaphore(max(LEAST_IN_FLIGHT, IN_FLIGHT_A_WORKER * getattr(sandbox, "workers", 1)))

    def start(self, program: str, tests: Tests, **options: Any) -> Future[Verdict]:
        """Hand a program over, when few enough are under way; `options` as of `Sandbox.run`."""
        self._room.acquire()
        future = self._sandbox.submit(program, tests, **options)
        self._futures.append(future)
        future.add_done_callback(lambda _: self._room.release())
        return future

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for future in self._futures:
            future.cancel()
