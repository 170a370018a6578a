"""`acecoder-rl evaluate --model`: a tiny random model in a real vLLM engine on the CPU, greedy and sampled.

Does not cover: what a model can do; answers of endpoints and files (test_evaluate.py).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from acecoder_rl.evaluation import evaluate as evaluate_module
from acecoder_rl.evaluation.benchmarks.load import DataOptions
from acecoder_rl.evaluation.evaluate import Evaluate, evaluate
from acecoder_rl.evaluation.evaluate_answers import How, Source
from acecoder_rl.records import InputError
from acecoder_rl.synthesis.models import Engine, release
from tests.reward_model.conftest import make_tokenizer, tiny_config


@pytest.fixture
def model(tmp_path):
    """The folder of a language model with random weights."""
    pytest.importorskip("torch")
    if importlib.util.find_spec("vllm") is None:  # importing it takes 10 s
        pytest.skip("`make setup` installs vLLM")
    from transformers import Qwen2ForCausalLM, set_seed

    set_seed(1)
    # vLLM's attention on the CPU takes heads of 32 and more.
    Qwen2ForCausalLM(tiny_config(hidden_size=64)).save_pretrained(tmp_path / "model")
    make_tokenizer().save_pretrained(tmp_path / "model")
    yield tmp_path / "model"
    release()


def row(number: int, result: str) -> dict[str, str]:
    """Of HumanEval; the whole program stands in the prompt, so that whatever a model adds does not change it."""
    prompt = f'def double(x):\n    """ Twice x, number {number}. """\n    return {result}\n'
    test = "def check(candidate):\n    assert candidate(3) == 6\n"
    return {"task_id": f"HumanEval/{number}", "prompt": prompt, "entry_point": "double", "canonical_solution": "",
            "test": test}  # fmt: skip


@pytest.mark.training
def test_a_model_is_asked_by_a_real_engine(model, jsonl, tmp_path, monkeypatch):
    data = jsonl("he.jsonl", [row(0, "2 * x"), row(1, "3 * x")])
    source = Source("tiny", Engine(path=str(model), device="cpu", chat=False, max_model_len=512))
    monkeypatch.setattr(evaluate_module, "release", lambda: None)  # the second goes on with the engine

    def run(name: str, source: Source = source, resume: bool = False, **how):
        asked = How(max_new_tokens=6, base=True, **how)
        files = DataOptions({"humaneval": [data]})
        return evaluate(Evaluate(["humaneval"], [source], tmp_path / name, files, asked, "none", 1, resume))[0]

    greedy = run("greedy")
    assert (greedy["problems"], greedy["samples"]) == (2, 1) and greedy["pass_at"]["1"]["value"] == 0.5
    assert greedy["asked"]["temperature"] == 0 and greedy["statuses"] == {"passed": 1, "failed": 1}
    sampled = run("sampled", samples=4, temperature=1.5)
    assert {k: each["value"] for k, each in sampled["pass_at"].items()} == {"1": 0.5, "2": 0.5, "4": 0.5}
    kept = answers(tmp_path / "sampled/tiny")
    # Four different ones a problem: they are no copies of one.
    assert len(kept) == 8 == len(set(kept))
    with pytest.raises(InputError, match="was made with max_model_len = 512, and this run has 256"):
        run("greedy", Source("tiny", Engine(path=str(model), device="cpu", chat=False, max_model_len=256)), resume=True)


def answers(folder: Path) -> list[str]:
    import sqlite3

    with sqlite3.connect(folder / "answers.db") as file:
        return [text for (text,) in file.execute("select text from answers")]
