"""`acecoder-rl doctor`: arguments; the work is in acecoder_rl/doctor.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acecoder_rl.commands.told import errors_told, training_told

EPILOG = """[bold]Examples[/bold]

acecoder-rl doctor

acecoder-rl doctor recipes/my.yaml

srun --ntasks-per-node=1 acecoder-rl doctor"""


def doctor(
    recipe: Annotated[
        Path | None,
        typer.Argument(
            metavar="RECIPE",
            help="Ask for the isolation of its sandbox, on nodes that share its folder.",
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """What this machine offers, which protection each missing piece costs, and the exact mend.

    Started by srun on several nodes, it shows one table of all of them: where they differ, whether they see the same
    folder, how far their clocks are apart.

    Exit status 0: programs run at the full isolation, or at what the recipe requires, on each node; 1: they do not, or
    a node does not answer or does not share the folder.
    """
    from acecoder_rl.doctor import doctor as run_doctor

    required = {}
    with errors_told(), training_told():
        if recipe is not None:
            from acecoder_rl.training.load import load_recipe

            loaded = load_recipe(recipe)
            required = {
                "require": loaded.sandbox.get("require", "namespaces"),
                "folder": Path(loaded.logging.folder or "runs").expanduser(),
            }
        raise typer.Exit(run_doctor(json=as_json, **required))
