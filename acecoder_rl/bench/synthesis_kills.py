"""Synthesis runs that are killed, and go on: a part of `acecoder-rl bench synthesis`.

Covers: `kills`: kill -9 at random moments of a small run (synthesis_run.py), which then goes on until it is finished;
    its tables, what its stages dropped and counted, and the published folder against those of an undisturbed run, row
    for row; answers that were paid for, and asked for again.
Does not cover: a machine that loses power; kills of the sandbox's own processes.
Stages have parts of two rows here, so that a kill can come between any two. Each kill has a stage that is drawn, and a
moment in it: by time alone nearly all would come where models are asked.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path
from typing import Any

from acecoder_rl.bench.measure import BenchError
from acecoder_rl.bench.synthesis_run import AT_ONCE, REQUESTS, paid, served

KILLS, QUICK_KILLS = 20, 6
TABLES = ("seeds", "imagine", "verify", "sample", "build", "pairs", "hard")
CHUNK = 2
LONGEST = 600.0  # seconds that a run may take which is not killed
STAGES = (*TABLES, "report")
BEFORE = "before the first"

Figures = dict[str, Any]


def kills(quick: bool = False) -> Figures:
    """Kill runs, let them go on, and compare what they made.

    Args:
        quick: 6 kills instead of 20.

    Returns:
        kills, runs; stages: where the kills came, by the first stage that was not finished; tables, rows: compared with
        the undisturbed run's; differing_tables: runs by name of a table that is another one; differing: rows that are;
        asked_again: requests whose answers were under way at a kill; paid_twice: those whose answers were in the cache.

    Raises:
        BenchError: a run failed, or the package for it is not installed.
    """
    count = QUICK_KILLS if quick else KILLS
    chance = random.Random(count)
    names = ("kills", "runs", "tables", "rows", "differing", "asked_again", "paid_twice")
    figures: Figures = dict.fromkeys(names, 0)
    stages, differing = Counter[str](), Counter[str]()
    with (
        tempfile.TemporaryDirectory(prefix="acecoder-bench-") as name,
        served(Path(name)) as run,
        _driver(run.recipe) as driver,
    ):
        driver.end("warm")  # what is loaded on first use is loaded
        run.asked.clear()
        began = time.time()
        driver.end("whole")
        spans, wanted = _spans(Path(name, "whole"), began), made(Path(name, "whole"))
        if len(run.asked) != REQUESTS or len(set(run.asked)) != REQUESTS:
            raise BenchError(f"bench: a run that was not killed asked {len(run.asked)} times, not {REQUESTS}")
        while figures["kills"] < count:
            figures["runs"] += 1
            here = Path(name, f"run{figures['runs']}")
            run.asked.clear()
            stored, twice, ended = set[str](), 0, False
            while not ended:
                begin = len(run.asked)
                stage = chance.choice(STAGES)
                if figures["kills"] < count and STAGES.index(stage) >= STAGES.index(_stage(here)):
                    ended = not driver.killed(here.name, chance.uniform(0, spans[stage]), _before(stage))
                else:
                    driver.end(here.name)
                    ended = True
                twice += sum(sign in stored for sign in run.asked[begin:])
                if not ended:
                    figures["kills"] += 1
                    stages[_stage(here) if (here / "seeds").exists() else BEFORE] += 1
                    stored = paid(here)
            figures["paid_twice"] += twice
            figures["asked_again"] += len(run.asked) - len(set(run.asked)) - twice
            found = differences(wanted, made(here))
            differing.update(found.keys())
            figures["differing"] += sum(found.values())
            figures["tables"] += len(wanted)
            figures["rows"] += sum(map(len, wanted.values()))
    return {**figures, "stages": dict(stages), "differing_tables": dict(differing)}


def made(folder: Path) -> dict[str, list[Any]]:
    """What a finished run has made, by name of the table: all but the seconds that it took, and its report."""
    from acecoder_rl.synthesis.parts import read_part
    from acecoder_rl.synthesis.stages import dropped_of, rows_of
    from acecoder_rl.synthesis.state import state_of

    found: dict[str, list[Any]] = {}
    for name in TABLES:
        found[name] = list(rows_of(folder, name))
        found[f"{name}: dropped"] = list(dropped_of(folder, name))
        found[f"{name}: figures"] = [(key, value) for key, value in vars(state_of(folder, name)).items()
                                     if key != "seconds"]  # fmt: skip
    for path in sorted(path for path in (folder / "dataset").rglob("*") if path.is_file()):
        rows = list(read_part(path)) if path.suffix == ".parquet" else path.read_text().splitlines()
        found[str(path.relative_to(folder))] = rows
    return found


def differences(wanted: dict[str, list[Any]], found: dict[str, list[Any]]) -> dict[str, int]:
    """Tables that differ, and in how many rows; those that are missing, or should not be there, too."""
    counts = {}
    for name in wanted | found:
        pairs = zip_longest(wanted.get(name, ()), found.get(name, ()))
        differing = sum(one != other for one, other in pairs)
        if differing or (name in wanted) != (name in found):
            counts[name] = differing
    return counts


def ok(figures: Figures) -> bool:
    """Whether no row differs, and no answer was paid for twice."""
    return not figures["differing_tables"] and not figures["paid_twice"]


def show(figures: Figures) -> None:
    """Print the figures to stdout."""
    from rich.console import Console

    told = ", ".join(f"{name} {figures['stages'][name]}" for name in (BEFORE, *STAGES) if name in figures["stages"])
    tables = sum(figures["differing_tables"].values())
    lines = [
        f"kill -9 at {figures['kills']} random moments of {figures['runs']} runs (stages: {told}), each gone on with",
        f"{tables} of {figures['tables']} tables and files, {figures['differing']} of {figures['rows']:,} rows are not "
        f"what they are without kills, bar 0: {'missed' if tables else 'ok'}",
        *(f"  {name}: in {count} runs" for name, count in figures["differing_tables"].items()),
        f"{figures['paid_twice']} answers paid for twice, bar 0: {'missed' if figures['paid_twice'] else 'ok'} "
        f"({figures['asked_again']} requests, at most {AT_ONCE} a kill, were under way and asked again)",
    ]
    for line in lines:
        Console().print(line, soft_wrap=True, highlight=False, markup=False)


def _stage(folder: Path) -> str:
    """Where a run is: the first stage that is not finished."""
    return next((name for name in TABLES if not _finished(folder, name)), "report")


def _finished(folder: Path, name: str) -> bool:
    from acecoder_rl.synthesis.state import state_of

    state = state_of(folder, name)
    return state is not None and state.state == "finished"


def _before(stage: str) -> str | None:
    return STAGES[STAGES.index(stage) - 1] if stage != STAGES[0] else None


def _spans(folder: Path, began: float) -> dict[str, float]:
    """Seconds of each stage of a finished run, from the end of the one before."""
    files = (*(folder / name / "stage.json" for name in TABLES), folder / "report.html")
    ends = [began, *(file.stat().st_mtime for file in files)]
    return {name: max(end - begin, 0.0) for name, begin, end in zip(STAGES, ends, ends[1:], strict=False)}


class _Driver:
    """The process that begins runs and kills them: `main`, below."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self._process, self._log = process, log

    def killed(self, folder: str, seconds: float, after: str | None = None) -> bool:
        """Run, or go on with, a run; whether it was killed, so many seconds after a stage was finished (None = after it
        began), and did not end before."""
        assert self._process.stdin and self._process.stdout
        try:
            self._process.stdin.write(f"{folder} {seconds} {after or ''}\n")
            self._process.stdin.flush()
            told = self._process.stdout.readline().strip()
        except BrokenPipeError:
            told = ""
        if told not in ("killed", "finished 0"):
            said = self._log.read_text(errors="replace").strip()[-1500:]
            raise BenchError(f"bench: a small synthesis run failed ({told or 'it could not begin'}):\n{said}")
        return told == "killed"

    def end(self, folder: str) -> None:
        """Run, or go on with, a run until it is finished."""
        if self.killed(folder, LONGEST):
            raise BenchError(f"bench: a small synthesis run took more than {LONGEST:.0f} s: is the machine busy?")


