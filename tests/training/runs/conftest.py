"""What the tests of real runs share: a tiny random model, a recipe for it, the command as a user runs it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from acecoder_rl.training import yaml_text
from tests.training.runs.looks import HERE

# Every completion begins with a whole program, so what passes is known although the model is random.
PREFIX = "```python\ndef add(a, b):\n    return a + b\n```\n"


@pytest.fixture(scope="session")
def tiny_model(tokenizer_folder: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two random layers."""
    torch = pytest.importorskip("torch")
    if importlib.util.find_spec("vllm") is None:  # importing it takes 10 s
        pytest.skip("`make setup` installs vLLM")
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder())
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer) + 8,  # room for a padding token, which Qwen's tokenizer class adds
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    folder = tmp_path_factory.mktemp("model")
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def problems(tmp_path: Path) -> Callable[[int], Path]:
    """A file of so many problems; the program in PREFIX passes every other one, and half the tests of the rest."""

    def write(count: int) -> Path:
        path = tmp_path / f"problems{count}.jsonl"
        rows = []
        for number in range(count):
            right = "assert add(2, 2) == 4"
            tests = [right, f"assert add({number}, 1) == {number + 1 if number % 2 == 0 else 'None'}"]
            rows.append({"id": f"p{number}", "question": f"Write add, number {number}.", "test_cases": tests})
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    return write


@pytest.fixture
def recipe(tmp_path: Path, tiny_model: Path, problems: Callable[[int], Path]) -> Callable[..., Path]:
    """Writes a recipe for the tiny model; arguments are sections, whose fields are added."""

    def write(**sections: dict[str, Any]) -> Path:
        whole: dict[str, dict[str, Any]] = {
            "model": {"path": str(tiny_model)},
            "data": {"train": str(problems(12)), "assistant_prefix": PREFIX, "max_prompt_tokens": 160},
            "reward": {
                "kind": "mixed",
                "parts": [{"name": "varied", "kind": "scorers:Varied", "mean": 0.5, "std": 0.1}],
            },
            "sandbox": {"workers": 1, "test_seconds": 2},
            "rollout": {"batch_size": 4, "n_samples_per_prompt": 2, "max_new_tokens": 16, "micro_batch_size": 4},
            "train": {
                "advantage_estimator": "reinforce_baseline", "batch_size": 8, "micro_batch_size": 4,
                "learning_rate": 1e-2, "kl_coef": 0, "warmup_ratio": 0, "lr_scheduler": "constant",
            },
            "resources": {
                "device": "cpu", "gpus_per_node": 4, "actor_gpus_per_node": 1, "engines_per_node": 1,
                "zero_stage": 0, "threads": 1,
            },
            "logging": {"folder": str(tmp_path / "run"), "tensorboard": False},
        }  # fmt: skip
        for name, fields in sections.items():
            whole.setdefault(name, {}).update(fields)
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml_text.write(whole))
        return path

    return write


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `acecoder-rl train ...`; stdout and stderr come together. What a failed test leaves running is ended."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "acecoder_rl.cli", "train", *map(str, arguments)],
            # No GPU is to be seen, as users have it who want none: those of such a run are logical.
            env=os.environ | {"PYTHONPATH": str(HERE), "COLUMNS": "200", "CUDA_VISIBLE_DEVICES": ""},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=90)
