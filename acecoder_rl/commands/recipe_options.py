"""What every command that runs a recipe takes."""

from __future__ import annotations

from typing import Annotated

import typer

Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Another value for a field; can be repeated.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check it all, print what would run, start nothing. Offline.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint in the run's folder.")]
