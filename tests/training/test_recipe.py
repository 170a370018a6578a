"""The fields of a recipe: what they take, and that each is described."""

from __future__ import annotations

import copy
import re

import pytest
from pydantic import BaseModel, ValidationError

from acecoder_rl.training.recipe import Data, Recipe, Resources, Source

LEAST = {
    "model": {"path": "some/model"},
    "data": {"train": "problems.jsonl"},
    "reward": {"kind": "all_pass"},
    "rollout": {"batch_size": 8, "n_samples_per_prompt": 4},
    "train": {"advantage_estimator": "rloo", "learning_rate": 1e-6},
    "resources": {"actor_gpus_per_node": 1, "engines_per_node": 1},
}


def test_the_least_that_a_recipe_says() -> None:
    recipe = Recipe.model_validate(LEAST)
    assert recipe.data.train == [Source(path="problems.jsonl")]
    assert recipe.train.batch_size == 128
    assert recipe.openrlhf == {}


@pytest.mark.parametrize(
    ("given", "sources"),
    [
        ("a.jsonl", [Source(path="a.jsonl")]),
        ({"path": "a", "weight": 2}, [Source(path="a", weight=2.0)]),
        (["a", {"path": "b", "subset": "hard"}], [Source(path="a"), Source(path="b", subset="hard")]),
    ],
)
def test_sources_in_short(given: object, sources: list[Source]) -> None:
    assert Data.model_validate({"train": given}).train == sources


def test_whole_numbers_are_numbers_and_nothing_else_is() -> None:
    record = copy.deepcopy(LEAST)
    record["train"] |= {"learning_rate": 1, "kl_coef": 0}
    assert Recipe.model_validate(record).train.learning_rate == 1.0
    for wrong in (True, "1e-6", "0.1", None, float("nan"), float("inf")):
        record["train"]["learning_rate"] = wrong
        with pytest.raises(ValidationError, match=r"train\.learning_rate"):
            Recipe.model_validate(record)


@pytest.mark.parametrize("wrong", [True, False, 1.0, "1", -1, 4])
def test_a_stage_is_a_whole_number_from_0_to_3(wrong: object) -> None:
    with pytest.raises(ValidationError):
        Resources.model_validate({"actor_gpus_per_node": 1, "engines_per_node": 1, "zero_stage": wrong})


def test_every_field_is_described() -> None:
    sections = [Recipe, Source]
    sections += [field.annotation for field in Recipe.model_fields.values() if _is_section(field.annotation)]
    assert len(sections) == 8
    for section in sections:
        described = set(re.findall(r"\w+", (section.__doc__ or "").partition("Attributes:")[2]))
        fields = {name for name, field in section.model_fields.items() if not _is_section(field.annotation)}
        assert fields <= described, f"{section.__name__} does not describe {fields - described}"


def _is_section(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
