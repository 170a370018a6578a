"""What a converted reward model's folder holds beside its tensors.

Covers: config.json for either layout, the padding token, tokenizer files, README.md and conversion.json.
Does not cover: tensors (shards.py), the conversion's steps (convert.py).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

COPIED = (
    "tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "added_tokens.json", "chat_template*",
    "additional_chat_templates", "generation_config.json", "*.model", "*.tiktoken", "LICENSE*", "NOTICE*",
)  # fmt: skip
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "tokenizer.model")  # at least one of them is there
# Says which class a folder is for, or belongs to one of the two layouts alone.
OWN_FIELDS = (
    "architectures", "auto_map", "num_labels", "id2label", "label2id", "problem_type", "value_head_prefix", "mean",
    "std", "normalize_reward",
)  # fmt: skip
# Special tokens that no chat ends with, best first.
PAD_NAMES = ("<|finetune_right_pad_id|>", "<|endoftext|>", "<|pad|>", "<pad>", "[PAD]", "<|end_of_text|>", "<unk>")


def copy_companions(source: Path, target: Path) -> None:
    """Copy what belongs to the tokenizer, generation settings and licences."""
    for pattern in COPIED:
        for file in source.glob(pattern):
            if file.is_dir():
                shutil.copytree(file, target / file.name)
            else:
                shutil.copyfile(file, target / file.name)


def causal_rm_config(config: dict[str, Any], architecture: str) -> dict[str, Any]:
    """A config for AceCodeRM's layout."""
    return _rest(config) | {"architectures": [architecture]}


def classifier_config(config: dict[str, Any], architecture: str, pad: int | None) -> dict[str, Any]:
    """A config that vLLM, Transformers, TRL and OpenRLHF read as a regression with one score.

    Args:
        pad: the padding token's id; Transformers looks for the last token that is not it.
    """
    return _rest(config) | {
        "architectures": [architecture],
        "num_labels": 1,
        "id2label": {"0": "LABEL_0"},
        "label2id": {"LABEL_0": 0},
        "problem_type": "regression",  # vLLM would put a sigmoid on the score
        "value_head_prefix": "score",  # OpenRLHF
        "pad_token_id": pad,
    }


