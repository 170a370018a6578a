"""The rollout log of a process: rollouts in, Parquet files out, from a thread of its own.

Covers: `active()`, the log that the environment asks for (ACECODER_RL_ROLLOUTS names its folder, and
    ACECODER_RL_ROLLOUTS_MB bounds it); `RolloutLog`; writing out at the end of a process, also by SIGTERM.
Does not cover: the files (shards.py), the rows (rows.py), reading (index.py).
Promises: `add` neither blocks nor raises, whatever the file system does; what cannot be kept is counted, and told
    once on stderr. A process that is killed (SIGKILL) loses what it added within the last FLUSH_SECONDS, or since the
    file system stalled; never a file that is there.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from acecoder_rl.rollouts import shards
from acecoder_rl.rollouts.rows import Rollout, table
from acecoder_rl.rollouts.suspects import suspicions

FOLDER = "ACECODER_RL_ROLLOUTS"
MEGABYTES = "ACECODER_RL_ROLLOUTS_MB"
DEFAULT_MB = 1000
FLUSH_SECONDS = 5.0  # that a row waits for others to share its file
FLUSH_ROWS = 1000
FLUSH_CHARS = 8 << 20
WAITING_CHARS = 64 << 20  # more than this behind a file system that stalls is dropped
JOINED = 16  # files of this process that become one
END_SECONDS = 10.0  # a process waits for its last rows

_logs: dict[str, RolloutLog] = {}
_lock = threading.Lock()


def active() -> RolloutLog | None:
    """The log that the environment asks for; None when it asks for none, or for one that cannot be."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return None
    with _lock:
        if folder not in _logs:
            _logs[folder] = RolloutLog(Path(folder), _megabytes())
            prepare()
        return _logs[folder]


def prepare() -> None:
    """Where the environment asks for a log: load what it needs, now and not within an event loop, and have SIGTERM
    write out first where it would end this process at once.

    The latter in main threads only; whoever has a handler keeps it: one that ends Python as usual needs no other.
    """
    if not os.environ.get(FOLDER):
        return
    _load()
    main = threading.current_thread() is threading.main_thread()
    if main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)


def _load() -> None:
    """Import what is needed: by whoever calls, since a process forked while our thread does it would have half of it;
    and not at the end, when interpreters import no more."""
    import multiprocessing.util  # noqa: F401

    with contextlib.suppress(ImportError):  # told with the first rows
        import pyarrow.parquet  # noqa: F401


def _end(number: int, frame: object) -> None:
    signal.signal(number, signal.SIG_DFL)  # the second one ends it at once

    def last() -> None:
        for log in list(_logs.values()):
            log.close()
        os.kill(os.getpid(), number)

    # Not here: the main thread may stand within `add`, and has to leave it first.
    threading.Thread(target=last, name="rollout-log-end", daemon=True).start()


def _megabytes() -> int:
    text = os.environ.get(MEGABYTES, "")
    if text and not (text.isdecimal() and int(text) > 0):
        _tell(f"{MEGABYTES} is {text!r}: give a whole number above 0; {DEFAULT_MB} is taken")
    return int(text) if text.isdecimal() and int(text) > 0 else DEFAULT_MB


def _tell(text: str) -> None:
    # stderr may be closed: in a daemon, at the very end of a process.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        print(f"acecoder-rl: rollout log: {text}", file=sys.stderr, flush=True)


