"""A vLLM engine of our own: its process, the chunks it is sent, its end. vLLM itself is a stand-in of a few lines here.

Does not cover: vLLM (test_chain.py and the quickstart run a real one).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from acecoder_rl.records import InputError
from acecoder_rl.synthesis import engine
from acecoder_rl.synthesis.answers import Answers
from acecoder_rl.synthesis.budget import Budget
from acecoder_rl.synthesis.models import Answer, Engine, Failed, Request, ask, release

# A letter is a token, and the answer is the prompt in capitals.
VLLM = """
import os, sys
from types import SimpleNamespace as Plain

class SamplingParams(Plain): ...

class Tokenizer:
    chat_template = "yes"
    def apply_chat_template(self, messages, tokenize, add_generation_prompt):
        return "".join(f"<{m['role']}>{m['content']}" for m in messages) + "<assistant>"
    def __call__(self, text, add_special_tokens):
        return {"input_ids": [ord(letter) for letter in text]}
    def get_added_vocab(self):
        return {"<|im_end|>": ord("|")}
    def decode(self, tokens, skip_special_tokens):
        return "".join(map(chr, tokens)).replace("|", "")

class LLM:
    def __init__(self, path, seed, **options):
        print("started with", sorted(options.items()), flush=True)
        if "fail" in path:
            raise RuntimeError("no CUDA devices")
        self.llm_engine, self.left = self, []
        self.model_config = Plain(max_model_len=options.get("max_model_len", 1000))
    def get_tokenizer(self):
        return Tokenizer()
    def add_request(self, id, prompt, how):
        if how.temperature == 0:
            assert how.n == 1
        self.left.append((id, prompt["prompt_token_ids"], how))
    def has_unfinished_requests(self):
        return bool(self.left)
    def step(self):
        id, tokens, how = self.left.pop()  # not in the order they came
        text = "".join(map(chr, tokens))
        if "half" in text:
            os.write(int(sys.argv[1]), b'{"job": ')
        if "die" in text:
            os._exit(7)
        said = [ord(letter) for letter in f"{os.getpid()} {text.upper()}"][: how.max_tokens]
        finish = "length" if len(said) == how.max_tokens else "stop"
        end = next((index for index, token in enumerate(said) if token in how.stop_token_ids), len(said))
        said = said[:end + 1]  # with the token itself, as vLLM's
        outputs = [Plain(index=i, token_ids=[*said, 48 + i], finish_reason=finish) for i in reversed(range(how.n))]
        if how.output_kind != "final only":
            outputs = outputs[-1:]  # as vLLM does
        return [Plain(finished=True, request_id=id, outputs=outputs, prompt_token_ids=tokens)]
"""
PARAMS = """
class StructuredOutputsParams:
    def __init__(self, **what): self.what = what

class RequestOutputKind:
    FINAL_ONLY = "final only"
