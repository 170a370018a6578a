"""A checkpoint's tensors as bytes, streamed from one folder's files into another's.

Covers: `read_shards` (safetensors or .bin, sharded or not), `write_shards` (safetensors, sharded as asked),
    `same_bytes`; memory of a few MB, whatever the size of the tensors.
Does not cover: what the tensors are (convert.py).
Hostile input: a safetensors file's header is checked against its size; .bin files are read with weights_only=True.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from acecoder_rl.reward_model.checkpoint import MODEL_FILES

if TYPE_CHECKING:
    import torch

CHUNK = 8 << 20  # bytes copied at once
MAX_HEADER = 100 << 20  # as the safetensors library has it
INDEX = "model.safetensors.index.json"
# Bytes of one number, by the names of safetensors.
WIDTHS = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "I16": 2, "U16": 2, "F16": 2, "BF16": 2,
    "I32": 4, "U32": 4, "F32": 4, "I64": 8, "U64": 8, "F64": 8,
}  # fmt: skip


class ConvertError(ValueError):
    """A conversion is refused, or came out wrong and was not kept; the message names the mend."""


class ShardError(ConvertError):
    """A checkpoint's file is damaged or absent, or of a kind that cannot be read; the message names it."""


@dataclass(frozen=True)
class Stored:
    """A tensor in a file, or a few bytes of ours.

    Attributes:
        name: in the checkpoint.
        key: its name in the file.
        dtype: by safetensors' name.
        shape: of the tensor.
        file: that holds it; None for `content`.
        start: its first byte in a safetensors file.
        content: the tensor itself, if it is in no file.
    """

    name: str
    key: str
    dtype: str
    shape: tuple[int, ...]
    file: Path | None
    start: int = 0
    content: bytes = b""

    @property
    def size(self) -> int:
        """In bytes."""
        return WIDTHS[self.dtype] * math.prod(self.shape)

    def chunks(self) -> Iterator[bytes | memoryview]:
        """Its bytes."""
        if self.file is None:
            yield self.content
        elif self.file.suffix == ".bin":
            import torch

            # A tensor may be a view with strides; contiguous() copies only then.
            data = _load_bin(self.file)[self.key].contiguous().reshape(-1).view(torch.uint8).numpy().data
            for at in range(0, self.size, CHUNK):
                yield data[at : at + CHUNK]
        else:
            with self.file.open("rb") as opened:
                opened.seek(self.start)
                left = self.size
                while left:
                    chunk = opened.read(min(CHUNK, left))
                    if not chunk:
                        raise ShardError(f"{self.file} breaks off within {self.name}: download the checkpoint again")
                    left -= len(chunk)
                    yield chunk

    def called(self, name: str) -> Stored:
        """The same tensor under another name in the checkpoint that is to be written."""
        return replace(self, name=name)


def read_shards(folder: Path) -> list[list[Stored]]:
    """The tensors of a checkpoint, by the file they are in.

    Raises:
        ShardError: there is none, or it is not whole.
    """
    for name in MODEL_FILES:
        file = folder / name
        if file.is_file():
            break
    else:
        if (folder / "adapter_config.json").is_file():
            raise ShardError(f"{folder} holds a LoRA adapter, not a whole model: merge it into its base model first")
        raise ShardError(f"{folder} holds no checkpoint: none of {', '.join(MODEL_FILES)} is there")
    if file.suffix != ".json":
        return [read_file(file)]
    try:
        places = json.loads(file.read_bytes())["weight_map"]
        wanted = {name: set() for name in places.values()}
        for key, name in places.items():
            wanted[name].add(key)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ShardError(f"{file}: no index of a checkpoint ({error!r}): download it again") from None
    shards = []
    for name in sorted(wanted):
        if Path(name).name != name:
            raise ShardError(f"{file} names {name!r}: a shard stands beside its index")
        if not (folder / name).is_file():
            raise ShardError(f"{file} names {name}, which is not there: download the checkpoint again")
        tensors = read_file(folder / name)
        absent = wanted[name] - {tensor.name for tensor in tensors}
        if absent:
            raise ShardError(f"{folder / name} lacks {min(absent)}, which {file.name} says it has: download it again")
        shards.append([tensor for tensor in tensors if tensor.name in wanted[name]])
    return shards


