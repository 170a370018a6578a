"""Which tensor of a reward model's checkpoint becomes which.

Covers: finding the head with its tensors (`find_head`), the target's class (`architecture_for`), what is kept under
    which name and what is left out (`plan`), whether that is a whole model (`check_backbone`), an LM head from
    elsewhere (`lm_head_of`).
Does not cover: writing (shards.py, convert.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from transformers import AutoConfig
from transformers.modeling_layers import GenericForSequenceClassification
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from acecoder_rl.reward_model.checkpoint import HEAD_FILES, SCORE, V_HEAD, Head, HeadError, NoHeadError, read_head
from acecoder_rl.reward_model.model import class_for_config
from acecoder_rl.reward_model.shards import ConvertError, Stored, read_file, read_shards

To = Literal["seqcls", "causal-rm"]
NAMES: dict[To, tuple[str, str]] = {"seqcls": SCORE, "causal-rm": V_HEAD}
LM_HEAD = "lm_head.weight"
EMBEDDINGS = "model.embed_tokens.weight"
TYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


def find_head(folder: Path, config: dict[str, Any], shards: list[list[Stored]]) -> tuple[Head, tuple[Stored, ...]]:
    """The head, and its tensors in the source: the weight, and the bias if it has one.

    Raises:
        HeadError: there is none, or more than one, or it is of another kind.
    """
    tensors = {tensor.name: tensor for shard in shards for tensor in shard}
    layered = sorted(name for name in tensors if name.startswith("score.") and name not in SCORE)
    if layered:
        raise HeadError(
            f"{folder}: its head is more than one Linear ({', '.join(layered[:4])}), as in Qwen2ForRewardModel: no "
            "AceCodeRM or sequence classifier can hold it; serve it with vLLM as it is"
        )
    try:
        head = read_head(folder)
    except NoHeadError:
        # OpenRLHF lets the user name the head.
        prefix = config.get("value_head_prefix")
        names = (f"{prefix}.weight", f"{prefix}.bias")
        if not prefix or names[0] not in tensors:
            raise
        return _named_head(tensors, names)
    if head.layout == "value_head_file":
        file = next(folder / name for name in HEAD_FILES if (folder / name).is_file())
        tensors = {tensor.name: tensor for tensor in read_file(file)}
    return head, tuple(tensors[key] for key in head.keys)


def _named_head(tensors: dict[str, Stored], names: tuple[str, str]) -> tuple[Head, tuple[Stored, ...]]:
    found = tuple(tensors[name] for name in names if name in tensors)
    file = found[0].file
    if len(found[0].shape) != 2 or found[0].shape[0] != 1 or found[-1].shape not in ((1,), found[0].shape):
        raise HeadError(f"{file}: {names[0]} has shape {list(found[0].shape)}, not [1, hidden]: not one score a text")
    if any(tensor.dtype not in TYPES for tensor in found):
        raise HeadError(f"{file}: {names[0]} is of type {found[0].dtype}: a value head is of floating-point numbers")
    values = [
        torch.frombuffer(bytearray(b"".join(map(bytes, tensor.chunks()))), dtype=TYPES[tensor.dtype]).float()
        for tensor in found
    ]
    bias = float(values[1]) if len(values) == 2 else None
    return Head(values[0].reshape(1, -1), bias, "score", tuple(tensor.name for tensor in found), file), found


def architecture_for(folder: Path, to: To) -> str:
    """The name of the target's class.

    Raises:
        ConvertError: there is none for this type of model.
    """
    try:
        config = AutoConfig.from_pretrained(folder)
        causal_rm = class_for_config(config).__name__
    except ValueError as error:
        raise ConvertError(f"{folder}: {error}") from None
    if to == "causal-rm":
        return causal_rm
    classifier = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING.get(type(config), None)
    # These all keep the backbone under `model.` and the head in `score`.
    if classifier is None or not issubclass(classifier, GenericForSequenceClassification):
        raise ConvertError(
            f"{folder}: transformers has no sequence classifier for type {config.model_type!r} with a head called "
            "score: use the model as it is (acecoder-rl serve-rm)"
        )
    return classifier.__name__


def check_backbone(folder: Path, kept: list[list[Stored]]) -> None:
    """Whether the backbone is whole: a loader would only warn of a missing tensor and make up a random one.

    Raises:
        ConvertError: a tensor is missing or has another shape than config.json says.
    """
    config = AutoConfig.from_pretrained(folder)
    with torch.device("meta"):  # shapes alone, no memory
        model = class_for_config(config)(config, lm_head=False)
    there = {tensor.name: tensor for shard in kept for tensor in shard}
    for name, tensor in model.state_dict().items():
        if not name.startswith("model."):
            continue
        if name not in there:
            raise ConvertError(f"{folder}: {name} is missing: not a whole checkpoint, or a quantized one")
        if there[name].shape != tuple(tensor.shape):
            raise ConvertError(
                f"{there[name].file}: {name} has shape {list(there[name].shape)}, but by config.json it is "
                f"{list(tensor.shape)}: is the config another model's?"
            )


def plan(
    shards: list[list[Stored]], head: Head, named: tuple[Stored, ...], to: To
) -> tuple[list[list[Stored]], tuple[str, ...]]:
    """The target's tensors by file, and the names of those left out.

    Args:
        named: the head's tensors in the source.

    Raises:
        ConvertError: the source holds a tensor of another kind, or no backbone.
    """
    weight, bias = NAMES[to]
    heads = {*V_HEAD, *SCORE, *head.keys}
    kept: list[list[Stored]] = []
    dropped: list[str] = []
    for shard in shards:
        chosen = []
        for tensor in shard:
            if tensor.name in heads:
                if tensor.name not in head.keys:
                    dropped.append(tensor.name)  # read_head has seen that it is the same head
            elif tensor.name == LM_HEAD and to == "seqcls":
                dropped.append(tensor.name)
            elif tensor.name == LM_HEAD or tensor.name.startswith("model."):
                chosen.append(tensor)
            else:
                raise ConvertError(
                    f"{tensor.file}: {tensor.name} is neither of the backbone (model.*), nor an LM head, nor a value "
                    "head: this is another kind of model"
                )
        if chosen:
            kept.append(chosen)
    if not kept:
        raise ConvertError(f"{head.file.parent} has no backbone (model.*): not a whole checkpoint")
    kept[-1].append(named[0].called(weight))
    if len(named) == 2:
        kept[-1].append(named[1].called(bias))
    elif to == "causal-rm":
        kept[-1].append(Stored(bias, bias, "F32", (1,), None, content=bytes(4)))
    return kept, tuple(dropped)


def lm_head_of(base: Path, config: dict[str, Any], kept: list[list[Stored]]) -> Stored:
    """The LM head of a causal LM, for a reward model of the same shape.

    Raises:
        ConvertError: it has none, or is another model.
    """
    tensors = {tensor.name: tensor for shard in read_shards(base) for tensor in shard}
    found = tensors.get(LM_HEAD) or (tensors.get(EMBEDDINGS) if config.get("tie_word_embeddings") else None)
    if found is None:
        raise ConvertError(f"--base {base} has no {LM_HEAD}: name the causal LM that the reward model was trained from")
    embedding = next(tensor for shard in kept for tensor in shard if tensor.name == EMBEDDINGS)
    if found.shape != embedding.shape:
        raise ConvertError(
            f"--base {base}: its LM head has shape {list(found.shape)}, but the reward model's embeddings have "
            f"{list(embedding.shape)}: it is another model"
        )
    return found.called(LM_HEAD)
