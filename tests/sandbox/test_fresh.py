"""Fresh runs share interpreters, and runs that are not fresh are repeatable: neither shows a program another one.

Covers: `fresh=True` (hash seed, random numbers, what is shared and when it ends), seeds of tests and programs.
Does not cover: the jail between programs (test_hostile.py, category "persist"), who uses fresh runs (synthesis).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

import psutil
import pytest

from acecoder_rl.sandbox import Limits, Sandbox, Verdict
from acecoder_rl.sandbox.worker import FRESH_RUNS
from tests.sandbox.footprint import settle

TELL = "def f(x=0):\n    return hash('abc')\n"
ASK = ["assert f() == 0"]
# What a program may leave behind in its own interpreter, and where it might find what others left.
LEAVE = """
import builtins, gc, os, random, signal, sys, types
def marks():
    found = [n for n in ("builtins", "sys") if hasattr(sys.modules[n], "left")]
    found += [n for n in sys.modules if n == "left"]
    found += os.listdir(".") + [os.environ.get("LEFT", ""), os.getcwd() if os.getcwd() != home else ""]
    found += [fd for fd in (0, 1, 2) if not os.get_blocking(fd)]
    found += [signal.getsignal(signal.SIGUSR1)] if signal.getsignal(signal.SIGUSR1) != signal.SIG_DFL else []
    found += ["memory" for o in gc.get_objects() if type(o) in (list, tuple, dict) and SECRET in str(o)[:2000]
              and o is not globals() and "marks" not in str(o)[:2000]]
    return [mark for mark in found if mark]
home, SECRET = os.getcwd(), "".join(("left", "-behind"))
before = marks()
numbers = random.random()
builtins.left = sys.left = lambda: 1
sys.modules["left"] = types.ModuleType("left")
os.environ["LEFT"] = "1"
open("left", "w").close()
random.seed(5)
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
for fd in (0, 1, 2): os.set_blocking(fd, False)
os.chdir("/")
keep = "left" + "-behind # %d"
def f(x=0): return hash("abc"), before, numbers
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=1) as made:
        yield made


def told(verdict: Verdict) -> str:
    """What the program returned, as the message of the failed assert shows it."""
    return verdict.outcomes[0].message.partition("got ")[2]


def run_fresh(sandbox: Sandbox, pairs: list[tuple[str, list[str]]]) -> list[str]:
    """What the programs returned, run one right after the other: the queue fills behind a slow one."""
    slow = ("import time\ntime.sleep(1.5)\n" + TELL, ASK)
    return [told(verdict) for verdict in sandbox.run_many([slow, *pairs], fresh=True)][1:]


@pytest.mark.parametrize("ask", ["assert f() == 0", "assert (lambda: f())() == 0"], ids=["calls", "judge"])
def test_programs_that_share_an_interpreter_see_nothing_of_each_other(sandbox: Sandbox, ask: str) -> None:
    pairs = [(LEAVE.replace("%d", str(i)), [f"{ask} # left-behind {i}"]) for i in range(6)]
    answers = run_fresh(sandbox, pairs)
    hashes, seen = zip(*(answer.strip("()").split(", ", 1) for answer in answers), strict=True)
    assert len(set(hashes)) == 1, "they were to share one interpreter"
    assert all(marks.startswith("[], ") for marks in seen), answers
    assert len(set(seen)) == len(seen), "each has its own random numbers"


def test_the_same_program_never_meets_the_same_hash_seed_twice(sandbox: Sandbox) -> None:
    answers = run_fresh(sandbox, [(TELL + "# one", ASK), (TELL + "# other", ASK)] * 3)
    assert len(set(answers[::2])) == len(set(answers[1::2])) == 3
    assert len({told(sandbox.run(TELL, ASK)) for _ in range(2)} | set(answers)) == 4  # and the usual one


def test_an_interpreter_is_not_shared_for_ever(sandbox: Sandbox) -> None:
    answers = run_fresh(sandbox, [(f"{TELL}# {i}", ASK) for i in range(FRESH_RUNS + 8)])
    assert Counter(answers).most_common(1)[0][1] <= FRESH_RUNS


def test_interpreters_of_fresh_runs_end_with_the_last_of_them(sandbox: Sandbox) -> None:
    sandbox.run(TELL, ASK)
    worker = psutil.Process(sandbox._dispatcher.workers[0].process.pid)
    settle(worker)  # those of earlier tests are gone
    before = {child.pid for child in worker.children(recursive=True)}
    sandbox.run_many([(f"{TELL}# {i}", ASK) for i in range(3)], fresh=True)
    settle(worker)
    assert {child.pid for child in worker.children(recursive=True)} <= before
    assert told(sandbox.run(TELL, ASK))


def test_random_numbers_of_tests_are_those_of_each_worker_and_not_the_programs() -> None:
    program = "import random\ndef f():\n    return random.random()\n"
    mine, its = "f()\nx = random.random()\nassert x == 2", "assert (lambda: f())() == 2"
    seen = []
    for _ in range(2):
        with Sandbox(workers=1) as sandbox:
            seen.append(told(sandbox.run(program, [mine])))
            others = {told(sandbox.run(program, tests)) for tests in ([its], [mine, its])}
            others.add(told(sandbox.run(program, [mine], fresh=True)))
    assert seen[0] == seen[1] and seen[0].startswith("0.")
    assert len(others | {seen[0]}) == 4


def test_submit_does_not_wait_and_can_be_cancelled(sandbox: Sandbox) -> None:
    began = time.monotonic()
    patient = Limits(test_seconds=100, wall_seconds=200)
    hanging = sandbox.submit("import time\ntime.sleep(50)\n" + TELL, ASK, limits=patient)
    assert time.monotonic() - began < 40 and not hanging.done()
    assert hanging.cancel()
    assert sandbox.submit("def f(): return 0", ASK).result(timeout=40).passed
    with pytest.raises(ValueError, match="on_timeout"):
        sandbox.submit(TELL, ASK, on_timeout="never")
