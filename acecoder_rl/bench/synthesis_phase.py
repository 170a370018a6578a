"""Stages verify and sample of a synthesis run on prepared answers: a phase of `acecoder-rl bench synthesis`.

Covers: `run`: the run folder and the cache of answers, made before the clock starts; the two stages as a user runs
    them, with Parquet, JSON, prompts, answers out of the cache, extraction of programs.
Does not cover: models: every answer is in the cache. Which programs there are (workload.py).
"""

from __future__ import annotations

import json
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from acecoder_rl.problems import parse_tests
from acecoder_rl.sandbox import Sandbox
from acecoder_rl.synthesis import imagine, sample, verify
from acecoder_rl.synthesis.answers import Answers, key_of
from acecoder_rl.synthesis.budget import Budget
from acecoder_rl.synthesis.endpoint_requests import decides
from acecoder_rl.synthesis.models import Answer, Endpoint, Request
from acecoder_rl.synthesis.sample import SampleSettings
from acecoder_rl.synthesis.stage_table import CHUNKS
from acecoder_rl.synthesis.stages import Chunk, fingerprint_of, rows_of, run_stage
from acecoder_rl.synthesis.verify import VerifySettings

MODELS = {name: Endpoint(endpoint="http://127.0.0.1:1/v1", model=name) for name in ("oracle", "solver")}
VERIFY = VerifySettings(oracle={"model": "oracle"})


def run(job: dict[str, Any]) -> dict[str, Any]:
    """The phase; `job` as measure.run_phase makes it, with the first program of each problem a right one."""
    begun_cpu = time.process_time()
    programs: dict[int, list[str]] = {}
    for code, problem in job["programs"]:
        programs.setdefault(problem, []).append(code)
    settings = SampleSettings(models=["solver"], n=max(map(len, programs.values()), default=1))
    with (
        tempfile.TemporaryDirectory(prefix="acecoder-bench-") as name,
        Answers(Path(name, "answers.sqlite")) as answers,
    ):
        folder = Path(name)
        rows = [
            {
                "id": f"own_{problem}",
                "source": "own",
                "question": f"Write the function {job['names'][problem]}.",
                "tests": json.dumps(job["asserts"][problem]),
                "model": "writer",
            }
            for problem in programs
        ]
        run_stage(folder, "imagine", imagine.schema(), rows, Chunk, 256, {})
        for row, codes in zip(rows, programs.values(), strict=True):
            tests = json.loads(row["tests"])
            _put(answers, "oracle", _request(VERIFY, verify, row, tests, 1, 0.0), [f"# The oracle's\n{codes[0]}"])
            _put(answers, "solver", _request(settings, sample, row, tests, settings.n, settings.temperature), codes)
        untimed = time.process_time() - begun_cpu
        with Sandbox(workers=job["workers"]) as sandbox:
            sandbox.run_many([(code, parse_tests(list(job["asserts"][at]))) for code, at in job["warmup"]])
            shared = {"models": MODELS, "answers": answers, "budget": Budget(), "sandbox": sandbox}
            begun = time.monotonic()
            for stage, how, reads in ((verify, VERIFY, "imagine"), (sample, settings, "verify")):
                title = stage.__name__.rpartition(".")[2]
                process = partial(stage.process, settings=how, **shared)
                run_stage(
                    folder, title, stage.schema(), rows_of(folder, reads), process, CHUNKS[title],
                    how.model_dump(mode="json"), input=fingerprint_of(folder, reads),
                )  # fmt: skip
            wall = time.monotonic() - begun
            isolation = sandbox.isolation
        found = [json.loads(row["inferences"]) for row in rows_of(folder, "sample", ["inferences"])]
    outcomes = [bytes(inference["test_results"]) for inferences in found for inference in inferences]
    return {"wall": wall, "outcomes": outcomes, "isolation": isolation, "untimed_cpu": untimed}


def _request(settings: Any, stage: Any, row: dict[str, str], tests: list[str], n: int, temperature: float) -> Request:
    return settings.request(stage.prompts_of(settings)[0], row["question"], tests, n, temperature)


def _put(answers: Answers, model: str, request: Request, codes: list[str]) -> None:
    """Into the cache, as asking.py would."""
    same = decides(MODELS[model], request)
    for index, code in enumerate(codes):
        text = f"Here is the program:\n\n```python\n{code}\n```\n\nIt goes through its input once."
        answers.put(key_of({**same, "index": index}), Answer(text, "stop", 200, 150), model)
