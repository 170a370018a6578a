"""A recipe's mistakes are told all at once, each with its place and mend.

Does not cover: what the fields do.
"""

from __future__ import annotations

import re

import pytest

from acecoder_rl.synthesis import imagine
from acecoder_rl.synthesis.models import Endpoint, Engine
from acecoder_rl.synthesis.recipe import load
from acecoder_rl.training.load import resolved_yaml
from acecoder_rl.training.recipe import RecipeError
from tests.conftest import REPOSITORY

GOOD = """\
models:
  small:
    path: some/model
    device: cpu
  big:
    endpoint: https://api.openai.com/v1
    model: gpt-4o-mini
    price_in: 0.15
imagine:
  model: big
verify:
  oracle:
    model: big
sample:
  models: [small]
"""


@pytest.fixture
def recipe(tmp_path):
    def write(text: str):
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return path

    return write


def test_models_are_of_two_kinds_and_the_folder_is_named_after_the_recipe(recipe):
    loaded = load(recipe(GOOD))
    assert isinstance(loaded.models["small"], Engine) and isinstance(loaded.models["big"], Endpoint)
    assert loaded.folder == "runs/mine"
    assert loaded.asked("sample") == {"small": loaded.models["small"]}
    assert loaded.asked("pairs") == {}


def test_the_resolved_recipe_loads_back(recipe):
    loaded = load(recipe(GOOD))
    assert load(recipe(resolved_yaml(loaded))) == loaded


@pytest.mark.parametrize(
    ("was", "becomes", "told"),
    [
        ("imagine:", "imagin:", ":9: imagin is not known: did you mean imagine?"),
        ("price_in:", "prize_in:", ":8: models.big.prize_in is not known: did you mean price_in?"),
        ("device: cpu", "device: tpu", ":4: models.small.device is 'tpu': did you mean gpu? It takes one of gpu, cpu"),
        ("device: cpu", "devise: cpu", ":4: models.small.devise is not known: did you mean device?"),
        ("    model: gpt-4o-mini\n", "", ":5: models.big.model is missing: give a text"),
        ("price_in: 0.15", "price_in: -1", ":8: models.big.price_in is -1: give a number of at least 0, or null"),
        ("  oracle:\n    model: big", "  oracle: {}", ":12: verify.oracle.model is missing: give a text"),
        ("    model: big", "    modle: big", ":13: verify.oracle.modle is not known: did you mean model?"),
        ("models: [small]", "models: small", ":15: sample.models is 'small': give a list"),
        ("[small]", "[smal]", ":15: sample.models.0 is 'smal', which is none of the models: did you mean small?"),
        ("  oracle:\n    model: big", "  oracle: {model: big, n: 2, at_least: 3}",
         ":12: verify.oracle: at_least is 3, and n is 2: give at most n"),
        ("[small]", "[big, big]", ":15: sample.models: 'big' stands there twice: name each model once, and set n"),
        ("    price_in: 0.15", "    extra: {n: 8}",
         ":8: models.big.extra: 'n' is not its own to say: set samples_per_request"),
        ("    price_in: 0.15", "    extra: {max_tokens: null}",
         ":8: models.big.extra: 'max_tokens' is not its own to say: set max_tokens of the stage, or max_tokens_name"),
        ("    price_in: 0.15", "    extra: {seed: 7}",
         ":8: models.big.extra: 'seed' is not its own to say: set seed of the stage; each answer has its own"),
        ("  models: [small]", "  temperature: 0\n  models: [small]",
         ":14: sample: n is 16, and temperature 0 makes them all the same: give more, or n: 1"),
        ("big\nverify", "bgi\nverify", ":10: imagine.model is 'bgi', which is none of the models: did you mean big?"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line_and_mend(recipe, was, becomes, told):
    assert was in GOOD
    path = recipe(GOOD.replace(was, becomes))
    with pytest.raises(RecipeError) as error:
        load(path)
    assert f"{path}{told}" in error.value.mistakes


def test_all_mistakes_come_at_once(recipe):
    path = recipe(GOOD.replace("device: cpu", "device: tpu").replace("imagine:", "imagin:").replace("[small]", "[it]"))
    with pytest.raises(RecipeError) as error:
        load(path)
    assert len(error.value.mistakes) == 3


@pytest.mark.parametrize("alike", [True, False])
def test_samples_of_models_that_the_cache_cannot_tell_apart(recipe, alike):
    name = "gpt-4o-mini" if alike else "other"
    other = f"  far:\n    endpoint: http://far:8000/v1\n    model: {name}\nimagine:"
    path = recipe(GOOD.replace("imagine:", other).replace("[small]", "[big, far]"))
    if not alike:
        assert load(path).sample.models == ["big", "far"]
        return
    with pytest.raises(RecipeError, match=r"mine\.yaml: sample\.models has 'big' and 'far', .*--served-model-name"):
        load(path)


def test_values_from_the_command_line(recipe):
    path = recipe(GOOD)
    loaded = load(path, ["folder=elsewhere", "models.big.price_out=0.6", "sample.n=4"])
    assert (loaded.folder, loaded.models["big"].price_out, loaded.sample.n) == ("elsewhere", 0.6, 4)
    with pytest.raises(RecipeError, match=r"--set foldr=x: give section\.field=value"):
        load(path, ["foldr=x"])
    with pytest.raises(RecipeError, match=r"--set sample\.n=0: sample\.n is 0: give a whole number of at least 1"):
        load(path, ["sample.n=0"])


def test_the_shipped_recipe_and_what_its_comments_offer(recipe, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    shipped = load("recipes/synthesize.yaml")
    assert shipped.folder == "runs/synthesize" and shipped.asked("imagine")["small"].device == "cpu"
    imagine.prompts_of(shipped.imagine)  # the prompt file is there, with its placeholders
    text = (REPOSITORY / "recipes" / "synthesize.yaml").read_text()
    offered = re.sub(r"(?m)^  # (?=(?:gpt|oracle_32b):|  \w+: |benchmarks:|tests:|cluster:|- \{)", "  ", text)
    offered = offered.replace("  sources: starter:seeds", "  sources:")
    assert offered.count("\n  # ") < text.count("\n  # ") - 12
    loaded = load(recipe(offered))
    assert [loaded.models[name].model for name in ("gpt", "oracle_32b")] == [
        "gpt-4o-mini",
        "Qwen/Qwen2.5-Coder-32B-Instruct",
    ]
    assert [source.filter for source in loaded.seeds.sources] == ["oss", "evol", "stack"]
    assert loaded.imagine.tests == 20 and loaded.sandbox.cluster == "auto"
