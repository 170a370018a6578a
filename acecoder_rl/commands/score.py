"""`acecoder-rl score`: arguments and progress; the work is in acecoder_rl/score.py."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acecoder_rl.commands.told import check_output, console, errors_told

if TYPE_CHECKING:
    from acecoder_rl.score import OnRow

EPILOG = """[bold]Examples[/bold]

acecoder-rl score answers.jsonl -o verdicts.jsonl

acecoder-rl score answers.parquet --problems problems.jsonl -o verdicts.parquet --resume

cat answers.jsonl | acecoder-rl score - -o - > verdicts.jsonl

acecoder-rl score answers.jsonl -o generous.jsonl --test-seconds 10 --memory-mb 4096

acecoder-rl score answers.jsonl -o part2.jsonl --shard 2/3"""


def score(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="JSONL or Parquet; '-' reads JSONL from stdin. A row has a completion (or a list) in "
            "completion, output, response, generation, solution or code, and tests in any known format.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="A verdict a row: JSONL, .parquet, '-' for stdout. Without it only the summary is kept.",
        ),
    ] = None,
    problems: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Problems with the tests, joined by id.")
    ] = None,
    completion_field: Annotated[str | None, typer.Option(metavar="NAME", help="Where the completion is.")] = None,
    id_field: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where the id is (else problem_id, task_id, id, ...).")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where a killed run stopped; nothing is lost or repeated.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Drop an output that is there.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first bad row.")] = False,
    summary_path: Annotated[
        Path | None, typer.Option("--summary", metavar="FILE", help="The summary as JSON, too.")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N",
            help="The I-th of N equal parts of the rows, from 1; the outputs of all, joined by cat, are the whole's.",
        ),
    ] = None,
    rollouts: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Log all completions there, to look at with acecoder-rl rollouts DIR."),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Programs at once (else the cores we may use).")] = None,
    test_seconds: Annotated[
        float | None, typer.Option(help="CPU time a test may take.", rich_help_panel="Limits")
    ] = None,
    program_seconds: Annotated[
        float | None, typer.Option(help="CPU time of all tests together.", rich_help_panel="Limits")
    ] = None,
    wall_seconds: Annotated[
        float | None, typer.Option(help="Wall clock of a program, the last resort.", rich_help_panel="Limits")
    ] = None,
    memory_mb: Annotated[int | None, typer.Option(help="Memory of a program, MiB.", rich_help_panel="Limits")] = None,
    output_mb: Annotated[
        float | None, typer.Option(help="Output of a case, or one value returned.", rich_help_panel="Limits")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(help="Processes at once; 1 = no fork or exec.", rich_help_panel="Limits")
    ] = None,
    require: Annotated[
        str,
        typer.Option(
            metavar="LEVEL",
            help="The least isolation: namespaces, landlock or none.",
            rich_help_panel="Sandbox",
        ),
    ] = "namespaces",
    python: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Interpreter with the programs' packages.", rich_help_panel="Sandbox"),
    ] = None,
    preload: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODULE",
            help="Import it before programs start (numpy, ...); may be repeated.",
            rich_help_panel="Sandbox",
        ),
    ] = None,
) -> None:
    """Which tests does each completion pass? One verdict a completion, and a summary on stderr.

    Limits that are set here outrank those a problem carries. Bad rows are counted, listed and written to
    FILE.bad.jsonl beside the output.
    """
    from acecoder_rl.score import ScoreOptions
    from acecoder_rl.score import score as run_score

    given = {
        "test_seconds": test_seconds, "program_seconds": program_seconds, "wall_seconds": wall_seconds,
        "memory_mb": memory_mb, "output_mb": output_mb, "processes": processes,
    }  # fmt: skip
    options = ScoreOptions(
        source, output, problems, completion_field, id_field,
        {name: value for name, value in given.items() if value is not None},
        require, python, tuple(preload or ()), workers, resume, overwrite, strict, rollouts, _shard(shard),
    )  # fmt: skip
    started = time.perf_counter()
    with errors_told(hint="--resume goes on with it" if output is not None and str(output) != "-" else ""):
        for option, path in (("-o", output), ("--summary", summary_path)):
            check_output(option, path, source, problems)
        with _progress(source, shard) as on_row:
            summary, jail = run_score(options, on_row)
        if summary_path is not None:
            told = {**summary.to_dict(), "jail": jail, "settings": options.settings()}
            summary_path.write_text(json.dumps(told, indent=1) + "\n")
        summary.print(console(), jail, time.perf_counter() - started)
        if summary.bad_rows and output is not None and str(output) != "-":
            console().print(f"bad rows are in {output}.bad.jsonl", markup=False, highlight=False)


def _shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    number, slash, of = text.partition("/")
    if not (slash and number.isdecimal() and of.isdecimal()):
        raise typer.BadParameter(f"{text!r} is not I/N, such as 2/3", param_hint="--shard")
    return int(number), int(of)


@contextmanager
def _progress(source: Path, shard: str | None) -> Iterator[OnRow]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from acecoder_rl.records import count_rows
    from acecoder_rl.summary import Summary

    shown = console()
    columns = (
        TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[told]}"),
    )  # fmt: skip
    # Only for a person: in a log the summary says it all.
    with Progress(*columns, console=shown, disable=not shown.is_terminal, transient=True) as progress:
        total = count_rows(source) if shown.is_terminal and not shard else None
        task = progress.add_task("rows", total=total, told="")

        def on_row(row: int, summary: Summary) -> None:
            rate = summary.mean_pass_rate
            told = f"{summary.rows} completions" + ("" if rate is None else f", mean pass rate {rate:.3f}")
            progress.update(task, completed=row + 1, told=told)

        yield on_row
