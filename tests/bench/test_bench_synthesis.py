"""The synthesis benchmark measures what it says: its questions, every program run and judged, what a part returns.

Covers: the workload, the phase on a few questions; marked slow: the whole command.
Does not cover: figures, which depend on the machine; the tables (test_synthesis_tables.py); killed runs
    (tests/synthesis/test_kill.py).
"""

from __future__ import annotations

import json

import pytest

from acecoder_rl.bench import synthesis as bench
from acecoder_rl.bench.measure import Phase, run_phase
from acecoder_rl.bench.workload import build_questions
from acecoder_rl.synthesis.tests_kept import keep_tests


def test_questions_differ_and_keep_all_their_tests():
    workload = build_questions(48, 2)
    assert len({problem.asserts for problem in workload.problems}) == 48
    assert len({program.code for program in workload.programs}) == 96
    assert [program.variant for program in workload.programs[::2]] == ["right"] * 48
    for problem in workload.problems:
        assert keep_tests(problem.asserts).tests == list(problem.asserts) and len(problem.asserts) == 16


def test_the_stages_judge_every_program_as_plain_exec_does():
    workload = build_questions(4, 5)
    stages = run_phase("synthesis", workload, 2)
    assert stages.outcomes == run_phase("inprocess", workload, 1).outcomes
    assert stages.wall_seconds > 0 and stages.left == 0


def test_the_ratio_counts_every_run_and_compares_every_verdict(monkeypatch):
    """8 questions, 2 programs each: in the stages 16 and 16 runs, and alone those of every fourth question."""
    seconds = {"sandbox": iter([1.0, 4.0]), "synthesis": iter([10.0])}

    def phase(name, work, workers):
        count = len(work.programs)
        cpu = 1.0 + {"sandbox": 0.1 * count, "synthesis": 0.4 * count}[name]
        outcomes = [b"\1" if name == "sandbox" or number % 2 else b"\0" for number in range(count)]
        return Phase(cpu, next(seconds[name]) if count else 0.0, outcomes, "namespaces", 0)

    monkeypatch.setattr(bench, "run_phase", phase)
    figures = bench.scoring(8, 2, workers=2)
    assert [row["runs"] for row in (*figures["sandbox"], figures["stages"])] == [8, 8, 32]
    # 3.2 runs a second, and alone 8 and 2, which are 3.2 a second together.
    assert figures["rate"] == pytest.approx(1.0) and figures["samples_rate"] == pytest.approx(0.5)
    assert figures["cpu"] == pytest.approx(0.1 / 0.2)
    assert figures["differing"] == 2  # of the two questions' four programs each second one


@pytest.mark.slow
def test_the_whole_command(cli, tmp_path):
    done = cli("bench", "synthesis", "--quick", "--json", tmp_path / "figures.json", timeout=900)
    assert done.returncode == 0, done.stderr
    assert {"scoring", "tables", "kills"} == json.loads((tmp_path / "figures.json").read_text()).keys()
