"""What happens to a run beside its training: messages of the other nodes, signals, its end before time.

Covers: what such an event holds, hearing signals.
Does not cover: the messages' way (line.py), what follows from an event (lead.py).
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from queue import SimpleQueue

from acecoder_rl.slurm.line import Line


class Ends(Exception):
    """The run ends before the training does.

    Args:
        status: of this process.
        message: why.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Event:
    """What happened: message of a node, or a signal.

    Attributes:
        kind: hello, up, failed, gone (a node); limit, stop (a signal).
        node: whose.
        text: what it says.
        number: of the signal.
        line: to the node.
    """

    kind: str
    node: str = ""
    text: str = ""
    number: int = 0
    line: Line | None = None


Events = SimpleQueue  # of Event; its put may be called in a signal handler


def hear_signals(events: Events[Event]) -> None:
    """Once each: a second one must not break the clean-up."""

    def hear(number: int, frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        kind = "limit" if number == signal.SIGUSR1 else "stop"
        events.put(Event(kind, number=number))

    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, hear)
