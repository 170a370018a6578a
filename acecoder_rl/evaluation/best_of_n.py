"""Best-of-N: candidates -> verdicts and reward-model scores -> the pick of each problem, and what picking gains.

Covers: the whole of it, resumable; verdicts in the sandbox, scores of a local reward model or a served one.
Does not cover: files of candidates (candidates.py), sampling them (candidate_sampling.py), the figures
    (estimates.py), tables and plots (best_of_n_shown.py), the command line (commands/best_of_n.py).
What is done is never done again: verdicts and scores are appended to the folder's files as they come, so a kill -9
    loses the programs and the batch that were running.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from acecoder_rl.completions import extract_program
from acecoder_rl.evaluation.candidate_sampling import Sampling, fill
from acecoder_rl.evaluation.candidates import Candidates, Completion, Fields, Known, read_candidates, read_questions
from acecoder_rl.evaluation.estimates import Ranked, report
from acecoder_rl.evaluation.ledger import Ledger, WorkFolder, digest, fingerprint
from acecoder_rl.records import InputError, check_readable, jsonl_line
from acecoder_rl.sandbox import Limits, Sandbox

IN_FLIGHT_A_WORKER = 64
BATCH_CHARACTERS = 48_000  # handed to the scorer at once: some batches' worth, and what a kill loses at most
ENDPOINT_IN_FLIGHT = 64
OnDone = Callable[[str, int, int], None]


class ScoreError(RuntimeError):
    """The reward model gave no usable score."""


class Scorer(Protocol):
    """Scores (question, completion) pairs; acecoder_rl.reward_model.scoring.RewardScorer is one."""

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """One finite number a pair, in order; higher is better."""
        ...


@dataclass(frozen=True)
class BestOfN:
    """What to choose from, and by what.

    Attributes:
        source: JSONL or Parquet of candidates; with `sampling` of problems.
        folder: where the work is kept: verdicts.jsonl, scores.jsonl, samples/, picks.jsonl, report.*.
        reward_model: folder or Hub id; or None with `endpoint`.
        endpoint: URL of a served reward model.
        format: of the reward model's prompt (reward_model/formats.py).
        sampling: sample the candidates here.
        problems: file of questions and tests, joined by id.
        verdicts: what `acecoder-rl score` made of `source`.
        fields: where completion and id are in a row.
        limits: the fields of `Limits` to set; they outrank those that a problem carries.
        require: the isolation the host must have.
        workers: programs at once; None takes the cores this process may use.
        resume: go on where an earlier run stopped.
        overwrite: drop an earlier run's work.
    """

    source: Path
    folder: Path
    reward_model: str | None = None
    endpoint: str | None = None
    format: str = "raw"
    sampling: Sampling | None = None
    problems: Path | None = None
    verdicts: Path | None = None
    fields: Fields = Fields()
    limits: dict[str, Any] = field(default_factory=dict)
    require: str = "namespaces"
    workers: int | None = None
    resume: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.sampling is not None and (self.verdicts or self.problems or self.fields.completion):
            raise InputError(
                "sampled candidates have no verdicts yet, and come with the problems' own tests: leave out --verdicts, "
                "--problems and --completion-field"
            )
        if self.endpoint is not None and self.reward_model is not None:
            raise InputError("--rm and --endpoint exclude each other: give one of them")

    def settings(self) -> dict[str, Any]:
        """What a resumed run must share with the one before."""
        return {
            "source": self.source.name,
            "source_content": digest(self.source),
            "problems_content": digest(self.problems),
            "verdicts_content": digest(self.verdicts),
            **{f"{name}_field": value for name, value in asdict(self.fields).items()},
            "reward_model": self.reward_model,
            "reward_model_files": fingerprint(self.reward_model) if self.reward_model else None,
            "endpoint": self.endpoint,
            "format": self.format,
            **{f"sampling.{name}": value for name, value in (asdict(self.sampling) if self.sampling else {}).items()},
            **{f"limits.{name}": value for name, value in asdict(Limits(**self.limits)).items()},
            "limits_given": sorted(self.limits),  # the others give way to a problem's own
        }


@dataclass(frozen=True)
class Pick:
    """The best candidate of a problem.

    Attributes:
        id: of the problem.
        sample: its place among the problem's candidates, from 0; the first of those that tie.
        completion: its text.
        score: the reward model's.
        passed, pass_rate: its verdict; None without tests.
        tied: how many candidates have this score.
        candidates: how many there were.
    """

    id: str
    sample: int
    completion: str
    score: float
    passed: bool | None
    pass_rate: float | None
    tied: int
    candidates: int


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        picks: one a problem, in the order of the file; also in `<folder>/picks.jsonl`.
        report: the figures (estimates.report) over the problems with verdicts, and `without_tests`, the number of
            the others; None if no problem has tests. Also in `<folder>/report.json`.
    """

    picks: list[Pick]
    report: dict[str, Any] | None


