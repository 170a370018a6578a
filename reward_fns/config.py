"""A recipe's `reward:` section -> the reward.

Covers: `from_config`, with the nearest right key for a wrong one.
Does not cover: what the keys mean (pass_rate.py, mixed.py).
"""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import os
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from acecoder_rl.sandbox.remote import Settings
from acecoder_rl.sandbox.verdict import Limits
from reward_fns.mixed import Component, Mixed, Part
from reward_fns.pass_rate import AllPass, PassRate, TestReward

KINDS: dict[str, type[TestReward]] = {"pass_rate": PassRate, "all_pass": AllPass, "mixed": Mixed}
# kind -> "module:Class" of the components that come with us
COMPONENTS: dict[str, str] = {"acecode_rm": "reward_fns.acecode_rm:AceCodeRM"}


class ConfigError(ValueError):
    """A reward's configuration is wrong: the message names the field, the value and the mend."""


def from_config(config: dict[str, Any] | str | Path, sandbox: dict[str, Any] | None = None) -> TestReward:
    """Build a reward.

    Args:
        config: `kind` (pass_rate, all_pass or mixed) and the arguments of that class; `parts` of a mix are a
            list of {name, kind, weight, mean, std, squash, limit} and the arguments of the component, whose
            `kind` may be "package.module:Class". Or YAML text of that, or the path of a YAML file. Sections
            `reward` and `sandbox` are taken from YAML that has them, and from the recipe that a file is based on.
        sandbox: a recipe's `sandbox:` section: workers, require, python, preload and the fields of Limits.

    Raises:
        ConfigError: a key or a value is wrong; the message names the file, if there is one.
    """
    if not isinstance(config, str | Path):
        return _build(config, sandbox)
    is_file = isinstance(config, Path) or ("\n" not in config and config.endswith((".yaml", ".yml")))
    found = read_file(config) if is_file else _read(config, is_file)
    if isinstance(found, dict) and "reward" in found:
        sandbox = found.get("sandbox") if sandbox is None else sandbox
        found = found["reward"]
    try:
        return _build(found, sandbox)
    except ConfigError as error:
        raise ConfigError(f"{config}: {error}") if is_file else error from error


def _build(config: Any, sandbox: dict[str, Any] | None) -> TestReward:
    config = _mapping("reward", config)
    kind = config.pop("kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise ConfigError(f"reward.kind is {kind!r}: {_instead(kind, KINDS)}")
    cls = KINDS[kind]
    _known("reward", config, [item.name for item in fields(cls) if item.name != "sandbox"])
    if cls is Mixed:
        config["parts"] = _parts(config.get("parts"))
    settings = sandbox_settings({} if sandbox is None else sandbox)
    try:
        return cls(**config, sandbox=settings)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"reward.{error}") from error


def sandbox_settings(section: dict[str, Any]) -> Settings:
    """A recipe's `sandbox:` section as the sandbox takes it.

    Raises:
        ConfigError: a key or a value is wrong.
    """
    section = _mapping("sandbox", section)
    limits = {item.name for item in fields(Limits)}
    _known("sandbox", section, ["workers", "require", "python", "preload", *sorted(limits)])
    given = {name: section.pop(name) for name in list(section) if name in limits}
    workers, preload = section.get("workers"), section.get("preload")
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
        raise ConfigError(f"sandbox.workers is {workers!r}: give 1 or more, or leave it out for all cores")
    if preload is not None:
        if not isinstance(preload, list | tuple) or not all(isinstance(name, str) for name in preload):
            raise ConfigError(f"sandbox.preload is {preload!r}: give a list of module names")
        section["preload"] = tuple(preload)
    try:
        return Settings(limits=Limits(**given) if given else None, **section)
    except ValueError as error:
        raise ConfigError(f"sandbox.{str(error).removeprefix('Limits.')}") from error


def _parts(section: Any) -> tuple[Part, ...]:
    if not isinstance(section, list) or not section:
        raise ConfigError(f"reward.parts is {section!r}: give a list, each with name, kind and weight")
    parts = []
    for index, item in enumerate(section):
        where = f"reward.parts.{index}"
        item = _mapping(where, item)
        kind = item.pop("kind", None)
        own = {key: item.pop(key) for key in [f.name for f in fields(Part)] if key in item}
        own.setdefault("name", str(kind).rpartition(":")[2].rpartition(".")[2].lower())
        try:
            parts.append(Part(component=_component(where, kind, item), **own))
        except ConfigError:
            raise
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{where}: {error}") from error
    return tuple(parts)


def _component(where: str, kind: Any, arguments: dict[str, Any]) -> Component:
    target = COMPONENTS.get(str(kind), str(kind))
    module, colon, name = target.partition(":")
    if not colon:
        known = f"{_instead(kind, COMPONENTS)}, or " if COMPONENTS else ""
        raise ConfigError(f"{where}.kind is {kind!r}: {known}give 'package.module:Class'")
    try:
        cls = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"{where}.kind is {kind!r}, which does not import: {error}: install its package, or name its folder in "
            "PYTHONPATH"
        ) from error
    taken = inspect.signature(cls).parameters
    if not any(each.kind is each.VAR_KEYWORD for each in taken.values()):
        _known(where, arguments, [*taken, *(each.name for each in fields(Part) if each.name != "component")])
    component = cls(**arguments)
    if not isinstance(component, Component):
        raise ConfigError(f"{where}.kind is {kind!r}, which has no method `async score(...)`")
    return component


def read_file(path: str | Path) -> Any:
    """What a YAML file says, over what the recipe says that it is based on (`base:`), as `acecoder-rl train` reads it.

    Raises:
        ConfigError: a file cannot be read, is no YAML, or is based on itself.
    """
    files, layers = [str(path)], [_read(path, True)]
    while isinstance(layers[-1], dict) and (base := layers[-1].pop("base", None)) is not None:
        file = os.path.join(os.path.dirname(files[-1]), os.path.expanduser(str(base)))
        if os.path.realpath(file) in map(os.path.realpath, files):
            raise ConfigError(f"{path}: base is {base!r}, which is based on this recipe: leave it out in one of them")
        files.append(file)
        layers.append(_read(file, True))
    # A section whose lines are all commented out says nothing.
    said = [{k: v for k, v in each.items() if v is not None} if isinstance(each, dict) else each for each in layers]
    return functools.reduce(_over, reversed(said))


def _over(below: Any, above: Any) -> Any:
    """Values over others: a section field by field, but one that names its kind as a whole."""
    if not (isinstance(below, dict) and isinstance(above, dict)) or "kind" in above:
        return above
    return below | {name: _over(below.get(name), value) for name, value in above.items()}


def _read(config: str | Path, is_file: bool) -> Any:
    import yaml

    try:
        return yaml.safe_load(Path(config).read_text() if is_file else str(config))
    except OSError as error:
        raise ConfigError(f"{config} cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{config if is_file else 'the text'} is not YAML: {error}") from error


def _mapping(where: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where} is {value!r}: give keys and values")
    return dict(value)


def _known(where: str, section: dict[str, Any], known: Iterable[str]) -> None:
    for key in section:
        if key not in known:
            raise ConfigError(f"{where}.{key} is not known: {_instead(key, known)}")


def _instead(value: object, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(value), list(known), 1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"give one of {', '.join(known)}"
