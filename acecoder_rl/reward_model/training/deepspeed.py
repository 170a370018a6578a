"""DeepSpeed's configuration for a recipe.

Covers: ZeRO stages, bf16, the optimizer in the host's memory.
Does not cover: batch sizes, learning rate and schedule, which transformers fills in where it says "auto".
"""

from __future__ import annotations

from typing import Any

from acecoder_rl.reward_model.training.recipe import RmRecipe


def config(recipe: RmRecipe) -> dict[str, Any]:
    """What stands in <run>/deepspeed.json."""
    resources = recipe.resources
    zero: dict[str, Any] = {"stage": resources.zero_stage}
    if resources.zero_stage:
        zero |= {"overlap_comm": True, "contiguous_gradients": True}
    if resources.zero_stage == 3:
        # "auto": sized by the model's hidden size. The last line: checkpoints and the model are saved whole.
        zero |= dict.fromkeys(
            ("reduce_bucket_size", "stage3_prefetch_bucket_size", "stage3_param_persistence_threshold"), "auto"
        )
        zero |= {"stage3_gather_16bit_weights_on_model_save": True}
    if resources.adam_offload:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    return {
        "bf16": {"enabled": True},
        "zero_optimization": zero,
        "gradient_clipping": "auto",
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
    }
