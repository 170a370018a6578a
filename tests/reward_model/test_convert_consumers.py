"""What vLLM and OpenRLHF make of a converted model: real engines, in processes of their own; about a minute."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer, Qwen2ForCausalLM, set_seed

from acecoder_rl.reward_model.convert import convert
from tests.reward_model.conftest import make_tokenizer, tiny_config
from tests.reward_model.literal import Literal

BIAS = 0.75
ANSWERS = ["def f(a, b):\n    return a + b", "no", "x = 1\n" * 30, "def f(*a):\n    return sum(a)"]


@pytest.fixture(scope="module")
def rm(tmp_path_factory):
    """Heads of 32, the least that vLLM has on CPUs."""
    folder = tmp_path_factory.mktemp("wide") / "rm"
    set_seed(11)
    Qwen2ForCausalLM(tiny_config(hidden_size=64)).save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    weights |= {"v_head.summary.weight": torch.randn(1, 64), "v_head.summary.bias": torch.tensor([BIAS])}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def rows(rm):
    tokenizer = AutoTokenizer.from_pretrained(rm)
    chats = [[{"role": "user", "content": "Add."}, {"role": "assistant", "content": answer}] for answer in ANSWERS]
    return tokenizer.apply_chat_template(chats, tokenize=True, return_dict=False)


@pytest.mark.parametrize(("consumer", "shift"), [("vllm", 0.0), ("openrlhf", -BIAS)])
def test_scores_are_the_source_s_with_the_stated_bias(rm, rows, tmp_path, consumer, shift):
    convert(rm, tmp_path / "seqcls", verify="none")
    literal = Literal(rm)
    expected = [literal.ids(row) + shift for row in rows]
    assert max(expected) - min(expected) > 0.1
    driver = subprocess.run(
        [sys.executable, Path(__file__).with_name("consumers.py"), consumer, tmp_path / "seqcls"],
        input=json.dumps(rows), capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert driver.returncode == 0, driver.stderr[-3000:]
    (line,) = [line for line in driver.stdout.splitlines() if line.startswith("scores ")]
    scores = json.loads(line.removeprefix("scores "))
    apart = max(abs(one - other) for one, other in zip(scores, expected, strict=True))
    print(f"{consumer}: at most {apart:.1e} apart")
    assert apart <= 1e-3
