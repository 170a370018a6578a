"""A lock keeps others out, dies with its holder, and stops nobody where the file system knows none."""

from __future__ import annotations

import errno
import fcntl

import pytest

from acecoder_rl.locks import taken


def test_one_holder_at_a_time(tmp_path):
    with (tmp_path / "lock").open("ab") as first, (tmp_path / "lock").open("ab") as second:
        assert taken(first) and taken(first)
        assert not taken(second)
        first.close()
        assert taken(second)


@pytest.mark.parametrize(("number", "known"), [(errno.ENOSYS, False), (errno.ENOLCK, False), (errno.EIO, True)])
def test_file_systems_without_locks(tmp_path, monkeypatch, number, known):
    def fails(file, how):
        raise OSError(number, "no")

    monkeypatch.setattr(fcntl, "flock", fails)
    with (tmp_path / "lock").open("ab") as file:
        if known:
            with pytest.raises(OSError, match="no"):
                taken(file)
        else:
            assert taken(file)