def choose_pad(folder: Path, config: dict[str, Any]) -> tuple[int | None, list[str]]:
    """The padding token of a classifier, written into the tokenizer in `folder` where that has another.

    Transformers, and TRL with it, scores at the last token that is not the padding token. So padding must be none
    that a chat ends with: where it is (Llama 3 with pad = <|eot_id|>, tokenizers without a padding token, for which
    trainers take EOS), another special token is taken.

    Returns:
        its id, None if there is no tokenizer and the config has none; and what there is to say about it.
    """
    given = config.get("pad_token_id")
    eos = config.get("eos_token_id")
    if not any((folder / name).is_file() for name in TOKENIZER):
        said = "no tokenizer in the folder: put the base model's there"
        if given is None:
            return None, [f"{said}, and set pad_token_id in config.json, or Transformers scores one text at a time"]
        ends = eos if isinstance(eos, list) else [eos]
        trap = f"; pad_token_id {given} is EOS too: a text that ends with it is scored one token early"
        return given, [said + (trap if given in ends else "")]

    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    last = _last_token(tokenizer)
    taken = {last, tokenizer.eos_token_id} if last is None else {last}
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id not in taken:
        return tokenizer.pad_token_id, []
    old = tokenizer.pad_token
    special = {token.content: number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    free = [name for name in (*PAD_NAMES, *sorted(special)) if name in special and special[name] not in taken]
    ended = tokenizer.convert_ids_to_tokens(last) if last is not None else tokenizer.eos_token
    if not free:
        return tokenizer.pad_token_id, [
            f"pad token {old!r}: every special token may end a chat; Transformers and TRL score such texts one token "
            "early: score one text at a time, without padding"
        ]
    _set_pad(folder, free[0])
    why = f"texts end with {ended!r}, where Transformers and TRL would score one token early"
    return special[free[0]], [f"pad token {free[0]!r} instead of {old!r}: {why}"]


def write_notes(folder: Path, facts: dict[str, Any]) -> None:
    """README.md for people and conversion.json for programs, about what was done."""
    (folder / "conversion.json").write_text(json.dumps({"version": 1, **facts}, indent=2) + "\n")
    if facts["to"] == "seqcls":
        text = CLASSIFIER_README.format(
            **facts | {"bias": f"{facts['bias']:.9g}", "dropped": ", ".join(facts["dropped"]) or "nothing"}
        )
    else:
        head = "" if facts["lm_head"] else NO_LM_HEAD
        text = CAUSAL_RM_README.format(**facts) + head
    (folder / "README.md").write_text(text)


def bias_told(bias: float) -> str:
    """What each consumer of a sequence classifier makes of the head's bias."""
    if not bias:
        return "the head's bias is 0: every consumer gives the same scores"
    lower = "lower" if bias > 0 else "higher"
    return (
        f"the head's bias is {bias:.6g}: vLLM adds it; Transformers, TRL and OpenRLHF drop it, so that all of their "
        f"scores are {abs(bias):.6g} {lower} (differences between answers, and so the order, are the same)"
    )


def end_told(folder: Path, to: str, by_openrlhf: bool) -> list[str]:
    """Where a chat does not end with EOS: OpenRLHF reads scores there, all others at the chat's last token.

    Args:
        folder: with the tokenizer.
        to: the target's layout; OpenRLHF loads "seqcls" alone.
        by_openrlhf: OpenRLHF may have trained the model.
    """
    if not (by_openrlhf or to == "seqcls") or not any((folder / name).is_file() for name in TOKENIZER):
        return []
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    last, eos = _last_token(tokenizer), tokenizer.eos_token_id
    if last is None or eos is None or last == eos:
        return []
    end, stop = tokenizer.decode([last]), tokenizer.eos_token
    if by_openrlhf:
        return [
            f"if OpenRLHF trained this model, that was at EOS ({stop!r}); scores are read here at a chat's last token, "
            f"{end!r}, of which it knows nothing: let the chat template end with EOS, without what comes behind it"
        ]
    return [
        f"scores are read at a chat's last token, {end!r}; OpenRLHF's --reward.model_name_or_path reads them at EOS "
        f"({stop!r}), and so gives others: let it ask acecoder-rl serve-rm (--reward.remote_url URL/get_reward)"
    ]


CLASSIFIER_README = """\
# A reward model as a sequence classifier

Converted from {source} with `acecoder-rl convert-rm`. One score a text, read at its last token, unbounded.
The texts are chats (user: question, assistant: answer), rendered by the tokenizer's chat template without a
generation prompt.

Left out: {dropped} (no score needs an LM head).

## The head's bias is {bias}

| consumer | score |
| --- | --- |
| acecoder-rl (after `convert-rm --to causal-rm`), vLLM `classify` | weight · hidden + bias |
| Transformers, TRL, OpenRLHF: their heads have none; they report `score.bias` as unexpected | weight · hidden |

So theirs are lower by the bias, every score by the same. Saving the model again with one of them loses it.

OpenRLHF reads scores at EOS. Where a chat ends with something behind it (Qwen2.5's: a newline), that is another token
than the last one, which all others read and AceCodeRM was trained at: let OpenRLHF ask `acecoder-rl serve-rm`.

## Use

    vllm serve FOLDER --runner pooling          # POST /classify with "messages"; "input" would add special tokens
    AutoModelForSequenceClassification.from_pretrained("FOLDER", dtype="float32")
    GRPOTrainer(reward_funcs=["FOLDER", ...])   # TRL

The head is stored as the source has it. In bf16, as config.json's dtype may have it, Transformers, TRL and OpenRLHF
round the head and the score too. `mean` and `std` in config.json, if there, are for OpenRLHF: the mean is less by
the bias.
"""

CAUSAL_RM_README = """\
# A reward model in AceCodeRM's layout

Converted from {source} with `acecoder-rl convert-rm`. Load it with `acecoder_rl.AutoModelForCausalRM` (or
`Qwen2ForCausalRM`), score with `acecoder_rl.reward_model.scoring.RewardScorer`, serve with `acecoder-rl serve-rm`.
"""

NO_LM_HEAD = """
It has no `lm_head.weight`, which a sequence classifier does not keep and no score needs. To compute LM logits or to
save the model again, convert once more with `--base`, the model that the reward model was trained from.
"""


def _rest(config: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in OWN_FIELDS}


def _last_token(tokenizer: Any) -> int | None:
    """The token that a chat ends with; None without a chat template."""
    if not tokenizer.chat_template:
        return None
    chat = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    text = tokenizer.apply_chat_template(chat, tokenize=False)
    return tokenizer(text, add_special_tokens=False)["input_ids"][-1]


def _set_pad(folder: Path, token: str) -> None:
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        file = folder / name
        if file.is_file():
            file.write_text(json.dumps(json.loads(file.read_bytes()) | {"pad_token": token}, indent=2) + "\n")
