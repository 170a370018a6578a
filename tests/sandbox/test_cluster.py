"""One sandbox over the nodes of a Ray cluster: a local one of several nodes, some of which die.

Covers: routing, lost nodes and actors, nodes that join, use inside Ray actors, cancelling, closing.
Does not cover: the verdicts of hostile programs (test_pool.py and its neighbours).
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

ray = pytest.importorskip("ray")

from ray.cluster_utils import Cluster  # noqa: E402

from acecoder_rl.sandbox import Limits, SandboxError  # noqa: E402
from acecoder_rl.sandbox.cluster import ClusterSandbox, node_sandbox  # noqa: E402

LIMITS = Limits(test_seconds=20, program_seconds=60)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head without CPUs, which programs must stay away from, and two nodes."""
    os.environ["RAY_DEDUP_LOGS"] = "0"
    # By default Ray takes 20 s to find a node dead. One that is only slow to answer is alive.
    quick = {
        "health_check_period_ms": 500,
        "health_check_timeout_ms": 20_000,
        "health_check_failure_threshold": 2,
    }
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": quick}
    cluster = Cluster(initialize_head=True, head_node_args=head, shutdown_at_exit=False)
    for _ in range(2):
        cluster.add_node(num_cpus=1, num_gpus=0)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module")
def sandbox(cluster: Cluster) -> Iterator[ClusterSandbox]:
    """One for many tests: those that start their own come before them in this file, as there can be but one."""
    with ClusterSandbox(limits=LIMITS, require="none", workers_per_node=1) as sandbox:
        yield sandbox


def programs(count: int, seconds: float = 0.0) -> tuple[list[tuple[str, list[str]]], list[list[str]]]:
    """Distinct programs and the statuses of their tests; every third program is wrong."""
    sleep = f"import time; time.sleep({seconds})\n" if seconds else ""
    pairs = [
        (f"{sleep}def f(x): return x + {i} + {i % 3 == 0}", [f"assert f(1) == {i + 1}", "assert f"])
        for i in range(count)
    ]
    return pairs, [["failed" if i % 3 == 0 else "passed", "passed"] for i in range(count)]


def statuses(verdicts: list[Any]) -> list[list[str]]:
    return [[outcome.status for outcome in verdict.outcomes] for verdict in verdicts]


def actors() -> list[str]:
    return [name for name in ray.util.list_named_actors() if name.startswith("acecoder-rl-sandbox-")]


def pid_of(actor: str) -> int:
    return ray.get(ray.get_actor(actor).open.remote("a test"))["pid"]


def ready(sandbox: ClusterSandbox) -> int:
    try:
        return sandbox.workers
    except SandboxError:
        return 0


def wait_for(condition: Any, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.05)


# With sandboxes of their own


def test_a_node_killed_in_the_middle_loses_no_program(cluster: Cluster) -> None:
    doomed = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    pairs, expected = programs(300, seconds=0.05)
    with ClusterSandbox(limits=LIMITS, require="none", workers_per_node=1) as sandbox:
        assert sandbox.workers == 3
        done: list[int] = []

        async def one(number: int) -> list[str]:
            verdict = await sandbox.arun(*pairs[number])
            done.append(number)
            return statuses([verdict])[0]

        async def every() -> list[list[str]]:
            tasks = [asyncio.create_task(one(number)) for number in range(len(pairs))]
            while len(done) < 60:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(cluster.remove_node, doomed, allow_graceful=False)
            assert len(done) < len(pairs), "the node was to die in the middle of the run"
            return await asyncio.gather(*tasks)

        assert asyncio.run(every()) == expected
        assert sorted(done) == list(range(len(pairs)))


def test_a_node_that_joins_is_used(cluster: Cluster) -> None:
    with ClusterSandbox(limits=LIMITS, require="none", workers_per_node=1) as sandbox:
        assert sandbox.workers == 2
        node = cluster.add_node(num_cpus=1)
        try:
            wait_for(lambda: sandbox.workers == 3)
            pairs, expected = programs(60)
            assert statuses(sandbox.run_many(pairs)) == expected
            assert len(actors()) == 3
        finally:
            cluster.remove_node(node, allow_graceful=False)
            wait_for(lambda: sum(each["Alive"] for each in ray.nodes()) == 3)


def test_a_driver_inside_an_async_actor(cluster: Cluster) -> None:
    @ray.remote(num_cpus=0)
    class Driver:
        async def judge(self, pairs: list[tuple[str, list[str]]]) -> list[Any]:
            with ClusterSandbox(require="none", workers_per_node=1) as sandbox:
                return await asyncio.gather(*(sandbox.arun(*pair) for pair in pairs))

    driver = Driver.remote()
    pairs, expected = programs(50)
    assert statuses(ray.get(driver.judge.remote(pairs))) == expected
    ray.kill(driver)
    wait_for(lambda: actors() == [])


