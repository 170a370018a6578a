"""The machine's one sandbox: who starts it, who finds it, and what happens when someone dies.

Covers: threads, event loops, fork, spawn and exec; cancelling; the server's and the owner's death by
    kill -9; other settings; the socket's privacy.
Does not cover: the verdicts of hostile programs (test_sandbox.py and its neighbours).
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from acecoder_rl.sandbox import Limits, SandboxError, shared
from acecoder_rl.sandbox.shared import ADDRESS, SharedSandbox, machine_sandbox

LIMITS = Limits(test_seconds=20, program_seconds=60)
PROGRAM = "def f(x): return x + 1"
TESTS = ["assert f(1) == 2"]
HANG = "while True: pass"


@pytest.fixture
def sandbox() -> Iterator[SharedSandbox]:
    yield machine_sandbox(require="none", workers=2, limits=LIMITS)
    shared.shutdown()


def server_pid(sandbox: SharedSandbox) -> int:
    """The process at the other end of the socket in the directory that the environment names."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(Path(os.environ[ADDRESS]) / "socket"))
        size = struct.unpack("<I", sock.recv(4, socket.MSG_WAITALL))[0]
        return json.loads(sock.recv(size, socket.MSG_WAITALL))["pid"]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition: Callable[[], Any], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.02)


def in_child(queue: Any) -> None:
    sandbox = machine_sandbox()
    queue.put((server_pid(sandbox), sandbox.run(PROGRAM, TESTS).passed))


def python(code: str, **options: Any) -> subprocess.Popen[str]:
    """A new process that can import what this one can."""
    boot = f"import json, sys; sys.path[:] = json.loads(sys.argv[1])\n{code}"
    command = [sys.executable, "-c", boot, json.dumps(sys.path)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


def test_the_calls_are_those_of_a_sandbox(sandbox: SharedSandbox) -> None:
    assert sandbox.run(PROGRAM, TESTS).passed
    verdicts = sandbox.run_many([(PROGRAM, [f"assert f(1) == {1 + i % 2}"]) for i in range(40)])
    assert [verdict.passed for verdict in verdicts] == [bool(i % 2) for i in range(40)]
    tests = ["assert f(1) == 3", "assert f(1) == 2"]
    verdict = sandbox.run(PROGRAM, tests, stop_at_first_failure=True, on_timeout="stop", fresh=True)
    assert [outcome.status for outcome in verdict.outcomes] == ["failed", "not_run"]
    assert sandbox.run(HANG, TESTS, limits=Limits(test_seconds=0.3)).status == "timeout"
    assert sandbox.isolation in ("namespaces", "landlock", "none")


def test_surrogates_and_stdin_cases_travel(sandbox: SharedSandbox) -> None:
    tests = {"inputs": ["1\n", "2\n"], "outputs": ["1\n", "3\n"]}
    verdict = sandbox.run("# \udc80\nprint(input())".replace("\udc80", "é"), tests)
    assert [outcome.status for outcome in verdict.outcomes] == ["passed", "failed"]
    assert sandbox.run("s = '\udc80'", ["assert True"]).status in ("ok", "syntax_error")


def test_what_the_caller_did_wrong_is_a_value_or_type_error(sandbox: SharedSandbox) -> None:
    with pytest.raises(ValueError):
        sandbox.run(PROGRAM, [])
    with pytest.raises(ValueError):
        sandbox.run(PROGRAM, TESTS, on_timeout="no such way")
    with pytest.raises(TypeError):
        sandbox.run(None, TESTS)  # type: ignore[arg-type]


def test_thousands_in_flight_from_one_event_loop(sandbox: SharedSandbox) -> None:
    async def every() -> list[bool]:
        calls = (sandbox.arun(f"def f(x): return x + {i % 2}", TESTS) for i in range(1500))
        return [verdict.passed for verdict in await asyncio.gather(*calls)]

    assert asyncio.run(every()) == [bool(i % 2) for i in range(1500)]


def test_64_threads(sandbox: SharedSandbox) -> None:
    with ThreadPoolExecutor(64) as threads:
        passed = threads.map(lambda i: sandbox.run(f"def f(x): return x + {i % 2}", TESTS).passed, range(256))
        assert list(passed) == [bool(i % 2) for i in range(256)]


@pytest.mark.parametrize("method", [pytest.param("fork", marks=pytest.mark.alone), "spawn", "forkserver"])
def test_children_find_it(sandbox: SharedSandbox, method: Any) -> None:
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=in_child, args=(queue,))
    child.start()
    assert queue.get(timeout=120) == (server_pid(sandbox), True)
    child.join()
    assert sandbox.run(PROGRAM, TESTS).passed, "the child's end disturbed the parent"


@pytest.mark.alone  # forks this process, which has threads of pytest-xdist in the other part of the tests
def test_a_client_used_on_both_sides_of_a_fork(sandbox: SharedSandbox) -> None:
    children = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            good = all(sandbox.run(f"f = lambda x: {number}", [f"assert f(1) == {number}"]).passed for _ in range(20))
            os._exit(0 if good else 1)
        children.append(child)
    for _ in range(20):
        assert sandbox.run("f = lambda x: 9", ["assert f(1) == 9"]).passed
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4


