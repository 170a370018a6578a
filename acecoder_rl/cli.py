"""`acecoder-rl`: thin commands over the package.

Covers: arguments, help, exit status (0; 1 a run failed; 2 bad usage or input), no traceback for a user's
error.
Does not cover: the work itself; each command imports what it needs when it runs, so that --help is quick.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acecoder_rl import __version__

if TYPE_CHECKING:
    from acecoder_rl.score import OnRow

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="acecoder-rl",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""RL training of coder LLMs with rewards that cannot be cheated.

Start with [bold]acecoder-rl doctor[/bold]: what this machine offers, and how to mend what it lacks.""",
    epilog="""[bold]Examples[/bold]

acecoder-rl doctor

acecoder-rl score answers.jsonl -o verdicts.jsonl

acecoder-rl bench sandbox --quick

Exit status: 0; 1 a run failed; 2 bad usage or input.""",
)
bench = typer.Typer(no_args_is_help=True, help="Measure this machine.")
app.add_typer(bench, name="bench")


def main() -> None:
    """The entry point."""
    app()


def _version(wanted: bool) -> None:
    if wanted:
        print(f"acecoder-rl {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


@app.command(
    epilog="""[bold]Examples[/bold]

acecoder-rl score answers.jsonl -o verdicts.jsonl

acecoder-rl score answers.parquet --problems problems.jsonl -o verdicts.parquet --resume

cat answers.jsonl | acecoder-rl score - -o - > verdicts.jsonl

acecoder-rl score answers.jsonl -o generous.jsonl --test-seconds 10 --memory-mb 4096"""
)
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
    completion_field: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where the completion is.")
    ] = None,
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
    workers: Annotated[
        int | None, typer.Option(min=1, help="Programs at once (else the cores we may use).")
    ] = None,
    test_seconds: Annotated[
        float | None, typer.Option(help="CPU time a test may take.", rich_help_panel="Limits")
    ] = None,
    program_seconds: Annotated[
        float | None, typer.Option(help="CPU time of all tests together.", rich_help_panel="Limits")
    ] = None,
    wall_seconds: Annotated[
        float | None, typer.Option(help="Wall clock of a program, the last resort.", rich_help_panel="Limits")
    ] = None,
    memory_mb: Annotated[
        int | None, typer.Option(help="Memory of a program, MiB.", rich_help_panel="Limits")
    ] = None,
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
        typer.Option(
            metavar="PATH", help="Interpreter with the programs' packages.", rich_help_panel="Sandbox"
        ),
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
        require, python, tuple(preload or ()), workers, resume, overwrite, strict,
    )  # fmt: skip
    started = time.perf_counter()
    with _errors_told(hint="--resume goes on with it" if output is not None and str(output) != "-" else ""):
        with _progress(source) as on_row:
            summary, jail = run_score(options, on_row)
        if summary_path is not None:
            told = {**summary.to_dict(), "jail": jail, "settings": options.settings()}
            summary_path.write_text(json.dumps(told, indent=1) + "\n")
        summary.print(_console(), jail, time.perf_counter() - started)
        if summary.bad_rows and output is not None and str(output) != "-":
            _console().print(f"bad rows are in {output}.bad.jsonl", markup=False, highlight=False)


@app.command(
    epilog="""[bold]Examples[/bold]

acecoder-rl train recipes/quickstart.yaml --dry-run

acecoder-rl train recipes/quickstart.yaml --set train.learning_rate=1e-5 --set logging.folder=runs/slower

acecoder-rl train runs/slower/recipe.yaml --resume

acecoder-rl train recipes/ppo_qwen_coder_7b_rule.yaml --address http://head-node:8265"""
)
def train(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="A YAML file; recipes/ has some.", show_default=False)
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="A.B=C", help="Another value for a field; can be repeated."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check it all, print what would run, start nothing. Offline.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the last checkpoint in the run's folder.")
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Of a Ray cluster's dashboard (http://host:8265): run there as a job, with this folder shipped.",
        ),
    ] = None,
) -> None:
    """Train a model with OpenRLHF and our rewards, as a recipe says.

    The run's folder (logging.folder) gets the resolved recipe, the versions, the whole log, metrics.jsonl,
    curves.html and curves.png, checkpoints and the trained model. Ctrl-C stops all that was started.
    """
    from acecoder_rl.training.load import load_recipe

    chosen = overrides or []
    with _errors_told(), _training_told():
        if dry_run:
            from acecoder_rl.training.plan import explain

            print(explain(load_recipe(recipe, chosen), str(recipe)), end="")
        elif address is not None:
            from acecoder_rl.training.ray_job import submit

            submit(address, recipe, chosen, resume)
        else:
            from acecoder_rl.training.train import train as run_training

            run = run_training(str(recipe), chosen, resume)
            _console().print(f"model    {run.model}\ncurves   {run.page}\nlog      {run.log}", highlight=False)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """What this machine offers, which protection each missing piece costs, and the exact mend.

    Exit status 0: programs run at the full isolation; 1: only at a lower one.
    """
    from acecoder_rl.doctor import doctor as run_doctor

    raise typer.Exit(run_doctor(json=as_json))


