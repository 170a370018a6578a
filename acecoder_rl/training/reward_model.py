"""A recipe's reward model: who serves it, and the parts of the reward that ask it.

Covers: the section `reward_model` against the parts of kind acecode_rm, the endpoint and the calibration that they
    are given, starting and ending the replicas of a run.
Does not cover: serving and asking (acecoder_rl/reward_model/), mixing scores with tests (reward_fns).
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from acecoder_rl.reward_model.calibration import FILE, Calibration, CalibrationError, read_calibration
from acecoder_rl.training.model_path import missing, resolve
from acecoder_rl.training.placement import judge
from acecoder_rl.training.recipe import Recipe, RecipeError, RewardModel

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


def filled(reward: dict[str, Any], endpoint: str, calibration: Calibration | None = None) -> dict[str, Any]:
    """The section with the endpoint, and the calibration's mean and std, in the parts that name none."""
    ours = [id(part) for part in asking(reward)]
    if not ours:
        return reward
    known = {"mean": calibration.mean, "std": calibration.std} if calibration else {}
    parts = [{**known, **part, "endpoint": endpoint} if id(part) in ours else part for part in reward["parts"]]
    return {**reward, "parts": parts}


def calibrated(section: RewardModel | None) -> Calibration | None:
    """What `acecoder-rl convert-rm --calibrate` left beside the model, if it did.

    Raises:
        CalibrationError: the file is broken.
    """
    if section is None or section.path is None or not (folder := Path(resolve(section.path))).is_dir():
        return None
    return read_calibration(folder) if (folder / FILE).exists() else None


def mistakes(recipe: Recipe) -> Iterator[str]:
    """What does not fit together."""
    section, parts = recipe.reward_model, asking(recipe.reward)
    formats = _formats(recipe.reward)
    if len(formats) > 1:
        yield (
            f"reward.parts of kind acecode_rm have the formats {', '.join(formats)}, but one model is served, in one "
            "format: give one, or name the endpoint of another model"
        )
    try:
        calibration = calibrated(section)
    except (CalibrationError, RecipeError) as error:
        yield f"reward_model.path: {error}"
    else:
        if calibration and formats[:1] not in ([], [calibration.format]) and not all(map(_scaled, parts)):
            yield (
                f"reward.parts ask for format {formats[0]}, but the calibration beside reward_model.path is of "
                f"{calibration.format}: calibrate with --format {formats[0]}, or give mean and std"
            )
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
            if not _scaled(part):
                yield (
                    "reward.parts: a part of kind acecode_rm has no mean and std, and there is no calibration beside "
                    "the model: raw scores of tens enter as they are; run `acecoder-rl convert-rm MODEL --calibrate "
                    "FILE`, or give both"
                )


def _scaled(part: dict[str, Any]) -> bool:
    return {"mean", "std"} <= part.keys()


def _formats(reward: dict[str, Any]) -> list[str]:
    """The prompt formats that the parts ask for."""
    return sorted({str(part.get("format", "raw")) for part in asking(reward)})


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
    except BaseException:
        try:
            serve.stop(endpoint)
        except Exception as also:  # why the run failed is more important
            print(f"warning: the reward model was not ended: {also}", file=sys.stderr)
        raise
    serve.stop(endpoint)


def to_serve(recipe: Recipe, name: str, threads: int) -> dict[str, Any] | None:
    """What `serving` is to start for a recipe.

    Args:
        name: of the app, unique in the Ray cluster.
        threads: of a replica on CPU.
    """
    section, served = recipe.reward_model, judge(recipe)
    if section is None or section.path is None or served is None:
        return None
    told: dict[str, Any] = {
        "model": resolve(section.path),
        "replicas": served.replicas,
        "gpus_per_replica": served.gpus,
        "name": name,
        "format": next(iter(_formats(recipe.reward)), "raw"),
    }
    if section.max_tokens is not None:
        told["max_tokens"] = section.max_tokens
    if recipe.resources.device == "cpu":
        told |= {"threads": threads, "dtype": "float32"}
    return told
