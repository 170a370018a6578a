"""acecoder_rl: RL training of coder LLMs with rewards that cannot be cheated."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from acecoder_rl.reward_model.model import AutoModelForCausalRM, Qwen2ForCausalRM

__version__ = "0.1.0"
__all__ = ["AutoModelForCausalRM", "Qwen2ForCausalRM", "__version__"]


def __getattr__(name: str) -> Any:
    # The models import torch and transformers, which nothing else here needs at import.
    if name in ("AutoModelForCausalRM", "Qwen2ForCausalRM"):
        from acecoder_rl.reward_model import model

        return getattr(model, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
