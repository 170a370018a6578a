"""What may be spent: asked before a request is sent, with the worst that all requests in flight may cost.

Covers: `--max-cost` for a whole run folder: what earlier processes paid counts.
Does not cover: what the endpoint's owner charges beyond tokens; requests that were in flight at a kill -9.
"""

from __future__ import annotations

from acecoder_rl.records import InputError
from acecoder_rl.synthesis.answers import Answers
from acecoder_rl.synthesis.models import AskStopped


class BudgetSpent(AskStopped):
    """The next request might overrun the limit."""


class Budget:
    """USD spent and to spend.

    Attributes:
        max_cost: USD; None = no limit.
        spent: by answers, earlier processes' included.
        unsure: by requests whose answer never came, such as time-outs: the server may charge them. They count.
        reserved: by requests in flight, at worst.
    """

    def __init__(self, max_cost: float | None = None, answers: Answers | None = None) -> None:
        """Raises InputError for a limit below 0."""
        if max_cost is not None and not max_cost >= 0:
            raise InputError(f"max_cost is {max_cost!r}: give USD, 0 or more")
        self.max_cost = max_cost
        self.spent = 0.0 if answers is None else answers.cost()
        self.unsure = 0.0 if answers is None else answers.unsure()
        self.reserved = 0.0
        self._in_flight = 0

    def reserve(self, worst: float) -> bool:
        """Before a request is sent: whether it may be. False: not while so much is in flight.

        Raises:
            BudgetSpent: nothing is in flight, and it still may not be.
        """
        if self.max_cost is not None and worst and self.spent + self.unsure + self.reserved + worst > self.max_cost:
            if self._in_flight:
                return False
            raise BudgetSpent(self._told(worst))
        self.reserved += worst
        self._in_flight += 1
        return True

    def settle(self, worst: float, paid: float, unsure: float = 0.0) -> None:
        """The request is over.

        Args:
            worst: as it was reserved.
            paid: for its answers.
            unsure: what it may have cost without one.
        """
        self._in_flight -= 1
        self.reserved = self.reserved - worst if self._in_flight else 0.0  # no remnants of rounding
        self.spent += paid
        self.unsure += unsure

    def _told(self, worst: float) -> str:
        unsure = f" and up to {self.unsure:.4f} USD by requests without an answer" if self.unsure else ""
        return (
            f"stopped by --max-cost {self.max_cost:g}: {self.spent:.4f} USD are spent{unsure}, and the next request "
            f"may cost {worst:.4f} USD: every answer is kept; the same command with a higher --max-cost goes on here"
        )