@contextmanager
def _driver(recipe: Path) -> Iterator[_Driver]:
    log = recipe.with_name("driver.log")
    env = {**os.environ, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "acecoder_rl.bench.synthesis_kills", str(recipe)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env=env,
        )  # fmt: skip
    try:
        yield _Driver(process, log)
    finally:
        process.kill()
        process.communicate()


def main(recipe: str) -> None:
    """Begin a child for each line of stdin, "FOLDER SECONDS [STAGE]", and kill it so many seconds after the stage.

    A line of stdout tells "killed" or "finished STATUS". Children are forked, so that no kill is wasted on imports.
    """
    # Loaded here, or they would be in each child: what stages load when they first need it.
    import datasketch  # noqa: F401
    import httpx  # noqa: F401
    import openai  # noqa: F401
    import pyarrow.parquet

    import acecoder_rl.sandbox.pool
    import acecoder_rl.training.splits  # noqa: F401
    from acecoder_rl.synthesis import build, endpoint, engine, hard, pairs, stage_table  # noqa: F401
    from acecoder_rl.synthesis.recipe import load
    from acecoder_rl.synthesis.report_figures import figures
    from acecoder_rl.synthesis.report_numbers import Numbers
    from acecoder_rl.synthesis.run import chosen, synthesize

    figures(Numbers({}, Counter({1: 1})))  # plotly
    pyarrow.Table.from_pylist([{"text": ""}])  # pandas, where there is one
    loaded = load(recipe)
    stage_table.CHUNKS = dict.fromkeys(stage_table.CHUNKS, CHUNK)
    for module in (build, pairs, hard):
        module.CHUNK = CHUNK
    for line in sys.stdin:
        name, seconds, *after = line.split()
        folder = Path(recipe).parent / name
        child = os.fork()
        if child == 0:
            status = 1
            try:
                synthesize(loaded.model_copy(update={"folder": str(folder)}), chosen(None))
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        print(_ended(child, float(seconds), folder, after), flush=True)


def _ended(child: int, seconds: float, folder: Path, after: list[str]) -> str:
    """Wait for a child, or kill it."""
    began = time.monotonic()
    end = None if after else began + seconds
    while time.monotonic() < (began + LONGEST if end is None else end):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return f"finished {status}"
        if end is None and _finished(folder, after[0]):
            end = time.monotonic() + seconds
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    return "killed" if os.WIFSIGNALED(status) else f"finished {status}"


if __name__ == "__main__":
    main(sys.argv[1])
