"""`acecoder-rl evaluate`: models x benchmarks -> answers, verdicts, pass@k; a folder for each pair, and one table.

Covers: the whole of it, resumable: answers and verdicts are written down as they come, so that kill -9 loses those in
    flight.
Does not cover: data and prompts (benchmarks/), asking (evaluate_answers.py), the table (evaluate_table.py).
A folder is `<folder>/<model>/answers.db` and `<folder>/<model>/<benchmark>/` with results.jsonl, a row an answer, and
report.json, the figures.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from acecoder_rl.evaluation.benchmarks.items import Benchmark, Item
from acecoder_rl.evaluation.benchmarks.load import DataOptions, check_name, load
from acecoder_rl.evaluation.benchmarks.prompts import program_of
from acecoder_rl.evaluation.candidate_verdicts import IN_FLIGHT_A_WORKER, OnDone, run_each
from acecoder_rl.evaluation.estimates import intervals, steps
from acecoder_rl.evaluation.evaluate_answers import How, Said, Source, answers, check
from acecoder_rl.evaluation.ledger import Ledger, WorkFolder
from acecoder_rl.evaluation.pass_at_k import pass_at_k
from acecoder_rl.records import InputError, check_readable
from acecoder_rl.sandbox import Sandbox, Verdict
from acecoder_rl.synthesis.models import release

SETTINGS = "evaluate.json"
REPORT = "report.json"


@dataclass(frozen=True)
class Evaluate:
    """What to evaluate.

    Attributes:
        benchmarks: names (benchmarks/load.py).
        sources: models, endpoints, files of completions.
        folder: for all work.
        data: which data.
        how: how models are asked.
        require: the isolation the host must have.
        workers: programs at once; None takes the cores this process may use.
        resume: go on where an earlier run stopped.
        overwrite: drop earlier verdicts of these models and benchmarks; answers are kept.
    """

    benchmarks: Sequence[str]
    sources: Sequence[Source]
    folder: Path
    data: DataOptions = field(default_factory=DataOptions)
    how: How = field(default_factory=How)
    require: str = "namespaces"
    workers: int | None = None
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if not self.benchmarks or not self.sources:
            raise InputError("nothing to evaluate: give benchmarks, and --model, --endpoint or --completions")
        for name in (*self.benchmarks, *self.data.files):
            if name not in ("bigcodebench", "bigcodebench-hard"):
                check_name(name)
        names = [slug(source.name) for source in self.sources]
        if len(set(names)) < len(names):
            raise InputError(f"two models have one name ({', '.join(names)}): give --model NAME=PATH")
        if len(set(self.benchmarks)) < len(self.benchmarks):
            raise InputError("a benchmark is named twice")


def slug(name: str) -> str:
    """A name as a folder's name."""
    return re.sub(r"[^\w.+-]+", "--", name).strip("-.") or "model"


def evaluate(options: Evaluate, on_done: OnDone | None = None) -> list[dict[str, Any]]:
    """Run it all; the reports, which are also in their folders.

    Args:
        on_done: called with (stage, done, all); a stage is such as "humaneval programs".

    Raises:
        InputError: bad usage or input: told before any model is asked, but for what only answers show.
        SandboxError, AskStopped, AnswersFailed: that part failed; what is written stays, to be resumed.
    """
    for source in options.sources:
        if isinstance(source.origin, Path):
            check_readable(source.origin)
    benchmarks = [load(name, options.data) for name in options.benchmarks]
    for source in options.sources:
        check(source, options.how)
    found = []
    try:
        for source in options.sources:
            for benchmark in benchmarks:
                found.append(_one(options, source, benchmark, on_done))
            release()  # the next model wants the memory
    finally:
        release()
    return found


