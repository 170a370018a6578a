"""A verdict for each candidate whose problem has tests, each written down as it comes.

Covers: running what has no verdict yet in the sandbox; a completion without a program passes nothing.
Does not cover: the sandbox's settings beyond limits and level: `acecoder-rl score` has them all.
Hostile input: programs run in the sandbox only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from acecoder_rl.completions import extract_program
from acecoder_rl.evaluation.candidates import Candidates, Known
from acecoder_rl.evaluation.ledger import Ledger
from acecoder_rl.records import InputError
from acecoder_rl.sandbox import Limits, Sandbox

IN_FLIGHT_A_WORKER = 64
OnDone = Callable[[str, int, int], None]
Work = TypeVar("Work")


def judge_candidates(
    found: Sequence[Candidates],
    verdicts: Ledger,
    *,
    limits: dict[str, Any],
    require: str,
    workers: int | None,
    on_done: OnDone | None = None,
) -> None:
    """Give each candidate its verdict (`known`): the one that came with it, of the ledger, or of a run now.

    Args:
        limits: fields of `Limits`, which outrank those a problem carries.
        require: the isolation the host must have.
        workers: programs at once; None takes the cores this process may use.

    Raises:
        InputError: limits or level are none, a problem's programs want to fork, or a problem without tests has verdicts
            for some of its candidates only.
        SandboxError: the sandbox failed; a candidate's fault never raises.
    """
    todo = [
        (each, sample)
        for each in found
        if each.problem is not None
        for sample, completion in enumerate(each.completions)
        if completion.known is None and (each.id, sample) not in verdicts.rows
    ]
    if todo:
        _run(todo, verdicts, limits, require, workers, on_done)
    for each in found:
        for sample, completion in enumerate(each.completions):
            if completion.known is None and (row := verdicts.rows.get((each.id, sample))) is not None:
                known = Known(row["pass_rate"], row["passed"])
                each.completions[sample] = replace(completion, known=known)
        judged = sum(completion.known is not None for completion in each.completions)
        if judged not in (0, len(each.completions)):
            raise InputError(
                f"problem {each.id} has verdicts for {judged} of its {len(each.completions)} candidates, and no tests: "
                "give all of them, or the tests"
            )


def _run(
    todo: list[tuple[Candidates, int]],
    verdicts: Ledger,
    given: dict[str, Any],
    require: str,
    workers: int | None,
    on_done: OnDone | None,
) -> None:
    try:
        limits = Limits(**given)
        sandbox = Sandbox(workers, limits, require=require)
    except ValueError as error:
        raise InputError(str(error)) from None
    for each, _ in todo:
        assert each.problem is not None
        if each.problem.limits is not None and each.problem.limits.processes > limits.processes:
            raise InputError(
                f"problem {each.id} has limits.processes {each.problem.limits.processes}: run `acecoder-rl score "
                "--processes` first, and give its output as --verdicts"
            )

    async def one(work: tuple[Candidates, int]) -> None:
        each, sample = work
        assert each.problem is not None
        program = extract_program(each.completions[sample].text, each.problem.tests)
        rate, passed, status = 0.0, False, "no_program"
        if program.code:
            own = each.problem.limits
            verdict = await sandbox.arun(
                program.code, each.problem.tests, limits=replace(own, **given) if own else None
            )
            rate, passed, status = verdict.pass_rate, verdict.passed, verdict.status
        verdicts.add(each.id, sample, pass_rate=rate, passed=passed, status=status)

    with sandbox:
        run_each(todo, one, IN_FLIGHT_A_WORKER * sandbox.workers, on_done)


def run_each(todo: Sequence[Work], one: Callable[[Work], Awaitable[None]], most: int, on_done: OnDone | None) -> None:
    """Run programs with so many on their way at most, and tell of each that is done.

    Args:
        one: runs one, and writes down what came of it.
        on_done: called with ("programs", done, all).
    """

    async def run() -> None:
        room, done = asyncio.Semaphore(most), 0

        async def within(work: Work) -> None:
            nonlocal done
            async with room:
                await one(work)
            done += 1
            if on_done is not None:
                on_done("programs", done, len(todo))

        tasks = [asyncio.ensure_future(within(work)) for work in todo]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    asyncio.run(run())
