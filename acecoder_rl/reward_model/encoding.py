"""A question and an answer -> the tokens that the reward model scores.

Covers: `Encoder`: chat template, what happens to texts that are too long, empty, or that hold special tokens.
Does not cover: the prompt formats (formats.py), the model (scoring.py).
Hostile input: an answer is written by a policy that is trained to raise its score. It cannot end its own turn (special
    tokens in a text are broken up), cannot push the question out of sight, and cannot have its end cut off. Halves of
    characters, which no tokenizer takes, are replaced.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from acecoder_rl.reward_model.formats import encodable, format_named

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CUT = "\n[...]\n"


@dataclass(frozen=True)
class Encoded:
    """The tokens of one chat.

    Attributes:
        ids: token ids; the score is the value at the last one.
        flags: a subset of "question_cut", "too_long", "empty", "special_tokens".
    """

    ids: tuple[int, ...]
    flags: tuple[str, ...]


class Encoder:
    """Renders chats by the tokenizer's template, without a generation prompt.

    The scored token is the last of the rendered chat: AceCodeRM's convention. Qwen2.5's template ends a chat with
    `<|im_end|>` and a newline, so there it is the newline.

    Too long for `max_tokens`: the question is cut in its middle (flag "question_cut"), but keeps at least a quarter of
    `max_tokens`; the answer is never cut. One that does not fit beside that has the score of the empty answer (flag
    "too_long"): nothing is gained by hiding the question, or a program's end, behind length.
    A first test (format `acecode`) of more than another quarter is left out then.
    An answer of which the format shows nothing but white space is scored as the empty one (flag "empty"). The text of
    a special token inside question or answer is broken up by a space after its first character (flag
    "special_tokens").

    Raises:
        ValueError: the tokenizer has no chat template, or `max_tokens` is too small for it.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, format: str, max_tokens: int) -> None:
        self.tokenizer, self.format, self.max_tokens = tokenizer, format_named(format), max_tokens
        if not tokenizer.chat_template:
            raise ValueError(
                f"{tokenizer.name_or_path or 'the model'}: the tokenizer has no chat template: copy "
                "chat_template.jinja (or tokenizer_config.json) of the instruct model that the reward model was "
                "trained from into its folder"
            )
        self.quarter = max_tokens // 4
        # Tokens of parts do not quite add up to those of the whole.
        least = len(self._ids(CUT, "", None)) + 2 * self.quarter + 8
        if least > max_tokens:
            raise ValueError(f"max_tokens is {max_tokens}: the chat template leaves no room in it: give more")

    def encode(self, question: str, completion: str, first_test: str | None = None) -> Encoded:
        """The tokens of one pair; see the class for what happens to unusual ones."""
        flags = []
        question, first_test = encodable(question), first_test and encodable(first_test)
        answer = self.format.answer(encodable(completion), first_test)
        if not answer.strip():
            flags.append("empty")
            answer = ""
        texts = (question, answer, first_test or "")
        safe = tuple(self._defused(text) for text in texts)
        if safe != texts:
            flags.append("special_tokens")
            question, answer, first_test = safe[0], safe[1], safe[2] or None
        ids = self._ids(question, answer, first_test)
        if len(ids) <= self.max_tokens:
            return Encoded(tuple(ids), tuple(flags))

        if first_test is not None and len(self._plain(first_test)) > self.quarter:
            first_test = None
        fitted = self._fitted(question, answer, first_test)
        if fitted is None:
            flags.append("too_long")
            fitted = self._ids(question, "", first_test)
            if len(fitted) <= self.max_tokens:
                return Encoded(tuple(fitted), tuple(flags))
            fitted = self._fitted(question, "", first_test)
        if fitted is None:
            raise ValueError(f"max_tokens is {self.max_tokens}: this chat template leaves no room in it: give more")
        return Encoded(tuple(fitted), (*flags, "question_cut"))

    def _fitted(self, question: str, answer: str, first_test: str | None) -> list[int] | None:
        """The chat with as much of the question as fits; None if its quarter does not."""

        def fits(kept: int) -> bool:
            return len(self._ids(_cut(question, kept), answer, first_test)) <= self.max_tokens

        whole = self._ids(question, answer, first_test)
        if len(whole) <= self.max_tokens:  # a first test was left out
            return whole
        # A token of ordinary text has one to some ten characters: what is beyond this would be cut anyhow.
        limit = min(len(question) - 1, 16 * self.max_tokens)
        least = _largest(0, limit, lambda kept: len(self._plain(_cut(question, kept))) <= self.quarter)
        most = None if least is None else _largest(least, limit, fits)
        return None if most is None else self._ids(_cut(question, most), answer, first_test)

    def _ids(self, question: str, answer: str, first_test: str | None) -> list[int]:
        chat = self.format.chat(question, answer, first_test)
        return self._plain(self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=False))

    def _plain(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]

    def _defused(self, text: str) -> str:
        return self._special.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)

    @cached_property
    def _special(self) -> re.Pattern[str]:
        added = {token.content for token in self.tokenizer.added_tokens_decoder.values() if token.special}
        names = sorted(added | set(self.tokenizer.all_special_tokens), key=len, reverse=True)
        return re.compile("|".join(re.escape(name) for name in names if len(name) > 1) or r"(?!)")


def _cut(question: str, kept: int) -> str:
    """The question's first and last characters, `kept` in all."""
    head = (kept + 1) // 2
    return question[:head] + CUT + question[len(question) - (kept - head) :]


def _largest(low: int, high: int, fits: Callable[[int], bool]) -> int | None:
    """The largest number in low..high that fits, by bisection; None if low does not."""
    if high < low or not fits(low):
        return None
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low
