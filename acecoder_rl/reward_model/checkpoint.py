"""Where a reward model's checkpoint keeps its value head.

Covers: `read_head`: AceCodeRM's layout (`v_head.summary.*` among the model's tensors), LLaMA-Factory's
    (`value_head.safetensors` or `value_head.bin` beside them) and sequence classifiers' (`score.*`); safetensors
    or .bin, sharded or not, a folder or a Hub id. Only the head's tensors are read.
Does not cover: the backbone (model.py), changing one layout into another (convert.py).
Hostile input: .bin files are read with weights_only=True; nothing in a checkpoint is executed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

Layout = Literal["v_head", "value_head_file", "score"]
V_HEAD = ("v_head.summary.weight", "v_head.summary.bias")
SCORE = ("score.weight", "score.bias")
MODEL_FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
HEAD_FILES = ("value_head.safetensors", "value_head.bin")
HUB_OPTIONS = ("cache_dir", "force_download", "local_files_only", "revision", "subfolder", "token", "proxies")


class HeadError(ValueError):
    """The checkpoint has no value head, more than one, or one that cannot be AceCodeRM's."""


class NoHeadError(HeadError):
    """The checkpoint has no value head at all: a causal LM, or something else."""


@dataclass(frozen=True)
class Head:
    """A value head: score = weight · hidden + bias.

    Attributes:
        weight: fp32, [1, hidden].
        bias: None only in the `score` layout, whose heads usually have none.
        layout: "v_head", "value_head_file" or "score".
        keys: the tensors' names in the checkpoint.
        file: the file that holds the weight.
    """

    weight: torch.Tensor
    bias: float | None
    layout: Layout
    keys: tuple[str, ...]
    file: Path


def read_head(path: str | Path, **hub: Any) -> Head:
    """The one value head of a checkpoint.

    Args:
        path: a folder, or a model id on the Hub.
        hub: `revision`, `cache_dir`, `token`, `local_files_only`, `subfolder`, as transformers has them.

    Raises:
        HeadError: no head (`NoHeadError`), two different ones, a wrong shape, or values that are not finite.
        OSError: no checkpoint there, or it cannot be reached.
    """
    name = str(path)
    files = _Files(name, hub)
    tensors = files.model()
    found = [
        head
        for head in (
            _head(name, tensors, V_HEAD, "v_head"),
            _head(name, files.head(), V_HEAD, "value_head_file"),
            _head(name, tensors, SCORE, "score"),
        )
        if head is not None
    ]
    if not found:
        raise NoHeadError(_missing(name, tensors))
    first = found[0]
    for other in found[1:]:
        if not (first.weight.equal(other.weight) and (first.bias or 0.0) == (other.bias or 0.0)):
            raise HeadError(
                f"{name} has two value heads that differ: {first.keys[0]} in {first.file.name} and {other.keys[0]} "
                f"in {other.file.name}: remove the one that does not belong to this model"
            )
    width = files.hidden_size()
    if width is not None and first.weight.shape[1] != width:
        raise HeadError(
            f"{first.file}: {first.keys[0]} has shape {list(first.weight.shape)}, but config.json has hidden_size "
            f"{width}: the head was trained on another backbone"
        )
    return first


@dataclass(frozen=True)
class _Tensors:
    """The names in a checkpoint, and how to get at one: its file, and the tensor as stored."""

    keys: tuple[str, ...]
    load: Callable[[str], tuple[Path, torch.Tensor]]


