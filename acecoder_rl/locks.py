"""One process at a time at a file or in a folder.

Covers: locks that die with their holder, also by kill -9.
Does not cover: waiting, and what to say when another process has it (the callers).
"""

from __future__ import annotations

import errno
import fcntl
from typing import IO, Any

# Lustre that is mounted without "flock" and some network file systems know no locks: there, nobody is kept out.
_UNKNOWN = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL)


def taken(file: IO[Any]) -> bool:
    """Take the lock of an open file until it is closed or the process ends; False when another process has it."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _UNKNOWN:
            raise
    return True
