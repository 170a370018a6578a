"""The benchmark's programs and tests: built in, deterministic, the same on every machine.

Covers: `build_workload` (45 problems x 12 variants = 540 programs, 16 asserts each in AceCode's style;
half right, a quarter wrong, the rest raising or not even parsing; optionally some looping forever),
`build_questions` (any number of problems: the same functions with other tests), `hanging_program`,
and for every assert the call and the value it stands for, for graders that take those.
Does not cover: tests other than bare asserts; running anything but our own references.
"""

from __future__ import annotations

import inspect
import re
from ast import literal_eval
from dataclasses import dataclass
from random import Random
from typing import Any

from acecoder_rl.bench.catalog import Spec
from acecoder_rl.bench.catalog_heavy import HEAVY
from acecoder_rl.bench.catalog_text import TEXT
from acecoder_rl.bench.catalog_values import VALUES

DEFAULT_PROGRAMS = 540
TESTS_PER_PROBLEM = 16
# Right and other variants alternate, so that any prefix of the workload is mixed.
VARIANTS = (
    "right",
    "wrong 0",
    "right",
    "wrong 1",
    "right",
    "raises",
    "right",
    "wrong empty",
    "right",
    "raises at load",
    "right",
    "broken",
)


@dataclass(frozen=True)
class BenchProblem:
    """One problem: its asserts, and the same as (arguments, expected value) pairs."""

    name: str
    asserts: tuple[str, ...]
    cases: tuple[tuple[tuple, Any], ...]


@dataclass(frozen=True)
class BenchProgram:
    """One program: its text, its problem's number and how it was made."""

    code: str
    problem: int
    variant: str


@dataclass(frozen=True)
class Workload:
    problems: tuple[BenchProblem, ...]
    programs: tuple[BenchProgram, ...]

    @property
    def tests(self) -> int:
        """Asserts in all programs together."""
        return sum(len(self.problems[program.problem].asserts) for program in self.programs)

    def head(self, count: int) -> Workload:
        """The first programs only."""
        return Workload(self.problems, self.programs[:count])


def build_workload(programs: int = DEFAULT_PROGRAMS, loop_every: int = 0) -> Workload:
    """`programs` programs, no two of the same text; every `loop_every`-th loops forever when called."""
    specs = _specs()
    problems = tuple(_problem(spec) for spec in specs)
    made = []
    for number in range(programs):
        problem, round_ = number % len(specs), number // len(specs)
        variant = VARIANTS[(problem + round_) % len(VARIANTS)]
        if loop_every and number % loop_every == loop_every // 2:
            variant = "loops"
        made.append(BenchProgram(_program(specs[problem], variant, number), problem, variant))
    return Workload(problems, tuple(made))


def build_questions(questions: int, programs: int) -> Workload:
    """`questions` problems, no two with the same tests, and `programs` programs for each, the first one right."""
    # Of some functions there are not enough different calls.
    specs = [spec for spec in _specs() if len(_problem(spec, 0).asserts) == TESTS_PER_PROBLEM]
    problems, made = [], []
    for number in range(questions):
        spec = specs[number % len(specs)]
        problems.append(_problem(spec, number))
        made += [
            BenchProgram(_program(spec, variant, len(made) + at), number, variant)
            for at, variant in enumerate((VARIANTS * programs)[:programs])
        ]
    return Workload(tuple(problems), tuple(made))


def hanging_program(tests: int = 8) -> Workload:
    """One program that loops forever in each of its tests."""
    cases = tuple(((number,), number + 1) for number in range(tests))
    asserts = tuple(f"assert successor({args[0]}) == {expected}" for args, expected in cases)
    code = "def successor(number):\n    while True:\n        number += 1\n"
    return Workload((BenchProblem("successor", asserts, cases),), (BenchProgram(code, 0, "loops"),))


def _specs() -> tuple[Spec, ...]:
    """All of them, interleaved, so that any prefix has its share of heavy problems."""
    specs = (*TEXT, *VALUES, *HEAVY)
    return tuple(specs[i] for i in sorted(range(len(specs)), key=lambda i: (i * 13) % len(specs)))


def _problem(spec: Spec, question: int | None = None) -> BenchProblem:
    """The problem of a spec; with a number, one of many of it, with tests that differ where its draws do."""
    name = spec.solve.__name__
    rng = Random(name if question is None else f"{name} {question}")
    drawn = [*spec.edges, *(spec.draw(rng) for _ in range(TESTS_PER_PROBLEM - len(spec.edges)))]
    if question is not None:
        drawn += [spec.draw(rng) for _ in range(20 * TESTS_PER_PROBLEM)]
        drawn = list({repr(args): args for args in drawn}.values())[:TESTS_PER_PROBLEM]
    cases = []
    asserts = []
    for args in drawn:
        # A copy by text: a reference may change its arguments, and the assert holds text anyway.
        expected = _solve(spec, literal_eval(repr(args)))
        cases.append((args, expected))
        asserts.append(_assert(f"{name}({', '.join(map(repr, args))})", expected, rng))
    return BenchProblem(name, tuple(asserts), tuple(cases))


def _solve(spec: Spec, args: tuple) -> Any:
    space: dict[str, Any] = {}
    exec(_source(spec), space)
    return space[spec.solve.__name__](*args)


def _assert(call: str, value: Any, rng: Random) -> str:
    """Mostly `==`; now and then the other forms that models write."""
    plain = f"assert {call} == {value!r}"
    if value is None:
        return f"assert {call} is None"
    if isinstance(value, bool):
        return rng.choice([plain, f"assert {call} is {value}", f"assert {'' if value else 'not '}{call}"])
    if isinstance(value, float):
        return f"assert abs({call} - {value!r}) < 1e-6"
    if isinstance(value, (list, dict, set)) and rng.random() < 0.1:
        kind = type(value).__name__
        options = [f"assert isinstance({call}, {kind})", f"assert len({call}) == {len(value)}"]
        if not any(isinstance(item, (list, dict)) for item in value):
            options.append(f"assert sorted({call}) == {sorted(value)!r}")
        return rng.choice(options)
    return plain


def _source(spec: Spec) -> str:
    text = re.sub(r" *# noqa.*", "", inspect.getsource(spec.solve))
    return f"{spec.imports}\n\n\n{text}" if spec.imports else text


def _program(spec: Spec, variant: str, number: int) -> str:
    source = _source(spec)
    name = spec.solve.__name__
    head, colon, body = source.partition(":\n")
    if variant.startswith("wrong") and variant != "wrong empty":
        old, new = spec.wrong[int(variant[-1])]
        if old not in source:
            raise ValueError(f"catalog: {name}: {variant} replaces {old!r}, which is not in its source")
        source = source.replace(old, new)
    elif variant == "wrong empty":
        source = f"{head}{colon}    return []\n"
    elif variant == "raises":
        source = f"{head}{colon}    values = prepare_input_{number}\n{body}"
    elif variant == "raises at load":
        source += f"\n\nCACHE = {{}}\nFIRST = CACHE['entry {number}']\n"
    elif variant == "loops":
        source = f"{head}{colon}    step = 0\n    while True:\n        step += 1\n{body}"
    elif variant == "broken":
        source = source.rstrip() + "\n    result = sorted((\n"
    elif number % 4 == 0:
        source += f"\n\nif __name__ == '__main__':\n    print('{name}', {number})\n"
    return f"# Attempt {number}\n{source}"
