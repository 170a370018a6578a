"""How a run can end besides well.

Covers: the exceptions that `acecoder-rl train` tells its user; RecipeError is in recipe.py.
"""

from __future__ import annotations


class NotInstalled(RuntimeError):
    """A package that the run needs is not here; the message says how to install it."""


class RunFailed(RuntimeError):
    """The training failed; the message tells the first cause and where the log is."""


class Stopped(Exception):
    """SIGINT or SIGTERM asked us to stop; the message tells what is lost.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int, message: str = "stopped") -> None:
        super().__init__(message)
        self.number = number
