"""`acecoder-rl best-of-n`: arguments and progress; the work is in acecoder_rl/evaluation/best_of_n.py."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acecoder_rl.commands.told import FAILED, check_output, console, errors_told, fail

if TYPE_CHECKING:
    from acecoder_rl.evaluation.best_of_n import OnDone

EPILOG = """[bold]Examples[/bold]

acecoder-rl best-of-n answers.jsonl --rm TIGER-Lab/AceCodeRM-7B -o picks.jsonl

acecoder-rl best-of-n answers.jsonl --problems problems.jsonl --endpoint http://127.0.0.1:8100 --json figures.json

acecoder-rl best-of-n answers.jsonl --verdicts verdicts.jsonl --rm runs/rm/model --folder runs/bon --resume

acecoder-rl best-of-n problems.jsonl --model Qwen/Qwen2.5-Coder-7B-Instruct --n 16 --rm runs/rm/model"""

_SAMPLE, _PROGRAMS = "Sampling", "Programs"


def best_of_n(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="JSONL or Parquet of candidates: one row a problem with a list of completions, or one row a "
            "completion with its problem's id. With --model: of problems.",
            show_default=False,
        ),
    ],
    rm: Annotated[str | None, typer.Option("--rm", metavar="PATH", help="The reward model: folder or Hub id.")] = None,
    endpoint: Annotated[
        str | None, typer.Option(metavar="URL", help="A served reward model (serve-rm), instead of --rm.")
    ] = None,
    rm_format: Annotated[
        str, typer.Option("--format", metavar="NAME", help="Its prompt: raw, or acecode as in its training data.")
    ] = "raw",
    max_tokens: Annotated[
        int, typer.Option(min=1, help="Of question and completion, for --rm; what does not fit is told.")
    ] = 4096,
    problems: Annotated[Path | None, typer.Option(metavar="FILE", help="Questions and tests, joined by id.")] = None,
    verdicts: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What `acecoder-rl score` made of FILE: no program is run again."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="The picks as JSONL, too.")
    ] = None,
    json_path: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="The figures as JSON, too.")] = None,
    folder: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="For work, picks, figures and plot (else runs/best-of-n/<FILE's name>)."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a killed run stopped; nothing is lost or repeated.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Drop earlier work in the folder.")] = False,
    completion_field: Annotated[str | None, typer.Option(metavar="NAME", help="Where the completion is.")] = None,
    id_field: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where the id is (else problem_id, task_id, id, ...).")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Sample the candidates with this model (vLLM).", rich_help_panel=_SAMPLE),
    ] = None,
    samples: Annotated[int, typer.Option("--n", min=1, help="Candidates a problem.", rich_help_panel=_SAMPLE)] = 16,
    temperature: Annotated[float, typer.Option(min=0.0, help="1 as in the paper.", rich_help_panel=_SAMPLE)] = 1.0,
    top_p: Annotated[float, typer.Option(help="Of the sampling.", rich_help_panel=_SAMPLE)] = 1.0,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Of a candidate.", rich_help_panel=_SAMPLE)] = 1024,
    prompt_template: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help="The user's turn, with {question} and {first_test}.", rich_help_panel=_SAMPLE
        ),
    ] = "{question}",
    assistant_prefix: Annotated[
        str, typer.Option(metavar="TEXT", help="What an answer starts with.", rich_help_panel=_SAMPLE)
    ] = "",
    chat: Annotated[
        bool, typer.Option("--chat/--no-chat", help="The model's chat template.", rich_help_panel=_SAMPLE)
    ] = True,
    device: Annotated[str, typer.Option(help="Of the engine: gpu or cpu.", rich_help_panel=_SAMPLE)] = "gpu",
    seed: Annotated[int, typer.Option(help="Of the engine.", rich_help_panel=_SAMPLE)] = 0,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Programs at once (else the cores we may use).", rich_help_panel=_PROGRAMS),
    ] = None,
    test_seconds: Annotated[
        float | None, typer.Option(help="CPU time a test may take.", rich_help_panel=_PROGRAMS)
    ] = None,
    require: Annotated[
        str,
        typer.Option(
            metavar="LEVEL", help="The least isolation: namespaces, landlock or none.", rich_help_panel=_PROGRAMS
        ),
    ] = "namespaces",
) -> None:
    """Pick each problem's best candidate by a reward model, and tell what that gains.

    Figures come where candidates have tests or verdicts: first, average, best of 1, 2, 4, ... and the oracle. The
    folder gets picks.jsonl, report.json, report.html and report.png. For other limits of programs, run
    `acecoder-rl score` first and give its output as --verdicts.
    """
    from acecoder_rl.evaluation.best_of_n import BestOfN, ScoreError
    from acecoder_rl.evaluation.best_of_n import best_of_n as run
    from acecoder_rl.evaluation.best_of_n_shown import draw, print_table
    from acecoder_rl.evaluation.candidate_sampling import Sampling
    from acecoder_rl.evaluation.candidates import Fields
    from acecoder_rl.evaluation.sampling import SamplingFailed

    where = folder or Path("runs/best-of-n") / source.stem
    with errors_told(hint="--resume goes on with it"):
        for option, path in (("-o", output), ("--json", json_path)):
            check_output(option, path, source, problems, verdicts)
        try:
            sampling = None
            if model is not None:
                sampling = Sampling(
                    model, samples, temperature, top_p, max_new_tokens, prompt_template, chat, assistant_prefix,
                    device, seed=seed,
                )  # fmt: skip
            options = BestOfN(
                source, where, rm, endpoint, rm_format, max_tokens, sampling, problems, verdicts,
                Fields(completion_field, id_field), {} if test_seconds is None else {"test_seconds": test_seconds},
                require, workers, resume, overwrite,
            )  # fmt: skip
            with progress() as on_done:
                outcome = run(options, on_done=on_done)
        except (ScoreError, SamplingFailed) as error:
            fail(f"{error} (--resume goes on with it)", FAILED)
        if outcome.flags:
            told = ", ".join(f"{flag} {count}" for flag, count in sorted(outcome.flags.items()))
            console().print(f"unusual for the reward model, candidates: {told}", highlight=False)
        if outcome.report is None:
            console().print("no problem has tests or verdicts: picks only", highlight=False)
        else:
            draw(outcome.report, where)
            print_table(outcome.report)
            if json_path is not None:
                shutil.copyfile(where / "report.json", json_path)
        if output is not None:
            shutil.copyfile(where / "picks.jsonl", output)
        console().print(f"picks    {output or where / 'picks.jsonl'}\nfolder   {where}", markup=False, highlight=False)


@contextmanager
def progress() -> Iterator[OnDone]:
    """Bars by stage, for a person."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    shown = console()
    columns = (TextColumn("{task.description:9}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Only for a person: in a log the table says it all.
    with Progress(*columns, console=shown, disable=not shown.is_terminal, transient=True) as bars:
        tasks: dict[str, object] = {}

        def on_done(stage: str, done: int, of: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=of)
            bars.update(tasks[stage], completed=done)  # type: ignore[arg-type]

        yield on_done
