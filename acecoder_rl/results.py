"""A result file that survives kill -9: rows in input order, resumed where they end.

Covers: the rows (JSONL; Parquet is made at the end from a .partial.jsonl beside it), the bad rows' side
file, the settings' side file, one writer at a time.
Does not cover: what the rows hold (score.py).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from acecoder_rl.locks import taken
from acecoder_rl.records import InputError, is_parquet, iter_rows, jsonl_line, jsonl_to_parquet, stdout_bytes

if TYPE_CHECKING:
    import pyarrow


class Results:
    """Where results go: a file, stdout ("-") or nowhere (None).

    Every row carries `row`, the number of its input row, and `index`, its place among that row's results;
    rows are written in that order. So the last whole line says where a killed run stopped, whatever the
    lines were buffered for: each is handed to the kernel before the next begins.

    Args:
        path: the output; Parquet by its ending, JSONL otherwise.
        settings: what must be the same when the file is resumed; kept beside it in `<path>.run.json`.
        resume: go on where an earlier run stopped; an absent file is simply started.
        overwrite: drop an earlier file.
    """

    def __init__(self, path: Path | None, settings: dict[str, Any], *, resume: bool, overwrite: bool) -> None:
        self.last: tuple[int, int] = (-1, -1)  # (row, index) of the last row written
        self.last_bad = -1
        self.finished = False  # an earlier run came to its end: nothing is left to do
        self._settings, self._resume, self._overwrite = settings, resume, overwrite
        self._path = path
        self._rows: BinaryIO | None = None
        self._bad: BinaryIO | None = None
        self._to_file = path is not None and str(path) != "-"
        if not self._to_file:
            if resume or overwrite:
                flag = "--resume" if resume else "--overwrite"
                raise InputError(f"{flag} needs a file to work on: give -o FILE")
            return
        assert path is not None
        self._working = path.with_name(path.name + ".partial.jsonl") if is_parquet(path) else path
        self._bad_path = path.with_name(path.name + ".bad.jsonl")
        self._settings_path = path.with_name(path.name + ".run.json")
        if resume and overwrite:
            raise InputError("--resume and --overwrite exclude each other: give one of them")
        if not path.parent.is_dir():
            raise InputError(f"{path}: there is no directory {path.parent}: make it first")
        if self._started() and not overwrite:
            if not resume:
                raise InputError(f"{path} is there already: --resume goes on with it, --overwrite drops it")
            self._check_settings()

    @property
    def bad_path(self) -> Path | None:
        """The bad rows' side file; None when the results don't go to a file."""
        return self._bad_path if self._to_file else None

    def open(self) -> None:
        """Takes the file for this run: one writer at a time. Changes nothing on disk before this."""
        if not self._to_file:
            self._rows = None if self._path is None else stdout_bytes()
            return
        assert self._path is not None
        self._rows = self._working.open("ab")
        if not taken(self._rows):
            raise InputError(f"{self._working} is being written by another process: wait for it, or give another -o")
        if self._overwrite:
            self._rows.truncate(0)
            for path in {self._path, self._bad_path, self._settings_path} - {self._working}:
                path.unlink(missing_ok=True)
        self.finished = self._resume and self._working != self._path and self._path.exists()
        if self._working.stat().st_size == 0 and not self.finished:
            self._bad_path.unlink(missing_ok=True)  # left by a run that got no further
            self._write_settings()
        last = _trim(self._working)
        if last is not None:
            self.last = (last["row"], last["index"])
        if self._bad_path.exists() and (bad := _trim(self._bad_path)) is not None:
            self.last_bad = bad["row"]

    def earlier(self) -> Iterator[dict[str, Any]]:
        """The rows an earlier run wrote."""
        if self._to_file:
            yield from _whole_rows(self._path if self.finished else self._working)

    def earlier_bad(self) -> Iterator[dict[str, Any]]:
        """The bad rows an earlier run wrote."""
        if self._to_file and self._bad_path.exists():
            yield from _whole_rows(self._bad_path)

    def write(self, record: dict[str, Any]) -> None:
        """Adds a row; it is in the kernel's hands when this returns."""
        if self._rows is not None:
            self._rows.write(jsonl_line(record))
            self._rows.flush()

    def write_bad(self, record: dict[str, Any]) -> None:
        """Adds a bad row to the side file, which is made with its first row."""
        if self._to_file:
            if self._bad is None:
                self._bad = self._bad_path.open("ab")
            self._bad.write(jsonl_line(record))
            self._bad.flush()

    def close(self) -> None:
        """Lets go of the files; what is written stays, to be resumed."""
        for file in (self._rows, self._bad):
            if file is not None and self._to_file:
                os.fsync(file.fileno())
                file.close()

    def finish(self, schema: Callable[[], pyarrow.Schema]) -> None:
        """All rows are written: makes the Parquet file, of the schema called for, where one was asked for."""
        if not self._to_file or self._working == self._path:
            return
        assert self._path is not None
        if not self.finished:
            jsonl_to_parquet(self._working, self._path, schema())
        self._working.unlink(missing_ok=True)

    def _started(self) -> bool:
        assert self._path is not None
        return any(path.exists() and path.stat().st_size > 0 for path in (self._path, self._working))

    def _check_settings(self) -> None:
        try:
            before = json.loads(self._settings_path.read_bytes())
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self._settings_path} cannot be read ({error}), so nobody knows how the rows in "
                f"{self._path} were made: give another -o, or --overwrite"
            ) from None
        for name, value in self._settings.items():
            if before.get(name) != value:
                raise InputError(
                    f"{self._path} was made with {name} = {before.get(name)!r}, and this run has {value!r}: "
                    "resume with the same, or give another -o, or --overwrite"
                )

    def _write_settings(self) -> None:
        half = self._settings_path.with_name(self._settings_path.name + ".tmp")
        half.write_text(json.dumps(self._settings, indent=1) + "\n")
        half.replace(self._settings_path)


def _whole_rows(path: Path) -> Iterator[dict[str, Any]]:
    for row in iter_rows(path):
        if row.record is None:
            raise InputError(f"{row.where} {row.reason}: the file is damaged: --overwrite makes it anew")
        yield row.record


def _trim(path: Path) -> dict[str, Any] | None:
    """Cuts a half-written last line off; returns the last whole row."""
    end, last = 0, b""
    with path.open("r+b") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            end, last = end + len(line), line
        file.truncate(end)
    if not last:
        return None
    try:
        row = json.loads(last)
        return {"row": int(row["row"]), "index": int(row.get("index", 0))}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"{path}: its last line is no result row: give another -o, or --overwrite") from None