def test_concurrent_first_calls_start_one() -> None:
    code = """
import os, threading
from acecoder_rl.sandbox.shared import machine_sandbox
import acecoder_rl.sandbox.shared as shared
started = []
start, shared._start_server = shared._start_server, lambda directory: (started.append(1), start(directory))
threads = [threading.Thread(target=machine_sandbox, kwargs={"require": "none"}) for _ in range(32)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(started))
"""
    assert python(code).communicate(timeout=120)[0].strip() == "1"


def test_cancelling_kills_the_program(sandbox: SharedSandbox) -> None:
    async def run() -> float:
        calls = [asyncio.create_task(sandbox.arun(f"while True: {i}", TESTS)) for i in range(8)]
        await asyncio.sleep(0.3)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        start = time.monotonic()
        assert (await sandbox.arun(PROGRAM, TESTS)).passed
        return time.monotonic() - start

    assert asyncio.run(run()) < 19, "each of the programs may run for 20 s"


def test_a_client_that_dies_takes_its_programs_with_it(sandbox: SharedSandbox) -> None:
    code = f"""
import asyncio
from acecoder_rl.sandbox.shared import machine_sandbox
async def main():
    calls = [asyncio.create_task(machine_sandbox().arun(f"while True: {{i}}", {TESTS!r})) for i in range(8)]
    await asyncio.sleep(0.3)
    print("running", flush=True)
    await asyncio.gather(*calls)
asyncio.run(main())
"""
    child = python(code)
    assert child.stdout and child.stdout.readline() == "running\n"
    child.kill()
    child.wait()
    start = time.monotonic()
    assert sandbox.run(PROGRAM, TESTS).passed
    assert time.monotonic() - start < 19, "each of the programs may run for 20 s"


def test_the_servers_death_is_an_error_and_the_next_call_starts_another(sandbox: SharedSandbox) -> None:
    errors: list[SandboxError] = []

    def run() -> None:
        with pytest.raises(SandboxError) as error:
            sandbox.run(HANG, TESTS)
        errors.append(error.value)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(sandbox._connected()._futures) == 8)
    before = server_pid(sandbox)
    os.kill(before, signal.SIGKILL)
    for thread in threads:
        thread.join(60)
    assert len(errors) == 8
    assert f"pid {before}" in str(errors[0])
    assert sandbox.run(PROGRAM, TESTS).passed
    assert server_pid(sandbox) != before


@pytest.mark.parametrize("how", ["kill -9", "an ordinary end"])
def test_the_server_ends_with_its_owner(how: str) -> None:
    code = """
import os, sys, time
from acecoder_rl.sandbox.shared import machine_sandbox
sandbox = machine_sandbox(require="none")
child = os.fork()
if child == 0:
    os.close(1)
    time.sleep(200)  # a child that lives on does not keep the server
    os._exit(0)
print(os.environ["ACECODER_RL_SANDBOX"], sandbox._connected().server_pid, child, flush=True)
sys.stdin.read()
"""
    owner = python(code, stdin=subprocess.PIPE)
    assert owner.stdin and owner.stdout
    directory, pid, child = owner.stdout.readline().split()
    try:
        assert is_alive(int(pid))
        if how == "kill -9":
            owner.kill()
        owner.stdin.close()
        owner.wait(60)
        wait_for(lambda: not is_alive(int(pid)))
        wait_for(lambda: not os.path.exists(directory))
        assert is_alive(int(child))
    finally:
        os.kill(int(child), signal.SIGKILL)


def test_other_settings_than_those_running_are_refused(sandbox: SharedSandbox) -> None:
    with pytest.raises(SandboxError, match="already runs with python"):
        machine_sandbox(python="/usr/bin/python3")
    with pytest.raises(ValueError, match="require"):
        machine_sandbox(require="iron")
    assert machine_sandbox(limits=Limits(test_seconds=0.3)).run(HANG, TESTS).status == "timeout"


def test_a_sandbox_that_cannot_start_says_why_and_leaves_nothing() -> None:
    with pytest.raises(SandboxError, match="no-such-python"):
        machine_sandbox(require="none", python="/no-such-python")
    assert ADDRESS not in os.environ
    assert machine_sandbox(require="none").run(PROGRAM, TESTS).passed
    shared.shutdown()


def test_the_socket_is_private(sandbox: SharedSandbox) -> None:
    status = os.stat(os.environ[ADDRESS])
    assert stat.S_IMODE(status.st_mode) == 0o700 and status.st_uid == os.geteuid()


def test_an_address_that_is_not_private_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o755)
    monkeypatch.setenv(ADDRESS, str(tmp_path))
    with socket.socket(socket.AF_UNIX) as foreign:
        foreign.bind(str(tmp_path / "socket"))
        foreign.listen()
        assert machine_sandbox(require="none").run(PROGRAM, TESTS).passed
        assert os.environ[ADDRESS] != str(tmp_path)
    shared.shutdown()
