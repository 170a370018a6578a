"""One way of scoring with a reward model, in a process of its own: seconds, peak memory, scores.

Covers: `python -m acecoder_rl.bench.rm_phases JOB RESULT`; the phases `make` (a random model in AceCodeRM's layout),
    `card` (as AceCodeRM's model card does it) and `scorer` (RewardScorer).
Does not cover: comparing them (rm.py).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Sequences = list[list[int]]
Score = Callable[[Sequences], list[float]]


def make(job: dict[str, Any]) -> dict[str, Any]:
    """Write the model that the other phases load."""
    from transformers import Qwen2Config, set_seed

    from acecoder_rl import Qwen2ForCausalRM

    set_seed(0)
    Qwen2ForCausalRM(Qwen2Config(**job["config"])).save_pretrained(job["model"])
    return {}


def card(job: dict[str, Any]) -> Score:
    """The whole causal LM with its logits, all hidden states, a Linear; one padded batch after another, as they come.

    Only transformers' own code: this is also the literal re-computation that scores are compared with.
    """
    import torch
    from safetensors.torch import load_file
    from transformers import Qwen2ForCausalLM

    lm = Qwen2ForCausalLM.from_pretrained(job["model"], dtype=torch.float32).eval()
    head = torch.nn.Linear(lm.config.hidden_size, 1)
    weights = load_file(Path(job["model"]) / "model.safetensors")
    head.load_state_dict({name: weights[f"v_head.summary.{name}"] for name in ("weight", "bias")})
    del weights

    @torch.no_grad()
    def score(sequences: Sequences) -> list[float]:
        scores: list[float] = []
        for start in range(0, len(sequences), job["card_batch"]):
            rows = sequences[start : start + job["card_batch"]]
            width = max(map(len, rows))
            ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
            mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
            output = lm(
                input_ids=ids, attention_mask=mask, output_hidden_states=True, return_dict=True, use_cache=False
            )
            values = head(output.hidden_states[-1]).squeeze(-1)
            scores += values.gather(1, mask.sum(-1, keepdim=True) - 1).squeeze(1).tolist()
            del output, values  # or two batches' logits would be there at once
        return scores

    return score


def scorer(job: dict[str, Any]) -> Score:
    """RewardScorer, from tokens on: tokenizing costs both ways the same."""
    from acecoder_rl.reward_model.model import Qwen2ForCausalRM
    from acecoder_rl.reward_model.scoring import RewardScorer

    class Words:  # the sequences are random tokens: no text is ever rendered, but a scorer wants a tokenizer
        chat_template, name_or_path, all_special_tokens, added_tokens_decoder = "chat", "", (), {}

        def apply_chat_template(self, chat: list[dict[str, str]], **options: Any) -> str:
            return chat[-1]["content"]

        def __call__(self, text: str, **options: Any) -> dict[str, list[int]]:
            return {"input_ids": [0]}

    model = Qwen2ForCausalRM.from_pretrained(job["model"]).eval()
    made = RewardScorer(model, tokenizer=Words(), max_tokens=1024, batch_tokens=job["batch_tokens"])

    return made.score_tokens


def _kilobytes(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1])


def main(job_file: str, result_file: str) -> None:
    job = json.loads(Path(job_file).read_text())
    import torch
    import transformers  # noqa: F401  (what importing them costs is neither way's memory)
    from transformers import Qwen2ForCausalLM  # noqa: F401

    torch.set_num_threads(job["threads"])
    if job["phase"] == "make":
        result = make(job)
    else:
        before = _kilobytes("VmRSS")
        score = {"card": card, "scorer": scorer}[job["phase"]](job)
        score(job["sequences"][:2])
        loaded = _kilobytes("VmRSS")
        begun, cpu = time.perf_counter(), time.process_time()
        scores = score(job["sequences"])
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        # VmHWM begins anew with each exec, so it is this process's own peak, loading included.
        peak = _kilobytes("VmHWM")
        result = {
            "seconds": seconds,
            "cpu_seconds": cpu, "scores": scores, "peak_mb": (peak - before) / 1024,
            "loaded_mb": (loaded - before) / 1024,
        }  # fmt: skip
    Path(result_file).write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
