"""What the process that owns a sandbox may do: fork, be interrupted, end, close early, be an ordinary user.

Does not cover: an owner that is killed (test_sandbox.py); load (test_stress.py).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

import acecoder_rl
from acecoder_rl.sandbox import Limits, Sandbox, SandboxError
from tests.sandbox.footprint import footprint, left_behind, newly_left
from tests.sandbox.jails import USER, reachable
from tests.sandbox.mixed import ADD, LIGHT, RIGHT

REPOSITORY = Path(__file__).resolve().parents[2]
SLEEP = "import time\ntime.sleep(50)\n" + RIGHT
PATIENT = Limits(test_seconds=100, wall_seconds=200)
BEGIN = """
import os, signal, sys, threading, time
from acecoder_rl.sandbox import Sandbox, SandboxError
ADD, RIGHT = ["assert add(1, 2) == 3"], "def add(a, b): return a + b\\n"
SLEEP = "import time\\ntime.sleep(3)\\n" + RIGHT
"""


def owner(code: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BEGIN + code],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def tree(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


@pytest.mark.alone  # forks this process, which has threads of pytest-xdist in the other part of the tests
def test_a_fork_may_not_use_the_sandbox_and_does_not_disturb_it() -> None:
    with Sandbox(workers=2) as sandbox:
        assert sandbox.run(RIGHT, ADD).passed  # what is imported late is: no lock of an import is taken in the fork
        waiting = threading.Thread(target=lambda: sandbox.run("import time\ntime.sleep(0.5)\n" + RIGHT, ADD))
        waiting.start()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                sandbox.run(RIGHT, ADD)
            except SandboxError as error:
                status = 0 if "after forking" in str(error) else 2
            finally:
                sandbox.close()
                with Sandbox(workers=1) as own:
                    status += 4 * (not own.run(RIGHT, ADD).passed)
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        waiting.join()
        assert sandbox.run(RIGHT, LIGHT["judged"][1]).passed


def test_a_fork_that_exits_or_outlives_its_parent_keeps_no_worker() -> None:
    """Python's atexit runs in the fork, and the fork holds copies of every descriptor."""
    process = owner(
        "sandbox = Sandbox(workers=2)\n"
        "if os.fork() == 0: sys.exit(0)\n"
        "os.wait()\n"
        "assert sandbox.run(RIGHT, ADD).passed\n"
        "child = os.fork()\n"
        "if child == 0: time.sleep(200); os._exit(0)\n"
        "print(child, flush=True)\n"
        "time.sleep(200)\n"
    )
    assert process.stdout and process.stderr
    fork = process.stdout.readline()
    assert fork, process.stderr.read()
    workers = [child for child in tree(process.pid) if child.pid != int(fork)]
    assert len(workers) >= 4
    try:
        process.kill()
        _, alive = psutil.wait_procs(workers, timeout=40)
        assert not alive
    finally:
        os.kill(int(fork), signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize(
    "wait", ["sandbox.run(SLEEP, ADD)", "sandbox.run_many([(SLEEP + f'#{i}', ADD) for i in range(99)])"]
)
def test_ctrl_c_ends_what_runs(wait: str) -> None:
    process = owner(
        "with Sandbox(workers=2) as sandbox:\n"
        "    print('ready', flush=True)\n"
        f"    try: {wait}\n"
        "    except KeyboardInterrupt:\n"
        "        begun = time.monotonic()\n"
        "        assert sandbox.run(RIGHT, ADD).passed\n"  # and the queue is empty: nothing is ahead of it
        "        assert time.monotonic() - begun < 60\n"
        "        raise\n"
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.5)
    workers = tree(process.pid)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=120)  # all that waits would take 150 s
    assert stderr.rstrip().endswith("KeyboardInterrupt"), stderr
    assert workers and not psutil.wait_procs(workers, timeout=40)[1]