def best_of_n(options: BestOfN, scorer: Scorer | None = None, on_done: OnDone | None = None) -> Outcome:
    """Run it all; files in `options.folder`.

    Args:
        scorer: instead of the options' reward model or endpoint.
        on_done: called with (stage, done, all) as work gets done; stages are "programs" and "scores".

    Raises:
        InputError: bad usage or input; settings that differ from those of the work to resume.
        SandboxError, SamplingFailed, ScoreError: that part failed; what is written stays, to be resumed.
    """
    if scorer is None and options.reward_model is None and options.endpoint is None:
        raise InputError("no reward model: give --rm PATH or --endpoint URL")
    with _work(options) as work:
        found = _gathered(options, work, on_done)
        with work.ledger("scores.jsonl") as scores:
            _score(options, found, scores, scorer, on_done)
            ranked = {
                each.id: [float(scores.rows[each.id, sample]["score"]) for sample in range(len(each.completions))]
                for each in found
            }
        picks = [_pick(each, ranked[each.id]) for each in found]
        _write(work.path / "picks.jsonl", b"".join(jsonl_line(asdict(pick)) for pick in picks))
        figures = _report(found, ranked)
        if figures is not None:
            _write(work.path / "report.json", json.dumps(figures, indent=1).encode() + b"\n")
        return Outcome(picks, figures)


def gather(options: BestOfN, on_done: OnDone | None = None) -> list[Candidates]:
    """The candidates with their verdicts alone (`known`), nothing scored: for making pairs of them.

    Raises:
        InputError, SandboxError, SamplingFailed: as `best_of_n`.
    """
    with _work(options) as work:
        return _gathered(options, work, on_done)


def _work(options: BestOfN) -> WorkFolder:
    for path in (options.source, options.problems, options.verdicts):
        if path is not None:
            check_readable(path)
    try:
        settings = options.settings()
    except (ValueError, TypeError) as error:  # of Limits
        raise InputError(str(error)) from None
    return WorkFolder(options.folder, settings, resume=options.resume, overwrite=options.overwrite)


def _gathered(options: BestOfN, work: WorkFolder, on_done: OnDone | None) -> list[Candidates]:
    if options.sampling is None:
        found = read_candidates(options.source, options.problems, options.verdicts, options.fields)
    else:
        found = read_questions(options.source, options.fields.id)
        fill(found, options.sampling, work.path)
    with work.ledger("verdicts.jsonl") as verdicts:
        _judge(options, found, verdicts, on_done)
        for each in found:
            each.completions = [
                replace(completion, known=_verdict(completion, verdicts.rows.get((each.id, sample))))
                for sample, completion in enumerate(each.completions)
            ]
    for each in found:
        judged = sum(completion.known is not None for completion in each.completions)
        if judged not in (0, len(each.completions)):
            raise InputError(
                f"problem {each.id} has verdicts for {judged} of its {len(each.completions)} candidates, and no tests: "
                "give all of them, or the tests"
            )
    return found


def _verdict(completion: Completion, row: dict[str, Any] | None) -> Known | None:
    return completion.known if row is None else Known(row["pass_rate"], row["passed"])


