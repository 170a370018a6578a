"""What `acecoder-rl score` writes of a completion: a row of the output, a row of the rollout log.

Covers: both, and the output's Parquet schema.
Does not cover: writing them (results.py, rollouts/log.py), adding them up (summary.py).
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from acecoder_rl.jobs import Job
from acecoder_rl.problems import Tests
from acecoder_rl.rollouts.rows import Rollout
from acecoder_rl.sandbox import Outcome, Verdict

if TYPE_CHECKING:
    import pyarrow


def no_program(tests: Tests) -> Verdict:
    """The verdict on a completion that holds no program: nothing ran, nothing passed."""
    message = "the completion holds no program"
    return Verdict(tuple(Outcome("not_run", message) for _ in tests.tests), status="error", message=message)


def result_row(job: Job, verdict: Verdict) -> dict[str, Any]:
    """One row of the output."""
    ran = bool(job.program.code)
    return {
        "id": _clean(job.id),
        "row": job.row,
        "index": job.index,
        "pass_rate": verdict.pass_rate,
        "passed": verdict.passed,
        "status": verdict.status if ran else "no_program",
        "message": _clean(verdict.message),
        "isolation": verdict.isolation if ran else None,
        "claimed": verdict.claimed,
        "cpu_seconds": verdict.cpu_seconds,
        "wall_seconds": verdict.wall_seconds,
        "reason": job.program.reason,
        "truncated": job.program.truncated,
        "outcomes": [{**asdict(outcome), "message": _clean(outcome.message)} for outcome in verdict.outcomes],
    }


def rollout(job: Job, verdict: Verdict) -> Rollout:
    """What the rollout log keeps of it: no reward was earned, so the pass rate stands for it."""
    rate = verdict.pass_rate
    return Rollout(
        job.id, job.question, job.tests, job.completion, job.program.code, rate, rate, time.time(),
        verdict=verdict if job.program.code else None, mode="eval", truncated=job.program.truncated,
        seconds=verdict.wall_seconds, sample=job.index,
    )  # fmt: skip


def _clean(text: str) -> str:
    # A program can put lone surrogates into its messages; few readers of JSON or Parquet bear them.
    return text.encode("utf-8", "replace").decode()


def result_schema() -> pyarrow.Schema:
    """The Parquet form of `result_row`."""
    import pyarrow

    text, real, flag = pyarrow.string(), pyarrow.float64(), pyarrow.bool_()
    outcome = {"status": text, "message": text, "cpu_seconds": real, "claimed": flag}
    return pyarrow.schema(
        {
            "id": text,
            "row": pyarrow.int64(),
            "index": pyarrow.int64(),
            "pass_rate": real,
            "passed": flag,
            "status": text,
            "message": text,
            "isolation": text,
            "claimed": flag,
            "cpu_seconds": real,
            "wall_seconds": real,
            "reason": text,
            "truncated": flag,
            "outcomes": pyarrow.list_(pyarrow.struct(outcome)),
        }
    )