class RolloutLog:
    """A writer into a log's folder; any number of processes, on any number of hosts, may have one each.

    Args:
        folder: is made with the first rollout.
        megabytes: that all files in the folder may take together (the rule is in shards.py).
        clock: tells what a row's waiting is measured by.
    """

    def __init__(self, folder: Path, megabytes: int = DEFAULT_MB, clock: Callable[[], float] = time.monotonic) -> None:
        _load()
        self.folder, self.most = folder.absolute(), megabytes << 20
        self.dropped = 0
        host = re.sub(r"[^A-Za-z0-9]+", "-", socket.gethostname())[:40]
        # The random part is for containers with one host name, and processes with one number.
        self.writer = f"{host}-{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self.run = self.folder.parent.name if self.folder.name == "rollouts" else self.folder.name
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: list[Rollout] = []
        self._chars = self._seq = 0
        # So that it looks after its first file: how many writers there are decides when it looks again.
        self._unchecked, self._writers = self.most, 1
        self._since: float | None = None  # the oldest that waits
        self._asked = self._closed = self._told = self._busy = False
        self._small: dict[shards.Shard, int] = {}  # with their bytes
        self._samples: Counter[tuple[str, str]] = Counter()
        self._owner = os.getpid()
        self._thread: threading.Thread | None = None

    def add(self, rollout: Rollout, wait: bool = False) -> None:
        """Take a rollout to write. Never raises.

        Args:
            wait: block while the writer is behind, instead of dropping it.
        """
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._room(rollout) or self._closed)
            if self._closed or not self._room(rollout):
                slow = "the file system is slower than the rollouts come"
                self._drop(1, "the log is closed" if self._closed else slow)
                return
            self._waiting.append(rollout)
            self._chars += rollout.size
            if self._since is None:
                self._since = self._clock()
                self._changed.notify_all()
            elif self._full():
                self._changed.notify_all()
            if self._thread is None:
                self._start()

    def flush(self, seconds: float = END_SECONDS) -> bool:
        """Have all that was added written; whether it was, within so many seconds."""
        with self._changed:
            self._asked = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: not (self._waiting or self._busy), seconds)

    def close(self) -> None:
        """Write what is left, and end the thread. What is added later is dropped."""
        if self._owner != os.getpid():
            return  # a forked child: the rows are its parent's
        with self._changed:
            told, self._closed = self._closed, True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(END_SECONDS)
        if self.dropped and not told:
            _tell(f"{self.dropped} rollouts of process {os.getpid()} are not in {self.folder}")

    def _start(self) -> None:
        from multiprocessing.util import Finalize

        self._thread = threading.Thread(target=self._work, name="rollout-log", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # no thread to be had, or the interpreter is ending
            self._thread = None
            self._drop(len(self._waiting), str(error))
            self._waiting, self._chars, self._since = [], 0, None
            return
        # Unlike atexit it is run in multiprocessing's children, too.
        Finalize(None, self.close, exitpriority=100)

    def _room(self, rollout: Rollout) -> bool:
        return not self._chars or self._chars + rollout.size <= WAITING_CHARS

    def _full(self) -> bool:
        return len(self._waiting) >= FLUSH_ROWS or self._chars >= FLUSH_CHARS

    def _due(self) -> bool:
        if self._since is None:
            self._asked = False
            return self._closed
        return self._closed or self._asked or self._full() or self._clock() - self._since >= FLUSH_SECONDS

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._due():
                    left = None if self._since is None else FLUSH_SECONDS - (self._clock() - self._since)
                    self._changed.wait(left if left is None else max(left, 0.01))
                batch, self._waiting = self._waiting, []
                self._since, self._busy = None, True
                over = self._closed and not batch
            if not over:
                self._write(batch)
            with self._changed:
                self._chars -= sum(rollout.size for rollout in batch)
                self._busy = False
                self._changed.notify_all()
            if over:
                return

    def _write(self, batch: list[Rollout]) -> None:
        """Never raises: a log that fails must not end a training."""
        try:
            self._shard(batch)
        except Exception as error:  # whatever it is, it is told, and the rows are counted
            self._drop(len(batch), f"{type(error).__name__}: {error}")
            return
        try:
            if len(self._small) >= JOINED:
                many = list(self._small)
                size = sum(self._small.values())
                self._small.clear()
                if size < self.most // 20:  # else the bound could not be kept by leaving some out
                    shards.join(self.folder, many, self._metadata())
            if self._unchecked > self.most // 100 // self._writers:
                self._unchecked = 0
                self._writers = shards.keep_bound(self.folder, self.most)
        except Exception as error:  # the rows are there, only not as few files, or too many
            self._tell_once(f"{type(error).__name__}: {error}: {self.folder} is not tidied up")

    def _shard(self, batch: list[Rollout]) -> None:
        rows = []
        for rollout in batch:
            key = rollout.mode, rollout.problem
            try:
                rows.append(rollout.row(self._seq, self.run, self._samples[key], suspicions(rollout)))
            except Exception as error:  # one row that cannot be made does not cost the others
                self._drop(1, f"{type(error).__name__}: {error}")
            self._samples[key] += 1
            self._seq += 1
        if not rows:
            return
        shard = shards.Shard(int(rows[0]["time"] * 1000), self.writer, rows[0]["seq"], rows[-1]["seq"])
        self.folder.mkdir(parents=True, exist_ok=True)
        size = shards.write(self.folder, shard, table(rows), self._metadata())
        self._unchecked += size
        self._small[shard] = size

    def _metadata(self) -> dict[str, str]:
        return {"acecoder_rl.dropped": str(self.dropped)}

    def _drop(self, rows: int, why: str) -> None:
        self.dropped += rows
        self._tell_once(f"{rows} rollouts are not in {self.folder}: {why}. It goes on, and this is not told again")

    def _tell_once(self, text: str) -> None:
        if not self._told:
            self._told = True
            _tell(text)


def _after_fork() -> None:
    global _lock
    _logs.clear()  # their threads stayed in the parent, and so do their rows
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork)
