"""A rollout log in memory: the small columns of all rows; texts stay in the files, but for what is searched.

Covers: shards that appear, are joined and are deleted while a run goes on; steps; filtering, sorting;
    reading single rollouts.
Does not cover: searching texts (texts.py), curves and alarms over a run (alarms.py), HTTP (app.py).
A row is known by `<writer>:<number>`, whatever file it is in.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy
import pyarrow
import pyarrow.parquet as parquet

from acecoder_rl.records import InputError
from acecoder_rl.rollouts import shards, steps
from acecoder_rl.rollouts.parts import COUNTS, NAMES, NUMBERS, Part, empty, read_part
from acecoder_rl.rollouts.texts import TextSearch

if TYPE_CHECKING:
    from collections.abc import Iterable

SORTS = ("time", "step", "reward", "pass_rate", "holdout_pass_rate", "length", "seconds")
GROUPS_KEPT = 8  # decoded row groups: those that somebody is looking at


@dataclass(frozen=True)
class Filter:
    """Which rows are asked for; None and "" ask for all.

    Attributes:
        mode: "train" or "eval".
        step_min, step_max, reward_min, reward_max: bounds, each inclusive.
        flags: rows with any of these.
        problem: a part of the problem's id, in any case.
        exact: the problem's whole id.
        text: stands in the completion or the question, in any case.
        repeated: also what was done again after the run was resumed.
    """

    mode: str = ""
    step_min: int | None = None
    step_max: int | None = None
    reward_min: float | None = None
    reward_max: float | None = None
    flags: tuple[str, ...] = ()
    problem: str = ""
    exact: str | None = None
    text: str = ""
    repeated: bool = False


class Index:
    """The rows of a log, oldest shard first.

    Args:
        folder: of the log, or of a run that has one.

    Raises:
        InputError: there is none.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InputError(f"{folder}: there is no such folder: give a run's, or one that rollouts are logged to")
        # A run's folder; before its first rollout the log may not be there yet.
        self.folder = (
            folder / "rollouts" if (folder / "rollouts").is_dir() or (folder / "run.json").exists() else folder
        )
        self.name = folder.absolute().name
        self.version = 0
        self.unreadable: dict[str, str] = {}
        self.columns: dict[str, numpy.ndarray] = empty()
        self.problems: list[str] = []
        self._parts: dict[shards.Shard, Part] = {}
        self._order: list[Part] = []
        self._starts = numpy.zeros(1, int)  # of each part's rows
        self._steps_state: object = None
        self._groups: OrderedDict[tuple[shards.Shard, int], pyarrow.Table] = OrderedDict()
        self._texts = TextSearch(self.folder)
        # Whoever asks holds it from its first question to its last: rows change their places when files come and go.
        self.lock = threading.RLock()

    def __len__(self) -> int:
        return len(self.columns["time"])

    @property
    def dropped(self) -> int:
        """Rows that writers could not keep."""
        most: dict[str, int] = {}
        for part in self._order:
            most[part.shard.writer] = max(most.get(part.shard.writer, 0), part.dropped)
        return sum(most.values())

    def refresh(self) -> None:
        """Take in what has been written since; cheap when nothing has."""
        with self.lock:
            there = shards.listed(self.folder) if self.folder.is_dir() else []
            file = self.folder / steps.FILE
            state = file.stat().st_size if file.exists() else None
            new = [shard for shard in there if shard not in self._parts and shard.name not in self.unreadable]
            gone = self._parts.keys() - set(there)
            self.unreadable = {
                shard.name: self.unreadable[shard.name] for shard in there if shard.name in self.unreadable
            }
            if not new and not gone and state == self._steps_state:
                return
            for shard in new:
                try:
                    self._parts[shard] = read_part(self.folder, shard)
                except FileNotFoundError:  # joined or deleted since it was listed: seen at the next refresh
                    continue
                except (OSError, pyarrow.ArrowException, KeyError) as error:
                    self.unreadable[shard.name] = f"{type(error).__name__}: {error}"
            for shard in gone:
                del self._parts[shard]
                self._texts.forget(shard)
            self._steps_state = state
            self._put_together()

    def _put_together(self) -> None:
        self._order = [self._parts[shard] for shard in sorted(self._parts)]
        names: dict[str, int] = {}
        codes = []
        for part in self._order:
            own = numpy.array([names.setdefault(name, len(names)) for name in part.problems] or [0], numpy.int32)
            codes.append(own[part.columns["problem"]])
        columns = empty()
        if self._order:
            for name in columns:
                if name in self._order[0].columns:
                    columns[name] = numpy.concatenate([part.columns[name] for part in self._order])
            columns["problem"] = numpy.concatenate(codes)
            columns["part"] = numpy.repeat(
                numpy.arange(len(self._order)), [len(part.columns["time"]) for part in self._order]
            )
            columns["repeated"] = numpy.zeros(len(columns["time"]), bool)
        known = steps.Steps(self.folder)
        if len(known):
            by_time, repeated = known.of(columns["time"], columns["eval"])
            own = columns["step"]
            columns["step"] = numpy.where(own >= 0, own, by_time).astype(numpy.int32)
            columns["repeated"] = repeated & (own < 0)
        self._starts = numpy.cumsum([0, *(len(part.columns["time"]) for part in self._order)])
        self.columns, self.problems = columns, list(names)
        self.version += 1

    def select(self, wanted: Filter, sort: str = "time", descending: bool = True) -> numpy.ndarray:
        """Numbers of the rows that are asked for, in order."""
        columns = self.columns
        keep = numpy.ones(len(self), bool)
        if not wanted.repeated:
            keep &= ~columns["repeated"]
        if wanted.mode:
            keep &= columns["eval"] == (wanted.mode == "eval")
        for name, least, most in (
            ("step", wanted.step_min, wanted.step_max),
            ("reward", wanted.reward_min, wanted.reward_max),
        ):
            if least is not None:
                keep &= columns[name] >= least
            if most is not None:
                keep &= columns[name] <= most
                keep &= columns["step"] >= 0 if name == "step" else True  # -1 is none
        if wanted.flags:
            mask = sum(1 << NAMES.index(flag) for flag in set(wanted.flags) if flag in NAMES)
            keep &= (columns["flags"] & mask) != 0
        if wanted.exact is not None:
            keep &= numpy.array([name == wanted.exact for name in self.problems] or [False])[columns["problem"]]
        elif wanted.problem:
            part = wanted.problem.lower()
            keep &= numpy.array([part in name.lower() for name in self.problems] or [False])[columns["problem"]]
        if wanted.text:
            keep &= self._with_text(wanted.text, keep)
        rows = numpy.flatnonzero(keep)
        keys = columns[sort][rows].astype(float)
        if sort == "step":
            keys[keys < 0] = numpy.nan
        # Rows without the number come last either way.
        keys = numpy.where(numpy.isnan(keys), numpy.inf, -keys if descending else keys)
        return rows[numpy.lexsort((-columns["time"][rows] if descending else columns["time"][rows], keys))]

    def _with_text(self, text: str, candidates: numpy.ndarray) -> numpy.ndarray:
        found = numpy.zeros(len(self), bool)
        for number in reversed(range(len(self._order))):  # the newest first: theirs are the texts to keep
            start, end = self._starts[number], self._starts[number + 1]
            if candidates[start:end].any():
                shard = self._order[number].shard
                try:
                    found[start:end] = self._texts.rows(shard, text)
                except FileNotFoundError:  # joined or deleted: gone at the next refresh
                    pass
                except (OSError, pyarrow.ArrowException) as error:  # its small columns are whole: the rest is found
                    self.unreadable[shard.name] = f"{type(error).__name__}: {error}"
        return found

    def prepare_search(self) -> None:
        """Read the texts that a search will want, the newest first; for a thread, while somebody looks at the list."""
        with self.lock:
            todo = [part.shard for part in reversed(self._order)]
        for shard in todo:
            # What cannot be read is told by the search that wants it.
            with contextlib.suppress(OSError, pyarrow.ArrowException):
                texts = self._texts.read(shard)  # without the lock: nobody waits for this
                with self.lock:
                    if shard in self._parts and not self._texts.keep(shard, texts):
                        return

    def key(self, row: int) -> str:
        """What a row is known by."""
        return f"{self._order[self.columns['part'][row]].shard.writer}:{self.columns['seq'][row]}"

    def row(self, key: str) -> int | None:
        """The row of a key, if it is (still) there."""
        writer, _, seq = key.rpartition(":")
        if not seq.isdecimal():
            return None
        for number, part in enumerate(self._order):
            if part.shard.writer == writer and part.shard.first <= int(seq) <= part.shard.last:
                inside = numpy.flatnonzero(part.columns["seq"] == int(seq))
                if len(inside):
                    return int(self._starts[number] + inside[0])
        return None

    def brief(self, rows: Iterable[int]) -> list[dict[str, Any]]:
        """What a list shows of rows."""
        columns, told = self.columns, []
        for row in rows:
            record: dict[str, Any] = {"key": self.key(row), "problem": self.problems[columns["problem"][row]]}
            for name in (*NUMBERS, *COUNTS):
                value = columns[name][row].item()
                record[name] = None if value != value else value
            record["step"] = record["step"] if record["step"] >= 0 else None
            record["mode"] = "eval" if columns["eval"][row] else "train"
            record["truncated"] = bool(columns["truncated"][row])
            record["repeated"] = bool(columns["repeated"][row])
            record["flags"] = [name for bit, name in enumerate(NAMES) if columns["flags"][row] >> bit & 1]
            told.append(record)
        return told

    def whole(self, row: int) -> dict[str, Any]:
        """All of a rollout, its texts too.

        Raises:
            FileNotFoundError: its file has just been joined or deleted.
            OSError, pyarrow.ArrowException: it is damaged.
        """
        number = int(self.columns["part"][row])
        inside = int(row - self._starts[number])
        group, inside = divmod(inside, shards.ROWS)
        record = self._group(self._order[number].shard, group).slice(inside, 1).to_pylist()[0]
        for name in ("tests", "components", "reasons"):
            record[name] = json.loads(record[name])
        return record | self.brief([row])[0]

    def _group(self, shard: shards.Shard, group: int) -> pyarrow.Table:
        with self.lock:
            if (shard, group) not in self._groups:
                with parquet.ParquetFile(self.folder / shard.name) as file:
                    self._groups[shard, group] = file.read_row_group(group)
                if len(self._groups) > GROUPS_KEPT:
                    self._groups.popitem(last=False)
            self._groups.move_to_end((shard, group))
            return self._groups[shard, group]

    def siblings(self, row: int) -> numpy.ndarray:
        """The group of a row: the samples of its problem in its step, in the order of scoring."""
        columns = self.columns
        same = columns["problem"] == columns["problem"][row]
        for name in ("step", "eval", "repeated"):
            same &= columns[name] == columns[name][row]
        rows = numpy.flatnonzero(same)
        return rows[numpy.argsort(columns["time"][rows], kind="stable")]

    def groups(self, rows: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray, numpy.ndarray]:
        """Groups among rows: the first row of each, its size, least and greatest reward."""
        columns = self.columns
        if not len(rows):
            return rows, rows, rows, rows
        code = (columns["step"][rows].astype(numpy.int64) * 2 + columns["eval"][rows]) * (len(self.problems) + 1)
        code += columns["problem"][rows]
        order = numpy.argsort(code, kind="stable")
        code, rows = code[order], rows[order]
        starts = numpy.flatnonzero(numpy.r_[True, code[1:] != code[:-1]])
        rewards = columns["reward"][rows]
        least, greatest = numpy.minimum.reduceat(rewards, starts), numpy.maximum.reduceat(rewards, starts)
        return rows[starts], numpy.diff(numpy.r_[starts, len(rows)]), least, greatest
