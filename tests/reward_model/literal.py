"""A reward model's scores the literal way: the full causal LM, its last hidden states, a Linear with bias."""

import torch
from safetensors.torch import load_file
from torch import nn
from transformers import AutoTokenizer, Qwen2ForCausalLM


class Literal:
    """One text at a time, without padding: nothing of this project's code."""

    def __init__(self, folder):
        weights = load_file(folder / "model.safetensors")
        self.lm = Qwen2ForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        hidden = weights["v_head.summary.weight"].shape[1]
        self.head = nn.Linear(hidden, 1)
        self.head.load_state_dict({"weight": weights["v_head.summary.weight"], "bias": weights["v_head.summary.bias"]})
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    @torch.no_grad()
    def ids(self, ids):
        hidden = self.lm(input_ids=torch.tensor([list(ids)]), output_hidden_states=True).hidden_states[-1]
        return self.head(hidden)[0, -1, 0].item()

    def chat(self, user, assistant):
        chat = [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
        return self.ids(self.tokenizer.apply_chat_template(chat, tokenize=True, return_dict=False))
