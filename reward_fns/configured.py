"""What an adapter is told once a process: its reward, and what a trainer's label means.

Covers: the environment variable ACECODER_RL_REWARD, JSON with a recipe's sections "reward" and "sandbox", and its
    "assistant_prefix", with which prompts end and answers begin; a reward from a trainer's own configuration; labels
    of ours, and whatever else of tests a data set has in its place.
Does not cover: what is rewarded (config.py).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from acecoder_rl.problems import Problem, parse_tests
from reward_fns.config import ConfigError, from_config, read_file
from reward_fns.pass_rate import TestReward

REWARD = "ACECODER_RL_REWARD"
SECTIONS = {"reward", "sandbox", "assistant_prefix"}


@cache
def configured() -> tuple[TestReward, str]:
    """The reward that ACECODER_RL_REWARD describes, and the assistant prefix.

    Raises:
        ConfigError: the variable is missing, or wrong.
    """
    text = os.environ.get(REWARD)
    if not text:
        raise ConfigError(
            f"{REWARD} is not set: start training with `acecoder-rl train`, or export it as "
            '\'{"reward": {"kind": "pass_rate"}, "sandbox": {}, "assistant_prefix": ""}\''
        )
    try:
        sections = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{REWARD} is not JSON: {error}") from error
    if not isinstance(sections, dict) or not {"reward"} <= sections.keys() <= SECTIONS:
        raise ConfigError(f"{REWARD} is {text!r}: give an object with 'reward', and some of {SECTIONS}")
    prefix = sections.get("assistant_prefix", "")
    if not isinstance(prefix, str):
        raise ConfigError(f"{REWARD}: assistant_prefix is {prefix!r}: give the text that prompts end with")
    return from_config(sections["reward"], sandbox=sections.get("sandbox")), prefix


def reward_of(config: Mapping[str, Any] | str | Path | None) -> tuple[TestReward, str]:
    """The reward of a trainer's own configuration, and the assistant prefix; one a process and configuration.

    Args:
        config: a recipe's or YAML file's path; or its sections, of which "reward" is needed; or a kind alone, such
            as "pass_rate". None reads ACECODER_RL_REWARD.

    Raises:
        ConfigError: it is missing, or wrong.
    """
    if config is None:
        return configured()
    # As text, so that a mapping of the trainer's own kind (omegaconf's) is a key, too.
    return _reward_of(str(config) if isinstance(config, str | Path) else json.dumps(_plain(config), sort_keys=True))


@lru_cache(maxsize=16)
def _reward_of(config: str) -> tuple[TestReward, str]:
    if config.endswith((".yaml", ".yml")):
        sections = read_file(config)
        data = sections.get("data") if isinstance(sections, dict) else None
        prefix = data.get("assistant_prefix") if isinstance(data, dict) else None
        return from_config(Path(config)), prefix or ""
    if not config.startswith("{"):
        return from_config({"kind": config}), ""
    sections = json.loads(config)
    if "reward" not in sections:
        raise ConfigError(f"the reward's configuration has the keys {', '.join(sections)}: it needs 'reward'")
    return from_config(sections["reward"], sandbox=sections.get("sandbox")), sections.get("assistant_prefix") or ""


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    # numpy's; an array of arrays is a list of arrays then.
    return _plain(value.tolist()) if hasattr(value, "tolist") else value


def problem_of(label: Any, question: str = "") -> Problem:
    """The problem of a trainer's label.

    Args:
        label: what `Problem.to_label` gave; or tests in any of the formats that `parse_tests` takes, as JSON or as
            the list or mapping itself.
        question: for labels that hold tests only; their digest is the problem's id.

    Raises:
        ProblemError: it is neither.
    """
    if isinstance(label, str):
        return _problem_of(label, question)
    plain = _plain(label)
    return _problem_of(json.dumps(plain), question) if isinstance(plain, list | dict) else Problem.from_label(plain)


# All samples of a prompt come one after the other: their problem is read once.
@lru_cache(maxsize=64)
def _problem_of(label: str, question: str) -> Problem:
    if _is_label(label):
        return Problem.from_label(label)
    tests = parse_tests(label, where="label")
    return Problem(f"tests-{tests.digest[:12]}", question, tests)


def _is_label(text: str) -> bool:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return True  # from_label says what is wrong with it
    return not isinstance(found, list | dict) or "version" in found