def test_closing_ends_the_actors_and_fails_what_is_in_flight(cluster: Cluster) -> None:
    sandbox = ClusterSandbox(limits=LIMITS, require="none", workers_per_node=1)
    pids = [pid_of(actor) for actor in actors()]
    errors: list[Exception] = []

    def run() -> None:
        try:
            sandbox.run("while True: pass", ["assert True"])
        except SandboxError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    time.sleep(0.3)
    sandbox.close()
    thread.join(60)
    assert "closed" in str(errors[0])
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids))
    wait_for(lambda: actors() == [])
    with pytest.raises(SandboxError, match="closed"):
        sandbox.run("f = int", ["assert f() == 0"])


# With one sandbox


def test_the_verdicts_come_in_order_from_all_nodes(sandbox: ClusterSandbox) -> None:
    pairs, expected = programs(200)
    assert statuses(sandbox.run_many(pairs)) == expected
    assert len(actors()) == 2
    assert sandbox.workers == 2
    assert sandbox.isolation in ("namespaces", "landlock", "none")


def test_the_calls_are_those_of_a_sandbox(sandbox: ClusterSandbox) -> None:
    tests = ["assert f(1) == 2", "assert f(1) == 1"]
    verdict = sandbox.run("def f(x): return x", tests, stop_at_first_failure=True, on_timeout="stop", fresh=True)
    assert statuses([verdict]) == [["failed", "not_run"]]
    with pytest.raises(ValueError):
        sandbox.run("def f(x): return x", [])
    with pytest.raises(ValueError):
        sandbox.run("def f(x): return x", tests, on_timeout="no such way")
    limits = Limits(test_seconds=0.3)
    assert sandbox.run("while True: pass", tests, limits=limits).status == "timeout"


def test_engines_find_their_nodes_sandbox(cluster: Cluster, sandbox: ClusterSandbox) -> None:
    @ray.remote(num_cpus=0)
    class Engine:
        async def judge(self, count: int) -> list[bool]:
            here = node_sandbox()
            assert node_sandbox() is here
            tests = ["assert f(2) == 4"]
            calls = [here.arun(f"def f(x): return x * {1 + i % 2}", tests) for i in range(count)]
            return [verdict.passed for verdict in await asyncio.gather(*calls)]

    before = set(actors())
    engines = [Engine.options(scheduling_strategy="SPREAD").remote() for _ in range(4)]
    for passed in ray.get([engine.judge.remote(50) for engine in engines]):
        assert passed == [bool(i % 2) for i in range(50)]
    others = set(actors()) - before
    assert len(others) <= 1, "only the head, which has no sandbox of the launcher's, may have got another"
    for engine in engines:
        ray.kill(engine)
    wait_for(lambda: set(actors()) == before)


def test_cancelling_kills_the_program(sandbox: ClusterSandbox) -> None:
    async def run() -> float:
        calls = [asyncio.create_task(sandbox.arun(f"while True: {i}", ["assert True"])) for i in range(8)]
        await asyncio.sleep(0.5)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        start = time.monotonic()
        assert (await sandbox.arun("f = int", ["assert f() == 0"])).passed
        return time.monotonic() - start

    assert asyncio.run(run()) < 19, "each of the programs may run for 20 s"


def test_other_settings_than_those_running_are_refused(sandbox: ClusterSandbox) -> None:
    with pytest.raises(SandboxError, match="already runs with python"):
        ClusterSandbox(require="none", python="/usr/bin/python3")
    assert sandbox.run("f = int", ["assert f() == 0"]).passed, "the other's failure ended this one"


def test_an_actor_killed_is_restarted_and_its_programs_run_again(sandbox: ClusterSandbox) -> None:
    pairs, expected = programs(100, seconds=0.02)
    before = {actor: pid_of(actor) for actor in actors()}
    timer = threading.Timer(0.5, lambda: [os.kill(pid, signal.SIGKILL) for pid in before.values()])
    timer.start()
    assert statuses(sandbox.run_many(pairs)) == expected
    timer.join()
    wait_for(lambda: sandbox.workers == 2)
    assert {actor: pid_of(actor) for actor in actors()}.keys() == before.keys()
    assert not {pid_of(actor) for actor in actors()} & set(before.values())


def test_a_program_lost_again_and_again_is_an_error_not_a_verdict(sandbox: ClusterSandbox) -> None:
    errors: list[Exception] = []

    def run() -> None:
        try:
            sandbox.run("import time; time.sleep(15)", ["assert True"])
        except SandboxError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    killed: set[int] = set()

    def new_ones() -> set[int]:
        """Both actors, once they have been started again and are in use."""
        try:
            pids = {pid_of(actor) for actor in actors()} if ready(sandbox) == 2 else set()
        except (ray.exceptions.RayError, ValueError):
            return set()
        return pids if len(pids) == 2 and not pids & killed else set()

    while not errors:
        wait_for(lambda: errors or new_ones())
        time.sleep(0.2)  # to send the program there
        for pid in new_ones():
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
    thread.join()
    assert "no verdict" in str(errors[0])
