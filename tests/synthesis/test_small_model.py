"""A real model through vLLM on this CPU: the shipped recipe on a few of its seeds, and its programs among others.

Does not cover: the quality of what so small a model makes, of which nothing is claimed.
"""

from __future__ import annotations

import json

import pytest

from acecoder_rl.starter import model
from acecoder_rl.synthesis import run as run_module
from acecoder_rl.synthesis.recipe import load
from acecoder_rl.synthesis.run import chosen, synthesize
from acecoder_rl.synthesis.state import state_of
from tests.conftest import REPOSITORY
from tests.synthesis import prepared
from tests.synthesis.chain import TABLES, named, run, tables, write_recipe
from tests.synthesis.fake_endpoint import endpoint

SEEDS, PROGRAMS = 6, 2


@pytest.mark.training
def test_a_small_model_from_seeds_to_report(tmp_path, monkeypatch):
    path = model.make(tmp_path / "model")
    monkeypatch.chdir(REPOSITORY)  # the recipe names a prompt file
    shipped = load(
        "recipes/synthesize.yaml",
        [
            f"models.small.path={path}",
            "models.small.threads=1",  # another run is beside it
            f"seeds.sources=[{{path: 'starter:seeds', max_rows: {SEEDS}}}]",
            "imagine.max_tokens=80",
            "verify.max_tokens=40",
            "sample.max_tokens=40",
            f"folder={tmp_path / 'shipped'}",
        ],
    )
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "release", lambda: None)  # the next run goes on with its engine
        folder = synthesize(shipped, chosen(None))
    states = {name: state_of(folder, name) for name in TABLES}
    assert all(state.state == "finished" for state in states.values())
    assert states["imagine"].read == SEEDS
    for before, after in (("imagine", "verify"), ("verify", "sample"), ("sample", "build"), ("build", "hard")):
        assert states[after].read == states[before].kept
    assert states["imagine"].counts["tokens_out"] > 0
    assert (folder / "report.html").stat().st_size > 10_000

    with endpoint(prepared.answer) as fake:
        recipe = write_recipe(tmp_path, fake.url)
        document = json.loads(recipe.read_text())
        document["models"]["small"] = shipped.models["small"].model_dump()
        document["sample"] = {"models": ["solver", "small"], "n": PROGRAMS, "max_tokens": 40}
        recipe.write_text(json.dumps(document))
        folder = run(recipe)
        rows = named(tables(folder)["sample"])
        assert list(rows) == ["alpha", "beta", "delta", "zeta"]
        for name, row in rows.items():
            inferences = json.loads(row["inferences"])
            assert [(each["model_name"], each["completion_id"]) for each in inferences] == [
                ("solver", 0), ("solver", 1), ("small", 0), ("small", 1)
            ]  # fmt: skip
            assert [each["pass_rate"] for each in inferences[:PROGRAMS]] == prepared.RATES[name][:PROGRAMS]
            for each in inferences:
                assert each["pass_rate"] == sum(each["test_results"]) / len(prepared.KEPT[name])
        asked = len(fake.asked)
        run(recipe)  # a finished run starts no engine; the first one's wrote its log there
        assert len(fake.asked) == asked and not (folder / "engine.log").exists()
