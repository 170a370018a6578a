"""A stage resumes after any death with nothing lost, repeated or half-written, and refuses what changed under it.

Does not cover: what the stages do (their own tests), a real kill -9 of a whole run (test_kill.py).
"""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow
import pytest

from acecoder_rl.records import InputError
from acecoder_rl.synthesis import parts
from acecoder_rl.synthesis.stages import (
    Chunk,
    Dropped,
    dropped_of,
    fingerprint_of,
    held,
    rows_of,
    run_stage,
    state_of,
)

SCHEMA = pyarrow.schema([("id", pyarrow.string()), ("value", pyarrow.int64())])
ROWS = [{"id": f"row_{number}", "value": number} for number in range(11)]


def odd_ones(rows):
    """Keeps odd values, drops the others."""
    even = [Dropped(row["id"], "even" if row["value"] else "zero", {"value": row["value"]}) for row in rows]
    kept = [row for row in rows if row["value"] % 2]
    return Chunk(kept, [each for each in even if not each.detail["value"] % 2], {"seen": len(rows)}, 0.25 * len(rows))


def stage(folder: Path, process=odd_ones, *, rows=ROWS, size=4, settings=None, **more):
    return run_stage(folder, "odd", SCHEMA, rows, process, size, settings or {"a": {"b": 1}}, len(ROWS), **more)


def everything(folder: Path):
    state = vars(state_of(folder, "odd")) | {"seconds": None}
    return list(rows_of(folder, "odd")), list(dropped_of(folder, "odd")), state


def test_rows_drops_and_figures(tmp_path):
    told = []
    stage(tmp_path, on_done=lambda done, total: told.append((done, total)))
    rows, dropped, state = everything(tmp_path)
    assert [row["value"] for row in rows] == [1, 3, 5, 7, 9]
    assert [each.id for each in dropped] == ["row_0", "row_2", "row_4", "row_6", "row_8", "row_10"]
    assert dropped[0] == Dropped("row_0", "zero", {"value": 0})
    assert (state["state"], state["parts"], state["read"], state["kept"]) == ("finished", 3, 11, 5)
    assert state["dropped"] == {"zero": 1, "even": 5} and state["counts"] == {"seen": 11} and state["cost"] == 2.75
    assert told == [(0, 11), (4, 11), (8, 11), (11, 11), (11, 11)]


class Killed(BaseException):
    """Stands for kill -9: nothing after it runs but what a dead process leaves on the disk."""


def test_a_death_at_any_write_is_made_good(tmp_path, monkeypatch):
    stage(tmp_path / "whole")
    deaths = 0
    for at in range(100):
        folder = tmp_path / str(at)
        calls = 0

        def dying(call, at=at):
            def die_at(*arguments, **named):
                nonlocal calls
                calls += 1
                if calls == at + 1:
                    raise Killed
                return call(*arguments, **named)

            return die_at

        with monkeypatch.context() as patch:
            patch.setattr(parts.os, "fsync", dying(os.fsync))
            patch.setattr(Path, "replace", dying(Path.replace))
            try:
                stage(folder)
            except Killed:
                deaths += 1
            else:
                break  # no call is left to die at
        stage(folder)
        assert everything(folder) == everything(tmp_path / "whole"), f"died at call {at}"
        assert not list(folder.rglob("*.tmp"))
    assert deaths >= 20  # three chunks of two files each, and the state after each, of three calls a file


def test_done_chunks_are_not_done_again(tmp_path):
    def until_eight(rows):
        if rows[0]["value"] == 8:
            raise Killed
        return odd_ones(rows)

    with pytest.raises(Killed):
        stage(tmp_path, until_eight)
    seen = []
    # The size of its chunks is settled once it has begun.
    stage(tmp_path, lambda rows: seen.append(len(rows)) or odd_ones(rows), size=2)
    assert seen == [3]
    assert [row["value"] for row in rows_of(tmp_path, "odd")] == [1, 3, 5, 7, 9]


def test_a_process_with_a_memory_sees_done_chunks_again(tmp_path):
    def new_ones(fail_at=None):
        seen = set()

        def process(rows):
            if fail_at in [row["value"] for row in rows]:
                raise Killed
            kept = [row for row in rows if row["value"] % 5 not in seen and not seen.add(row["value"] % 5)]
            return Chunk(kept, [Dropped(row["id"], "seen") for row in rows if row not in kept])

        return process

    stage(tmp_path / "whole", new_ones(), size=3, replay=True)
    with pytest.raises(Killed):
        stage(tmp_path / "killed", new_ones(fail_at=7), size=3, replay=True)
    stage(tmp_path / "killed", new_ones(), size=3, replay=True)
    assert everything(tmp_path / "killed") == everything(tmp_path / "whole")
    assert [row["value"] for row in rows_of(tmp_path / "killed", "odd")] == [0, 1, 2, 3, 4]


