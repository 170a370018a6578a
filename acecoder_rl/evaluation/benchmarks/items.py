"""One problem of a benchmark, as it is asked and as it is judged; and the benchmark around it.

Does not cover: where the rows come from (files.py), what is in them (humaneval.py and its neighbours).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from acecoder_rl.problems import Problem, Tests
from acecoder_rl.sandbox import Limits


@dataclass(frozen=True)
class Item:
    """A problem.

    Attributes:
        id: as its benchmark has it.
        chat: the user's turn for a chat model.
        bare: the text that a base model continues; a newline follows.
        head: what the answer of a base model, or one that is a function's body alone, goes on from; "" if nothing.
        problem: with the tests, those that are run first.
        more: further tests, each list run afresh if all before have passed: a program must pass them all.
        reference: a whole right program, where the data has one.
        other_ids: by which a file of completions may name it.
        before: what stands before every program when it is run.
    """

    id: str
    chat: str
    bare: str
    head: str
    problem: Problem
    more: tuple[Tests, ...] = ()
    reference: str | None = None
    other_ids: tuple[str, ...] = ()
    before: str = ""

    @cached_property
    def named(self) -> frozenset[str]:
        """The words of the tests: names of the program that they may use."""
        tests = self.problem.tests
        return frozenset(re.findall(r"[A-Za-z_]\w*", "\n".join([tests.setup, *(test.code for test in tests)])))


@dataclass(frozen=True)
class Benchmark:
    """A benchmark, its data loaded.

    Attributes:
        name: as the command knows it.
        items: its problems.
        source: where the data comes from, for a reader.
        limits: of a program.
        system: the system's turn of chats, if they have one.
        prefix: how a chat's answer is begun for the model, where it can be.
        stops: where the answer of a base model ends, if these come first.
        about: what else tells the data apart: release, dates, tests left out; plain JSON.
        note: a caveat that goes with every figure, "" for none.
        preload: modules that all programs import (`Item.before`).
    """

    name: str
    items: tuple[Item, ...]
    source: str
    limits: Limits = field(default_factory=Limits)
    system: str | None = None
    prefix: str = ""
    stops: tuple[str, ...] = ()
    about: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    preload: tuple[str, ...] = ()
