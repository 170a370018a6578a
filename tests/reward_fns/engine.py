"""An engine and a tokenizer as OpenRLHF's executors use them: one character a token, answers by heart."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

SPECIAL = {"<|im_start|>": 1_200_000, "<|im_end|>": 1_200_001}
NAMES = {number: name for name, number in SPECIAL.items()}


def encode(text: str) -> list[int]:
    """The tokens of a text."""
    for name, number in SPECIAL.items():
        if name in text:
            before, _, after = text.partition(name)
            return [*encode(before), number, *encode(after)]
    return [ord(character) for character in text]


class Tokenizer:
    """One token a character, and two special ones."""

    def __call__(self, text: str, add_special_tokens: bool, return_tensors: str) -> dict[str, Any]:
        import torch

        assert not add_special_tokens and return_tensors == "pt"
        return {"input_ids": torch.tensor([encode(text)])}

    def get_added_vocab(self) -> dict[str, int]:
        return SPECIAL

    def decode(self, tokens: list[int], skip_special_tokens: bool) -> str:
        shown = (token for token in tokens if token not in NAMES or not skip_special_tokens)
        return "".join(NAMES.get(token) or chr(token) for token in shown)


@dataclass
class Engine:
    """Answers with `answer`, which ended for `finish_reason`.

    Args:
        answer: a text, or a function of the number of the call.
    """

    answer: Any
    finish_reason: str = "stop"
    asked: list[int] = field(default_factory=list)

    async def generate(self, prompt_token_ids: list[int], params: Any, multi_modal_data: Any = None) -> Any:
        number = len(self.asked)
        self.asked.append(len(prompt_token_ids))
        await asyncio.sleep(0)
        text = self.answer(number) if callable(self.answer) else self.answer
        output = SimpleNamespace(token_ids=encode(text), text=text, finish_reason=self.finish_reason, logprobs=None)
        return SimpleNamespace(outputs=[output])


def sampling(max_tokens: int = 400) -> Any:
    """Sampling parameters, as far as an executor looks at them."""
    return SimpleNamespace(max_tokens=max_tokens, logprobs=None)
