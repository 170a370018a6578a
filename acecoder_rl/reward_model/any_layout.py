"""A reward model in any layout, loaded as one of ours.

Covers: `load`, `scorer_for`: sequence classifiers too, with the bias that their own class would drop.
Does not cover: AceCodeRM's layout alone (model.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from acecoder_rl.reward_model.checkpoint import Head

if TYPE_CHECKING:
    import torch

    from acecoder_rl.reward_model.model import CausalRM
    from acecoder_rl.reward_model.scoring import RewardScorer


def load(folder: Path, head: Head, dtype: torch.dtype, device: str = "cpu") -> CausalRM:
    """The backbone in a folder with this head; tensors of other heads in it are left alone.

    Raises:
        ValueError: tensors of the backbone are missing.
    """
    from dataclasses import replace

    from transformers import AutoConfig

    from acecoder_rl.reward_model.model import class_for_config

    model_class = class_for_config(AutoConfig.from_pretrained(folder))
    bias = 0.0 if head.bias is None else head.bias
    return model_class._load(folder, replace(head, bias=bias), lm_head=False, dtype=dtype, device_map=device).eval()


def scorer_for(folder: Path, head: Head, format: str, max_tokens: int | None = None) -> RewardScorer:
    """A scorer on the GPUs in bf16, or on the CPU in fp32; `max_tokens` as `RewardScorer` has it."""
    import torch

    from acecoder_rl.reward_model.scoring import RewardScorer

    gpu = torch.cuda.is_available()
    model = load(folder, head, torch.bfloat16 if gpu else torch.float32, "auto" if gpu else "cpu")
    return RewardScorer(model, format=format, max_tokens=max_tokens)
