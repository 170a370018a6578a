"""The sandbox under load: a busy machine, thousands of calls, leaks, and what hanging programs cost.

Covers: each property in a version of a few seconds; the full figures are behind `make test-slow`.
Does not cover: owners that fork, end or are interrupted (test_owners.py); speed (`acecoder-rl bench`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from acecoder_rl.sandbox import Limits, Sandbox
from tests.sandbox.footprint import cpu_seconds, left_behind, newly_left
from tests.sandbox.mixed import ADD, LIGHT, PATCHED, RIGHT, Mixed, busy, programs

REPOSITORY = Path(__file__).resolve().parents[2]
WRONG = LIGHT["wrong"][0]
HANGS = {"computes": "while True: pass", "sleeps": "import time\n    time.sleep(99)"}
TESTS = {
    "calls": ADD,
    "judge": [f"pairs = [({i}, 2)]\nfor a, b in pairs:\n    assert add(a, b) == {i + 2}" for i in range(8)],
    "stdin": {"inputs": ["1 2\n"] * 8, "outputs": ["3\n"] * 8},
}


def statuses(sandbox: Sandbox, mixed: list[Mixed]) -> list[list[str]]:
    verdicts = sandbox.run_many([(item.program, item.tests) for item in mixed])
    return [[outcome.status for outcome in verdict.outcomes] for verdict in verdicts]


@pytest.mark.alone
@pytest.mark.parametrize(
    ("count", "heavy_every", "seconds", "runs"),
    [
        pytest.param(60, 15, (0.4, 0.2), 1, id="60"),
        pytest.param(500, 10, (1.5, 0.5, 0.2, 1.0, 0.7), 3, id="500x3", marks=pytest.mark.slow),
    ],
)
def test_a_busy_machine_changes_no_verdict(count: int, heavy_every: int, seconds: tuple[float, ...], runs: int) -> None:
    mixed = programs(count, heavy_every, seconds)
    expected = [item.statuses for item in mixed]
    # In the short version the limit is as close to what the heaviest program takes as in the full one.
    with Sandbox(workers=2, limits=Limits(test_seconds=2.7 * max(seconds))) as sandbox:
        assert statuses(sandbox, mixed) == expected
        with busy(4 * sandbox_cores()):
            for _ in range(runs):
                assert statuses(sandbox, mixed) == expected


def sandbox_cores() -> int:
    return len(psutil.Process().cpu_affinity())


@pytest.mark.alone
@pytest.mark.parametrize(
    ("warm_up", "count", "specials"),
    [
        pytest.param(250, 450, 1, id="450"),
        pytest.param(2000, 20_000, 20, id="20000", marks=pytest.mark.slow),
    ],
)
def test_nothing_leaks(warm_up: int, count: int, specials: int) -> None:
    before = left_behind()
    command = [sys.executable, "-m", "tests.sandbox.many", *map(str, (warm_up, count, specials))]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    warm, used, cancelled = report["warm"], report["used"], report["cancelled"]
    assert report["wrong"] == 0
    for name in ("processes", "threads", "descriptors"):
        assert warm[name] == used[name] == cancelled[name], name
        assert report["at_first"][name] == report["at_last"][name], name
    assert {shot["zombies"] for shot in (warm, used, cancelled, report["at_last"])} == {0}
    for place, kilobytes in used["memory_kb"].items():
        # A short run ends before every list has had its last doubling.
        allowed = 1.05 if count > 10_000 else 1.10
        assert kilobytes < allowed * warm["memory_kb"][place], (place, kilobytes, warm["memory_kb"][place])
    assert newly_left(before) == []


@pytest.mark.parametrize(
    ("calls", "distinct"),
    [
        pytest.param(5000, 1000, id="1000 programs"),
        pytest.param(5000, 5000, id="5000 programs", marks=pytest.mark.slow),
    ],
)
def test_five_thousand_in_flight_from_one_event_loop(calls: int, distinct: int) -> None:
    async def all_at_once(sandbox: Sandbox) -> list[bool]:
        runs = [sandbox.arun(f"{RIGHT if i % 2 else WRONG}# {i % distinct}", ADD) for i in range(calls)]
        return [verdict.passed for verdict in await asyncio.gather(*runs)]

    with Sandbox(workers=2) as sandbox:
        assert asyncio.run(all_at_once(sandbox)) == [bool(i % 2) for i in range(calls)]


def test_threads_and_event_loops_and_several_sandboxes() -> None:
    """64 threads call two sandboxes, made while 50 threads are there, as two event loops do."""
    done = threading.Event()
    idle = [threading.Thread(target=done.wait) for _ in range(50)]
    for thread in idle:
        thread.start()
    try:
        with Sandbox(workers=1) as one, Sandbox(workers=1) as other, ThreadPoolExecutor(66) as threads:

            def call(number: int) -> bool:
                program = f"{RIGHT if number % 2 else WRONG}# {number}"
                return (one if number % 3 else other).run(program, ADD).passed

            def loop(sandbox: Sandbox, name: str) -> list[bool]:
                async def several() -> list[bool]:
                    calls = [sandbox.arun(f"{RIGHT if i % 2 else WRONG}# {name}{i}", ADD) for i in range(100)]
                    return [verdict.passed for verdict in await asyncio.gather(*calls)]

                return asyncio.run(several())

            loops = [threads.submit(loop, sandbox, name) for sandbox, name in ((one, "a"), (one, "b"))]
            assert list(threads.map(call, range(128))) == [bool(number % 2) for number in range(128)]
            assert [loop.result() for loop in loops] == [[bool(i % 2) for i in range(100)]] * 2
    finally:
        done.set()


@pytest.mark.alone
@pytest.mark.parametrize(
    ("seconds", "slack"),  # of CPU: what a limit is overrun by, where whoever looks at it waits for a core
    [pytest.param(0.8, 1.6, id="0.8 s"), pytest.param(4.0, 0.0, id="4 s", marks=pytest.mark.slow)],
)
def test_hanging_on_each_of_8_tests_costs_two_test_limits(seconds: float, slack: float) -> None:
    jobs = [(route, hang) for route in TESTS for hang in HANGS]
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(len(jobs)) as threads:
        sandboxes, workers = [], []
        for _ in jobs:
            known = {child.pid for child in psutil.Process().children()}
            sandboxes.append(stack.enter_context(Sandbox(workers=1, limits=Limits(test_seconds=seconds))))
            workers += [child.pid for child in psutil.Process().children() if child.pid not in known]

        def cost(job: tuple[str, str], sandbox: Sandbox, worker: int) -> tuple[float, float, float]:
            """CPU of the whole sandbox, CPU by the verdict, wall clock."""
            route, hang = job
            program = f"def add(a, b):\n    {HANGS[hang]}\n{'add(1, 2)' if route == 'stdin' else ''}"
            sandbox.run(RIGHT, TESTS["judge"])  # its interpreters are started
            before, begun = cpu_seconds(worker), time.monotonic()
            verdict = sandbox.run(program, TESTS[route])
            took, spent = time.monotonic() - begun, cpu_seconds(worker) - before
            assert verdict.pass_rate == 0 and verdict.outcomes[0].status == "timeout"
            return spent, verdict.cpu_seconds, took

        for job, (spent, charged, took) in zip(jobs, threads.map(cost, jobs, sandboxes, workers), strict=True):
            most = 2 * seconds + slack  # 8 * seconds if each of the tests cost its limit
            assert spent <= most and charged <= most, (job, spent, charged)
            if job[1] == "sleeps":
                assert spent <= 0.4 + slack / 2 and took <= most + 1 + slack, (job, spent, took)


@pytest.mark.slow
def test_in_an_async_ray_actor() -> None:
    """test_cluster.py has the quick version: an actor of ours a node."""
    ray = pytest.importorskip("ray")

    class Scorer:
        def __init__(self) -> None:
            self.sandbox = Sandbox(workers=2)

        async def score(self, number: int) -> bool:
            program = f"{RIGHT if number % 2 else WRONG}# {number}"
            return (await self.sandbox.arun(program, LIGHT["judged"][1] if number % 5 else ADD)).passed

    ray.init(num_cpus=2, include_dashboard=False, runtime_env={"env_vars": {"PYTHONPATH": str(REPOSITORY)}})
    try:
        actor = ray.remote(Scorer).options(num_cpus=0, max_concurrency=1000).remote()
        passed = ray.get([actor.score.remote(number) for number in range(500)], timeout=300)
        assert passed == [bool(number % 2) for number in range(500)]
    finally:
        ray.shutdown()


@pytest.fixture(scope="module")
def impatient() -> Iterator[Sandbox]:
    with Sandbox(workers=1, limits=Limits(test_seconds=1.0, wall_seconds=20)) as sandbox:
        yield sandbox


def test_input_larger_than_a_pipe_that_is_never_read(impatient: Sandbox) -> None:
    """A program that hangs while it loads leaves its tests in the way: nobody waits on that."""
    big, asleep = "x" * 2_000_000, "import time\ntime.sleep(99)\n"
    assert impatient.run(asleep + RIGHT, [f"assert add({big!r}, 'y') == 1"]).status == "timeout"
    assert impatient.run(asleep, {"inputs": [big], "outputs": ["1"]}).outcomes[0].status == "timeout"
    assert impatient.run(RIGHT, [f"assert add({big!r}, 'y') == {big + 'y'!r}"]).passed
    assert impatient.run("print(len(input()))", {"inputs": [big + "\n"], "outputs": ["2000000"]}).passed
    assert impatient.run(RIGHT, ADD).passed


@pytest.mark.alone
@pytest.mark.parametrize(
    ("tests", "frames"),
    [
        pytest.param({"inputs": ["1"], "outputs": ["1"]}, r"b'\1\0\0\0L' * 9999", id="loaded, again and again"),
        pytest.param(ADD, r"b'\1\0\0\0L' * 9999", id="loaded, instead of answers"),
        pytest.param([LIGHT["judged"][1][0]], r"b'\1\0\0\0L' * 9999", id="loaded, to the judge"),
        pytest.param(PATCHED, r"b'\1\0\0\0L\5\0\0\0Jjunk'", id="a report that is none"),
        pytest.param(PATCHED, r"b'\1\0\0\0L' + b'\5\0\0\0J[1] ' * 9999", id="empty reports"),
        pytest.param(PATCHED, r"b'\1\0\0\0L\x14\0\0\0J[\"done\",0,[],\"\",0]'", id="a status that is none"),
    ],
)
def test_a_program_that_writes_to_its_own_socket_gets_a_verdict(impatient: Sandbox, tests: Any, frames: str) -> None:
    """It costs at most its limits, and is never taken for a failure of the sandbox."""
    program = (
        "import os, stat\nsockets = []\nfor fd in range(3, 64):\n    try:\n"
        "        if stat.S_ISSOCK(os.fstat(fd).st_mode): sockets.append(fd)\n    except OSError: pass\n"
        f"assert sockets\nwhile True:\n    for fd in sockets: os.write(fd, {frames})\n"
    )
    begun = time.monotonic()
    assert impatient.run(program, tests).pass_rate == 0
    assert time.monotonic() - begun < 60
    assert impatient.run(RIGHT, ADD).passed
