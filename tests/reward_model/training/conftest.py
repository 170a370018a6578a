"""What the tests of training share: a tiny base model, pairs that can be told apart, a recipe for them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

RECIPE = """\
model: {{path: {model}}}
data: {{path: {pairs}, val_share: 0.15, cutoff_len: 256}}
train: {{batch_size: 8, micro_batch_size: 4, learning_rate: 3e-3, log_steps: 1}}
resources: {{device: cpu, gradient_checkpointing: false, threads: 1}}
logging: {{folder: {folder}, tensorboard: false}}
"""


def rows(questions: int = 40, per_question: int = 3) -> list[dict[str, Any]]:
    """What is chosen says so in words; numbers and lengths differ without meaning."""
    rng = random.Random(5)
    made = []
    for number in range(questions * per_question):
        good, bad = (" ".join(str(rng.randint(10, 99)) for _ in range(rng.randint(1, 4))) for _ in range(2))
        made.append(
            {
                "id": number,
                "instruction": f"Question {number // per_question}?",
                "input": "",
                "chosen": f"a right answer: {good}",
                "rejected": f"a wrong answer: {bad}",
                "chosen_score": 1.0,
                "rejected_score": rng.choice([0.1, 0.3, 0.5]),
            }
        )
    return made


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny model with random weights: "qwen2", or "llama" with tied embeddings."""
    pytest.importorskip("trl")
    made: dict[str, Path] = {}

    def make(kind: str) -> Path:
        if kind not in made:
            import transformers
            from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, set_seed

            tokenizer = _tokenizer(PreTrainedTokenizerFast)
            settings = {
                "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
                "num_attention_heads": 2, "num_key_value_heads": 1, "tie_word_embeddings": kind == "llama",
                "bos_token_id": None, "eos_token_id": tokenizer.eos_token_id,
            }  # fmt: skip
            name = {"qwen2": "Qwen2Config", "llama": "LlamaConfig"}[kind]
            set_seed(3)
            model = AutoModelForCausalLM.from_config(getattr(transformers, name)(**settings))
            made[kind] = tmp_path_factory.mktemp(kind)
            model.save_pretrained(made[kind])
            tokenizer.save_pretrained(made[kind])
        return made[kind]

    return make


@pytest.fixture
def recipe_file(tmp_path: Path, base_model: Callable[[str], Path]) -> Callable[..., Path]:
    """Writes pairs, and a recipe that trains a tiny model on them in seconds."""

    def write(pairs: list[dict[str, Any]] | None = None, kind: str = "qwen2") -> Path:
        file = tmp_path / "pairs.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in (rows() if pairs is None else pairs)))
        recipe = tmp_path / "rm.yaml"
        recipe.write_text(RECIPE.format(model=base_model(kind), pairs=file, folder=tmp_path / "run"))
        return recipe

    return write


def _tokenizer(kind: Any) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(["Question 1? a right answer: 1 a wrong answer: 2 user assistant"], trainer)
    # Padding is EOS, as SmolLM2 has it: the score must not move for it.
    tokenizer = kind(tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|im_end|>")
    tokenizer.chat_template = (
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    return tokenizer
