"""The rollout log's writer: many processes, files that are whole, a bound, ends of processes of every kind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow.parquet as parquet

from acecoder_rl.rollouts import log as log_module
from acecoder_rl.rollouts import shards
from acecoder_rl.rollouts.index import Filter, Index
from acecoder_rl.rollouts.log import FOLDER, RolloutLog
from tests.rollouts.made import RIGHT, rollout

REPOSITORY = Path(__file__).resolve().parents[2]
BEGIN = """
import os, sys, time, signal
from acecoder_rl.rollouts import log
from tests.rollouts.made import rollout
log.prepare()
def add(first, count):
    for number in range(first, first + count):
        log.active().add(rollout(number))
"""


def python(folder: Path, code: str, **options: object) -> subprocess.Popen[str]:
    """A process that logs into a folder."""
    environment = {**os.environ, FOLDER: str(folder), "PYTHONPATH": str(REPOSITORY)}
    return subprocess.Popen(
        [sys.executable, "-c", BEGIN + code], env=environment, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, **options,
    )  # fmt: skip


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=240)
    return process.returncode, errors


def times(folder: Path) -> list[float]:
    """Of all rows in a log: rollout(n) has time 1e9 + n."""
    index = Index(folder)
    index.refresh()
    return sorted(index.columns["time"].tolist())


def first(count: int) -> list[float]:
    return [1e9 + number for number in range(count)]


def rows(folder: Path) -> list[dict]:
    return [row for shard in shards.listed(folder) for row in parquet.read_table(folder / shard.name).to_pylist()]


def test_a_row_holds_all_that_was_found_out(tmp_path):
    log = RolloutLog(tmp_path / "a-run" / "rollouts")
    log.add(
        rollout(3, "110", held_out=frozenset({2}), pass_rate=1.0, holdout_pass_rate=0.0, truncated=True, seconds=2.5)
    )
    log.close()
    (row,) = rows(tmp_path / "a-run" / "rollouts")
    tests = json.loads(row["tests"])
    assert [test["status"] for test in tests] == ["passed", "passed", "failed"]
    assert [test["held_out"] for test in tests] == [False, False, True]
    assert tests[2]["text"] == "assert add(-5, 9) == 4" and tests[2]["message"] == "got 3"
    assert row["program"] == RIGHT and row["question"] == "Write add(a, b)." and row["problem"] == "p3"
    assert (row["run"], row["mode"], row["step"], row["truncated"], row["seconds"]) == (
        "a-run",
        "train",
        None,
        True,
        2.5,
    )
    assert (row["pass_rate"], row["holdout_pass_rate"], row["flags"]) == (1.0, 0.0, "holdout_gap")


def test_texts_of_any_size_and_kind_make_a_row_that_can_be_read(tmp_path):
    log = RolloutLog(tmp_path)
    log.add(rollout(1, completion="\ud800\x00" + "x" * 3_000_000, program="\udfff(" * 1000, problem="\udc80"))
    log.close()
    (row,) = rows(tmp_path)
    assert row["completion"].startswith("?\x00xx") and "characters are left out" in row["completion"]
    assert len(row["completion"]) < 201_000 and row["length"] == 3_000_002


def test_many_processes_write_one_log_and_nothing_is_lost_or_twice(tmp_path):
    writers = [
        python(tmp_path, f"add({300 * each}, 300); log.active().flush(); add({9000 + each}, 1)") for each in range(4)
    ]
    for writer in writers:
        assert ended(writer) == (0, "")
    assert times(tmp_path) == first(1200) + [1e9 + 9000 + each for each in range(4)]
    assert len({shard.writer for shard in shards.listed(tmp_path)}) == 4


def test_files_of_a_writer_are_joined(tmp_path):
    log = RolloutLog(tmp_path)
    for number in range(2 * log_module.JOINED + 3):
        log.add(rollout(number))
        assert log.flush()
    log.close()
    assert len(list(tmp_path.iterdir())) == 2 + 3
    assert times(tmp_path) == first(2 * log_module.JOINED + 3)


def test_a_writer_killed_while_it_joined_leaves_no_row_twice(tmp_path):
    log = RolloutLog(tmp_path)
    for number in range(3):
        log.add(rollout(number))
        assert log.flush()
    log.close()
    small = shards.listed(tmp_path)
    kept = {shard.name: (tmp_path / shard.name).read_bytes() for shard in small}
    shards.join(tmp_path, small, {})
    (tmp_path / small[1].name).write_bytes(kept[small[1].name])  # not deleted yet
    assert len(list(tmp_path.iterdir())) == 2
    assert times(tmp_path) == first(3)


def test_a_row_waits_for_others_but_not_for_long(tmp_path):
    now = [100.0]
    log = RolloutLog(tmp_path, clock=lambda: now[0])
    log.add(rollout(0))
    log.add(rollout(1))
    now[0] += log_module.FLUSH_SECONDS / 2
    time.sleep(0.1)
    assert not list(tmp_path.iterdir())
    now[0] += log_module.FLUSH_SECONDS
    end = time.monotonic() + 120
    while not list(tmp_path.glob("*.parquet")):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert len(rows(tmp_path)) == 2
    log.close()


def test_the_bound_thins_the_older_files_and_keeps_the_newest(tmp_path, monkeypatch):
    monkeypatch.setattr(log_module, "JOINED", 10**6)
    log = RolloutLog(tmp_path, megabytes=1)
    count = 150
    for number in range(count):
        log.add(rollout(number, completion=os.urandom(10_000).hex()))
        assert log.flush()
        size = sum(path.stat().st_size for path in tmp_path.iterdir())
        assert size < (1 << 20) * 1.05
    log.close()
    kept = [time - 1e9 for time in times(tmp_path)]
    assert kept[-10:] == list(range(count - 10, count))
    # Sparser towards the beginning, which is there as well.
    assert kept[0] < 5 and 0 < sum(each < count / 3 for each in kept) < sum(each >= 2 * count / 3 for each in kept)


def test_many_writers_keep_one_bound(tmp_path):
    logs = [RolloutLog(tmp_path, megabytes=1) for _ in range(30)]
    largest = 0
    for number in range(6):
        for each in logs:
            each.add(rollout(number, completion=os.urandom(4_000).hex()))
            assert each.flush()
            largest = max(largest, sum(path.stat().st_size for path in tmp_path.iterdir()))
    for each in logs:
        each.close()
    assert 0.9 * (1 << 20) < largest < 1.1 * (1 << 20)


def test_what_a_process_added_is_written_when_it_ends(tmp_path):
    ends = {
        "sys.exit(3)": 3,
        "raise KeyError": 1,
        "os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)": -signal.SIGTERM,
        "import threading; os.kill(os.getpid(), signal.SIGTERM); threading.Event().wait(60)": -signal.SIGTERM,
    }
    writers = [python(tmp_path / str(number), f"add(0, 50); {end}") for number, end in enumerate(ends)]
    assert [ended(writer)[0] for writer in writers] == list(ends.values())
    for number in range(len(ends)):
        assert times(tmp_path / str(number)) == first(50), list(ends)[number]


def test_children_of_multiprocessing_write_their_own_rows_only(tmp_path):
    code = """
