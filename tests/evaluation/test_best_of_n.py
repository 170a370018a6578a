"""Candidates in, picks and figures out: every known form of file, nothing done twice, nothing lost by kill -9."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from acecoder_rl.evaluation.best_of_n import BestOfN, Outcome, ScoreError, best_of_n, gather
from acecoder_rl.records import InputError

TESTS = ["assert add(1, 2) == 3", "assert add(5, 0) == 5"]
RIGHT, HALF, WRONG = (f"def add(a, b):\n    return {body}\n" for body in ("a + b", "a - b", "None"))
RATE = {RIGHT: 1.0, HALF: 0.5, WRONG: 0.0}


class ByRate:
    """Knows the pass rates, and counts what it is asked; `sign` -1 has it all wrong."""

    def __init__(self, sign: float = 1.0) -> None:
        self.sign, self.asked = sign, []

    def score(self, pairs):
        self.asked += pairs
        return [self.sign * RATE[completion] for _, completion, _ in pairs]


def problems(*texts: list[str], **more: Any) -> list[dict[str, Any]]:
    return [
        {"id": f"p{number}", "question": f"Add, number {number}.", "completions": each, "tests": TESTS, **more}
        for number, each in enumerate(texts)
    ]


MIXED = problems([WRONG, RIGHT, HALF, WRONG], [HALF, HALF, WRONG, WRONG], [RIGHT, RIGHT, RIGHT, RIGHT])


# With their verdicts, for what is not about running programs.
JUDGED = [{**row, "pass_rate": [RATE[text] for text in row["completions"]]} for row in MIXED]


def run(source: Path, scorer: Any = None, **options: Any) -> Outcome:
    chosen = {"folder": source.parent / "work", "require": "none", "workers": 1} | options
    return best_of_n(BestOfN(source, **chosen), scorer if scorer is not None else ByRate())


def value(outcome: Outcome, metric: str, *key: str) -> float:
    found: Any = outcome.report["metrics"][metric]
    for part in key:
        found = found[part]
    return found["value"]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_perfect_scorer_reaches_the_oracle_and_an_inverted_one_the_floor(jsonl, tmp_path):
    source = jsonl("in.jsonl", MIXED)
    outcome = run(source)
    for metric in ("all_pass", "pass_rate"):
        for k in ("1", "2", "4"):
            best = value(outcome, metric, "best_of", k)
            assert best == pytest.approx(value(outcome, metric, "oracle", k))
    assert value(outcome, "all_pass", "best_of", "4") == pytest.approx(2 / 3)
    assert value(outcome, "pass_rate", "best_of", "4") == pytest.approx((1 + 0.5 + 1) / 3)
    assert outcome.report["outranks"]["value"] == 1.0
    assert [(pick.id, pick.sample, pick.passed, pick.tied) for pick in outcome.picks] == [
        ("p0", 1, True, 1), ("p1", 0, False, 2), ("p2", 0, True, 4),
    ]  # fmt: skip

    worst = run(source, ByRate(-1), folder=tmp_path / "worst")
    assert value(worst, "all_pass", "best_of", "4") == pytest.approx(1 / 3)
    assert value(worst, "pass_rate", "best_of", "4") == pytest.approx((0 + 0 + 1) / 3)
    assert worst.report["outranks"]["value"] == 0.0
    for metric in ("all_pass", "pass_rate"):  # what is there does not depend on who ranks it
        for key in (("first",), ("average",), ("oracle", "4")):
            assert value(worst, metric, *key) == value(outcome, metric, *key)


def test_the_files_hold_what_was_found(jsonl, tmp_path):
    outcome = run(jsonl("in.jsonl", JUDGED))
    picks = read(tmp_path / "work" / "picks.jsonl")
    assert picks[0] == {
        "id": "p0", "sample": 1, "completion": RIGHT, "score": 1.0, "passed": True, "pass_rate": 1.0, "tied": 1,
        "candidates": 4,
    }  # fmt: skip
    assert json.loads((tmp_path / "work" / "report.json").read_text()) == outcome.report
    assert (outcome.report["problems"], outcome.report["none_pass"], outcome.report["all_pass"]) == (3, 1, 1)


def test_one_row_a_completion_is_the_same_as_one_row_a_problem(jsonl, tmp_path):
    together = run(jsonl("in.jsonl", JUDGED))
    # One completion of each problem in turn, joined with a problem file.
    table = [{"task_id": row["id"], "text": row["question"], "test_list": TESTS} for row in JUDGED]
    rows = [
        {"id": f"sample-{at}-{row['id']}", "problem_id": row["id"], "completion": row["completions"][at],
         "pass_rate": row["pass_rate"][at]}
        for at in range(4) for row in JUDGED
    ]  # fmt: skip
    apart = run(jsonl("apart.jsonl", rows), folder=tmp_path / "apart", problems=jsonl("problems.jsonl", table))
    assert apart.report == together.report
    assert [pick.sample for pick in apart.picks] == [pick.sample for pick in together.picks]


def test_parquet_is_read_alike(jsonl, tmp_path):
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(JUDGED), tmp_path / "in.parquet")
    assert (
        run(tmp_path / "in.parquet", folder=tmp_path / "a").report
        == run(jsonl("in.jsonl", JUDGED), folder=tmp_path / "b").report
    )


def nothing_runs(monkeypatch) -> None:
    def started(*arguments, **options):
        raise AssertionError("a sandbox was started")

    monkeypatch.setattr("acecoder_rl.evaluation.candidate_verdicts.Sandbox", started)


def test_verdicts_that_are_there_are_taken(jsonl, monkeypatch):
    nothing_runs(monkeypatch)
    rows = problems([RIGHT, WRONG], pass_rate=[0.0, 1.0])  # other than a run would say
    rows += [{"id": "q", "question": "?", "completion": HALF, "pass_rate": 0.5}]
    # AceCode-87K's.
    inferences = [{"completion": WRONG, "pass_rate": 1.0}, {"completion": RIGHT, "pass_rate": 0.25}]
    rows += [{"id": "r", "question": "?", "inferences": inferences}]
    outcome = run(jsonl("in.jsonl", rows))
    assert [(pick.id, pick.passed, pick.pass_rate) for pick in outcome.picks] == [
        ("p0", False, 0.0), ("q", False, 0.5), ("r", False, 0.25),
    ]  # fmt: skip


def test_the_output_of_score_is_taken_as_verdicts(cli, jsonl, tmp_path, monkeypatch):
    source = jsonl("in.jsonl", MIXED)
    ran = run(source, folder=tmp_path / "ran")
    done = cli("score", source, "-o", "verdicts.jsonl", "--require", "none")
    assert done.returncode == 0, done.stderr
    nothing_runs(monkeypatch)
    given = run(source, folder=tmp_path / "given", verdicts=tmp_path / "verdicts.jsonl")
    assert given.report == ran.report and given.picks == ran.picks


def test_without_tests_there_are_picks_alone(jsonl, tmp_path):
    rows = [{"id": "a", "question": "Add.", "completions": [WRONG, RIGHT]}]
    outcome = run(jsonl("in.jsonl", rows))
    assert outcome.report is None and not (tmp_path / "work" / "report.json").exists()
    assert [(pick.sample, pick.passed, pick.pass_rate) for pick in outcome.picks] == [(1, None, None)]
    some = run(jsonl("some.jsonl", rows + JUDGED), folder=tmp_path / "some")
    assert (some.report["problems"], some.report["without_tests"], len(some.picks)) == (3, 1, 4)


def test_equal_completions_are_scored_once_and_tie(jsonl):
    scorer = ByRate()
    outcome = run(jsonl("in.jsonl", problems([HALF] * 7 + [WRONG], pass_rate=[0.5] * 7 + [0.0])), scorer)
    assert len(scorer.asked) == 2 and outcome.picks[0].tied == 7


def test_the_first_test_is_shown_in_the_acecode_format_alone(jsonl, tmp_path):
    for name, shown in (("raw", None), ("acecode", TESTS[0])):
        scorer = ByRate()
        run(jsonl("in.jsonl", problems([RIGHT], pass_rate=1.0)), scorer, format=name, folder=tmp_path / name)
        assert scorer.asked == [("Add, number 0.", RIGHT, shown)]


@pytest.mark.parametrize("score", [math.nan, math.inf, None, True, "1"])
def test_what_is_no_score_ends_the_run_and_is_not_kept(score, jsonl, tmp_path):
    class Bad(ByRate):
        def score(self, pairs):
            return [score if completion == HALF else RATE[completion] for _, completion, _ in pairs]

    source = jsonl("in.jsonl", JUDGED)
    with pytest.raises(ScoreError, match=r"candidate \d of problem p[01]"):
        run(source, Bad())
    kept = {row["score"] for row in read(tmp_path / "work" / "scores.jsonl")}
    assert kept <= {0.0, 1.0}
    assert value(run(source, resume=True), "all_pass", "best_of", "4") == pytest.approx(2 / 3)


def test_a_finished_run_resumed_does_nothing_again(jsonl, monkeypatch):
    source = jsonl("in.jsonl", MIXED)
    first = run(source)
    nothing_runs(monkeypatch)
    scorer = ByRate()
    again = run(source, scorer, resume=True)
    assert again == first and scorer.asked == []


def test_a_half_written_line_is_done_again(jsonl, tmp_path):
    source = jsonl("in.jsonl", MIXED)
    first = run(source)
    for name in ("scores.jsonl", "verdicts.jsonl"):
        path = tmp_path / "work" / name
        path.write_bytes(path.read_bytes()[:-7])
    scorer = ByRate()
    assert run(source, scorer, resume=True) == first and len(scorer.asked) <= 1


KILLED = """
import sys, time
from pathlib import Path
from acecoder_rl.evaluation.best_of_n import BestOfN, best_of_n

