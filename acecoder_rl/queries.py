"""OpenRLHF's decoded text -> the question, and the completion in it.

Covers: `prompt_end`, `without_end`, `completion_in`, `question_in`: what rewards by `--reward.remote_url` take apart;
    `turn_ends`: where the model's own turn ends.
Does not cover: the program within a completion (completions.py).
Written for OpenRLHF 0.11: `query` is the decoded prompt and response with their special tokens, cut from the left where
    it was too long; `prompts` is the rendered chat template.
"""

from __future__ import annotations

import re
from typing import Any

ENDS = (  # stop tokens, as they end a completion that was not cut off
    *("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|EOT|>", "<|end|>"),
    *("<|return|>", "<|eos|>", "<end_of_turn>", "<eos>", "</s>", "<\uff5cend\u2581of\u2581sentence\uff5c>"),
)
# harmony's <|end|> ends its thoughts, too, with the answer still to come.
_TURN_ENDS = frozenset(ENDS) - {"<|end|>"}
TAIL = 32  # characters by which the end of a prompt is found
# Turns of ChatML and Llama 3. A turn's text ends at its end token; the last turn, the assistant's, is left open.
_TURN = re.compile(
    r"(?:<\|im_start\|>(?P<chatml>\w+)\n|<\|start_header_id\|>(?P<llama>\w+)<\|end_header_id\|>\n\n)"
    r"(?P<text>.*?)(?P<end><\|im_end\|>|<\|eot_id\|>|\Z)",
    re.DOTALL,
)


def completion_in(query: str, prompt: str) -> str:
    """The completion in a query, without its stop token. What a chat prompt already says for the assistant (an opening
    fence) belongs to it.

    Raises:
        ValueError: the prompt is not in the query.
    """
    text = query[prompt_end(query, prompt) :]
    whole = without_end(text)
    text = text if whole is None else whole
    turns = list(_TURN.finditer(prompt))
    opened = turns[-1]["text"] if turns and _role(turns[-1]) == "assistant" and not turns[-1]["end"] else ""
    return opened + text


def without_end(text: str) -> str | None:
    """A response without its stop token; None where it has none, as one that was cut off."""
    text = text.rstrip()
    return next((text.removesuffix(end) for end in ENDS if text.endswith(end)), None)


def question_in(prompt: str) -> str:
    """The last user turn of a ChatML or Llama 3 prompt; another prompt as it stands."""
    asked = [turn["text"] for turn in _TURN.finditer(prompt) if _role(turn) == "user"]
    return (asked[-1] if asked else prompt).strip()


def _role(turn: re.Match[str]) -> str:
    return turn["chatml"] or turn["llama"]


def prompt_end(query: str, prompt: str) -> int:
    """Where the prompt ends in a query that begins with it, or with what a cut from the left left of it."""
    if query.startswith(prompt):
        return len(prompt)
    left = query.lstrip("\ufffd")  # half a character, where the cut fell
    tail = prompt[-TAIL:]
    at = left.find(tail)
    while at >= 0:
        if prompt.endswith(left[: at + len(tail)]):
            return len(query) - len(left) + at + len(tail)
        at = left.find(tail, at + 1)
    raise ValueError("the prompt is not in the query: is decoding lossy, or was the prompt cut to nothing?")


def turn_ends(tokenizer: Any) -> list[int]:
    """The tokens that end a turn, of a Transformers tokenizer.

    A base model does not stop at the end of the chat template's turn: it goes on with turns of its own, and without
    their special tokens a program in those would pass for the answer's.
    """
    return sorted(number for name, number in tokenizer.get_added_vocab().items() if name in _TURN_ENDS)