def _one(options: Evaluate, source: Source, benchmark: Benchmark, on_done: OnDone | None) -> dict[str, Any]:
    def told(stage: str, done: int, total: int) -> None:
        if on_done is not None:
            on_done(f"{benchmark.name} {stage}", done, total)

    how = options.how
    settings = {
        **source.settings(), "benchmark": benchmark.name, **benchmark.about,
        **(asdict(how) if not isinstance(source.origin, Path) else {"base": how.base}),
        "limits": asdict(benchmark.limits), "python": options.data.python,
    }  # fmt: skip
    folder = options.folder / slug(source.name)
    with WorkFolder(
        folder / benchmark.name, settings, resume=options.resume, overwrite=options.overwrite, name=SETTINGS
    ) as work:
        said = answers(source, benchmark, how, folder, told)
        with work.ledger("results.jsonl") as results:
            todo = [
                (item, sample, text)
                for item, texts in zip(benchmark.items, said, strict=True)
                for sample, text in enumerate(texts)
                if (item.id, sample) not in results.rows
            ]
            if todo:
                _judge(todo, results, benchmark, options, told)
            passed = [
                [bool(results.rows[item.id, sample]["passed"]) for sample in range(len(texts))]
                for item, texts in zip(benchmark.items, said, strict=True)
            ]
            rows = list(results.rows.values())
        report = {
            "model": source.name,
            "benchmark": benchmark.name,
            **figures(passed),
            "statuses": dict(Counter(row["status"] for row in rows).most_common()),
            "truncated": sum(row["truncated"] for row in rows),
            "shared": sum(row["isolation"] == "shared" for row in rows),
            "asked": None if isinstance(source.origin, Path) else asdict(how),
            "data": {"source": benchmark.source, **benchmark.about},
            "note": benchmark.note,
        }
        half = work.path / (REPORT + ".tmp")
        half.write_text(json.dumps(report, indent=1) + "\n")
        half.replace(work.path / REPORT)
    return report


def figures(passed: Sequence[Sequence[bool]]) -> dict[str, Any]:
    """pass@k of answers, a list a problem, with 95 % intervals over problems.

    k is 1, 2, 4, ... up to the least number of answers that a problem has.
    """
    counts = [len(each) for each in passed]
    ks = steps(min(counts))
    columns = np.array([[pass_at_k(len(each), sum(each), k) for k in ks] for each in passed])
    values = {
        str(k): {"value": round(float(mean), 12), "low": round(low, 12), "high": round(high, 12)}
        for k, mean, (low, high) in zip(ks, columns.mean(axis=0), intervals(columns), strict=True)
    }
    return {"problems": len(passed), "samples": min(counts), "most_samples": max(counts), "pass_at": values}


def _judge(
    todo: Sequence[tuple[Item, int, Said]], results: Ledger, benchmark: Benchmark, options: Evaluate, told: OnDone
) -> None:
    try:
        sandbox = Sandbox(
            options.workers, benchmark.limits, require=options.require, python=options.data.python,
            preload=benchmark.preload,
        )  # fmt: skip
    except ValueError as error:
        raise InputError(str(error)) from None

    async def one(work: tuple[Item, int, Said]) -> None:
        item, sample, said = work
        program = program_of(item, said.text, options.how.base, benchmark.stops)
        status, message, isolation = "no_program", said.refused, ""
        if program:
            for tests in (item.problem.tests, *item.more):
                verdict = await sandbox.arun(program, tests, stop_at_first_failure=True)
                status, message = _status(verdict)
                isolation = verdict.isolation
                if status != "passed":
                    break
        results.add(
            item.id, sample, passed=status == "passed", status=status, message=message, isolation=isolation,
            truncated=said.truncated, program=program,
        )  # fmt: skip

    with sandbox:
        run_each(todo, one, IN_FLIGHT_A_WORKER * sandbox.workers, told)


def _status(verdict: Verdict) -> tuple[str, str]:
    if verdict.passed:
        return "passed", ""
    if verdict.status != "ok":
        return verdict.status, verdict.message
    outcome = next(outcome for outcome in verdict.outcomes if outcome.status != "passed")
    return outcome.status, outcome.message