@pytest.mark.alone
@pytest.mark.parametrize("last_word", ["", "1 / 0"])
def test_the_interpreter_ends_while_a_daemon_thread_waits(last_word: str) -> None:
    before = left_behind()
    process = owner(
        "sandbox = Sandbox(workers=2)\n"
        "threading.Thread(target=sandbox.run, args=(SLEEP, ADD), daemon=True).start()\n"
        "print('ready', flush=True)\n"
        "time.sleep(0.3)\n" + last_word
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    workers = tree(process.pid)
    process.communicate(timeout=90)
    assert process.returncode == bool(last_word)
    assert workers and not psutil.wait_procs(workers, timeout=40)[1]
    assert newly_left(before) == []


def test_closing_while_calls_are_in_flight() -> None:
    before = footprint()
    sandbox = Sandbox(workers=2, limits=PATIENT)
    answers: list[str] = []

    def run(number: int) -> None:
        try:
            sandbox.run(f"{SLEEP}# {number}", ADD)
        except SandboxError as error:
            answers.append(str(error))

    async def arun() -> None:
        with pytest.raises(SandboxError, match="closed"):
            await sandbox.arun(f"{SLEEP}# loop", ADD)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    threads.append(threading.Thread(target=lambda: asyncio.run(arun())))
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 60
    while len(sandbox._dispatcher.open) < len(threads):  # all have been handed over
        assert time.monotonic() < deadline
        time.sleep(0.02)
    closers = [threading.Thread(target=sandbox.close) for _ in range(3)]
    for thread in closers:
        thread.start()
    for thread in (*closers, *threads):
        thread.join(60)
        assert not thread.is_alive()
    assert answers == ["this Sandbox was closed"] * 8
    after = footprint()
    assert after.processes <= before.processes and after.descriptors <= before.descriptors


def test_a_sandbox_that_is_forgotten_closes() -> None:
    before = footprint()
    Sandbox(workers=1).run(RIGHT, ADD)
    after = footprint()
    assert after.processes <= before.processes and after.descriptors <= before.descriptors


@pytest.mark.alone
def test_a_killed_worker_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that takes forever to judge has the kernel kill the worker: by design, and often."""
    monkeypatch.setenv("ACECODER_SANDBOX_ISOLATION", "none")
    before, known = left_behind(), {child.pid for child in psutil.Process().children()}
    with Sandbox(workers=1, require="none") as sandbox:
        for _ in range(2):
            (worker,) = [child for child in psutil.Process().children() if child.pid not in known]
            worker.kill()
            assert sandbox.run(RIGHT, ADD).passed
        assert newly_left(before) == []


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can play another user")
def test_an_ordinary_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    pythons = ["/usr/bin/python3", sys.executable]
    newer = "import sys, os; os.listdir(sys.base_prefix); sys.exit(sys.version_info < (3, 11))"
    user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    able = [
        p
        for p in pythons
        if subprocess.run([*user, p, "-I", "-c", newer], cwd="/", capture_output=True).returncode == 0
    ]
    if not able:
        pytest.skip("no Python 3.11 or newer that another user may run")
    top = reachable(tmp_path_factory.mktemp("package"))
    top.chmod(0o755)
    shutil.copytree(Path(acecoder_rl.__file__).parent, top / "acecoder_rl")
    code = (
        "import os\nwith Sandbox(workers=2, require='none') as sandbox:\n"
        "    tests = {'asserts': ADD, 'judge': ['x = 3\\nassert add(1, 2) == x']}\n"
        "    good = [sandbox.run(RIGHT, each).passed for each in tests.values()]\n"
        "    bad = sandbox.run('import time\\nwhile True: pass', ADD, limits=Limits(test_seconds=0.3))\n"
        "    print(os.getuid(), sandbox.isolation, good, bad.status)\n"
    )
    done = subprocess.run(
        [*user, able[0], "-c", BEGIN + "from acecoder_rl.sandbox import Limits\n" + code],
        cwd="/",
        env={"PATH": os.defpath, "PYTHONPATH": str(top)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    uid, level, *rest = done.stdout.split(maxsplit=2)
    assert (uid, rest) == (str(USER), ["[True, True] timeout\n"]), done.stderr
    assert level in ("namespaces", "landlock", "none")