@bench.command(
    "sandbox",
    epilog="""[bold]Examples[/bold]

acecoder-rl bench sandbox --quick

acecoder-rl bench sandbox --workers 2 --against evalplus --json bench.json""",
)
def bench_sandbox(
    workers: Annotated[int | None, typer.Option(min=1, help="Programs at once.")] = None,
    programs: Annotated[int, typer.Option(min=1, help="Programs in the workload.")] = 540,
    against: Annotated[
        str | None, typer.Option(metavar="NAME", help="evalplus: its own checker on the same programs.")
    ] = None,
    json_path: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="The figures as JSON.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer programs, one round: a first look.")] = False,
) -> None:
    """Programs/s, tests/s, CPU a program against the fork floor, and how many workers to use."""
    from acecoder_rl.bench.sandbox import run_bench

    with _errors_told():
        raise typer.Exit(run_bench(workers, programs, against, json_path, quick=quick))


@contextmanager
def _errors_told(hint: str = "") -> Iterator[None]:
    """A user's error ends with one line on stderr and its status; a fault of ours keeps its traceback."""
    from acecoder_rl.problems import ProblemError
    from acecoder_rl.records import InputError
    from acecoder_rl.sandbox.verdict import SandboxError

    try:
        yield
    except (InputError, ProblemError) as error:
        _fail(str(error), BAD_INPUT)
    except BrokenPipeError:
        # The reader of our stdout has gone; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise typer.Exit(FAILED) from None
    except (SandboxError, OSError) as error:
        _fail(f"{error}" + (f" ({hint})" if hint else ""), FAILED)
    except KeyboardInterrupt:
        _fail("interrupted" + (f": {hint}" if hint else ""), INTERRUPTED)


@contextmanager
def _training_told() -> Iterator[None]:
    """The errors of a training run, each with its status."""
    from acecoder_rl.training.cpu import UnknownVersion
    from acecoder_rl.training.errors import NotInstalled, RunFailed, Stopped
    from acecoder_rl.training.recipe import RecipeError

    try:
        yield
    except RecipeError as error:
        _fail(str(error).replace("\n", "\nacecoder-rl: "), BAD_INPUT)
    except (NotInstalled, UnknownVersion) as error:
        _fail(str(error), BAD_INPUT)
    except RunFailed as error:
        _fail(str(error), FAILED)
    except Stopped as error:
        _fail(str(error), 128 + error.number)


def _fail(message: str, status: int) -> None:
    print(f"acecoder-rl: {message}", file=sys.stderr)
    raise typer.Exit(status) from None


def _console() -> Any:
    from rich.console import Console

    return Console(stderr=True)


@contextmanager
def _progress(source: Path) -> Iterator[OnRow]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from acecoder_rl.records import count_rows
    from acecoder_rl.summary import Summary

    console = _console()
    columns = (
        TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
        TextColumn("{task.fields[told]}"),
    )  # fmt: skip
    # Only for a person: in a log the summary says it all.
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        total = count_rows(source) if console.is_terminal else None
        task = progress.add_task("rows", total=total, told="")

        def on_row(row: int, summary: Summary) -> None:
            rate = summary.mean_pass_rate
            told = f"{summary.rows} completions" + ("" if rate is None else f", mean pass rate {rate:.3f}")
            progress.update(task, completed=row + 1, told=told)

        yield on_row


if __name__ == "__main__":
    main()
