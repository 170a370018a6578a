"""How commands end and what they show on stderr.

Covers: exit status (0; 1 a run failed; 2 bad usage or input), no traceback for a user's error, files to write that
    are looked at before the work.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


@contextmanager
def errors_told(hint: str = "") -> Iterator[None]:
    """A user's error ends with one line on stderr and its status; a fault of ours keeps its traceback."""
    from acecoder_rl.problems import ProblemError
    from acecoder_rl.records import InputError
    from acecoder_rl.sandbox.verdict import SandboxError

    try:
        yield
    except (InputError, ProblemError) as error:
        fail(str(error), BAD_INPUT)
    except BrokenPipeError:
        # The reader of our stdout has gone; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise typer.Exit(FAILED) from None
    except (SandboxError, OSError) as error:
        fail(f"{error}" + (f" ({hint})" if hint else ""), FAILED)
    except KeyboardInterrupt:
        fail("interrupted" + (f": {hint}" if hint else ""), INTERRUPTED)


@contextmanager
def training_told() -> Iterator[None]:
    """The errors of a training run, each with its status."""
    from acecoder_rl.training.cpu import UnknownVersion
    from acecoder_rl.training.errors import NotInstalled, RunFailed, Stopped
    from acecoder_rl.training.recipe import RecipeError

    try:
        yield
    except RecipeError as error:
        fail(str(error).replace("\n", "\nacecoder-rl: "), BAD_INPUT)
    except (NotInstalled, UnknownVersion) as error:
        fail(str(error), BAD_INPUT)
    except ModuleNotFoundError as error:
        fail(f"training needs {error.name}, which is not installed: make setup, or pip install '.[gpu]'", BAD_INPUT)
    except RunFailed as error:
        fail(str(error), FAILED)
    except Stopped as error:
        fail(str(error), 128 + error.number)


def check_output(option: str, path: Path | None, *inputs: Path | None) -> None:
    """Looks at a file to write before the work begins, so that neither its result nor what it reads is lost.

    Raises:
        InputError: it is a folder, its own folder is missing, or it is one of `inputs`.
    """
    from acecoder_rl.records import InputError

    if path is None or str(path) == "-":
        return
    if path.is_dir():
        raise InputError(f"{option} {path} is a folder: give a file")
    if not path.parent.is_dir():
        raise InputError(f"{option} {path}: there is no directory {path.parent}: make it first")
    for read in inputs:
        if read is not None and read.exists() and path.exists() and path.samefile(read):
            raise InputError(f"{option} {path} is the file that is read ({read}): give another")


def fail(message: str, status: int) -> None:
    print(f"acecoder-rl: {message}", file=sys.stderr)
    raise typer.Exit(status) from None


def console() -> Any:
    from rich.console import Console

    return Console(stderr=True)