import multiprocessing
add(0, 5)
child = multiprocessing.get_context("fork").Process(target=add, args=(5, 5))
child.start(); child.join(); assert child.exitcode == 0
"""
    assert ended(python(tmp_path, code)) == (0, "")
    assert times(tmp_path) == first(10)


def test_nothing_is_imported_behind_the_back_of_a_process(tmp_path):
    """One that forks meanwhile would have half of it."""
    code = """
log.active()
before = set(sys.modules)
for number in range(log.JOINED + 2):
    add(number, 1)
    assert log.active().flush()
assert not set(sys.modules) - before, set(sys.modules) - before
"""
    assert ended(python(tmp_path, code)) == (0, "")
    assert times(tmp_path) == first(log_module.JOINED + 2) and len(list(tmp_path.iterdir())) == 3


def test_a_handler_of_the_program_stays(tmp_path):
    code = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); add(0, 5); os.kill(os.getpid(), signal.SIGTERM)"
    assert ended(python(tmp_path, code))[0] == 7
    assert times(tmp_path) == first(5)


def test_kill_9_loses_what_was_not_written_yet_and_no_more(tmp_path):
    code = "add(0, 40); log.active().flush(); add(40, 7); print('added', flush=True); time.sleep(60)"
    writer = python(tmp_path, code)
    assert writer.stdout.readline() == "added\n"
    writer.kill()
    ended(writer)
    assert times(tmp_path)[:40] == first(40)
    assert not [path for path in tmp_path.iterdir() if shards.shard_of(path.name) is None]


def test_a_full_disk_ends_nothing_and_is_told_once(tmp_path, monkeypatch, capfd):
    full = [True]
    write = shards.write

    def on_full_disk(*arguments):
        if full[0]:
            raise OSError(28, "No space left on device")
        return write(*arguments)

    monkeypatch.setattr(shards, "write", on_full_disk)
    log = RolloutLog(tmp_path)
    for number in range(4):
        log.add(rollout(number))
        assert log.flush()
    full[0] = False  # somebody has made room
    log.add(rollout(4))
    log.close()
    told = capfd.readouterr().err
    assert told.count("No space left on device") == 1 and "4 rollouts of process" in told
    assert times(tmp_path) == [1e9 + 4]
    index = Index(tmp_path)
    index.refresh()
    assert index.dropped == 4


def test_a_file_system_that_stalls_does_not_hold_up_whoever_adds(tmp_path, monkeypatch, capfd):
    stalls = threading.Event()
    monkeypatch.setattr(shards, "write", lambda *arguments: stalls.wait(60))
    monkeypatch.setattr(log_module, "WAITING_CHARS", 1_000_000)
    log = RolloutLog(tmp_path)
    began = time.monotonic()
    for number in range(300):
        log.add(rollout(number, completion="x" * 10_000))
    assert time.monotonic() - began < 50  # the file system stalls for 60
    assert 100 < log.dropped < 300
    stalls.set()
    log.close()
    assert "slower than the rollouts come" in capfd.readouterr().err


def test_whoever_waits_loses_nothing_to_a_slow_file_system(tmp_path, monkeypatch):
    write = shards.write

    def slowly(*arguments):
        time.sleep(0.02)
        return write(*arguments)

    monkeypatch.setattr(shards, "write", slowly)
    monkeypatch.setattr(log_module, "FLUSH_ROWS", 1)
    monkeypatch.setattr(log_module, "WAITING_CHARS", 25_000)
    log = RolloutLog(tmp_path)
    for number in range(60):
        log.add(rollout(number, completion="x" * (60_000 if number == 30 else 7_000)), wait=True)
    log.close()
    assert log.dropped == 0 and times(tmp_path) == first(60)


def test_a_row_that_cannot_be_made_costs_itself_only(tmp_path, capfd):
    log = RolloutLog(tmp_path)
    for number in range(3):
        log.add(rollout(number, components={"odd": object()} if number == 1 else {}))
    log.close()
    assert times(tmp_path) == [1e9, 1e9 + 2] and log.dropped == 1
    assert "not JSON serializable" in capfd.readouterr().err


def test_an_unwritable_folder_is_told_and_nothing_is_raised(tmp_path, capfd):
    (tmp_path / "file").write_text("")
    log = RolloutLog(tmp_path / "file" / "rollouts")
    log.add(rollout(0))
    assert log.flush()
    log.close()
    assert "NotADirectoryError" in capfd.readouterr().err and log.dropped == 1


def test_a_log_grows_while_it_is_read(tmp_path):
    log = RolloutLog(tmp_path)
    index = Index(tmp_path)
    index.refresh()
    for number in range(log_module.JOINED + 2):
        log.add(rollout(number))
        assert log.flush()
        index.refresh()
        assert len(index.select(Filter())) == number + 1
    log.close()
    assert [index.whole(row)["time"] for row in index.select(Filter(), descending=False)] == first(
        log_module.JOINED + 2
    )
