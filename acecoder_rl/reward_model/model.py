"""AceCodeRM's model: a causal LM's backbone and a value head on its last hidden states.

Covers: `Qwen2ForCausalRM` and `LlamaForCausalRM`, `AutoModelForCausalRM` for any decoder that transformers'
    AutoModelForCausalLM knows, `last_values`; loading, saving and starting from a base model.
Does not cover: text (scoring.py), other layouts of the head (convert.py), training (train.py).
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn
from transformers import AutoConfig, LlamaForCausalLM, PreTrainedConfig, Qwen2ForCausalLM
from transformers import initialization as init
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from acecoder_rl.reward_model.checkpoint import HUB_OPTIONS, Head, HeadError, NoHeadError, read_head

Values = tuple[torch.Tensor | None, None, torch.Tensor]


class _Summary(nn.Linear):
    """A Linear in fp32, whatever the dtype of its input, of autocast or of a trainer's copy of the weights."""

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            return nn.functional.linear(hidden.float(), self.weight.float(), self.bias.float())


class ValueHead(nn.Module):
    """Dropout (`config.summary_dropout_prob`, 0.1; in training only), then Linear(hidden, 1) with bias, in fp32."""

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__()
        self.dropout = nn.Dropout(getattr(config, "summary_dropout_prob", 0.1))
        self.summary = _Summary(config.hidden_size, 1)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.summary(self.dropout(hidden))


class CausalRM:
    """What makes a `...ForCausalLM` of transformers a reward model; comes first among a class's bases.

    The forward pass takes what the causal LM's takes and returns `(logits, None, values)`: `values` is fp32,
    [batch, tokens], and `last_values` picks the score; `logits` is None unless `return_logits=True`.

    Unless asked for, `from_pretrained` leaves the LM head on disk (1.1 GB in bf16 for Qwen2.5-Coder-7B): scores do
    not need it. Where it is tied to the embeddings it is always there. An untied LM head is frozen: no score
    depends on it.
    """

    _keep_in_fp32_modules_strict: ClassVar[set[str]] = {"v_head"}
    _new_head: Head | None = None

    def __init__(self, config: PreTrainedConfig, lm_head: bool = True, new_head: Head | None = None) -> None:
        super().__init__(config)
        if new_head is not None:
            self._new_head = new_head
            self._keys_to_ignore_on_load_missing = {r"^v_head\."}  # they come from new_head: no warning
        self.v_head = ValueHead(config)
        if not lm_head and not config.tie_word_embeddings:
            del self.lm_head
            self._keys_to_ignore_on_load_unexpected = {r"^lm_head\."}
        self.post_init()

    @classmethod
    def from_pretrained(cls, path: str | Path, *args: Any, lm_head: bool = False, **kwargs: Any) -> Self:
        """Load a reward model in AceCodeRM's or LLaMA-Factory's layout.

        Args:
            path: a folder, or a model id on the Hub.
            lm_head: load the LM head too: for `return_logits=True`, and to save the whole checkpoint again.
            kwargs: as transformers has them: `dtype`, `device_map`, `attn_implementation`, `revision`, ... The
                value head is in fp32 whatever `dtype` says.

        Raises:
            HeadError: the checkpoint's value head is missing, of another kind, or of a wrong shape.
            ValueError: tensors of the backbone are missing.
            OSError: there is no checkpoint.
        """
        head = read_head(path, **{name: kwargs[name] for name in HUB_OPTIONS if name in kwargs})
        if head.layout == "score":
            raise HeadError(
                f"{head.file}: the value head is called score.weight: this is a sequence classifier, which may have "
                f"lost the bias; change it with `acecoder-rl convert-rm`, or load it with "
                "AutoModelForSequenceClassification"
            )
        return cls._load(path, head, *args, lm_head=lm_head, **kwargs)

    @classmethod
    def from_base(cls, path: str | Path, seed: int = 0, **kwargs: Any) -> Self:
        """A causal LM with a new value head, to train a reward model from.

        The head's weight is drawn from a normal distribution with the model's `initializer_range`, the same for
        the same seed; the bias is 0. The LM head is loaded, so that the reward model is saved whole.

        Raises:
            HeadError: the checkpoint has a value head: go on from it with `from_pretrained(path, lm_head=True)`.
        """
        hub = {name: kwargs[name] for name in HUB_OPTIONS if name in kwargs}
        with suppress(NoHeadError):
            there = read_head(path, **hub)
            raise HeadError(
                f"{there.file} has a value head already ({there.keys[0]}): use from_pretrained(path, lm_head=True)"
            )
        config = AutoConfig.from_pretrained(path, **hub)
        generator = torch.Generator().manual_seed(seed)
        weight = torch.empty(1, config.hidden_size).normal_(0.0, config.initializer_range or 0.02, generator=generator)
        return cls._load(path, Head(weight, 0.0, "v_head", (), Path(path)), lm_head=True, **kwargs)

    @classmethod
    def _load(cls, path: str | Path, head: Head, *args: Any, **kwargs: Any) -> Self:
        if kwargs.pop("output_loading_info", False):
            raise TypeError("output_loading_info is of no use here: a key that is missing is an error")
        # transformers would only warn of missing tensors and go on with random ones.
        model, info = super().from_pretrained(path, *args, new_head=head, output_loading_info=True, **kwargs)
        missing = sorted(key for key in info["missing_keys"] if not key.startswith("v_head."))
        if missing:
            raise ValueError(f"{path}: {len(missing)} tensors are missing, {missing[0]} first: not a whole checkpoint")
        if not model.config.tie_word_embeddings and hasattr(model, "lm_head"):
            model.lm_head.requires_grad_(False)
        return model

    def _init_weights(self, module: nn.Module) -> None:
        # transformers calls this for what a checkpoint does not hold, also under ZeRO-3, with the shards gathered.
        if isinstance(module, _Summary) and self._new_head is not None:
            init.copy_(module.weight, self._new_head.weight)
            init.constant_(module.bias, self._new_head.bias)
        else:
            super()._init_weights(module)

    def save_pretrained(self, *args: Any, **kwargs: Any) -> Any:
        """Save in AceCodeRM's layout: `model.*`, `lm_head.weight`, `v_head.summary.*`; the head in fp32."""
        if not hasattr(self, "lm_head"):
            raise ValueError("this model was loaded without its LM head: to save it, load it with lm_head=True")
        return super().save_pretrained(*args, **kwargs)

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        *,
        return_logits: bool = False,
        use_cache: bool = False,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> Values:
        """Values of all tokens.

        Args:
            input_ids: [batch, tokens].
            attention_mask: [batch, tokens], 0 for padding, on either side. Positions are counted from it, so that
                a text scores the same however it is padded.
            return_logits: compute the LM logits too: tokens · vocabulary numbers, which no score needs.
            output_hidden_states, return_dict: accepted for the model card's example; they change nothing.

        Returns:
            (logits or None, None, values), values in fp32, [batch, tokens].
        """
        if kwargs.pop("labels", None) is not None:
            raise TypeError("a reward model has no LM loss: take the logits with return_logits=True")
        if position_ids is None and attention_mask is not None and attention_mask.dim() == 2:
            position_ids = (attention_mask.long().cumsum(-1) - 1).clamp(min=0)
        kwargs |= {"attention_mask": attention_mask, "position_ids": position_ids, "use_cache": use_cache}
        if not return_logits:
            hidden = self.base_model(input_ids=input_ids, **kwargs).last_hidden_state
            return None, None, self.v_head(hidden).squeeze(-1)
        if not hasattr(self, "lm_head"):
            raise ValueError("this model was loaded without its LM head: for return_logits, load it with lm_head=True")
        # The causal LM's own forward: some backbones scale or cap their logits.
        outputs = super().forward(input_ids=input_ids, output_hidden_states=True, return_dict=True, **kwargs)
        return outputs.logits, None, self.v_head(outputs.hidden_states[-1]).squeeze(-1)


