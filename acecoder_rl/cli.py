"""`acecoder-rl`: thin commands over the package.

Covers: which commands there are, and the help above them.
Does not cover: their arguments (commands/) nor the work; each command imports what it needs when it runs, so that
    --help is quick.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from acecoder_rl import __version__
from acecoder_rl.commands import (
    bench,
    best_of_n,
    convert_rm,
    doctor,
    evaluate,
    rollouts,
    score,
    serve_rm,
    synthesize,
    train,
    train_rm,
)

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

acecoder-rl train recipes/quickstart.yaml --dry-run

acecoder-rl bench sandbox --quick

Exit status: 0; 1 a run failed; 2 bad usage or input.""",
)
app.command(epilog=doctor.EPILOG)(doctor.doctor)
app.command(epilog=score.EPILOG)(score.score)
app.command(epilog=train.EPILOG)(train.train)
app.command(epilog=rollouts.EPILOG)(rollouts.rollouts)
app.command(name="train-rm", epilog=train_rm.EPILOG)(train_rm.train_rm)
app.command("best-of-n", epilog=best_of_n.EPILOG)(best_of_n.best_of_n)
app.command(epilog=evaluate.EPILOG)(evaluate.evaluate)
app.command(epilog=serve_rm.EPILOG)(serve_rm.serve_rm)
app.command("convert-rm", epilog=convert_rm.EPILOG)(convert_rm.convert_rm)
app.command(epilog=synthesize.EPILOG)(synthesize.synthesize)
app.add_typer(bench.bench, name="bench")


def main() -> None:
    """The entry point."""
    # As `python -m` has it: a recipe may name a reward's part in the folder it stands in.
    sys.path.insert(0, os.getcwd())
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


if __name__ == "__main__":
    main()
