"""Is a converted reward model the same model? Its scores, or its tensors, against the source's.

Covers: `check`: the scores of a few chats, the source by one implementation and the target by another (ours and
    Transformers' sequence classifier, plus the bias that it drops); or all tensors, read back, byte for byte.
Does not cover: vLLM and OpenRLHF (tests/reward_model/test_convert_consumers.py has them).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from acecoder_rl.reward_model.any_layout import load
from acecoder_rl.reward_model.checkpoint import SCORE, Head, read_head
from acecoder_rl.reward_model.model import AutoModelForCausalRM, CausalRM
from acecoder_rl.reward_model.shards import ConvertError, Stored, read_shards, same_bytes

Verify = Literal["auto", "scores", "tensors", "none"]

# In fp32; of the greatest score, if that is above 1: AceCodeRM's reach 20.
TOLERANCE = 1e-3
ROOM = 1.3  # memory for a model, to its weights in fp32
PROBE = (
    ("Return the sum of a list.", "def f(xs):\n    return sum(xs)"),
    ("Return the sum of a list.", "def f(xs):\n    return len(xs)"),
    ("Reverse a string, keeping the digits in their places.", "I do not know."),
    ("Is n prime?", "```python\ndef is_prime(n):\n    return n > 1 and all(n % i for i in range(2, n))\n```"),
    ("a", "b"),
)


def check(source: Path, head: Head, target: Path, written: Sequence[Sequence[Stored]], to: str, verify: Verify) -> str:
    """Compare a converted checkpoint with its source.

    Args:
        head: the source's.
        written: the tensors that the target should hold, as they are in the source.
        verify: as in `convert`.

    Returns:
        what was compared.

    Raises:
        ConvertError: they differ.
    """
    if verify == "none":
        return "not verified"
    numbers = sum(math.prod(tensor.shape) for shard in written for tensor in shard)
    needed, free = int(numbers * 4 * ROOM), available_memory()
    why = ""
    if verify == "auto":
        verify = "scores" if needed <= free else "tensors"
        if verify == "tensors":
            why = f" (scores were not compared: {needed / 1e9:.0f} GB of memory needed, {free / 1e9:.0f} GB free)"
    if verify == "tensors":
        count = _compare_tensors(written, target)
        return f"all {count} tensors are the source's, byte for byte{why}"
    rows, kind = _probe(target)
    if head.keys[0] == SCORE[0]:
        expected = _by_transformers(source, head, rows, padded=False)  # its padding token may be a trap
    else:
        expected = _by_ours(load(source, head, torch.float32), rows)
    if to == "seqcls":
        got = _by_transformers(target, read_head(target), rows, padded=True)
    else:
        got = _by_ours(AutoModelForCausalRM.from_pretrained(target, dtype=torch.float32, device_map="cpu"), rows)
    apart = max(abs(one - other) for one, other in zip(expected, got, strict=True))
    bound = TOLERANCE * max(1.0, *map(abs, expected))
    if not apart <= bound:  # NaN is no success
        raise ConvertError(
            f"the converted model scores {got}, the source {expected}: {apart:g} apart, more than {bound:g}; nothing "
            "was written. Is the source whole, and made by this transformers version?"
        )
    return f"{len(rows)} {kind} scored by both forms in fp32 on the CPU: at most {apart:.1e} apart"


def available_memory() -> int:
    """Bytes that a new process could take, by the machine and by its cgroup."""
    meminfo = Path("/proc/meminfo").read_text()
    free = 1024 * int(next(line for line in meminfo.splitlines() if line.startswith("MemAvailable")).split()[1])
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        if Path(limit).is_file() and (most := Path(limit).read_text().strip()).isdigit():
            free = min(free, int(most) - int(Path(used).read_text()))
    return free


def _compare_tensors(written: Sequence[Sequence[Stored]], target: Path) -> int:
    there = {tensor.name: tensor for shard in read_shards(target) for tensor in shard}
    expected = [tensor for shard in written for tensor in shard]
    for tensor in expected:
        if tensor.name not in there or not same_bytes(tensor, there[tensor.name]):
            raise ConvertError(f"{tensor.name} was not written as it is in {tensor.file}: is the disk sound? Try again")
    return len(expected)


def _probe(folder: Path) -> tuple[list[list[int]], str]:
    """Token sequences of different lengths, and what they are."""
    config = AutoConfig.from_pretrained(folder)
    if any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json")):
        tokenizer = AutoTokenizer.from_pretrained(folder)
        if tokenizer.chat_template:
            rows = []
            for question, answer in PROBE:
                chat = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
                text = tokenizer.apply_chat_template(chat, tokenize=False)
                rows.append(tokenizer(text, add_special_tokens=False)["input_ids"])
            if max(map(max, rows)) < config.vocab_size:
                return rows, "chats"
    rng = random.Random(0)
    free = [number for number in range(config.vocab_size) if number != config.pad_token_id]
    return [rng.choices(free, k=length) for length in (24, 3, 11, 1, 17)], "sequences of random tokens"


@torch.inference_mode()
def _by_ours(model: CausalRM, rows: list[list[int]]) -> list[float]:
    return [float(model(input_ids=torch.tensor([row]))[2][0, -1]) for row in rows]


@torch.inference_mode()
def _by_transformers(folder: Path, head: Head, rows: list[list[int]], padded: bool) -> list[float]:
    """In one padded batch, as users of the class have it, or one by one; with the bias that it drops."""
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32).eval()
    pad, width = model.config.pad_token_id, max(map(len, rows))
    if not padded or pad is None or any(row[-1] == pad for row in rows):  # choose_pad has told of the last
        model.config.pad_token_id = None
        logits = [model(input_ids=torch.tensor([row])).logits for row in rows]
    else:
        ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        logits = [model(input_ids=ids, attention_mask=mask).logits]
    return [value + (head.bias or 0.0) for value in torch.cat(logits).squeeze(-1).tolist()]