class Slow:
    def score(self, pairs):
        with open("asked", "a") as file:
            file.writelines(completion[2:6] + "\\n" for _, completion, _ in pairs)
        time.sleep(float(sys.argv[2]))
        return [float(len(completion)) for _, completion, _ in pairs]

options = BestOfN(Path("in.jsonl"), Path("work"), require="none", workers=1, resume=sys.argv[1] == "resume")
outcome = best_of_n(options, Slow())
print([pick.sample for pick in outcome.picks], outcome.report["metrics"]["pass_rate"]["average"]["value"])
"""


def test_killed_outright_it_goes_on_where_it_was(jsonl, tmp_path):
    # Long: a handful of batches. Each text is another one, so that none is scored for another.
    number, rows = 0, problems(*([] for _ in range(4)))
    for row in rows:
        for text in (WRONG, RIGHT, HALF):
            row["completions"].append(f"# {number:04d}\n{text}# {'x' * (5000 + number)}\n")
            number += 1
    jsonl("in.jsonl", rows)
    (tmp_path / "run.py").write_text(textwrap.dedent(KILLED))

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "run.py", *arguments]
        return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    asked, scores = tmp_path / "asked", tmp_path / "work" / "scores.jsonl"
    for mode in ("first", "resume"):  # killed twice, each time in the middle of a batch
        before = len(asked.read_text().splitlines()) if asked.exists() else 0
        process = start(mode, "5")
        deadline = time.monotonic() + 240
        while not asked.exists() or len(asked.read_text().splitlines()) < before + 5:
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    done = {(row["id"], row["sample"]) for row in read(scores)}
    assert 0 < len(done) < number
    verdicts = (tmp_path / "work" / "verdicts.jsonl").read_text()
    at_kill = asked.read_text().splitlines()

    process = start("resume", "0")
    out, error = process.communicate(timeout=240)
    assert process.returncode == 0, error
    assert (tmp_path / "work" / "verdicts.jsonl").read_text() == verdicts  # no program ran again
    later = asked.read_text().splitlines()[len(at_kill) :]
    assert len(later) == number - len(done) == len(set(later))  # what had a score was not asked again
    rows_kept = read(scores)
    assert len(rows_kept) == len({(row["id"], row["sample"]) for row in rows_kept}) == number
    assert out.split() == ["[2,", "2,", "2,", "2]", "0.5"]  # by length, the last is the best


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"format": "acecode"}, "was made with format = 'raw', and this run has 'acecode'"),
        ({"limits": {"test_seconds": 1.0}}, "limits.test_seconds = 4.0, and this run has 1.0"),
        ({"reward_model": "org/other"}, "reward_model = None, and this run has 'org/other'"),
    ],
)
def test_other_settings_are_not_resumed(change, told, jsonl):
    source = jsonl("in.jsonl", JUDGED)
    run(source)
    with pytest.raises(InputError) as error:
        run(source, resume=True, **change)
    assert told in str(error.value) and "resume with the same" in str(error.value)


def test_another_input_by_the_same_name_is_not_resumed(jsonl):
    run(jsonl("in.jsonl", JUDGED))
    with pytest.raises(InputError, match="source_content"):
        run(jsonl("in.jsonl", JUDGED[:2]), resume=True)


def test_earlier_work_is_dropped_only_when_asked_and_nothing_else_with_it(jsonl, tmp_path):
    source = jsonl("in.jsonl", JUDGED)
    run(source)
    with pytest.raises(InputError, match="has earlier work: --resume goes on with it, --overwrite drops it"):
        run(source)
    (tmp_path / "work" / "notes.txt").write_text("mine")
    scorer = ByRate(-1)
    assert run(source, scorer, overwrite=True).picks[0].sample == 0 and scorer.asked
    assert (tmp_path / "work" / "notes.txt").read_text() == "mine"


def test_a_folder_of_other_things_is_left_alone(jsonl, tmp_path):
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "run.json").write_text("{}")
    with pytest.raises(InputError, match="files in it that are not ours: give another --folder"):
        run(jsonl("in.jsonl", JUDGED), overwrite=True)


def test_two_processes_do_not_share_a_folder(jsonl, tmp_path):
    class Second(ByRate):
        def score(self, pairs):
            with pytest.raises(InputError, match="in use by another process"):
                run(source, resume=True)
            return super().score(pairs)

    source = jsonl("in.jsonl", JUDGED)
    run(source, Second())


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "in.jsonl has no rows"),
        (['{"id": "a", '], "in.jsonl:1 is not JSON"),
        (problems([RIGHT, 3]), "field 'completions' [1] is '3': give the completion's text"),
        (problems([]), "field 'completions' is an empty list"),
        ([{"id": "a", "question": "Add.", "tests": TESTS}], "has no completion"),
        ([{"id": "a", "completion": RIGHT, "tests": TESTS}], "has no question"),
        (problems([RIGHT], pass_rate=math.nan), "has the pass_rate nan"),
        (problems([RIGHT], pass_rate=1.5), "has the pass_rate 1.5"),
        (problems([RIGHT, WRONG], pass_rate=[1.0]), "but there are 2 completions"),
        (problems([RIGHT], pass_rate=0.5, passed=True), "they do not fit"),
        (problems([RIGHT]) + problems([WRONG], question="Another."), "in.jsonl:2 has the id 'p0' of an earlier row"),
        (problems([RIGHT], tests=["assert"]), "in.jsonl:1"),
        (
            [{"id": "a", "question": "?", "completions": [{"completion": "x", "pass_rate": 1.0}, "y"]}],
            "verdicts for 1 of its 2 candidates",
        ),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_used_is_told_with_its_place(rows, told, jsonl):
    with pytest.raises(InputError) as error:
        run(jsonl("in.jsonl", rows))
    assert told in str(error.value)


def test_verdicts_of_another_file_are_told(jsonl):
    rows = [{"id": "a", "question": "Add.", "completions": [WRONG, RIGHT]}]
    verdicts = jsonl("verdicts.jsonl", [{"row": 0, "index": 0, "pass_rate": 1.0, "passed": True}])
    with pytest.raises(InputError, match=r"\[1\] has no verdict in .*verdicts.jsonl: score the same file to its end"):
        run(jsonl("in.jsonl", rows), verdicts=verdicts)


def test_verdicts_on_another_problem_are_told(jsonl):
    """As of a file of the same form, or of this one before it was sorted anew."""
    rows = [{"id": name, "question": name, "completion": RIGHT, "task_id": 3} for name in ("a", "b")]
    source = jsonl("in.jsonl", rows)
    told = [{"row": row, "index": 0, "pass_rate": 1.0, "passed": True} for row in range(2)]
    for ids in (("b", "a"), ("a", "c")):
        verdicts = jsonl("verdicts.jsonl", [{**row, "id": name} for row, name in zip(told, ids, strict=True)])
        with pytest.raises(InputError, match=r"\[0\] has the verdict of '[bc]' in .*: that is of another file"):
            run(source, verdicts=verdicts, overwrite=True)
    # Joined by another field than ours.
    verdicts = jsonl("verdicts.jsonl", [{**row, "id": name} for row, name in zip(told, ("3", 3), strict=True)])
    assert run(source, verdicts=verdicts, overwrite=True).report["problems"] == 2


def test_what_is_gathered_has_verdicts_and_no_scores(jsonl, tmp_path):
    options = BestOfN(jsonl("in.jsonl", MIXED), tmp_path / "work", require="none", workers=1)
    found = gather(options)
    assert [[one.known.pass_rate for one in each.completions] for each in found] == [
        [0.0, 1.0, 0.5, 0.0], [0.5, 0.5, 0.0, 0.0], [1.0] * 4,
    ]  # fmt: skip
    assert not (tmp_path / "work" / "scores.jsonl").exists()
