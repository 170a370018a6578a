"""`acecoder-rl train`: arguments; the work is in acecoder_rl/training/."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acecoder_rl.commands.recipe_options import DryRun, Overrides, Resume
from acecoder_rl.commands.told import console, errors_told, training_told

EPILOG = """[bold]Examples[/bold]

acecoder-rl train recipes/quickstart.yaml --dry-run

acecoder-rl train recipes/quickstart.yaml --set train.learning_rate=1e-5 --set logging.folder=runs/slower

acecoder-rl train runs/slower/recipe.yaml --resume

acecoder-rl train recipes/ppo_qwen_coder_7b_rule.yaml --address http://head-node:8265"""


def train(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="A YAML file; recipes/ has some.", show_default=False)
    ],
    overrides: Overrides = None,
    dry_run: DryRun = False,
    resume: Resume = False,
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
    with errors_told(), training_told():
        if dry_run:
            from acecoder_rl.training.plan import explain

            print(explain(load_recipe(recipe, chosen), str(recipe), resume), end="")
        elif address is not None:
            from acecoder_rl.training.ray_job import submit

            submit(address, recipe, chosen, resume)
        else:
            from acecoder_rl.training.train import train as run_training

            run = run_training(str(recipe), chosen, resume)
            console().print(f"model    {run.model}\ncurves   {run.page}\nlog      {run.log}", highlight=False)
