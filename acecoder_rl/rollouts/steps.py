"""Which step of a training a rollout belongs to, by when it was scored.

Covers: steps.jsonl beside the shards, which whoever watches a run writes; attempts, where a run was resumed.
Does not cover: trainers that hand the step to the reward: there it is in the row.

OpenRLHF does not tell an agent the step. But its trainer logs when a step is over, and samples for the next one only
then (its asynchronous mode aside, where it is the step that was under way). So the step of a rollout that was scored
at a time is the one after the last that was over; of an evaluation, which comes after a step, that one. The log's
stamps are whole seconds of the trainer's clock; within the second, the step ended in the longest pause between
rollouts, which holds log-probs, update, new weights and sampling. So it is exact where the clocks of the machines
differ by less than lies between a step's last reward and its end, and between that and the next reward.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy

FILE = "steps.jsonl"
_STAMP = re.compile(r"INFO \d+-\d+ \d+:(\d\d):(\d\d) ")


def begin(folder: Path, step: int) -> None:
    """A run begins, or goes on behind a step."""
    folder.mkdir(parents=True, exist_ok=True)
    _append(folder, {"begins": True, "step": step, "time": time.time()})


def over(folder: Path, step: int, line: str) -> None:
    """A step is over, as a line of the trainer's log says, with its stamp."""
    if folder.is_dir():
        _append(folder, {"step": step, "time": stamp(line, time.time())})


def stamp(line: str, now: float) -> float:
    """When a line was logged. It has been on its way for up to some seconds, from a machine that may be in another
    time zone: these differ by quarters of an hour, so that minute and second within one are what counts."""
    found = _STAMP.search(line)
    if found is None:
        return now
    logged = 60 * int(found[1]) + int(found[2])
    return now - ((now - logged + 450) % 900 - 450)


def _append(folder: Path, record: dict[str, object]) -> None:
    with (folder / FILE).open("a") as file:
        # A new line first: a launcher that was killed while it wrote has left half of one.
        file.write("\n" + json.dumps(record) + "\n")


class Steps:
    """What steps.jsonl says.

    Args:
        folder: of the log.
    """

    def __init__(self, folder: Path) -> None:
        import numpy

        path = folder / FILE
        lines = path.read_text().splitlines() if path.exists() else []
        # The half lines of killed launchers do not end so.
        records = sorted((json.loads(line) for line in lines if line.endswith("}")), key=lambda each: each["time"])
        self._times = numpy.array([each["time"] for each in records], float)
        self._steps = numpy.array([each["step"] for each in records], int)
        begins = numpy.array([bool(each.get("begins")) for each in records], bool)
        self._stamps = numpy.flatnonzero(~begins)
        self._attempts = numpy.cumsum(begins)
        self._begins = self._steps[begins]

    def __len__(self) -> int:
        return len(self._times)

    def of(self, times: numpy.ndarray, evaluates: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Steps of rollouts, -1 where nothing is known, and whether each was done again after the run was resumed.

        Args:
            times: when they were scored.
            evaluates: whether they are an evaluation's.
        """
        import numpy

        if not len(self._times):
            return numpy.full(len(times), -1), numpy.zeros(len(times), bool)
        last = numpy.searchsorted(self._ends(numpy.sort(times)), times, side="right") - 1
        known = last >= 0
        steps = numpy.where(known, self._steps[last] + ~evaluates, -1)
        again = numpy.zeros(len(times), bool)
        for attempt, step in enumerate(self._begins, 1):
            again |= (self._attempts[last] < attempt) & (steps > step)
        return steps, again & known

    def _ends(self, times: numpy.ndarray) -> numpy.ndarray:
        """When the steps were over, each within the second of its stamp, from the times of all rollouts in order."""
        import numpy

        ends = self._times.copy()
        first = numpy.searchsorted(times, ends, side="left")
        behind = numpy.searchsorted(times, ends + 1, side="right")
        for at in self._stamps:
            # Within the second only: what came before may be a run's start.
            near = numpy.r_[ends[at], times[first[at] : behind[at]], ends[at] + 1]
            pause = int(numpy.argmax(numpy.diff(near)))
            ends[at] = (near[pause] + near[pause + 1]) / 2
        return numpy.maximum.accumulate(ends)
