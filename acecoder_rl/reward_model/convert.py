"""A reward model's checkpoint from one layout into the other.

Covers: `convert`: a value head (AceCodeRM's or LLaMA-Factory's layout), or a sequence classifier (ours, TRL's,
    OpenRLHF's), to a sequence classifier that vLLM, Transformers, TRL and OpenRLHF load, or to AceCodeRM's layout.
Does not cover: bytes (shards.py), config and companions (convert_config.py), the check (convert_verify.py).
What it promises: the backbone's tensors and the head's weight are copied byte for byte, in a few MB of memory; the
    target folder is whole and checked, or absent.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from acecoder_rl.reward_model import convert_config
from acecoder_rl.reward_model.checkpoint import Head
from acecoder_rl.reward_model.convert_plan import (
    LM_HEAD,
    To,
    architecture_for,
    check_backbone,
    find_head,
    lm_head_of,
    plan,
)
from acecoder_rl.reward_model.convert_verify import Verify, check
from acecoder_rl.reward_model.shards import ConvertError, Stored, read_shards, write_shards


@dataclass(frozen=True)
class Conversion:
    """What was done.

    Attributes:
        source, target: as given, and the folder.
        to: the target's layout, "seqcls" or "causal-rm".
        architecture: in the target's config, such as "Qwen2ForSequenceClassification".
        bias: of the head; 0 where the source had none.
        files, size: of the target's tensors, and their bytes.
        dropped: tensors of the source that the target has not.
        lm_head: whether the target has one, or ties it to the embeddings.
        verified: what was compared, and how close it came.
        notes: what the user should know.
    """

    source: str
    target: Path
    to: To
    architecture: str
    bias: float
    files: int
    size: int
    dropped: tuple[str, ...]
    lm_head: bool
    verified: str
    notes: tuple[str, ...]


def convert(
    source: str | Path,
    target: Path,
    *,
    to: To | None = None,
    base: Path | None = None,
    verify: Verify = "auto",
    overwrite: bool = False,
    revision: str | None = None,
    on_step: Callable[[str], None] = lambda step: None,
) -> Conversion:
    """Convert a checkpoint.

    Args:
        source: a folder, or a model id on the Hub.
        target: a folder that is not there, or empty.
        to: by default the layout that the source is not in.
        base: to "causal-rm": a folder with the causal LM that the reward model was trained from, for its LM head,
            which a classifier does not keep.
        verify: "scores" compares the scores of both forms for a few texts, "tensors" all tensors byte for byte;
            "auto" is the former if the model fits into memory in fp32, else the latter.
        overwrite: replace a model in the target.
        revision: of a model on the Hub.
        on_step: is told what begins.

    Raises:
        ConvertError: source, target or base cannot be used, or the check failed.
        HeadError: the source's value head is missing, doubled, or of another kind.
        ShardError: a file of the source is damaged or absent.
    """
    folder = _folder(str(source), revision)
    place = target.resolve()
    _check_target(folder, target, overwrite)
    config = _config(folder)
    shards = read_shards(folder)
    head, named = find_head(folder, config, shards)
    to = to or ("causal-rm" if head.layout == "score" else "seqcls")
    if base is not None and to == "seqcls":
        raise ConvertError(f"--base is {base}, but a sequence classifier has no LM head: leave it out")
    architecture = architecture_for(folder, to)
    kept, dropped = plan(shards, head, named, to)
    check_backbone(folder, kept)
    tied = bool(config.get("tie_word_embeddings"))
    has_lm_head = any(tensor.name == LM_HEAD for shard in kept for tensor in shard)
    if to == "causal-rm" and base is not None and not tied and not has_lm_head:
        kept[-1].append(lm_head_of(base, _config(base), kept))
        has_lm_head = True
    _check_disk(target, kept)

    half = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    half.mkdir(parents=True)
    try:
        on_step(f"writing {in_bytes(sum(map(_size, kept)))} in {len(kept)} file(s)")
        size = write_shards(half, kept)
        convert_config.copy_companions(folder, half)
        notes: list[str] = []
        if to == "seqcls":
            pad, notes = convert_config.choose_pad(half, config)
            new = convert_config.classifier_config(config, architecture, pad)
        else:
            new = convert_config.causal_rm_config(config, architecture)
        (half / "config.json").write_text(json.dumps(new, indent=2) + "\n")
        _carry_calibration(folder, half, head, to)
        own = (folder / "conversion.json").is_file()  # value_head_prefix is ours then
        ends = convert_config.end_told(half, to, head.layout == "score" and "value_head_prefix" in config and not own)
        on_step("comparing both forms")
        done = Conversion(
            str(source), target, to, architecture, head.bias or 0.0, len(kept), size, dropped, tied or has_lm_head,
            check(folder, head, half, kept, to, verify), tuple(notes + _told(head, to, tied or has_lm_head) + ends),
        )  # fmt: skip
        facts = asdict(done) | {"source": folder.resolve().name if Path(source).is_dir() else str(source)}
        del facts["target"]
        convert_config.write_notes(half, facts)
        _put(half, place)
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return done


def _folder(source: str, revision: str | None) -> Path:
    if Path(source).is_dir():
        return Path(source)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    companions = ["*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken", "LICENSE*", "value_head.*"]
    try:
        folder = Path(snapshot_download(source, revision=revision, allow_patterns=[*companions, "*.safetensors"]))
        if not any(folder.glob("model*.safetensors")):
            folder = Path(snapshot_download(source, revision=revision, allow_patterns=[*companions, "*.bin"]))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ConvertError(
            f"{source} is neither a folder nor a model that can be had from the Hub ({str(error).splitlines()[0]})"
        ) from error
    return folder


def _check_target(source: Path, target: Path, overwrite: bool) -> None:
    here, there = source.resolve(), target.resolve()
    if there == here or there in here.parents:
        raise ConvertError(f"{target} is, or holds, the source {source}: name another folder")
    if target.exists() and not target.is_dir():
        raise ConvertError(f"{target} is a file: name a folder")
    if target.is_dir() and any(target.iterdir()):
        if not overwrite:
            raise ConvertError(f"{target} is not empty: name another folder, or give --overwrite")
        if not (target / "config.json").is_file():
            raise ConvertError(f"{target} holds something else than a model (no config.json): it is not overwritten")


def _config(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    try:
        config = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise ConvertError(f"{folder} has no config.json: it is no model's folder") from None
    except (ValueError, RecursionError) as error:
        raise ConvertError(f"{file} is not JSON ({error}): download it again") from None
    if not isinstance(config, dict):
        raise ConvertError(f"{file} is not a model's config: download it again")
    return config


def _check_disk(target: Path, kept: list[list[Stored]]) -> None:
    there = next(parent for parent in target.absolute().parents if parent.exists())
    needed, free = sum(map(_size, kept)), shutil.disk_usage(there).free
    if needed > free:
        raise ConvertError(f"{target} needs {in_bytes(needed)}, but {there} has {in_bytes(free)} left")


def in_bytes(size: float) -> str:
    """A size as people read it."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _size(tensors: Sequence[Stored]) -> int:
    return sum(tensor.size for tensor in tensors)


def _carry_calibration(folder: Path, half: Path, head: Head, to: To) -> None:
    """The scores are the same, so that their calibration is."""
    from acecoder_rl.reward_model.calibration import FILE, read_calibration, write_calibration

    if (folder / FILE).is_file():
        bias = (head.bias or 0.0) if to == "seqcls" else None
        write_calibration(half, read_calibration(folder), bias)


def _told(head: Head, to: To, lm_head: bool) -> list[str]:
    if to == "seqcls":
        return [convert_config.bias_told(head.bias or 0.0)]
    notes = []
    if head.bias is None:
        notes.append(
            "the source's head has no bias: 0 is written. If Transformers, TRL or OpenRLHF saved it from a converted "
            "model, the bias is lost: all scores are shifted by the same number"
        )
    if not lm_head:
        notes.append(
            "no LM head: a classifier keeps none. Scores need none; for LM logits, or to save the model again, name "
            "the model it was trained from with --base"
        )
    return notes


def _put(half: Path, target: Path) -> None:
    """The finished folder in the target's place, in one rename where the target is new or empty."""
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    there = target.is_dir() and any(target.iterdir())
    if there:
        target.rename(old)
    try:
        half.rename(target)
    except OSError:
        if there:
            with suppress(OSError):
                old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
