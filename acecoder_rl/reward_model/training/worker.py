"""The process that trains, one of each GPU: `python -m acecoder_rl.reward_model.training.worker FOLDER [CHECKPOINT]`.

Covers: the recipe and token files of a run's folder -> model, arguments, training, the saved model, report.json; the
    first cause when it fails (failure.json).
Does not cover: starting and watching it (train.py, launch.py), the loss (trainer.py).
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from acecoder_rl.reward_model.training import deepspeed
from acecoder_rl.reward_model.training.folder import RmFolder
from acecoder_rl.reward_model.training.recipe import RmRecipe, accumulation, load
from acecoder_rl.training.model_path import resolve

MODULE = "acecoder_rl.reward_model.training.worker"


def run(recipe: RmRecipe, folder: RmFolder, checkpoint: Path | None = None) -> dict[str, Any]:
    """Train, evaluate and save, with the files that `data.prepare` wrote.

    Args:
        checkpoint: to go on from.

    Returns:
        What stands in report.json: steps, pairs, and the figures before and after, where pairs are held out.
    """
    _environment(recipe, folder)
    import datasets
    from transformers import AutoTokenizer

    from acecoder_rl.reward_model.training.trainer import PairTrainer

    train, val = (datasets.Dataset.from_file(str(file)) for file in (folder.train_pairs, folder.val_pairs))
    # The arguments come first: transformers loads a model in shards when it knows of ZeRO-3.
    arguments = _arguments(recipe, folder, held_out=len(val) > 0, resumed=checkpoint is not None)
    path = resolve(recipe.model.path)
    trainer = PairTrainer(
        model=_model(recipe, path),
        args=arguments,
        train_dataset=train,
        eval_dataset=val if len(val) else None,
        processing_class=AutoTokenizer.from_pretrained(path),
    )
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    step = trainer.state.global_step
    if len(val) and (trainer.figures is None or trainer.figures[0] != step):
        trainer.evaluate()
    _save(trainer, folder)
    told = {"steps": step, "train_pairs": len(train), "held_out_pairs": len(val)}
    if trainer.figures is not None:
        told["held_out"] = trainer.figures[1]
    if trainer.is_world_process_zero():
        folder.report.write_text(json.dumps(told, indent=1) + "\n")
    return told


def _environment(recipe: RmRecipe, folder: RmFolder) -> None:
    """Before any of the libraries is imported; what the user has set stands."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")  # TRL's trainers report themselves
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(folder.tensorboard))
    if recipe.logging.wandb_project:
        os.environ.setdefault("WANDB_PROJECT", recipe.logging.wandb_project)
    if recipe.resources.device == "cpu":
        import torch

        torch.set_num_threads(recipe.resources.threads or len(os.sched_getaffinity(0)))


def _arguments(recipe: RmRecipe, folder: RmFolder, held_out: bool, resumed: bool) -> Any:
    from trl import RewardConfig

    train, resources = recipe.train, recipe.resources
    gpu = resources.device == "gpu"
    told = ["wandb"] if recipe.logging.wandb_project else []
    if recipe.logging.tensorboard:
        told.append("tensorboard")
    if gpu:
        folder.deepspeed.write_text(json.dumps(deepspeed.config(recipe), indent=1) + "\n")
    return RewardConfig(
        output_dir=str(folder.checkpoints),
        num_train_epochs=train.epochs,
        per_device_train_batch_size=train.micro_batch_size,
        per_device_eval_batch_size=train.micro_batch_size,
        gradient_accumulation_steps=accumulation(recipe),
        learning_rate=train.learning_rate,
        lr_scheduler_type=train.lr_scheduler,
        warmup_steps=train.warmup_ratio,  # below 1 it is a share
        max_grad_norm=train.max_norm,
        seed=train.seed,
        logging_steps=train.log_steps,
        logging_first_step=True,
        logging_nan_inf_filter=False,  # or a loss that is no number would be logged as one
        eval_strategy="steps" if held_out and train.eval_steps else "no",
        eval_steps=train.eval_steps,
        eval_on_start=held_out and not resumed,
        save_strategy="steps" if train.save_steps else "no",
        save_steps=train.save_steps or 500,
        save_total_limit=train.keep_checkpoints,
        bf16=gpu,
        use_cpu=not gpu,
        gradient_checkpointing=resources.gradient_checkpointing,
        deepspeed=str(folder.deepspeed) if gpu else None,
        remove_unused_columns=False,
        max_length=None,  # long pairs were left out when they were tokenized
        disable_dropout=False,  # model.head_dropout
        dataloader_pin_memory=gpu,
        report_to=told or "none",
        run_name=folder.path.name,
        disable_tqdm=True,
        log_level="warning",
    )


def _model(recipe: RmRecipe, path: str) -> Any:
    import torch

    from acecoder_rl.reward_model.checkpoint import HeadError
    from acecoder_rl.reward_model.model import AutoModelForCausalRM

    gpu = recipe.resources.device == "gpu"
    options = {
        # DeepSpeed keeps the copy that the optimizer updates in fp32.
        "dtype": torch.bfloat16 if gpu else torch.float32,
        "attn_implementation": recipe.model.attention or ("flash_attention_2" if gpu else "sdpa"),
    }
    try:
        model = AutoModelForCausalRM.from_base(path, seed=recipe.train.seed, **options)
    except HeadError:  # it has a head already; if that is broken, this says how
        model = AutoModelForCausalRM.from_pretrained(path, lm_head=True, **options)
    model.v_head.dropout.p = model.config.summary_dropout_prob = recipe.model.head_dropout
    model.config.num_labels = 1
    model.config.use_cache = False
    return model


def _save(trainer: Any, folder: RmFolder) -> None:
    """Whole or not at all; every process has a part in it."""
    half = folder.path / "model.tmp"
    trainer.save_model(str(half))
    trainer.accelerator.wait_for_everyone()
    if trainer.is_world_process_zero():
        (half / "training_args.bin").unlink(missing_ok=True)  # a pickle that no one needs
        half.replace(folder.model)
    trainer.accelerator.wait_for_everyone()


def main(path: str, checkpoint: str | None = None) -> None:
    """Run, or leave the first cause in failure.json."""
    folder = RmFolder(path)
    try:
        run(load(folder.recipe), folder, Path(checkpoint) if checkpoint else None)
    except Exception as error:
        traceback.print_exc()
        with contextlib.suppress(FileExistsError), folder.failure.open("x") as file:
            json.dump({"type": type(error).__name__, "message": str(error)}, file)
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
