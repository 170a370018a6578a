"""Prompts: questions arrive letter by letter, special tokens once, and what cannot be rendered is said.

Run: pytest tests/training/test_prompts.py
"""

from __future__ import annotations

from typing import Any

import pytest

from acecoder_rl.problems import Problem, ProblemError
from acecoder_rl.training.prompts import Renderer, first_test, load_tokenizer
from acecoder_rl.training.recipe import Data, RecipeError

QUESTION = "Return {'a': {question}, 'b': {first_test}} and {{0}} of %s \\1 \\g<0>."


def problem(question: str = QUESTION, tests: Any = ("assert f(1) == {1: 2}", "assert f(2) == 3")) -> Problem:
    return Problem("p", question, list(tests) if isinstance(tests, tuple) else tests)


def renderer(folder: Any, **fields: Any) -> Renderer:
    return Renderer(Data.model_validate({"train": "starter:train", **fields}), load_tokenizer(str(folder)))


def test_a_question_is_not_a_template(tokenizer_folder):
    template = "Solve {question}\nIt must pass {first_test}, {} and { x }."
    made = renderer(tokenizer_folder(), chat=False, prompt_template=template)
    assert made.render(problem(), "") == (f"Solve {QUESTION}\nIt must pass assert f(1) == {{1: 2}}, {{}} and {{ x }}.")


def test_chat_is_the_tokenizers_own_template(tokenizer_folder):
    made = renderer(tokenizer_folder(), system_prompt="Be brief.", assistant_prefix="```python\n")
    assert made.render(problem(), "") == (
        f"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{QUESTION}<|im_end|>\n"
        "<|im_start|>assistant\n```python\n"
    )


def test_lengths_are_what_openrlhf_counts(tokenizer_folder):
    folder = tokenizer_folder(bos=True)
    made, tokenizer = renderer(folder), load_tokenizer(str(folder))
    prompts = [made.render(problem("short"), ""), made.render(problem("longer " * 9), "")]
    counted = [len(tokenizer(text, add_special_tokens=False).input_ids) for text in prompts]
    assert made.lengths(prompts) == counted


@pytest.mark.parametrize("template", ["{question}", "<s>{question}"])
def test_bare_text_has_the_bos_that_the_tokenizer_would_add_once(tokenizer_folder, template):
    folder = tokenizer_folder(bos=True)
    prompt = renderer(folder, chat=False, prompt_template=template).render(problem("abc"), "")
    tokenizer = load_tokenizer(str(folder))
    assert tokenizer(prompt, add_special_tokens=False).input_ids == tokenizer("abc").input_ids


def test_a_tokenizer_without_bos_and_a_chat_get_none(tokenizer_folder):
    assert renderer(tokenizer_folder(), chat=False).render(problem("abc"), "") == "abc"
    assert "<s>" not in renderer(tokenizer_folder(bos=True)).render(problem("abc"), "")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        (
            {"prompt_template": "{question} {test}"},
            "data.prompt_template has {test}, which stands for nothing: there are {question} and {first_te",
        ),
        ({"prompt_template": "Solve it."}, "data.prompt_template has no {question}"),
        ({"system_prompt": "x", "chat": False}, "data.system_prompt is set, but data.chat is false"),
    ],
)
def test_settings_that_do_not_fit(tokenizer_folder, fields, told):
    with pytest.raises(RecipeError) as caught:
        renderer(tokenizer_folder(), **fields)
    assert caught.value.mistakes[0].startswith(told)


def test_chat_without_a_chat_template_names_the_mend(tokenizer_folder):
    with pytest.raises(RecipeError, match=r"has no chat template .*set data.chat: false"):
        renderer(tokenizer_folder(chat_template=None))


def test_a_chat_template_that_refuses_system_prompts(tokenizer_folder):
    refuses = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}x"
    made = renderer(tokenizer_folder(chat_template=refuses), system_prompt="Be brief.")
    with pytest.raises(RecipeError, match=r"refuses: no system role: leave data.system_prompt out"):
        made.render(problem(), "")


def test_a_model_that_is_not_there(tmp_path):
    pytest.importorskip("transformers")
    with pytest.raises(RecipeError, match=r"model.path is .*whose tokenizer does not load"):
        load_tokenizer(str(tmp_path))


@pytest.mark.parametrize(
    ("tests", "shown"),
    [
        (["assert f(1) == 2", "assert f(2) == 3"], "assert f(1) == 2"),
        ({"fn_name": "f", "inputs": [["a", 1]], "outputs": [[None]]}, "assert f('a', 1) == [None]"),
        ({"inputs": ["1 2\n"], "outputs": ["3\n"]}, "Input:\n1 2\nOutput:\n3"),
    ],
)
def test_first_tests_as_they_are_shown(tests, shown):
    assert first_test(problem(tests=tests)) == shown


def test_a_script_is_no_first_test():
    script = {"functional": "def check(c):\n    assert c(1) == 2\ncheck(f)"}
    with pytest.raises(ProblemError, match=r"a\.jsonl:7: field 'tests' are a script, and no first test"):
        first_test(problem(tests=script), "a.jsonl:7")


def test_a_lone_surrogate_is_a_malformed_row(tokenizer_folder):
    with pytest.raises(ProblemError, match=r"a\.jsonl:7: field 'question' is .*lone surrogate"):
        renderer(tokenizer_folder()).render(problem("bad \ud800 text"), "a.jsonl:7")