"""


@pytest.fixture
def vllm(tmp_path, monkeypatch):
    folder = tmp_path / "stand-in" / "vllm"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(VLLM)
    (folder / "sampling_params.py").write_text(PARAMS)
    (tmp_path / "model").mkdir()
    monkeypatch.setenv("PYTHONPATH", f"{folder.parent}:{Path(__file__).parents[2]}:{os.environ.get('PYTHONPATH', '')}")
    yield str(tmp_path / "model")
    release()


def words(text: str, **more: Any) -> Request:
    return Request([{"role": "user", "content": text}], **{"max_tokens": 200, **more})


def without_pid(answer: Answer | Failed) -> str:
    assert isinstance(answer, Answer)
    return answer.text.partition(" ")[2]


def test_an_answer_ends_with_the_models_own_turn(tmp_path, vllm):
    model = Engine(path=vllm, device="cpu")
    with Answers(tmp_path / "a.sqlite") as answers:
        ((said,),) = ask(model, [words("mine|<user>its own")], answers, Budget())
    assert without_pid(said) == "<USER>MINE0"


def test_chunks_are_answered_in_order_by_one_engine_and_then_by_the_cache(tmp_path, vllm):
    model = Engine(path=vllm, device="cpu", max_model_len=300)
    came: list[Answer | Failed] = []
    with Answers(tmp_path / "a.sqlite") as answers:
        first = ask(model, [words("one", n=2), words("two")], answers, Budget(), came.append)
        second = ask(model, [words("three")], answers, Budget())
        assert [[without_pid(one) for one in each] for each in first + second] == [
            ["<USER>ONE<ASSISTANT>0", "<USER>ONE<ASSISTANT>1"],
            ["<USER>TWO<ASSISTANT>0"],
            ["<USER>THREE<ASSISTANT>0"],
        ]
        assert len({one.text.split()[0] for each in first + second for one in each if isinstance(one, Answer)}) == 1
        assert [without_pid(one) for one in came] == [without_pid(first[1][0]), *map(without_pid, first[0])]
        assert first[0][0].tokens_in == len("<user>one<assistant>") and first[0][1].tokens_in == 0  # type: ignore
        assert "('max_model_len', 300)" in (tmp_path / "engine.log").read_text()
        release()
        assert ask(model, [words("one", n=2), words("two"), words("three")], answers, Budget()) == first + second
        assert engine._kept is None


def test_prefix_greedy_cut_and_too_long(tmp_path, vllm):
    with Answers(tmp_path / "a.sqlite") as answers:
        (prefixed, greedy, cut, long) = ask(
            Engine(path=vllm, device="cpu", max_model_len=100),
            [
                words("q", assistant_prefix="```python\n"),
                words("g", temperature=0.0, n=3),
                words("c", max_tokens=4),
                words("w" * 200, n=2),
            ],
            answers,
            Budget(),
        )
    assert isinstance(prefixed[0], Answer) and prefixed[0].text.startswith("```python\n")
    assert prefixed[0].text.endswith("<USER>Q<ASSISTANT>```PYTHON\n0")
    assert len(greedy) == 3 and {without_pid(one) for one in greedy} == {"<USER>G<ASSISTANT>0"}
    assert isinstance(cut[0], Answer) and cut[0].finish == "length"
    assert [one.reason for one in long if isinstance(one, Failed)] == ["too_long"] * 2


def test_bare_text_for_base_models(tmp_path, vllm):
    with Answers(tmp_path / "a.sqlite") as answers:
        ((told,),) = ask(Engine(path=vllm, device="cpu", chat=False), [words("def f")], answers, Budget())
    assert without_pid(told) == "DEF F\n0"


def test_an_engine_that_dies_is_told_by_its_log_and_what_it_said_is_kept(tmp_path, vllm):
    model = Engine(path=vllm, device="cpu")
    with Answers(tmp_path / "a.sqlite") as answers:
        with pytest.raises(
            engine.EngineDown, match=r"ended with status 7:\nstarted with [^\n]*\nall of it: .*engine.log"
        ):
            ask(model, [words("never"), words("die"), words("said")], answers, Budget())
        assert len(answers) == 1
        ((told,),) = ask(model, [words("never")], answers, Budget())  # by a new one
    assert without_pid(told) == "<USER>NEVER<ASSISTANT>0"


def test_an_engine_that_dies_within_a_line_is_no_other_error(tmp_path, vllm):
    with Answers(tmp_path / "a.sqlite") as answers, pytest.raises(engine.EngineDown, match="ended with status 7"):
        ask(Engine(path=vllm, device="cpu"), [words("die half")], answers, Budget())


def test_an_engine_that_does_not_start_is_told_by_its_last_words(tmp_path, vllm):
    (tmp_path / "fail").mkdir()
    with (
        Answers(tmp_path / "a.sqlite") as answers,
        pytest.raises(engine.EngineDown, match="RuntimeError: no CUDA devices"),
    ):
        ask(Engine(path=str(tmp_path / "fail"), device="cpu"), [words("x")], answers, Budget())


def test_a_path_that_can_be_no_model_is_an_error(tmp_path):
    with Answers(tmp_path / "a.sqlite") as answers, pytest.raises(InputError, match="path: 'a b' is no folder"):
        ask(Engine(path="a b", device="cpu"), [words("x")], answers, Budget())