def test_a_finished_stage_does_nothing(tmp_path):
    stage(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    def never():
        raise AssertionError("read")
        yield

    stage(tmp_path, never, rows=never())
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("finished", [True, False])
def test_changed_settings_name_the_field_and_the_mend(tmp_path, finished):
    stage(tmp_path, input="of then")
    if not finished:
        (tmp_path / "odd" / "stage.json").write_text(
            (tmp_path / "odd" / "stage.json").read_text().replace("finished", "running")
        )
    with pytest.raises(InputError, match=r"odd\.a\.b was 1, and is now 2: .*--from odd"):
        stage(tmp_path, input="of then", settings={"a": {"b": 2}})
    with pytest.raises(InputError, match=r"the input of odd was another one: .*--from odd"):
        stage(tmp_path, input="of now")


def test_a_stage_that_has_written_nothing_is_not_bound_to_its_settings(tmp_path):
    def not_to_be_had():
        raise ConnectionError("no network")
        yield

    with pytest.raises(ConnectionError):
        stage(tmp_path, rows=not_to_be_had(), settings={"path": "no/such"}, input="no/such")
    stage(tmp_path, settings={"path": "some/such"}, input="some/such", size=2)
    state = state_of(tmp_path, "odd")
    assert (state.settings, state.input, state.chunk_size) == ({"path": "some/such"}, "some/such", 2)
    # No row came: that is a result, and no beginning.
    stage(tmp_path / "none", rows=[])
    with pytest.raises(InputError, match=r"odd\.a\.b was 1, and is now 2"):
        stage(tmp_path / "none", rows=[], settings={"a": {"b": 2}})


def test_rows_that_nobody_knows_the_settings_of_are_not_gone_on_with(tmp_path):
    stage(tmp_path)
    (tmp_path / "odd" / "stage.json").unlink()
    with pytest.raises(InputError, match=r"odd has rows, but no stage\.json .*--from odd"):
        stage(tmp_path, settings={"a": {"b": 2}})


def test_a_missing_part_is_no_shorter_table(tmp_path):
    stage(tmp_path)
    (tmp_path / "odd" / "part-00001.parquet").unlink()
    with pytest.raises(InputError, match=r"part-00001\.parquet is missing: --from odd"):
        stage(tmp_path)
    with pytest.raises(InputError, match="is missing"):
        list(rows_of(tmp_path, "odd"))


def test_an_unfinished_stage_is_not_read(tmp_path):
    with pytest.raises(InputError, match="stage odd has not begun: run it first"):
        list(rows_of(tmp_path, "odd"))
    with pytest.raises(Killed):
        stage(tmp_path, lambda rows: (_ for _ in ()).throw(Killed))
    with pytest.raises(InputError, match="stage odd is not finished: run it first"):
        fingerprint_of(tmp_path, "odd")


def test_the_fingerprint_is_of_the_rows(tmp_path):
    for name, rows in (("one", ROWS), ("same", ROWS), ("other", [*ROWS, {"id": "row_11", "value": 11}])):
        stage(tmp_path / name, rows=rows)
    one, same, other = (fingerprint_of(tmp_path / name, "odd") for name in ("one", "same", "other"))
    assert one == same != other


def test_one_process_a_folder(tmp_path):
    second = held(tmp_path / "run")
    with held(tmp_path / "run"), pytest.raises(InputError, match="in use by another process"):
        second.__enter__()
    with held(tmp_path / "run"):
        pass


def test_no_more_than_a_chunk_is_read_ahead(tmp_path):
    drawn = done = 0

    def source():
        nonlocal drawn
        for row in ROWS:
            drawn += 1
            assert drawn - done <= 4
            yield row

    def process(rows):
        nonlocal done
        done += len(rows)
        return odd_ones(rows)

    stage(tmp_path, process, rows=source())
    assert done == len(ROWS)


def test_half_a_character_does_not_end_a_run(tmp_path):
    stage(
        tmp_path, lambda rows: Chunk([{"id": "a\ud800b", "value": 1}], [Dropped("\udfff", "bad", {"text": "\ud800"})])
    )
    assert [row["id"] for row in rows_of(tmp_path, "odd")] == ["a?b"] * 3
    assert next(dropped_of(tmp_path, "odd")) == Dropped("?", "bad", {"text": "\ud800"})
