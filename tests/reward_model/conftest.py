"""A tiny reward model in AceCodeRM's layout: random weights, a real byte-level BPE tokenizer, a chat template."""

import pytest

# As Qwen2.5's template renders chats without tools: a default system turn, <|im_end|> and a newline after each turn.
CHAT_TEMPLATE = (
    "{%- if messages[0].role != 'system' %}"
    "{{- '<|im_start|>system\n"
    "You are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n' }}"
    "{%- endif %}"
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
TEXTS = [
    "def add(a, b):\n    return a + b\n",
    "Write a function that returns the sum of a list of numbers.",
    "for i in range(len(nums)):\n    total += nums[i]\n",
    "assert add(1, 2) == 3\n```python\nimport math\n```\n",
    "Please provide a self-contained Python script. Below is a Python script. You are a helpful assistant.",
]


def make_tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        extra_special_tokens={"turn": "<|im_start|>"},
        chat_template=CHAT_TEMPLATE,
    )


def tiny_config(vocabulary=512, **changes):
    from transformers import Qwen2Config

    settings = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": False,
        "initializer_range": 0.3,  # wide: scores of different texts must differ
        "bos_token_id": None,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    return Qwen2Config(**(settings | changes))


@pytest.fixture(scope="session")
def tiny_rm(tmp_path_factory):
    """The folder of a checkpoint like AceCodeRM's: `model.*`, `lm_head.weight`, `v_head.summary.weight` and `.bias`.

    Written without this project's code. Read only: copy it before you change anything.
    """
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import Qwen2ForCausalLM, set_seed

    folder = tmp_path_factory.mktemp("rm") / "tiny-acecoderm"
    set_seed(7)
    model = Qwen2ForCausalLM(tiny_config())
    model.config.architectures = ["Qwen2ForCausalRM"]
    model.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    weights["v_head.summary.weight"] = torch.randn(1, 32)
    weights["v_head.summary.bias"] = torch.tensor([0.75])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = (folder / "config.json").read_text().replace("Qwen2ForCausalLM", "Qwen2ForCausalRM")
    (folder / "config.json").write_text(config)
    make_tokenizer().save_pretrained(folder)
    return folder