class _Files:
    """A checkpoint's files, in a folder or on the Hub."""

    def __init__(self, name: str, hub: dict[str, Any]) -> None:
        unknown = set(hub) - set(HUB_OPTIONS)
        if unknown:
            raise TypeError(f"read_head() got an unexpected keyword argument {min(unknown)!r}")
        self.name, self.hub = name, hub

    def file(self, filename: str) -> Path | None:
        from transformers.utils import cached_file

        file = cached_file(
            self.name,
            filename,
            **self.hub,
            _raise_exceptions_for_missing_entries=False,
            _raise_exceptions_for_gated_repo=True,
            _raise_exceptions_for_connection_errors=False,
        )
        return None if file is None else Path(file)

    def model(self) -> _Tensors:
        for filename in MODEL_FILES:
            file = self.file(filename)
            if file is not None:
                return self._sharded(file) if filename.endswith(".json") else _one(file)
        raise FileNotFoundError(
            f"{self.name} holds no checkpoint: none of {', '.join(MODEL_FILES)} is there, or the Hub cannot be reached"
        )

    def head(self) -> _Tensors:
        for filename in HEAD_FILES:
            file = self.file(filename)
            if file is not None:
                return _one(file)
        return _Tensors((), lambda key: (_ for _ in ()).throw(KeyError(key)))

    def hidden_size(self) -> int | None:
        file = self.file("config.json")
        return None if file is None else json.loads(file.read_text()).get("hidden_size")

    def _sharded(self, index: Path) -> _Tensors:
        try:
            shards = json.loads(index.read_text())["weight_map"]
        except (ValueError, KeyError) as error:
            raise HeadError(f"{index}: no index of a checkpoint ({error!r}): download it again") from error

        def load(key: str) -> tuple[Path, torch.Tensor]:
            file = self.file(shards[key])
            if file is None:
                raise FileNotFoundError(
                    f"{index} names {shards[key]}, which is not there: download the checkpoint again"
                )
            return _one(file).load(key)

        return _Tensors(tuple(shards), load)


def _one(file: Path) -> _Tensors:
    import torch

    if file.suffix == ".bin":
        # mmap: a head of some kB must not cost reading a file of many GB.
        tensors = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        return _Tensors(tuple(tensors), lambda key: (file, tensors[key]))

    from safetensors import SafetensorError, safe_open

    def load(key: str) -> tuple[Path, torch.Tensor]:
        try:
            with safe_open(file, framework="pt") as opened:
                return file, opened.get_tensor(key)
        except SafetensorError as error:
            raise HeadError(f"{file}: {key} cannot be read ({error}): download the checkpoint again") from error

    try:
        with safe_open(file, framework="pt") as opened:
            return _Tensors(tuple(opened.keys()), load)
    except SafetensorError as error:
        raise HeadError(f"{file}: not a whole safetensors file ({error}): download the checkpoint again") from error


def _head(name: str, tensors: _Tensors, keys: tuple[str, str], layout: Layout) -> Head | None:
    """The head under these two keys; None if neither is there."""
    present = tuple(key for key in keys if key in tensors.keys)
    if not present:
        if layout == "value_head_file" and tensors.keys:
            raise HeadError(
                f"{name}: its value head file holds {', '.join(tensors.keys[:6])}, not {keys[0]} and {keys[1]}"
            )
        return None
    if keys[0] not in present or (keys[1] not in present and layout != "score"):
        absent = keys[1] if keys[0] in present else keys[0]
        raise HeadError(
            f"{name} has {present[0]} but no {absent}: half a value head; save or download the checkpoint again"
        )
    file, weight = tensors.load(keys[0])
    if weight.dim() != 2 or weight.shape[0] != 1:
        raise HeadError(
            f"{file}: {keys[0]} has shape {list(weight.shape)}, not [1, hidden]: this is not a reward model with one "
            "score"
        )
    bias = None
    if keys[1] in present:
        file_of_bias, stored = tensors.load(keys[1])
        if list(stored.shape) != [1]:
            raise HeadError(f"{file_of_bias}: {keys[1]} has shape {list(stored.shape)}, not [1]")
        bias = float(stored)
    weight = weight.float().clone()
    if not weight.isfinite().all() or (bias is not None and bias - bias != 0.0):
        raise HeadError(f"{file}: {keys[0]} or {keys[1]} holds NaN or infinity: the training or the saving went wrong")
    return Head(weight, bias, layout, present, file)


def _missing(name: str, tensors: _Tensors) -> str:
    other = [key for key in tensors.keys if not key.startswith(("model.", "lm_head.", "transformer."))]
    seen = f"; beside the backbone it holds {', '.join(other[:6])}" if other else ""
    return (
        f"{name} has no value head: neither {V_HEAD[0]} among its tensors nor {' or '.join(HEAD_FILES)}{seen}. "
        "If it is a base model that a reward model shall be trained from, start with from_base(); else "
        "this is not an AceCodeRM"
    )
