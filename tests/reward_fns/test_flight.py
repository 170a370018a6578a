"""Many rewards at once in one process, and what importing rewards costs.

Covers: threads, equal programs of a group, cancelling, forked children, the event loop while a sandbox
    starts, modules loaded by `import reward_fns`.
Does not cover: figures (`acecoder-rl bench reward`).
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from acecoder_rl.problems import Problem
from acecoder_rl.sandbox import Limits
from reward_fns import PassRate
from reward_fns.loop import wait_for
from tests.reward_fns.common import PROBLEM, RIGHT, fenced

# Each run of it says another number, so the numbers among the verdicts count the runs.
TELLS = "import os\ndef f():\n    raise ValueError(os.urandom(8).hex())"
ONE_TEST = Problem("tells", "", ("assert f() == 1",))


CORES = len(os.sched_getaffinity(0))


def numbers(rewards: list) -> set[str]:
    return {reward.verdict.outcomes[0].message for reward in rewards}


def test_a_thousand_rewards_in_flight_take_no_thread_each():
    async def go() -> tuple[int, int, list]:
        reward = PassRate()
        await reward.score(PROBLEM, RIGHT)
        # They wait behind some that take their time.
        first = [f"import time\ntime.sleep(2)\ndef add(a, b):\n    return a + b + {n} - {n}" for n in range(CORES)]
        programs = [*first, *(f"def add(a, b):\n    return a + b + ({n} - {n})" for n in range(1000))]
        tasks = [asyncio.create_task(reward.score(PROBLEM, fenced(code))) for code in programs]
        await asyncio.sleep(0.05)  # all have been handed over
        flying = sum(not task.done() for task in tasks)
        threads = len(os.listdir("/proc/self/task"))
        return flying, threads, await asyncio.gather(*tasks)

    before = len(os.listdir("/proc/self/task"))
    flying, threads, rewards = asyncio.run(go())
    assert flying > 700
    assert threads <= before + 8
    assert {reward.value for reward in rewards} == {1.0}


def test_equal_programs_asked_for_at_once_run_once():
    async def go() -> list:
        scored = (PassRate().score(ONE_TEST, fenced("# at once\n" + TELLS)) for _ in range(16))
        return await asyncio.gather(*scored)

    rewards = asyncio.run(go())
    assert len(numbers(rewards)) == 1
    assert "ValueError" in numbers(rewards).pop()


def test_equal_programs_of_a_group_run_once_also_one_after_the_other():
    reward = PassRate()
    rewards = [reward(ONE_TEST, fenced("# in turn\n" + TELLS)) for _ in range(4)]
    assert len(numbers(rewards)) == 1
    # The same program for a problem with other tests is another matter.
    other = Problem("other", "", ("assert f() == 2",))
    assert numbers([reward(other, fenced("# in turn\n" + TELLS))]) != numbers(rewards)


def test_cancelling_a_reward_kills_its_program():
    patient = replace(PROBLEM, limits=Limits(test_seconds=100, program_seconds=200, wall_seconds=200))

    async def go() -> None:
        busy = [fenced(f"def add(a, b):\n    while True: {n}") for n in range(2 * CORES)]
        tasks = [asyncio.create_task(PassRate().score(patient, code)) for code in busy]
        await asyncio.sleep(0.3)
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, asyncio.CancelledError) for each in ended)
        # All workers are free at once: the next ones would wait behind programs that go on.
        begun = time.monotonic()
        codes = [fenced(f"def add(a, b):\n    return {n} + a + b - {n}") for n in range(-8, 0)]
        await asyncio.gather(*(PassRate().score(PROBLEM, code) for code in codes))
        assert time.monotonic() - begun < 60

    asyncio.run(go())


@pytest.mark.alone
def test_the_event_loop_goes_on_while_the_sandbox_starts():
    script = r"""
import asyncio, time
from acecoder_rl.problems import Problem
from reward_fns import PassRate

PROBLEM = Problem("add", "", ("assert add(1, 2) == 3",))
RIGHT = "```python\ndef add(a, b):\n    return a + b\n```"

async def main():
    gaps, last = [], time.monotonic()
    task = asyncio.create_task(PassRate().score(PROBLEM, RIGHT))
    while not task.done():
        await asyncio.sleep(0.005)
        gaps.append(time.monotonic() - last)
        last = time.monotonic()
    assert task.result().value == 1.0
    print(sum(gaps), max(gaps))

asyncio.run(main())
"""
    env = {name: value for name, value in os.environ.items() if name != "ACECODER_RL_SANDBOX"}
    shares = []
    for _ in range(5):  # a machine that does something else for a while holds up one of them, a loop that waits all
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, env=env)
        assert done.returncode == 0, done.stderr
        whole, longest = map(float, done.stdout.split())
        shares.append(longest / whole)
        if shares[-1] < 0.5:
            break
    assert min(shares) < 0.5, shares


@pytest.mark.alone  # forks this process, which has threads of pytest-xdist in the other part of the tests
def test_a_forked_child_scores_as_well():
    assert PassRate()(PROBLEM, RIGHT).value == 1.0
    child = os.fork()
    if child == 0:
        try:
            value = PassRate()(PROBLEM, fenced("def add(a, b):\n    return b + a")).value
            os._exit(0 if value == 1.0 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_waiting_with_a_limit_ends_a_coroutine_that_blocks_its_loop():
    over = threading.Event()

    async def blocks() -> None:
        over.wait(120)

    try:
        begun = time.monotonic()
        with pytest.raises(TimeoutError, match=r"no result within 0\.2 s"):
            wait_for(blocks(), 0.2)
        assert wait_for(asyncio.sleep(0, "next"), 60) == "next"  # it has another loop
        assert time.monotonic() - begun < 100
    finally:
        over.set()


def test_callers_in_threads_share_one_loop():
    names: list[str] = []

    async def where() -> None:
        await asyncio.sleep(0.05)
        names.append(threading.current_thread().name)

    threads = [threading.Thread(target=lambda: wait_for(where())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names == ["reward-loop"] * 8


def test_importing_rewards_loads_nothing_heavy():
    heavy = ("torch", "ray", "openrlhf", "vllm", "transformers", "numpy", "yaml", "pydantic", "pyarrow")
    code = f"import sys, reward_fns; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
