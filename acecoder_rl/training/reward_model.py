"""A recipe's reward model: who serves it, and the parts of the reward that ask it.

Covers: the section `reward_model` against the parts of kind acecode_rm, the endpoint and the calibration that they
    are given, starting and ending the replicas of a run.
Does not cover: serving and asking (acecoder_rl/reward_model/), mixing scores with tests (reward_fns).
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from acecoder_rl.training.model_path import missing, resolve
from acecoder_rl.training.recipe import Recipe, RewardModel

KIND = "acecode_rm"
# What a part is checked with before a run has an endpoint.
SOME_ENDPOINT = "ray://acecoder-rm"


def asking(reward: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts of a `reward:` section that ask a reward model and name none."""
    parts = reward.get("parts")
    parts = parts if isinstance(parts, list) else []
    return [
        part for part in parts if isinstance(part, dict) and part.get("kind") == KIND and part.get("endpoint") is None
    ]


def filled(reward: dict[str, Any], endpoint: str, calibration: dict[str, float] | None = None) -> dict[str, Any]:
    """The section with the endpoint, and the calibration's mean and std, in the parts that name none."""
    if not asking(reward):
        return reward
    ours = [id(part) for part in asking(reward)]
    parts = [
        {**(calibration or {}), **part, "endpoint": endpoint} if id(part) in ours else part for part in reward["parts"]
    ]
    return {**reward, "parts": parts}


def calibrated(section: RewardModel | None) -> dict[str, float] | None:
    """Mean and std of the scores, where `acecoder-rl convert-rm --calibrate` left them beside the model."""
    if section is None or section.path is None or not (folder := Path(resolve(section.path))).is_dir():
        return None
    from acecoder_rl.reward_model.calibration import FILE, read_calibration

    if not (folder / FILE).exists():
        return None
    found = read_calibration(folder)
    return {"mean": found.mean, "std": found.std}


def mistakes(recipe: Recipe) -> Iterator[str]:
    """What does not fit together."""
    section, parts = recipe.reward_model, asking(recipe.reward)
    if section is None:
        if parts:
            yield (
                "reward.parts has one of kind acecode_rm without endpoint: name one, or add the section reward_model "
                "with the path of the model"
            )
        return
    if not parts:
        yield (
            "reward_model is given, but no part of the reward asks it: add {name: rm, kind: acecode_rm, weight: ...} "
            "to reward.parts, or leave the section out"
        )
    if (section.path is None) == (section.endpoint is None):
        yield (
            "reward_model has "
            + ("neither path nor endpoint" if section.path is None else "both path and endpoint")
            + ": give the path of a model to serve, or the endpoint of one that is served"
        )
    if section.endpoint is not None:
        for field in ("replicas", "gpus_per_replica", "max_tokens"):
            if getattr(section, field) != RewardModel.model_fields[field].default:
                yield (
                    f"reward_model.{field} is {getattr(section, field)}, but the model at reward_model.endpoint is "
                    "served already: leave it out"
                )
    if section.path is not None and missing(section.path):
        yield f"reward_model.path is '{section.path}', which does not exist: give a folder or a Hub id"
    if recipe.resources.device == "cpu" and section.gpus_per_replica is not None:
        yield (
            f"reward_model.gpus_per_replica is {section.gpus_per_replica}, but resources.device is cpu: leave it out"
        )


def warnings(recipe: Recipe) -> Iterator[str]:
    """What a user should know."""
    if calibrated(recipe.reward_model) is None:
        for part in asking(recipe.reward):
            if not {"mean", "std"} <= part.keys():
                yield (
                    "reward.parts: a part of kind acecode_rm has no mean and std, and there is no calibration beside "
                    "the model: raw scores of tens enter as they are; run `acecoder-rl convert-rm MODEL --calibrate "
                    "FILE`, or give both"
                )


@contextmanager
def serving(section: dict[str, Any] | None) -> Iterator[None]:
    """The replicas of a run, ready to score, in the Ray cluster that the run is in.

    Args:
        section: arguments of `acecoder_rl.reward_model.serve.start_in_ray`; None = nothing to serve.
    """
    if section is None:
        yield
        return
    serve = importlib.import_module("acecoder_rl.reward_model.serve")
    endpoint = serve.start_in_ray(**section)
    try:
        yield
    finally:
        serve.stop(endpoint)


def to_serve(recipe: Recipe, name: str, threads: int) -> dict[str, Any] | None:
    """What `serving` is to start for a recipe.

    Args:
        name: of the app, unique in the Ray cluster.
        threads: of a replica on CPU.
    """
    section = recipe.reward_model
    if section is None or section.path is None:
        return None
    told: dict[str, Any] = {
        "model": resolve(section.path),
        "replicas": section.replicas,
        "gpus_per_replica": section.gpus(recipe.resources.device),
        "name": name,
    }
    if section.max_tokens is not None:
        told["max_tokens"] = section.max_tokens
    if recipe.resources.device == "cpu":
        told |= {"threads": threads, "dtype": "float32"}
    return told
