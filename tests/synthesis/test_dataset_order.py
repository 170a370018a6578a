"""The published folder is that of the stages' rows as they stand, in whatever order stages were run.

Does not cover: what is in it (test_dataset.py).
Run: pytest tests/synthesis/test_dataset_order.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from acecoder_rl.synthesis import build, pairs
from acecoder_rl.synthesis.funnel import places
from acecoder_rl.synthesis.parts import read_part
from acecoder_rl.synthesis.recipe import Recipe
from acecoder_rl.synthesis.run import chosen, forget, synthesize
from tests.synthesis.tables import question, sampled


@pytest.mark.parametrize(
    "steps",
    [
        ["build", "hard", "pairs"],
        ["build", "pairs", "hard", "build..hard --from build"],
        ["hard foreign", "build", "pairs", "hard --from hard"],
        ["build", "hard foreign", "hard --from hard", "pairs", "hard"],
        ["build..hard", "hard foreign --from hard", "pairs..hard --from pairs"],
    ],
)
def test_stages_alone_in_any_order_leave_the_same_folder(tmp_path: Path, jsonl, steps: list[str]):
    table = [question(number, [10, 4, 3] if number % 3 else [7, number % 7]) for number in range(20)]
    theirs = jsonl("theirs.jsonl", build.process([question(number, [number, 4]) for number in range(9)]).rows)

    def run(folder: Path, step: str) -> None:
        stages, *options = step.split()
        foreign = {"source": str(theirs)} if "foreign" in options else {}
        recipe = Recipe(folder=str(folder), build={"name": "Tiny", "eval_share": 0.2}, hard=foreign)
        synthesize(recipe, chosen(stages), options[-1] if "--from" in options else None)

    def published(folder: Path) -> dict[str, Any]:
        files = [path for path in (folder / "dataset").rglob("*") if path.is_file()]
        return {
            str(path.relative_to(folder)): list(read_part(path)) if path.suffix == ".parquet" else path.read_text()
            for path in files
        }

    run(sampled(tmp_path / "whole", table), "build..hard")
    folder = sampled(tmp_path / "run", table)
    for step in steps:
        run(folder, step)
    assert published(folder) == published(tmp_path / "whole")


def test_a_dataset_of_forgotten_rows_stays_and_is_not_shown_as_the_runs(tmp_path: Path):
    folder = sampled(tmp_path / "run", [question(number, [10, 4]) for number in range(3)])
    synthesize(Recipe(folder=str(folder)), chosen("build..hard"))
    assert "dataset" in dict(places(folder))
    card = (folder / "dataset" / "README.md").read_bytes()
    forget(folder, "build")
    assert "dataset" not in dict(places(folder)) and (folder / "dataset" / "README.md").read_bytes() == card


def test_a_part_without_rows_does_not_keep_the_others_from_being_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    datasets = pytest.importorskip("datasets")
    for module in (build, pairs):
        monkeypatch.setattr(module, "CHUNK", 2)
    # No pair of the first two and of the last; the rows of the middle are easy.
    table = [question(number, passed) for number, passed in enumerate([[9, 9], [9], [10, 4], [10, 3], [1, 2]])]
    folder = sampled(tmp_path / "run", table)
    synthesize(Recipe(folder=str(folder), hard={"band": [0.1, 0.3]}), chosen("build..hard"))
    shards = sorted(str(path.relative_to(folder / "dataset")) for path in folder.glob("dataset/[dhp]*/train-*"))
    data = [f"data/train-{number:05}-of-00003.parquet" for number in range(3)]
    assert shards == [*data, "hard/train-00000-of-00001.parquet", "pairs/train-00000-of-00001.parquet"]
    for config, ids in (
        ("hard", ["oss_4"]),
        ("pairs", ["oss_2", "oss_3"]),
        ("default", [f"oss_{n}" for n in range(5)]),
    ):
        rows = datasets.load_dataset(str(folder / "dataset"), config, split="train", cache_dir=str(tmp_path / "cache"))
        assert rows["question_id" if config == "pairs" else "id"][:] == ids
