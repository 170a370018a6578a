"""A run from prepared answers (prepared.py), as tests set it up."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from acecoder_rl.synthesis.recipe import load
from acecoder_rl.synthesis.run import chosen, synthesize
from acecoder_rl.synthesis.stages import rows_of
from tests.synthesis.fake_endpoint import Fake
from tests.synthesis.prepared import SEEDS

TABLES = ("seeds", "imagine", "verify", "sample", "build", "pairs", "hard")


def write_recipe(folder: Path, url: str, **models: Any) -> Path:
    """A recipe whose models are behind an endpoint, with its seeds beside it; the run goes to folder/run."""
    seeds = folder / "seeds.jsonl"
    seeds.write_text("".join(json.dumps({"program": program}) + "\n" for program in SEEDS.values()))
    prices = {"price_in": 1.0, "price_out": 2.0, "concurrency": 4, **models}
    asked = {name: {"endpoint": url, "model": name, **prices} for name in ("writer", "oracle", "solver")}
    recipe = {
        "models": asked,
        "seeds": {"sources": str(seeds), "near_duplicate": None},
        "imagine": {"model": "writer"},
        "verify": {"oracle": {"model": "oracle"}},
        "sample": {"models": ["solver"], "n": 4},
        "sandbox": {"workers": 1},
        "folder": str(folder / "run"),
    }
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(recipe, indent=1))  # JSON is YAML
    return path


def run(recipe: Path, stages: str | None = None, overrides: Iterable[str] = (), **more: Any) -> Path:
    """Run it in this process; returns the run's folder."""
    return synthesize(load(recipe, overrides), chosen(stages), **more)


def tables(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of all stages."""
    return {name: list(rows_of(folder, name)) for name in TABLES}


def named(rows: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Rows by the function that they are about."""
    names = list(SEEDS)
    return {next(name for name in names if name in (row.get("question") or row.get("program"))): row for row in rows}


def requests(fake: Fake) -> list[str]:
    """What was asked, as texts that can be compared."""
    return [json.dumps(body, sort_keys=True) for body in fake.asked]