class Qwen2ForCausalRM(CausalRM, Qwen2ForCausalLM):
    """AceCodeRM: Qwen2 with a value head. See `CausalRM`."""


class LlamaForCausalRM(CausalRM, LlamaForCausalLM):
    """Llama (and SmolLM2) with a value head. See `CausalRM`."""


_CLASSES: dict[str, type[CausalRM]] = {"qwen2": Qwen2ForCausalRM, "llama": LlamaForCausalRM}


class AutoModelForCausalRM:
    """The reward model class for a checkpoint, chosen by its config's `model_type`."""

    @staticmethod
    def from_pretrained(path: str | Path, *args: Any, **kwargs: Any) -> CausalRM:
        """As `CausalRM.from_pretrained`."""
        return _class_for(path, kwargs).from_pretrained(path, *args, **kwargs)

    @staticmethod
    def from_base(path: str | Path, seed: int = 0, **kwargs: Any) -> CausalRM:
        """As `CausalRM.from_base`."""
        return _class_for(path, kwargs).from_base(path, seed, **kwargs)

    @staticmethod
    def from_config(config: PreTrainedConfig, **kwargs: Any) -> CausalRM:
        """A model with random weights: for tests and benches."""
        return class_for_config(config)(config, **kwargs)


def class_for_config(config: PreTrainedConfig) -> type[CausalRM]:
    """The reward model class for a config.

    Raises:
        ValueError: transformers has no causal LM of this type.
    """
    known = _CLASSES.get(config.model_type)
    if known is not None:
        return known
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING:
        raise ValueError(f"transformers has no causal LM of type {config.model_type!r}: a reward model needs a decoder")
    causal_lm = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    name = causal_lm.__name__.removesuffix("ForCausalLM") + "ForCausalRM"
    made = type(name, (CausalRM, causal_lm), {"__module__": __name__, "__doc__": f"{name}. See `CausalRM`."})
    return _CLASSES.setdefault(config.model_type, made)


def last_values(values: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """The scores: each row's value at its last attended token, [batch], for padding on either side.

    Raises:
        ValueError: a row without any attended token.
    """
    attended = attention_mask.bool()
    if not attended.any(-1).all():
        raise ValueError("a row of the attention mask has no token at all: it has no score")
    index = attended.shape[-1] - 1 - attended.flip(-1).int().argmax(-1)
    return values.gather(-1, index.unsqueeze(-1).to(values.device)).squeeze(-1)


def _class_for(path: str | Path, kwargs: dict[str, Any]) -> type[CausalRM]:
    config = kwargs.get("config") or AutoConfig.from_pretrained(
        path, **{name: kwargs[name] for name in HUB_OPTIONS if name in kwargs}
    )
    return class_for_config(config)
