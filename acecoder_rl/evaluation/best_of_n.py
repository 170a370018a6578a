"""Best-of-N: candidates -> verdicts and reward-model scores -> the pick of each problem, and what picking gains.

Covers: the whole of it, resumable.
Does not cover: files of candidates (candidates.py), sampling them (candidate_sampling.py), running them
    (candidate_verdicts.py), scoring them (candidate_scoring.py), the figures (estimates.py), tables and plots
    (best_of_n_shown.py), the command line (commands/best_of_n.py).
What is done is never done again: verdicts and scores are appended to the folder's files as they come, so a kill -9
    loses the programs and the batch that were running.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from acecoder_rl.evaluation.candidate_sampling import Sampling, fill
from acecoder_rl.evaluation.candidate_scoring import OnDone, ScoreError, Scorer, score_candidates
from acecoder_rl.evaluation.candidate_verdicts import judge_candidates
from acecoder_rl.evaluation.candidates import Candidates, Fields, read_candidates, read_questions
from acecoder_rl.evaluation.estimates import Ranked, report
from acecoder_rl.evaluation.ledger import WorkFolder, digest, fingerprint
from acecoder_rl.records import InputError, check_readable, jsonl_line
from acecoder_rl.reward_model.formats import format_named
from acecoder_rl.sandbox import Limits
from acecoder_rl.training import model_path

__all__ = ["BestOfN", "OnDone", "Outcome", "Pick", "ScoreError", "Scorer", "best_of_n", "gather"]


@dataclass(frozen=True)
class BestOfN:
    """What to choose from, and by what.

    Attributes:
        source: JSONL or Parquet of candidates; with `sampling` of problems.
        folder: where the work is kept: verdicts.jsonl, scores.jsonl, samples/, picks.jsonl, report.*.
        reward_model: folder or Hub id; or None with `endpoint`.
        endpoint: URL of a served reward model.
        format: of the reward model's prompt (reward_model/formats.py).
        max_tokens: of question and completion, for `reward_model`.
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
    max_tokens: int = 4096
    sampling: Sampling | None = None
    problems: Path | None = None
    verdicts: Path | None = None
    fields: Fields = field(default_factory=Fields)
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
        # Told before an hour of sampling and judging, not behind it.
        for model in (self.reward_model, self.sampling.model if self.sampling else None):
            if model is not None and model_path.missing(model):
                raise InputError(f"{model} is no folder: give a model's folder or its Hub id")
        try:
            format_named(self.format)
        except ValueError as error:
            raise InputError(str(error)) from None

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
            "max_tokens": self.max_tokens,
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
        flags: what was unusual for the reward model, with the number of candidates: "question_cut", "too_long",
            "empty", "special_tokens" (reward_model/encoding.py); a served one tells none.
    """

    picks: list[Pick]
    report: dict[str, Any] | None
    flags: dict[str, int]


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
            score_candidates(
                found, scores, scorer=scorer, reward_model=options.reward_model, endpoint=options.endpoint,
                format=options.format, max_tokens=options.max_tokens, on_done=on_done,
            )  # fmt: skip
            flags = Counter(flag for row in scores.rows.values() for flag in row["flags"])
            ranked = {
                each.id: [float(scores.rows[each.id, sample]["score"]) for sample in range(len(each.completions))]
                for each in found
            }
        picks = [_pick(each, ranked[each.id]) for each in found]
        _write(work.path / "picks.jsonl", b"".join(jsonl_line(asdict(pick)) for pick in picks))
        figures = _report(found, ranked)
        if figures is not None:
            _write(work.path / "report.json", json.dumps(figures, indent=1).encode() + b"\n")
        return Outcome(picks, figures, dict(flags))


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
        judge_candidates(
            found, verdicts, limits=options.limits, require=options.require, workers=options.workers, on_done=on_done
        )
    return found


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