def read_file(file: Path) -> list[Stored]:
    """The tensors of one file, in the order of their places.

    Raises:
        ShardError: it is not whole.
    """
    if file.suffix == ".bin":
        return [_stored(file, name, tensor) for name, tensor in _load_bin(file).items()]
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        size = file.stat().st_size
        header: Any = None
        if length <= min(MAX_HEADER, size - 8):
            try:
                header = json.loads(opened.read(length))
            except (ValueError, RecursionError):
                header = None
    if not isinstance(header, dict):
        raise ShardError(f"{file}: not a safetensors file, or not a whole one: download it again")
    header.pop("__metadata__", None)
    tensors, data = [], 8 + length
    for name, about in header.items():
        try:
            dtype, shape, (start, end) = about["dtype"], tuple(about["shape"]), about["data_offsets"]
            if dtype not in WIDTHS:
                raise ShardError(f"{file}: {name} is of type {dtype}, which cannot be converted: dequantize the model")
            tensor = Stored(name, name, dtype, shape, file, data + start)
            whole = tensor.size == end - start and start >= 0 and data + end <= size
        except (TypeError, KeyError) as error:
            raise ShardError(f"{file}: {name} is not described ({error!r}): download it again") from None
        if not whole:
            raise ShardError(f"{file}: not whole, {name} lies outside of it or has another size: download it again")
        tensors.append(tensor)
    return sorted(tensors, key=lambda tensor: tensor.start)


def write_shards(folder: Path, shards: Sequence[Sequence[Stored]]) -> int:
    """Write a checkpoint; an index beside it if there are several shards.

    Returns:
        bytes written.
    """
    places, total, written = {}, 0, 0
    for number, tensors in enumerate(shards, 1):
        name = "model.safetensors" if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}.safetensors"
        # The widest numbers first: then each tensor lies at a multiple of its numbers' width.
        ordered = sorted(tensors, key=lambda tensor: -WIDTHS[tensor.dtype])
        with (folder / name).open("xb") as file:
            _write_file(file, ordered)
            written += file.tell()
        places |= {tensor.name: name for tensor in ordered}
        total += sum(tensor.size for tensor in ordered)
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
        (folder / INDEX).write_text(json.dumps(index, indent=2) + "\n")
    return written


def same_bytes(one: Stored, other: Stored) -> bool:
    """Whether two tensors are equal, byte for byte."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    return all(first == second for first, second in zip(one.chunks(), other.chunks(), strict=True))


def _write_file(file: BinaryIO, tensors: Sequence[Stored]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for tensor in tensors:
        header[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [at, at + tensor.size],
        }
        at += tensor.size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little"))
    file.write(text)
    for tensor in tensors:
        for chunk in tensor.chunks():
            file.write(chunk)
    file.flush()
    os.fsync(file.fileno())


@lru_cache(maxsize=1)
def _load_bin(file: Path) -> dict[str, torch.Tensor]:
    """A .bin file's tensors, mapped; one file is kept open, since its tensors are asked for one after another."""
    import pickle

    import torch

    try:
        tensors = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError) as error:
        raise ShardError(
            f"{file} cannot be read ({error}): download it again, or save it as safetensors (save_pretrained)"
        ) from None
    if not isinstance(tensors, dict) or not all(isinstance(value, torch.Tensor) for value in tensors.values()):
        raise ShardError(f"{file} holds something else than tensors by name: not a model's file")
    return tensors


def _stored(file: Path, name: str, tensor: torch.Tensor) -> Stored:
    import torch

    names = {
        torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.float64: "F64",
        torch.int64: "I64", torch.int32: "I32", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
    }  # fmt: skip
    if tensor.dtype not in names:
        raise ShardError(f"{file}: {name} is of type {tensor.dtype}, which cannot be converted")
    return Stored(name, name, names[tensor.dtype], tuple(tensor.shape), file)
