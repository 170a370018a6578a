"""`acecoder-rl synthesize`: arguments and progress; the work is in acecoder_rl/synthesis/."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from acecoder_rl.commands.recipe_options import Overrides
from acecoder_rl.commands.told import BAD_INPUT, FAILED, console, errors_told, fail

if TYPE_CHECKING:
    from acecoder_rl.synthesis.run import OnProgress

EPILOG = """[bold]Examples[/bold]

acecoder-rl synthesize recipes/synthesize.yaml --dry-run

acecoder-rl synthesize recipes/synthesize.yaml --max-cost 5

acecoder-rl synthesize recipes/synthesize.yaml verify..sample

acecoder-rl synthesize recipes/synthesize.yaml --from pairs --set pairs.rule=code

acecoder-rl synthesize recipes/synthesize.yaml hard --set hard.source=TIGER-Lab/AceCode-87K"""

GOES_ON = "what is done is kept: the same command goes on"


def synthesize(
    recipe: Annotated[
        Path,
        typer.Argument(metavar="RECIPE", help="A YAML file; recipes/synthesize.yaml is one.", show_default=False),
    ],
    stage: Annotated[
        str | None,
        typer.Argument(
            metavar="STAGE",
            help="One of seeds, imagine, verify, sample, build, pairs, hard, report; some as verify..build; else all.",
            show_default=False,
        ),
    ] = None,
    overrides: Overrides = None,
    anew: Annotated[
        str | None,
        typer.Option("--from", metavar="STAGE", help="Forget this stage and those after it, but no model's answer."),
    ] = None,
    max_cost: Annotated[
        float | None,
        typer.Option(metavar="USD", min=0.0, help="Stop before the run's folder has cost more than this."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would run and cost at most; start and ask nothing.")
    ] = False,
) -> None:
    """Make a dataset of coding problems with tests, preference pairs and a hard subset from seed code.

    Each stage reads and writes Parquet in the run's folder. What is finished is not done again, after kill -9 neither,
    and no answer of a model is paid twice.
    """
    from acecoder_rl.synthesis.models import AskStopped
    from acecoder_rl.synthesis.recipe import load
    from acecoder_rl.synthesis.run import chosen, synthesize
    from acecoder_rl.synthesis.signals import interruptible
    from acecoder_rl.training.recipe import RecipeError

    came: list[int] = []
    with errors_told(hint=GOES_ON):
        try:
            loaded, stages = load(recipe, overrides or []), chosen(stage)
            if dry_run:
                from acecoder_rl.synthesis.plan import explain

                print(explain(loaded, stages, anew, max_cost), end="")
                return
            with interruptible() as came, _progress() as on_progress:
                folder = synthesize(loaded, stages, anew, max_cost, on_progress)
        except RecipeError as error:
            fail(str(error).replace("\n", "\nacecoder-rl: "), BAD_INPUT)
        except ModuleNotFoundError as error:
            fail(
                f"this needs {error.name}, which is not installed: make setup, or pip install '.[synthesis]'", BAD_INPUT
            )
        except AskStopped as error:
            fail(str(error), FAILED)
        except KeyboardInterrupt:
            if not came:  # before the run began
                raise
            fail(f"interrupted: {GOES_ON}", 128 + came[0])
        from acecoder_rl.synthesis.funnel import print_funnel

        print_funnel(folder)


@contextmanager
def _progress() -> Iterator[OnProgress]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from acecoder_rl.synthesis.funnel import dollars

    shown = console()
    columns = (
        TextColumn("{task.description:8}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[cost]}"),
    )
    # Only for a person: in a log the table at the end says it all.
    with Progress(*columns, console=shown, disable=not shown.is_terminal) as progress:
        tasks: dict[str, object] = {}

        def on_progress(stage: str, done: int, total: int | None, cost: float) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total, cost="")
            told = f"{dollars(cost)} USD" if cost else ""
            progress.update(tasks[stage], completed=done, total=total, cost=told)  # type: ignore[arg-type]

        yield on_progress
