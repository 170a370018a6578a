"""A problem -> the prompt that the model reads, as text.

Covers: the template, the system prompt, the chat template of the model's tokenizer, the answer's first words,
    the length in tokens.
Does not cover: files (data.py); images.
Special tokens: OpenRLHF tokenizes prompts with add_special_tokens=False, and so they are counted here: a
    prompt starts with BOS if its text does. With `chat` that is up to the chat template (Llama's writes BOS,
    those of Qwen and SmolLM have none); bare text gets the BOS of tokenizers that put one before any text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from acecoder_rl.cases import At, shown
from acecoder_rl.problems import Problem
from acecoder_rl.training.recipe import Data, RecipeError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLACEHOLDERS = ("question", "first_test")


def mistakes(data: Data) -> list[str]:
    """What is wrong with the template and the system prompt, without a tokenizer."""
    wrong = []
    found = re.findall(r"\{(\w+)\}", data.prompt_template)
    for name in dict.fromkeys(found):
        if name not in PLACEHOLDERS:
            wrong.append(
                f"data.prompt_template has {{{name}}}, which stands for nothing: there are {{question}} and "
                "{first_test}"
            )
    if "question" not in found:
        wrong.append("data.prompt_template has no {question}: put it where the question belongs")
    if data.system_prompt is not None and not data.chat:
        wrong.append(
            "data.system_prompt is set, but data.chat is false, and bare text has no system turn: put it "
            "into data.prompt_template"
        )
    return wrong


def load_tokenizer(path: str) -> PreTrainedTokenizerBase:
    """The tokenizer of `model.path`, loaded as OpenRLHF does.

    Raises:
        RecipeError: there is none.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(path, trust_remote_code=True)
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise RecipeError(
            [f"model.path is {path!r}, whose tokenizer does not load: {reason}: give a model's folder or its Hub id"]
        ) from error


class Renderer:
    """Makes prompts of problems.

    Attributes:
        dated: the chat template may write the date into them: on another day they are others.
    """

    def __init__(self, data: Data, tokenizer: PreTrainedTokenizerBase) -> None:
        """Raises RecipeError where template, settings and tokenizer do not fit."""
        wrong = mistakes(data)
        if data.chat and not tokenizer.chat_template:
            wrong.append(
                "data.chat is true, but the tokenizer of model.path has no chat template (a base model?): "
                "set data.chat: false"
            )
        if wrong:
            raise RecipeError(wrong)
        self.data = data
        self.tokenizer = tokenizer
        self._bos = "" if data.chat else _bos(tokenizer)
        # Llama 3.2's, SmolLM3's and others tell the model the day's date.
        self.dated = data.chat and "strftime_now" in str(tokenizer.chat_template)

    def render(self, problem: Problem, where: str) -> str:
        """The prompt.

        Raises:
            ProblemError: the problem has no first test to show, or is no text that can be tokenized.
            RecipeError: the chat template refuses it.
        """
        values = {"question": problem.question}
        if "{first_test}" in self.data.prompt_template:
            values["first_test"] = first_test(problem, where)
        # In one pass, and not str.format: questions are full of braces, and may hold the words themselves.
        text = re.sub(r"\{(question|first_test)\}", lambda match: values[match[1]], self.data.prompt_template)
        prompt = (self._chat(text) if self.data.chat else self._bare(text)) + self.data.assistant_prefix
        try:
            prompt.encode()
        except UnicodeEncodeError as error:
            At(where, "question").fail(
                f"is {shown(problem.question)}, with the lone surrogate {error.object[error.start]!r}, which "
                "no tokenizer takes: mend the text"
            )
        return prompt

    def lengths(self, prompts: Sequence[str]) -> list[int]:
        """Tokens of each prompt, as OpenRLHF will have them."""
        ids = self.tokenizer(list(prompts), add_special_tokens=False, verbose=False)["input_ids"]
        return [len(item) for item in ids]

    def _bare(self, text: str) -> str:
        return text if text.startswith(self._bos) else self._bos + text

    def _chat(self, text: str) -> str:
        from jinja2 import TemplateError

        messages: list[dict[str, Any]] = [{"role": "user", "content": text}]
        if self.data.system_prompt is not None:
            messages.insert(0, {"role": "system", "content": self.data.system_prompt})
        try:
            return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except TemplateError as error:
            mend = "set data.chat: false"
            if self.data.system_prompt is not None:
                mend = "leave data.system_prompt out and put it into data.prompt_template"
            raise RecipeError([f"data.chat: the chat template of model.path refuses: {error}: {mend}"]) from error


def first_test(problem: Problem, where: str = "") -> str:
    """The problem's first test as a prompt shows it: the assert, the call, or input and output.

    Raises:
        ProblemError: the tests are one script or a test file: shown, they would give everything away.
    """
    test = problem.tests.tests[0]
    if test.kind == "assert":
        return test.code
    if test.kind == "call":
        return f"assert {test.function}({', '.join(map(repr, test.args))}) == {test.expected!r}"
    if test.kind == "stdio":
        return f"Input:\n{test.stdin.rstrip()}\nOutput:\n{test.stdout.rstrip()}"
    At(where, "tests").fail(
        f"are a {test.kind}, and no first test can be shown alone: leave {{first_test}} out of "
        "data.prompt_template, or drop this problem"
    )


def _bos(tokenizer: PreTrainedTokenizerBase) -> str:
    ids = tokenizer("a")["input_ids"]
    starts = tokenizer.bos_token_id is not None and ids[:1] == [tokenizer.bos_token_id]
    return str(tokenizer.bos_token) if starts else ""
