"""The sandbox at its public API: verdicts, limits, threads, event loops."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from acecoder_rl.problems import parse_tests
from acecoder_rl.sandbox import Limits, Sandbox, SandboxError
from tests.sandbox.footprint import settle

ADD = [f"assert add({i}, 2) == {i + 2}" for i in range(8)]
RIGHT = "def add(a, b):\n    return a + b\n"
WRONG = "def add(a, b):\n    return a - b\n"
SUM = {"inputs": ["1 2\n", "5 6\n"], "outputs": ["3\n", "11\n"]}


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(workers=2, limits=Limits(test_seconds=1.0)) as made:
        yield made


def statuses(verdict):
    return [outcome.status for outcome in verdict.outcomes]


def test_right_and_wrong(sandbox):
    right, wrong = sandbox.run(RIGHT, ADD), sandbox.run(WRONG, ADD)
    assert right.passed and right.pass_rate == 1.0 and right.isolation == "split" and right.status == "ok"
    assert not wrong.passed and wrong.pass_rate == 0.0
    assert wrong.outcomes[0].message == "assert add(0, 2) == 2 (got -2)"


def test_pass_rate_counts_all_tests(sandbox):
    verdict = sandbox.run("def add(a, b):\n    return a + b if a < 6 else None", ADD)
    assert verdict.pass_rate == 6 / 8 and statuses(verdict) == ["passed"] * 6 + ["failed"] * 2


@pytest.mark.parametrize(
    ("program", "status", "fragment"),
    [
        ("def add(a, b", "syntax_error", "never closed"),
        ("x = \x00", "syntax_error", "null bytes"),
        ("import no_such_module", "error", "no_such_module"),
        ("raise SystemExit(0)", "error", "SystemExit"),
        ("while True: pass", "timeout", "1.0"),
        ("import time; time.sleep(60)", "timeout", "slept"),
        ("x = 'a' * 10**12", "memory", "MemoryError"),
        ("import os; os._exit(0)", "crashed", "status 0"),
        ("import os; os.abort()", "crashed", "signal 6"),
    ],
)
def test_a_program_that_does_not_load(sandbox, program, status, fragment):
    verdict = sandbox.run(program, ADD)
    assert verdict.status == status and fragment in verdict.message
    assert statuses(verdict) == ["not_run"] * 8 and verdict.pass_rate == 0.0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("return 1 / 0", "error"),
        ("raise SystemExit(0)", "error"),
        ("raise KeyboardInterrupt", "error"),
        ("return [0] * 10**11", "memory"),
        ("import os; os._exit(0)", "crashed"),
        ("import ctypes; ctypes.string_at(0)", "crashed"),
        ("while True: pass", "timeout"),
        ("import time; time.sleep(99)", "timeout"),
        ("return object()", "failed"),
        ("return 'x' * 20_000_000", "error"),
        ("return add(a, b)", "error"),
    ],
)
def test_one_bad_test_does_not_cost_the_others(sandbox, body, status):
    program = f"def add(a, b):\n    if a == 3:\n        {body}\n    return a + b"
    verdict = sandbox.run(program, ADD)
    assert statuses(verdict) == ["passed"] * 3 + [status] + ["passed"] * 4, verdict


def test_hanging_everywhere_costs_two_test_limits(sandbox):
    verdict = sandbox.run("def add(a, b):\n    while True: pass", ADD * 4)
    assert verdict.pass_rate == 0 and verdict.cpu_seconds < 2 * 1.0 + 3  # 15 s if each cost its limit
    assert statuses(verdict)[0] == "timeout" and statuses(verdict)[-1] == "not_run"


def test_on_timeout_stop_and_first_failure(sandbox):
    hang = "def add(a, b):\n    while a == 2: pass\n    return a + b"
    assert statuses(sandbox.run(hang, ADD, on_timeout="stop")) == ["passed"] * 2 + ["timeout"] + ["not_run"] * 5
    partly = "def add(a, b):\n    return a + b if a != 2 else 0"
    verdict = sandbox.run(partly, ADD, stop_at_first_failure=True)
    assert statuses(verdict) == ["passed"] * 2 + ["failed"] + ["not_run"] * 5


def test_program_and_wall_limits(sandbox):
    busy = (
        "import time\ndef add(a, b):\n    end = time.process_time() + 0.4\n"
        "    while time.process_time() < end: pass\n    return a + b"
    )
    verdict = sandbox.run(busy, ADD, limits=Limits(test_seconds=1.0, program_seconds=1.0))
    assert 1 <= statuses(verdict).count("passed") <= 2 and statuses(verdict)[-1] == "not_run"
    sleepy = "import time\ndef add(a, b):\n    time.sleep(0.6)\n    return a + b"
    verdict = sandbox.run(sleepy, ADD, limits=Limits(test_seconds=4.0, wall_seconds=4.0))
    assert statuses(verdict)[0] == "passed" and statuses(verdict)[-1] == "not_run"


def test_state_lives_on_between_asserts_and_stdout_is_free(sandbox):
    program = "n = 0\ndef count():\n    global n\n    n += 1\n    print('noise' * 1000)\n    return n"
    assert sandbox.run(program, ["assert count() == 1", "assert count() == 2", "assert count() == 3"]).passed


def test_stdin_programs(sandbox):
    assert sandbox.run("a, b = map(int, input().split())\nprint(a + b)", SUM).passed
    assert sandbox.run("import sys\nprint(sum(map(int, open('/dev/stdin').read().split())))", SUM).passed
    main = (
        "import sys, threading\ndef main():\n    print(sum(map(int, sys.stdin.readline().split())))\n"
        "if __name__ == '__main__':\n    threading.Thread(target=main).start()"
    )
    assert sandbox.run(main, SUM).passed
    assert statuses(sandbox.run("print(3)", SUM)) == ["passed", "failed"]
    assert statuses(sandbox.run("print(1 / 0)", SUM)) == ["error", "error"]
    assert statuses(sandbox.run("print(3); raise SystemExit(1)", SUM)) == ["error", "error"]
    assert sandbox.run("print((", SUM).status == "syntax_error"
    assert statuses(sandbox.run("while True: print('x' * 1000)", SUM)) == ["error", "error"]
    assert statuses(sandbox.run("input()\nwhile True: pass", SUM)) == ["timeout", "timeout"]


@pytest.mark.parametrize(
    ("printed", "expected", "passes"),
    [
        ("0.30000000000000004", "0.3", True),
        ("3", "3.0", True),
        ("3.0000001", "3", False),
        ("1 2\n", "1\n2", True),
    ],
)
def test_stdout_is_compared_by_token(sandbox, printed, expected, passes):
    assert sandbox.run(f"print({printed!r})", {"inputs": [""], "outputs": [expected]}).passed is passes


def test_functions_and_solution_methods(sandbox):
    tests = {"fn_name": "pair", "inputs": [[1, 2], [3, 4]], "outputs": [[1, 2], [[3, 4]]]}
    assert sandbox.run("def pair(a, b):\n    return (a, b)", tests).passed
    assert sandbox.run("class Solution:\n    def pair(self, a, b):\n        return [a, b]", tests).passed
    assert not sandbox.run("def pair(a, b):\n    return [b, a]", tests).passed


def test_infinity_is_not_near_anything(sandbox):
    tests = {"fn_name": "f", "inputs": [[1], [float("inf")]], "outputs": [float("inf"), [float("-inf")]]}
    for setup in ("", "K = 1"):
        parsed = replace(parse_tests(tests), setup=setup)
        assert statuses(sandbox.run("def f(x): return 0", parsed)) == ["failed"] * 2
        right = "def f(x): return float('inf') if x == 1 else [-x]"
        assert sandbox.run(right, parsed).passed, setup
    assert not sandbox.run("print(42)", {"inputs": [""], "outputs": ["1e999"]}).passed
    assert not sandbox.run("print('1_5.0')", {"inputs": [""], "outputs": ["15.0"]}).passed


def test_memory_of_comparing_is_bounded():
    pytest.importorskip("numpy")
    program = "import numpy as np\ndef f(): return np.zeros((8000000, 1), dtype=np.int8)"
    with Sandbox(workers=1, preload=("numpy",)) as sandbox:
        assert statuses(sandbox.run(program, [f"assert f() == {list(range(400))}"])) == ["memory"]
        assert sandbox.run(RIGHT, ADD).passed


def test_limits_apply_to_memory_not_to_the_interpreter(sandbox):
    program = "def add(a, b):\n    x = bytearray(100 << 20)\n    return a + b"
    assert sandbox.run(program, ADD).passed
    assert statuses(sandbox.run(program, ADD, limits=Limits(test_seconds=1, memory_mb=64))) == ["memory"] * 8


def test_order_of_run_many_and_progress(sandbox, capsys):
    pairs = [(RIGHT if i % 3 else WRONG, ADD) for i in range(30)]
    verdicts = sandbox.run_many(pairs, progress=True)
    assert [v.passed for v in verdicts] == [bool(i % 3) for i in range(30)]
    assert "programs" in capsys.readouterr().err


def test_equal_runs_are_shared_unless_fresh(sandbox):
    slow = "import time\ntime.sleep(0.4)\n" + RIGHT
    start = time.monotonic()
    assert all(v.passed for v in sandbox.run_many([(slow, ADD)] * 200))
    assert time.monotonic() - start < 30  # 40 s if each were run, by two workers
    hashes = "def h():\n    return hash('abc') + 0"
    tests = ["assert h() == 0"]
    assert len({sandbox.run(hashes, tests).outcomes[0].message for _ in range(2)}) == 1
    seen = {sandbox.run(hashes, tests, fresh=True).outcomes[0].message for _ in range(3)}
    assert len(seen) == 3
    random = "import random\ndef h():\n    return random.random()"
    assert (
        len({sandbox.run(random, tests, fresh=fresh).outcomes[0].message for fresh in (False, False, True, True)}) == 3
    )


def test_workers_agree_on_hashes_and_random_numbers():
    program = "import random\ndef f():\n    return hash('abc'), ''.join({*'abcdefgh'}), random.random()"
    told = set()
    for _ in range(2):
        with Sandbox(workers=1) as sandbox:
            told.add(sandbox.run(program, ["assert f() == 0"]).outcomes[0].message)
    assert len(told) == 1


def test_thousands_in_flight_from_one_event_loop(sandbox):
    async def many():
        calls = [sandbox.arun(f"{RIGHT if i % 2 else WRONG}# {i % 500}", ADD) for i in range(2000)]
        return await asyncio.gather(*calls)

    assert [v.passed for v in asyncio.run(many())] == [bool(i % 2) for i in range(2000)]


def test_cancelling_kills_the_program(sandbox):
    async def cancelled():
        patient = Limits(test_seconds=100, wall_seconds=200)
        task = asyncio.create_task(sandbox.arun("import time\ntime.sleep(50)", ADD, limits=patient))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return await asyncio.wait_for(asyncio.gather(*(sandbox.arun(RIGHT + f"#{i}", ADD) for i in range(4))), 40)

    assert all(v.passed for v in asyncio.run(cancelled()))


def test_many_threads(sandbox):
    results = []

    def work(number):
        results.append((number % 2, sandbox.run(f"{RIGHT if number % 2 else WRONG}# {number}", ADD).passed))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 64 and all(bool(expected) == got for expected, got in results)


def test_a_worker_killed_once_is_nothing_and_twice_is_an_error():
    import psutil

    def processes():
        """The worker and all below it; [] while there is none."""
        try:
            worker = psutil.Process(sandbox._dispatcher.workers[-1].process.pid)
            return [] if worker.status() == psutil.STATUS_ZOMBIE else [worker, *worker.children(recursive=True)]
        except (IndexError, psutil.NoSuchProcess):
            return []

    def kill_worker_while_it_runs():
        end = time.monotonic() + 90
        while len(found := processes()) <= len(idle):
            assert time.monotonic() < end
            time.sleep(0.05)
        found[0].kill()
        while found[0] in processes():
            assert time.monotonic() < end
            time.sleep(0.01)

    def run(seconds, answers):
        try:
            patient = Limits(test_seconds=20, wall_seconds=60)
            answers.append(sandbox.run(f"import time\ntime.sleep({seconds})\n" + RIGHT, ADD, limits=patient).passed)
        except SandboxError as error:
            answers.append(str(error))

    with Sandbox(workers=1) as sandbox:
        assert sandbox.run(RIGHT, ADD).passed  # its interpreters are there
        settle(processes()[0])  # the program that has just run is gone
        idle = processes()
        answers = []
        for seconds, kills in ((6, 1), (7, 2)):
            thread = threading.Thread(target=run, args=(seconds, answers))
            thread.start()
            for _ in range(kills):
                kill_worker_while_it_runs()
            thread.join()
        assert answers[0] is True and "lost twice" in answers[1]
        assert sandbox.run(RIGHT, ADD).passed


def test_closing_and_misuse():
    sandbox = Sandbox(workers=1)
    sandbox.close()
    sandbox.close()
    with pytest.raises(SandboxError, match="closed"):
        sandbox.run(RIGHT, ADD)
    with pytest.raises(ValueError, match="require"):
        Sandbox(require="docker")
    with pytest.raises(ValueError, match="workers"):
        Sandbox(workers=0)
    with pytest.raises(ValueError, match="memory_mb"):
        Limits(memory_mb=1)
    with pytest.raises(ValueError, match="test_seconds"):
        Limits(test_seconds=float("nan"))
    with pytest.raises(ValueError, match="limits="):
        Sandbox(workers=1).run(RIGHT, ADD, limits={"test_seconds": 1})
    with pytest.raises(ValueError, match="preload"):
        Sandbox(workers=1, preload="numpy")
    with pytest.raises(SandboxError, match="no_such_module"):
        Sandbox(workers=1, preload=("no_such_module",))
    with pytest.raises(SandboxError, match="python="):
        Sandbox(workers=1, python="/no/such/python")


def test_packages_by_preload():
    pytest.importorskip("numpy")
    program = "import numpy as np\ndef f(n):\n    return np.arange(n)\ndef g(n):\n    return np.float64(n) / 2"
    tests = ["assert list(f(3)) == [0, 1, 2]", "assert g(3) == 1.5", "assert f(3).sum() == 3"]
    with Sandbox(workers=1, preload=("numpy",)) as sandbox:
        assert sandbox.run(program, tests).passed
        assert statuses(sandbox.run(program, tests[:2])) == ["passed", "passed"]
    with Sandbox(workers=1, python=sys.executable) as sandbox:
        assert sandbox.run(program, tests).passed
    with Sandbox(workers=1) as sandbox:
        assert sandbox.run(program, tests).status == "error"


def test_the_owner_killed_leaves_nothing(tmp_path):
    import psutil

    code = (
        "from acecoder_rl.sandbox import Sandbox\n"
        "s = Sandbox(workers=2)\n"
        "print('ready', flush=True)\n"
        "s.run('import time\\ntime.sleep(60)', ['assert f() == 1'])\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert owner.stdout.readline() == "ready\n"
    time.sleep(0.5)
    tree = psutil.Process(owner.pid).children(recursive=True)
    assert len(tree) >= 4
    owner.kill()
    owner.wait()
    _, alive = psutil.wait_procs(tree, timeout=40)
    assert not alive