def _judge(options: BestOfN, found: Sequence[Candidates], verdicts: Ledger, on_done: OnDone | None) -> None:
    todo = [
        (each, sample, extract_program(completion.text, each.problem.tests).code)
        for each in found
        if each.problem is not None
        for sample, completion in enumerate(each.completions)
        if completion.known is None and (each.id, sample) not in verdicts.rows
    ]
    if not todo:
        return
    try:
        limits = Limits(**options.limits)
        sandbox = Sandbox(options.workers, limits, require=options.require)
    except ValueError as error:
        raise InputError(str(error)) from None
    for each, _, _ in todo:
        asked = each.problem.limits.processes if each.problem and each.problem.limits else 1
        if asked > limits.processes:
            raise InputError(f"problem {each.id} has limits.processes {asked}: its programs may not fork here")

    async def run() -> None:
        room = asyncio.Semaphore(IN_FLIGHT_A_WORKER * sandbox.workers)
        done = 0

        async def one(each: Candidates, sample: int, code: str) -> None:
            nonlocal done
            assert each.problem is not None
            rate, passed, status = 0.0, False, "no_program"
            if code:
                own = each.problem.limits
                async with room:
                    verdict = await sandbox.arun(
                        code, each.problem.tests, limits=replace(own, **options.limits) if own else None
                    )
                rate, passed, status = verdict.pass_rate, verdict.passed, verdict.status
            verdicts.add(each.id, sample, pass_rate=rate, passed=passed, status=status)
            done += 1
            if on_done is not None:
                on_done("programs", done, len(todo))

        tasks = [asyncio.ensure_future(one(*each)) for each in todo]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    with sandbox:
        asyncio.run(run())


def _score(
    options: BestOfN, found: Sequence[Candidates], scores: Ledger, scorer: Scorer | None, on_done: OnDone | None
) -> None:
    """Equal completions of a problem are scored once: at low temperatures there are many."""
    todo: list[tuple[Candidates, str, list[int]]] = []
    for each in found:
        same: dict[str, list[int]] = {}
        for sample, completion in enumerate(each.completions):
            same.setdefault(completion.text, []).append(sample)
        for text, samples in same.items():
            missing = [sample for sample in samples if (each.id, sample) not in scores.rows]
            before = next((scores.rows[each.id, at] for at in samples if (each.id, at) in scores.rows), None)
            if before is not None:
                for sample in missing:
                    scores.add(each.id, sample, score=before["score"])
            elif missing:
                todo.append((each, text, samples))
    if not todo:
        return
    done = 0

    def keep(item: tuple[Candidates, str, list[int]], score: float) -> None:
        nonlocal done
        each, _, samples = item
        if not isinstance(score, int | float) or not math.isfinite(score):
            raise ScoreError(
                f"the reward model scored problem {each.id}, candidate {samples[0]}, {score!r}: nothing can be ranked "
                "by that; is its checkpoint whole, and its dtype wide enough?"
            )
        for sample in samples:
            scores.add(each.id, sample, score=float(score))
        done += 1
        if on_done is not None:
            on_done("scores", done, len(todo))

    if scorer is None and options.endpoint is not None:
        asyncio.run(_ask(options.endpoint, todo, keep))
        return
    if scorer is None:
        from acecoder_rl.reward_model.scoring import RewardScorer

        scorer = RewardScorer(options.reward_model, format=options.format)
    for batch in _batches(todo):
        got = scorer.score([(each.question, text) for each, text, _ in batch])
        for item, score in zip(batch, got, strict=True):
            keep(item, score)


def _batches(todo: list[tuple[Candidates, str, list[int]]]) -> Iterator[list[tuple[Candidates, str, list[int]]]]:
    """By length, so that a batch holds much of the same length; the longest first: out of memory is told at once."""
    batch: list[tuple[Candidates, str, list[int]]] = []
    size = 0
    for item in sorted(todo, key=lambda item: -len(item[0].question) - len(item[1])):
        length = len(item[0].question) + len(item[1])
        if batch and size + length > BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += length
    yield batch


def _pick(each: Candidates, scores: list[float]) -> Pick:
    best = scores.index(max(scores))
    known = each.completions[best].known
    return Pick(
        each.id, best, each.completions[best].text, scores[best], known.passed if known else None,
        known.pass_rate if known else None, scores.count(scores[best]), len(scores),
    )  # fmt: skip


def _report(found: Sequence[Candidates], scores: dict[str, list[float]]) -> dict[str, Any] | None:
    problems = []
    for each in found:
        judged = [completion.known for completion in each.completions if completion.known is not None]
        if judged:  # all of them are: _gathered has seen to it
            problems.append(Ranked(scores[each.id], [v.passed for v in judged], [v.pass_rate for v in judged]))
    return {**report(problems), "without_tests": len(found) - len(problems)} if problems else None


def _write(path: Path, content: bytes) -> None:
    half = path.with_name(path.name + ".tmp")
    half.write_bytes(content)
    half.replace(path)
