"""TRL's RewardTrainer on AceCodeRM's model.

Why TRL: it is transformers' Trainer underneath, so DeepSpeed ZeRO, resuming with optimizer, schedule, data order and
random states, bf16, gradient checkpointing, TensorBoard and W&B are well kept and not ours. Its loss is the one
wanted: -log sigmoid(chosen - rejected - margin), a plain mean over the pairs. OpenRLHF's `train_rm` forces the last
token to EOS and scores there (AceCodeRM: the last token of the chat template), and saves a head without bias.
What TRL lacks is a model that gives values of all tokens: `_LastTokens` stands between its loss and our model, holds no
parameters, and picks the score by the attention mask. So the checkpoints are our model's own, in AceCodeRM's layout,
and a tokenizer whose padding is its EOS token (SmolLM2's) cannot move the score.

Covers: the loss in fp32, scores of held-out pairs, numbers told as lines (reports.py), a loss that is no number.
Does not cover: arguments and models (worker.py), what the figures mean (evaluate.py).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import EvalPrediction, TrainerCallback
from transformers.modeling_outputs import SequenceClassifierOutput
from trl.trainer.reward_trainer import DataCollatorForPreference, RewardTrainer

from acecoder_rl.reward_model.model import last_values
from acecoder_rl.reward_model.training import evaluate, reports
from acecoder_rl.training.errors import RunFailed


class PairTrainer(RewardTrainer):
    """Trains on pairs and evaluates on those held out.

    Attributes:
        figures: of the last evaluation (`evaluate.report`), and the step it was made after.
    """

    def __init__(self, *, eval_dataset: Any = None, **kwargs: Any) -> None:
        super().__init__(
            eval_dataset=eval_dataset,
            data_collator=Collator(pad_token_id=0),  # masked: which token it is does not matter
            compute_metrics=self._figures,
            **kwargs,
        )
        self.figures: tuple[int, dict[str, Any]] | None = None
        self.add_callback(_Reports())

    def compute_loss(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        """TRL's, on the scores of our model."""
        return super().compute_loss(_LastTokens(model), inputs, *args, **kwargs)

    def prediction_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> tuple[Any, Any, Any]:
        """Loss, scores [pairs, 2], and which pairs they are."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            loss, outputs = self.compute_loss(model, inputs, return_outputs=True)
        scores = torch.stack(outputs.logits.squeeze(-1).chunk(2), dim=-1)
        return loss.detach(), scores, inputs["index"]

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Without TRL's averages of batches' averages where the figures of all held-out pairs are there."""
        if "eval_loss" in logs:
            for name in ("accuracy", "margin"):
                self._metrics["eval"].pop(name, None)
        super().log(logs, *args, **kwargs)

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """None: TRL's tells how to load a sequence classifier."""

    def _figures(self, predicted: EvalPrediction) -> dict[str, float]:
        rows = self.eval_dataset[[int(index) for index in predicted.label_ids]]
        columns = (rows[name] for name in ("chosen_chars", "rejected_chars", "gap"))
        pairs = [
            evaluate.Scored(float(chosen), float(rejected), *others)
            for (chosen, rejected), *others in zip(predicted.predictions, *columns, strict=True)
        ]
        figures = evaluate.report(pairs)
        self.figures = (self.state.global_step, figures)
        return evaluate.flat(figures)


class Collator(DataCollatorForPreference):
    """TRL's, chosen sides above rejected ones, padded on the right; with the pairs' margins and numbers."""

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """A batch."""
        return super().torch_call(examples) | {"index": torch.tensor([example["index"] for example in examples])}


class _LastTokens:
    """A reward model as the sequence classifier that TRL's loss calls."""

    def __init__(self, model: Callable[..., Any]) -> None:
        self._model = model

    def __call__(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **others: Any
    ) -> SequenceClassifierOutput:
        _, _, values = self._model(input_ids=input_ids, attention_mask=attention_mask)
        return SequenceClassifierOutput(logits=last_values(values, attention_mask).float().unsqueeze(-1))


class _Reports(TrainerCallback):
    """Prints a line for each log, from the first process alone."""

    def __init__(self) -> None:
        self._since = (0, time.monotonic())

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._since = (state.global_step, time.monotonic())

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **kwargs: Any) -> None:
        if "loss" in logs:
            step, then = self._since
            now = time.monotonic()
            self._since = (state.global_step, now)
            seconds = (now - then) / max(1, state.global_step - step)
            self._tell(state, reports.line("train", state.global_step, reports.trained(logs, seconds)))
            if not math.isfinite(logs["loss"]):
                raise RunFailed(f"the loss is {logs['loss']} at step {state.global_step}: lower train.learning_rate")
        elif "eval_loss" in logs:
            values = {name: value for name, value in logs.items() if name.startswith(("eval_accuracy", "eval_margin"))}
            self._tell(state, reports.line("eval", state.global_step, values | {"eval_loss": logs["eval_loss"]}))
            self._since = (state.global_step, time.monotonic())

    @staticmethod
    def _tell(state: Any, line: str) -> None:
        if state.is_world_process_zero:
            print(line, flush=True)
