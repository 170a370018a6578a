"""The benchmark measures what it says: its programs, its CPU accounting, its executors' agreement.

Covers: the workload, plain exec and the fork floor, CPU of orphans, our sandbox on the workload, bad usage;
marked slow: the whole command.
Does not cover: figures, which depend on the machine; EvalPlus, which needs a download.
"""

from __future__ import annotations

import json
from collections import Counter

import pytest

from acecoder_rl.bench.measure import BenchError, run_phase
from acecoder_rl.bench.sandbox import run_bench
from acecoder_rl.bench.workload import BenchProblem, BenchProgram, Workload, build_workload, hanging_program

BURN_SECONDS = 1.5
BURN = f"""
import os, time
def burn():
    begun = time.process_time()
    while time.process_time() - begun < {BURN_SECONDS}:
        pass
"""


def one(code: str) -> Workload:
    problem = BenchProblem("f", ("assert f(1) == 2",), (((1,), 2),))
    return Workload((problem,), (BenchProgram(code, 0, "right"),))


def test_workload_is_the_same_every_time_and_mixed():
    workload = build_workload()
    assert workload == build_workload()
    assert len(workload.programs) == len({program.code for program in workload.programs}) == 540
    assert workload.tests == 540 * 16
    variants = Counter(program.variant for program in workload.programs)
    assert variants["right"] == 270
    assert variants["broken"] == variants["raises"] == variants["raises at load"] == 45
    mixed = Counter(program.variant == "right" for program in workload.head(60).programs)
    assert mixed[True] == mixed[False] == 30


def test_every_tenth_program_loops():
    variants = [program.variant for program in build_workload(60, loop_every=10).programs]
    assert variants.count("loops") == 6
    assert len(hanging_program(8).problems[0].asserts) == 8


def test_only_right_programs_pass_and_the_floor_agrees():
    workload = build_workload(180)
    plain = run_phase("inprocess", workload, 1)
    passed = [all(outcomes) for outcomes in plain.outcomes]
    assert passed == [program.variant == "right" for program in workload.programs]
    assert run_phase("floor", workload, 2).outcomes == plain.outcomes


def test_the_sandbox_gives_the_verdicts_of_plain_exec():
    workload = build_workload(120)
    phase = run_phase("sandbox", workload, 2)
    assert phase.outcomes == run_phase("inprocess", workload, 1).outcomes
    assert phase.left == 0
    assert phase.isolation


@pytest.mark.parametrize(
    "burn",
    [
        "def f(x):\n    burn()\n    return 2\n",
        # Its parent is gone long before it ends: only an adopting ancestor can count it.
        "if not os.fork():\n    burn()\n    os._exit(0)\ndef f(x):\n    return 2\n",
    ],
)
def test_cpu_of_grandchildren_and_of_orphans_is_counted(burn: str):
    idle = run_phase("floor", one("def f(x):\n    return 2\n"), 1)
    busy = run_phase("floor", one(BURN + burn), 1)
    assert busy.cpu_seconds - idle.cpu_seconds == pytest.approx(BURN_SECONDS, abs=1.0)
    assert busy.left == 0


def test_a_phase_that_fails_says_which_and_why():
    with pytest.raises(BenchError, match=r"phase floor ended with status 1:[\s\S]*killed its process"):
        run_phase("floor", one("import os\nos._exit(3)"), 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": 0}, "--workers is 0: give 1 or more"),
        ({"programs": -1}, "--programs is -1: give 1 or more"),
        ({"against": "other"}, "--against is 'other': give one of evalplus"),
    ],
)
def test_bad_usage_is_status_2(options: dict, said: str, capsys: pytest.CaptureFixture):
    assert run_bench(**options) == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_command(tmp_path, capsys: pytest.CaptureFixture):
    path = tmp_path / "bench.json"
    assert run_bench(workers=2, programs=60, json_path=path, quick=True) == 0
    figures = json.loads(path.read_text())
    assert figures["agreement"]["sandbox"] == {"programs": 0, "tests": 0, "examples": []}
    assert figures["loops"]["sandbox"]["wrong_verdicts"] == 0
    assert figures["ratios"]["hang_cpu_vs_test_seconds"] <= 2.1
    assert figures["recommended_workers"] >= 1
    assert "this sandbox" in capsys.readouterr().out
