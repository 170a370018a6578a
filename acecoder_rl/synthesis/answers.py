"""The cache of answers: what was paid for once is never asked for again.

Covers: an SQLite file with a row an answer, by a key made of all that decides it; each answer is committed by itself,
    so that kill -9 loses none that had come.
Does not cover: failures, which cost nothing and are tried again in the next run.
One process at a time: the file is locked, and the lock ends with its holder. The lock is also what lets SQLite's
write-ahead log do without shared memory, which network file systems lack.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from acecoder_rl.records import InputError
from acecoder_rl.synthesis.models import Answer

_SCHEMA = """
create table if not exists answers (
    key blob primary key, model text not null, text text not null, finish text not null,
    tokens_in integer not null, tokens_out integer not null, cost real not null
);
create index if not exists paid on answers (cost) where cost > 0;  -- their sum without reading the texts
create table if not exists unsure (cost real not null);
"""


class Answers:
    """The cache; from any thread.

    Attributes:
        path: of its file.
    """

    def __init__(self, path: Path) -> None:
        """Opens it, made if need be.

        Raises:
            InputError: another process has it, or it is no such file.
        """
        self.path = path
        self._lock = threading.Lock()
        # Autocommit: a statement is a transaction.
        self._file = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            self._file.execute("pragma locking_mode = exclusive")
            self._file.execute("pragma journal_mode = wal")
            # Written to the kernel at each commit, to the disk now and then: a power cut may cost the last few.
            self._file.execute("pragma synchronous = normal")
            self._file.executescript(_SCHEMA)
        except sqlite3.OperationalError as error:
            self._file.close()
            if "locked" in str(error):
                raise InputError(f"{path} is in use by another process: wait for it") from None
            raise InputError(f"{path} cannot be opened as a cache of answers: {error}") from None
        except sqlite3.DatabaseError as error:
            self._file.close()
            raise InputError(
                f"{path} is no cache of answers, or damaged ({error}): move it away; its answers are asked for again"
            ) from None

    def get(self, key: bytes) -> Answer | None:
        """The answer, if it is there."""
        with self._lock:
            row = self._file.execute(
                "select text, finish, tokens_in, tokens_out, cost from answers where key = ?", (key,)
            ).fetchone()
        return None if row is None else Answer(_text(row[0]), *row[1:])

    def put(self, key: bytes, answer: Answer, model: str) -> None:
        """Keep an answer; when this returns, kill -9 no longer loses it. The first one of a key stays.

        Raises:
            OSError: the disk is full, and the like.
        """
        row = (key, model, _storable(answer.text), answer.finish, answer.tokens_in, answer.tokens_out, answer.cost)
        self._write("insert or ignore into answers values (?, ?, ?, ?, ?, ?, ?)", row)

    def add_unsure(self, cost: float) -> None:
        """Count what a request may have cost whose answer never came."""
        self._write("insert into unsure values (?)", (cost,))

    def cost(self) -> float:
        """USD of all answers, when they were paid."""
        return self._sum("select sum(cost) from answers where cost > 0")

    def unsure(self) -> float:
        """USD that requests may have cost whose answers never came."""
        return self._sum("select sum(cost) from unsure")

    def __len__(self) -> int:
        return int(self._sum("select count(*) from answers"))

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        with self._lock:
            try:
                self._file.execute(statement, values)
            except sqlite3.OperationalError as error:
                raise OSError(f"{self.path} cannot be written: {error}") from error

    def _sum(self, query: str) -> float:
        with self._lock:
            return self._file.execute(query).fetchone()[0] or 0.0


def key_of(decides: Mapping[str, Any]) -> bytes:
    """The key of an answer.

    Args:
        decides: plain JSON, all that decides the answer.
    """
    return hashlib.sha256(json.dumps(decides, sort_keys=True, separators=(",", ":")).encode()).digest()


# JSON can hold half a character (a lone surrogate), and SQLite cannot.
def _storable(text: str) -> str | bytes:
    try:
        text.encode()
        return text
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


def _text(stored: str | bytes) -> str:
    return stored if isinstance(stored, str) else stored.decode("utf-8", "surrogatepass")
