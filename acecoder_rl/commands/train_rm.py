"""`acecoder-rl train-rm`: arguments; the work is in acecoder_rl/reward_model/training/."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acecoder_rl.commands.recipe_options import DryRun, Overrides, Resume
from acecoder_rl.commands.told import console, errors_told, training_told

EPILOG = """[bold]Examples[/bold]

acecoder-rl train-rm recipes/rm_quickstart.yaml

acecoder-rl train-rm recipes/rm_qwen_coder_7b.yaml --dry-run

acecoder-rl train-rm recipes/rm_qwen_coder_7b.yaml --set data.path=pairs.jsonl --set data.margin=gap

acecoder-rl train-rm runs/rm_qwen_coder_7b/recipe.yaml --resume"""


def train_rm(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="A YAML file; recipes/rm_*.yaml are some.", show_default=False)
    ],
    overrides: Overrides = None,
    dry_run: DryRun = False,
    resume: Resume = False,
) -> None:
    """Train a reward model on preference pairs, as a recipe says.

    Pairs are rows of instruction, input, chosen and rejected: AceCodePair-300K's schema. The run's folder
    (logging.folder) gets the resolved recipe, the versions, the whole log, metrics.jsonl, curves, checkpoints,
    report.json (accuracy on held-out pairs, by gap and by length) and the model, in AceCodeRM's layout.
    """
    from acecoder_rl.reward_model.training.recipe import load

    chosen = overrides or []
    with errors_told(), training_told():
        if dry_run:
            from acecoder_rl.reward_model.training.plan import explain

            print(explain(load(recipe, chosen), str(recipe)), end="")
            return
        from acecoder_rl.reward_model.training.train import train

        run = train(str(recipe), chosen, resume)
        console().print(
            f"model    {run.model}\nreport   {run.report}\ncurves   {run.page}\nlog      {run.log}", highlight=False
        )
