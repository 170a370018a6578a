"""The folder to publish: RUN/dataset, with what the run has made so far.

Covers: the tables of build, pairs and hard, prompt files of build and hard, the card; made anew where one of them
    changed, left alone otherwise. `datasets.load_dataset(folder, config)` reads it, and so does the Hub.
Does not cover: uploading (`hf upload`).
Tables are hard links to the stages' parts where the file system has such: they take no space, and what a stage does
later cannot change them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from acecoder_rl.synthesis import card, prompt_files
from acecoder_rl.synthesis.build import BuildSettings
from acecoder_rl.synthesis.parts import commit, told_by
from acecoder_rl.synthesis.stages import parts_of, rows_of
from acecoder_rl.synthesis.state import State, state_of

TABLES = {"build": "data", "pairs": "pairs", "hard": "hard"}
PROMPTS = {"build": "prompts", "hard": "hard_prompts"}
OFTEN = 500  # rows between two reports
MADE = "dataset.json"  # beside the folder, and no part of it: what it was made of


def publish(
    folder: Path, settings: BuildSettings, on_done: Callable[[int, int | None], None] = lambda done, total: None
) -> Path:
    """Bring RUN/dataset up to date with the finished stages; returns it.

    Args:
        folder: of the run.
        on_done: told the prompts that are written, now and then, and how many there will be of their table.

    Raises:
        InputError: a part of a finished stage is missing.
    """
    record = _Record(folder)
    tables: dict[str, State] = {}
    for stage in TABLES:
        state = state_of(folder, stage)
        if state is not None and state.state == "finished":
            tables[stage] = state
    for stage, name in TABLES.items():
        of = {"rows": tables[stage].output} if stage in tables else None
        if record.stale(name, of) and of:
            _link(parts_of(folder, stage), record.here / name)
            record.add(name, of)
    prompts: dict[str, dict[str, int]] = {}
    for stage, name in PROMPTS.items():
        split = {"eval_share": settings.eval_share, "seed": settings.seed}
        of = {"rows": tables[stage].output, **split} if stage in tables else None
        if record.stale(name, of) and of:
            rows = rows_of(folder, stage, ("id", "source", "question", "test_cases"))
            rows = _told(rows, tables[stage].kept, on_done)
            record.add(name, of, prompt_files.write(rows, record.here / name, **split))
        if of:
            prompts[name] = record.counts(name)
    _write(record.here / "README.md", card.text(folder, settings, tables, prompts))
    return record.here


class _Record:
    """What stands in the folder, and what each part of it was made of.

    A part is forgotten before it is touched: whatever a kill leaves half-made is not known, and is made anew.
    """

    def __init__(self, folder: Path) -> None:
        self.file, self.here = folder / MADE, folder / "dataset"
        self.here.mkdir(parents=True, exist_ok=True)
        try:
            made = json.loads(self.file.read_text())
        except (FileNotFoundError, ValueError):
            made = {}
        self.made: dict[str, Any] = made if isinstance(made, dict) else {}

    def stale(self, name: str, of: dict[str, Any] | None) -> bool:
        """Whether a part is to be made; what was there then is gone. None = it should not be there at all."""
        there = (self.here / name).exists()
        if there and of is not None and self.made.get(name, {}).get("of") == of:
            return False
        if self.made.pop(name, None) is not None:
            self._save()
        if there:
            shutil.rmtree(self.here / name)
        return True

    def add(self, name: str, of: dict[str, Any], counts: dict[str, int] | None = None) -> None:
        """A part is whole now."""
        self.made[name] = {"of": of, "counts": counts}
        self._save()

    def counts(self, name: str) -> dict[str, int]:
        """What `add` was told."""
        return self.made[name]["counts"]

    def _save(self) -> None:
        _write(self.file, json.dumps(self.made, indent=1) + "\n")


def _told(
    rows: Iterator[dict[str, Any]], total: int, on_done: Callable[[int, int | None], None]
) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(rows):
        if number % OFTEN == 0:
            on_done(number, total)
        yield row
    on_done(total, total)


def _link(parts: list[Path], target: Path) -> None:
    """The parts under the names that the Hub gives to shards; those without rows are left out: `datasets` reads none of
    a config that has one."""
    parts = [part for part in parts if told_by(part)["kept"]]
    target.mkdir()
    for number, part in enumerate(parts):
        shard = target / f"train-{number:05}-of-{len(parts):05}.parquet"
        try:
            os.link(part, shard)
        except OSError:  # another file system, or one without hard links
            shutil.copyfile(part, shard)


def _write(path: Path, text: str) -> None:
    """A small file, whole or not at all; the same text leaves it alone."""
    if path.exists() and path.read_text() == text:
        return
    half = path.with_name(path.name + ".tmp")
    half.write_text(text)
    commit(half, path)
