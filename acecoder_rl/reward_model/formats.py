"""The two ways to put a question and an answer to AceCodeRM.

Covers: `FORMATS`, `format_named`, `messages`, `encodable`: chats for a tokenizer's chat template.
Does not cover: the template, tokens, truncation (scoring.py).

AceCodeRM was trained on one of them and is used with the other, by its model card's example and by AceCoder's own RL:

raw      the user's turn is the question, the assistant's turn is the answer as it stands, with or without a fence.
         The example's reference scores come from this one.
acecode  the form of AceCodePair-300K, byte for byte: the user's turn asks for a script, in a fixed sentence, and
         quotes question and first test as a docstring in a fence; the assistant's turn is a fixed sentence and one
         fenced block. An answer's program is taken out of it and put into that block: prose around it is not seen. Of
         several blocks it is the one that defines what the first test calls, as it is for whoever runs the tests.

Scores of the two are not on one scale: a calibration, and a training run, hold for one format. Use `raw` where answers
are to be compared as they are and for results like AceCoder's; `acecode` is what the reward model saw in training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from acecoder_rl.completions import extract_program
from acecoder_rl.problems import ProblemError, Tests, parse_tests

Message = dict[str, str]

ASK = "Please provide a self-contained Python script that solves the following problem in a markdown code block:"
LEAD = "Below is a Python script with a self-contained function that solves the problem and passes corresponding tests:"


@dataclass(frozen=True)
class Format:
    """A prompt format.

    Attributes:
        answer: completion, first test -> what the reward model is shown of the completion.
        chat: question, answer, first test -> the chat.
    """

    answer: Callable[[str, str | None], str]
    chat: Callable[[str, str, str | None], list[Message]]


def _raw(question: str, answer: str, first_test: str | None) -> list[Message]:
    return _chat(question, answer)


def _acecode(question: str, answer: str, first_test: str | None) -> list[Message]:
    # Without a first test its line is left out; every training pair had one.
    shown = question if first_test is None else f"{question}\n{first_test.strip()}"
    return _chat(f'{ASK}\n```\n"""\n{shown}\n"""\n\n```\n', f"{LEAD}\n```python\n{answer}\n```")


def _chat(user: str, assistant: str) -> list[Message]:
    return [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]


def _program(completion: str, first_test: str | None) -> str:
    return extract_program(completion, _tests(first_test) if first_test else None).code.strip()


@lru_cache(maxsize=256)  # all samples of a problem have the same
def _tests(first_test: str) -> Tests | None:
    try:
        return parse_tests([first_test])
    except ProblemError:  # no assert: a text to show
        return None


FORMATS: dict[str, Format] = {
    "raw": Format(lambda completion, first_test: completion, _raw),
    "acecode": Format(_program, _acecode),
}


def format_named(name: str) -> Format:
    """A format.

    Raises:
        ValueError: a name that is neither "raw" nor "acecode".
    """
    if name not in FORMATS:
        raise ValueError(f"the prompt format is {name!r}: give one of {', '.join(FORMATS)}")
    return FORMATS[name]


def encodable(text: str) -> str:
    """Surrogate pairs joined, lone surrogates replaced: JSON may hold half a character, and no tokenizer takes it."""
    return text if text.isascii() else text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def messages(format: str, question: str, completion: str, first_test: str | None = None) -> list[Message]:
    """The chat of one question and answer; `raw` does not show the first test.

    Raises:
        ValueError: a format that is neither "raw" nor "acecode".
    """
    chosen = format_named(format)
    return chosen.chat(question, chosen.answer(completion, first_test), first_test)
