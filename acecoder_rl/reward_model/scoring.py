"""Scores of questions and answers, by a reward model in this process.

Covers: `RewardScorer`, `Scored`.
Does not cover: serving (serve.py), how a chat becomes tokens (encoding.py), normalisation (calibration.py).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from acecoder_rl.reward_model.batches import token_batches
from acecoder_rl.reward_model.encoding import Encoder
from acecoder_rl.reward_model.model import AutoModelForCausalRM, CausalRM

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MAX_TOKENS = 4096
Pair = tuple[str, str] | tuple[str, str, str | None]


class ScoreError(RuntimeError):
    """The model gave a score that is no number."""


@dataclass(frozen=True)
class Scored:
    """One score.

    Attributes:
        value: unbounded; only differences within one question, or normalised values, mean something.
        tokens: of the chat that was scored.
        flags: what was unusual: "question_cut", "too_long", "empty", "special_tokens"; see `Encoder`.
    """

    value: float
    tokens: int
    flags: tuple[str, ...]


class RewardScorer:
    """Scores pairs with few resources: no LM logits, batches of like length, no mask where causality is enough.

    Args:
        model: a reward model's folder or Hub id, or a loaded model. A path is loaded without its LM head.
        tokenizer: by default the one beside the model.
        format: "raw" or "acecode", see formats.py.
        max_tokens: of a chat. The default is what AceCoder's RL runs can reach, 2,048 for the prompt and as much for
            the response, or the model's positions if they are fewer. The 7B was trained on chats up to 2,048 tokens,
            the 32B up to 1,024. What becomes of longer ones: `Encoder`.
        batch_tokens: tokens in a batch, padding included: what decides peak memory.
        dtype: of the backbone, for a path: by default bf16 on GPUs and fp32 on CPUs. The head is always fp32.
        device: for a path: "cpu", "cuda:1", ...; by default all GPUs that are there (`device_map="auto"`), else CPU.

    Raises:
        HeadError: the checkpoint's value head is missing or of another kind.
        ValueError: no chat template, an unknown format, or a bad number.
    """

    def __init__(
        self,
        model: str | Path | CausalRM,
        *,
        tokenizer: PreTrainedTokenizerBase | None = None,
        format: str = "raw",
        max_tokens: int | None = None,
        batch_tokens: int = 8192,
        dtype: torch.dtype | None = None,
        device: str | None = None,
    ) -> None:
        from transformers import AutoTokenizer

        if batch_tokens < 1:
            raise ValueError(f"batch_tokens is {batch_tokens}: give 1 or more")
        if isinstance(model, CausalRM):
            name = model.name_or_path
        else:
            name, on_gpu = str(model), device.startswith("cuda") if device else torch.cuda.is_available()
            dtype = dtype or (torch.bfloat16 if on_gpu else torch.float32)
            where = device or ("auto" if on_gpu else "cpu")
            model = AutoModelForCausalRM.from_pretrained(name, dtype=dtype, device_map=where).eval()
        positions = getattr(model.config, "max_position_embeddings", None) or sys.maxsize
        if max_tokens is None:
            max_tokens = min(MAX_TOKENS, positions)
        if max_tokens > positions:
            raise ValueError(f"max_tokens is {max_tokens}, but the model has {positions} positions: give at most that")
        self.model, self.batch_tokens = model, batch_tokens
        self.tokenizer = tokenizer or AutoTokenizer.from_pretrained(name)
        self.encoder = Encoder(self.tokenizer, format, max_tokens)

    def score(self, pairs: Sequence[Pair], progress: bool = False) -> list[float]:
        """The values of `scored`."""
        return [scored.value for scored in self.scored(pairs, progress)]

    def scored(self, pairs: Sequence[Pair], progress: bool = False) -> list[Scored]:
        """Score pairs, in order.

        Args:
            pairs: (question, completion), or (question, completion, first test) for the `acecode` format.
            progress: show a bar on stderr.

        Raises:
            ScoreError: a score is NaN or infinite.
        """
        encoded = [self.encoder.encode(*pair) for pair in pairs]
        values = self.score_tokens([one.ids for one in encoded], progress)
        return [Scored(value, len(one.ids), one.flags) for value, one in zip(values, encoded, strict=True)]

    def score_tokens(self, sequences: Sequence[Sequence[int]], progress: bool = False) -> list[float]:
        """Values at the last token of token sequences, in order; equal sequences are computed once.

        Raises:
            ValueError: an empty sequence.
            ScoreError: a score is NaN or infinite.
        """
        if not all(len(sequence) for sequence in sequences):
            raise ValueError("a sequence without tokens has no score")
        distinct = list(dict.fromkeys(tuple(sequence) for sequence in sequences))
        values: dict[tuple[int, ...], float] = {}
        training = self.model.training
        self.model.eval()
        try:
            with _bar(len(distinct), progress) as advance, torch.inference_mode():
                for batch in token_batches([len(sequence) for sequence in distinct], self.batch_tokens):
                    rows = [distinct[index] for index in batch]
                    values.update(zip(rows, self._batch(rows), strict=True))
                    advance(len(rows))
        finally:
            self.model.train(training)
        return [values[tuple(sequence)] for sequence in sequences]

    def _batch(self, rows: list[tuple[int, ...]]) -> list[float]:
        width = max(map(len, rows))
        device = self.model.get_input_embeddings().weight.device
        # Padded on the right, with any token and without a mask: causal attention never looks there, and without a
        # mask attention takes its fast path. The last real token's value is the same.
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows], device=device)
        _, _, values = self.model(input_ids=ids)
        last = torch.tensor([len(row) - 1 for row in rows], device=values.device)
        scores = values.gather(1, last.unsqueeze(1)).squeeze(1).tolist()
        for row, score in zip(rows, scores, strict=True):
            if not math.isfinite(score):
                raise ScoreError(
                    f"a score is {score} (chat of {len(row)} tokens, backbone in {self.model.dtype}): "
                    + ("use dtype=torch.bfloat16" if self.model.dtype == torch.float16 else "the weights are damaged")
                )
        return scores


@contextmanager
def _bar(total: int, shown: bool) -> Iterator[Callable[[int], None]]:
    if not shown:
        yield lambda count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("scoring", total=total)
        yield lambda count: bar.advance(task, count)
