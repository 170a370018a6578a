"""A folder of work that survives kill -9: what is done is never done again.

Covers: append-only JSONL files of one row a candidate, in any order; the settings they were made with; one process
    at a time.
Does not cover: what the rows hold (best_of_n.py). results.py is for rows that come in the order of their input.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Self

from acecoder_rl.locks import taken
from acecoder_rl.records import InputError, jsonl_line

SETTINGS = "best-of-n.json"  # not run.json: a training run's folder has one
FILES = ("*.jsonl", "report.*", "samples/*.jsonl", "engine.log")


class Ledger:
    """One file: rows by the key (`id`, `sample`). A row is in the kernel's hands when `add` returns."""

    def __init__(self, path: Path) -> None:
        """Reads what is there; a half-written last line is cut off.

        Raises:
            InputError: the file is damaged elsewhere.
        """
        self.rows: dict[tuple[str, int], dict[str, Any]] = {}
        self._file = path.open("a+b")
        self._file.seek(0)
        end = 0
        for number, line in enumerate(self._file, 1):
            if not line.endswith(b"\n"):
                break
            try:
                row = json.loads(line)
                self.rows[row["id"], row["sample"]] = row
            except (ValueError, KeyError, TypeError):
                raise InputError(f"{path}:{number} is no row of ours: delete the file, or give --overwrite") from None
            end += len(line)
        self._file.truncate(end)

    def add(self, id: str, sample: int, **values: Any) -> None:
        """Write a row."""
        row = {"id": id, "sample": sample, **values}
        self._file.write(jsonl_line(row))
        self._file.flush()
        self.rows[id, sample] = row

    def close(self) -> None:
        """Let go of the file; what is written stays."""
        os.fsync(self._file.fileno())
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class WorkFolder:
    """The folder of one piece of work, held by one process at a time."""

    def __init__(
        self, path: Path, settings: dict[str, Any], *, resume: bool, overwrite: bool, name: str = SETTINGS
    ) -> None:
        """Takes the folder, and writes the settings down.

        Args:
            settings: JSON; what must be the same when the work is resumed.
            resume: go on with what is there; an empty folder is simply begun.
            overwrite: drop what is there.
            name: of the file with the settings.

        Raises:
            InputError: there is earlier work, and neither was asked for; or the settings differ, or cannot be read;
                or another process is at it.
        """
        if resume and overwrite:
            raise InputError("--resume and --overwrite exclude each other: give one of them")
        self.path, self._settings = path, path / name
        settings = json.loads(json.dumps(settings))
        if self._settings.exists() and not overwrite:
            if not resume:
                raise InputError(f"{path} has earlier work: --resume goes on with it, --overwrite drops it")
            self._check(settings)
        # What a run that was killed at its start leaves is ours.
        elif (
            path.is_dir()
            and not self._settings.exists()
            and any(each.name not in (".lock", name + ".tmp") for each in path.iterdir())
        ):
            raise InputError(f"{path} has files in it that are not ours: give another --folder")
        path.mkdir(parents=True, exist_ok=True)
        self._lock = (path / ".lock").open("ab")
        if not taken(self._lock):
            self._lock.close()
            raise InputError(f"{path} is in use by another process: wait for it, or give another --folder")
        if overwrite:
            # Only what is ours, the settings last: a folder without them would not be known again.
            for pattern in (*FILES, name):
                for file in path.glob(pattern):
                    file.unlink()
        half = self._settings.with_name(name + ".tmp")
        half.write_text(json.dumps(settings, indent=1) + "\n")
        half.replace(self._settings)

    def ledger(self, name: str) -> Ledger:
        """One of its files."""
        return Ledger(self.path / name)

    def close(self) -> None:
        """Leave it to the next process."""
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _check(self, settings: dict[str, Any]) -> None:
        try:
            before = json.loads(self._settings.read_bytes())
        except (OSError, ValueError) as error:
            raise InputError(
                f"{self._settings} cannot be read ({error}), so nobody knows how the work in {self.path} was done: "
                "give another --folder, or --overwrite"
            ) from None
        for name in settings | before:  # in their order: the telling ones come first
            if before.get(name) != settings.get(name):
                raise InputError(
                    f"{self.path} was made with {name} = {before.get(name)!r}, and this run has "
                    f"{settings.get(name)!r}: resume with the same, or give another --folder, or --overwrite"
                )


def digest(path: Path | None) -> str | None:
    """Of a file's content: a changed input is not resumed."""
    if path is None:
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


# What a model's answers depend on, besides its weights.
_SETTINGS = ("config.json", "tokenizer", "chat_template", "vocab", "merges", "special_tokens", "added_tokens")


def fingerprint(model: str) -> Any:
    """Of a model's folder: names, sizes and times of its weights, tokenizer and template; None for an id of the Hub."""
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return None
    files = [
        each for each in folder.iterdir() if each.suffix in (".safetensors", ".bin") or each.name.startswith(_SETTINGS)
    ]
    return [[each.name, each.stat().st_size, each.stat().st_mtime_ns] for each in sorted(files)]
