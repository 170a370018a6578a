"""Converted checkpoints: the same bytes and the same scores, from every layout; refused where that cannot be."""

import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, LlamaConfig, LlamaForCausalLM, set_seed

from acecoder_rl import AutoModelForCausalRM
from acecoder_rl.reward_model import convert as convert_module
from acecoder_rl.reward_model.checkpoint import HeadError, read_head
from acecoder_rl.reward_model.convert import convert
from acecoder_rl.reward_model.convert_verify import check
from acecoder_rl.reward_model.scoring import RewardScorer
from acecoder_rl.reward_model.shards import ConvertError, ShardError, read_shards
from tests.reward_model.literal import Literal

WEIGHT, BIAS = "v_head.summary.weight", "v_head.summary.bias"
PAIRS = [("Return the sum.", "def f(a, b):\n    return a + b"), ("Return the sum.", "no"), ("Add.", "x = 1\n" * 30)]


@pytest.fixture
def rm(tiny_rm, tmp_path):
    """A copy that may be changed."""
    return shutil.copytree(tiny_rm, tmp_path / "rm")


@pytest.fixture(scope="module")
def seqcls(tiny_rm, tmp_path_factory):
    target = tmp_path_factory.mktemp("converted") / "seqcls"
    return target, convert(tiny_rm, target)


def weights(folder):
    return load_file(folder / "model.safetensors")


def edit(folder, change):
    tensors = weights(folder)
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def edit_config(folder, **changes):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def tokens(folder):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    chats = [
        [{"role": "user", "content": question}, {"role": "assistant", "content": answer}] for question, answer in PAIRS
    ]
    return tokenizer.apply_chat_template(chats, tokenize=True, return_dict=False)


def by_trl(folder):
    """As TRL's GRPOTrainer loads and asks a reward model."""
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model.config.pad_token_id = tokenizer.pad_token_id
    chats = [
        [{"role": "user", "content": question}, {"role": "assistant", "content": answer}] for question, answer in PAIRS
    ]
    texts = [tokenizer.apply_chat_template(chat, tokenize=False) for chat in chats]
    inputs = tokenizer(texts, return_tensors="pt", padding=True, padding_side="right", add_special_tokens=False)
    with torch.no_grad():
        return model(**inputs).logits[:, 0].tolist()


def by_ours(folder):
    return RewardScorer(folder).score(PAIRS)


def literal_scores(folder):
    literal = Literal(folder)
    return [literal.chat(*pair) for pair in PAIRS]


def test_trl_and_transformers_score_a_padded_batch_lower_by_the_bias(tiny_rm, seqcls):
    folder, done = seqcls
    assert done.bias == 0.75 and "lower" in done.notes[0]
    assert "OpenRLHF's --reward.model_name_or_path reads them at EOS ('<|im_end|>')" in done.notes[1]
    expected = [score - 0.75 for score in literal_scores(tiny_rm)]
    assert by_trl(folder) == pytest.approx(expected, abs=1e-4)
    assert max(expected) - min(expected) > 0.01  # else any scores would do


def test_there_and_back_is_bit_equal(tiny_rm, seqcls, tmp_path):
    done = convert(seqcls[0], tmp_path / "back", base=tiny_rm)
    assert done.to == "causal-rm" and done.architecture == "Qwen2ForCausalRM" and done.lm_head
    before, after = weights(tiny_rm), weights(tmp_path / "back")
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert tensor.dtype == after[name].dtype and torch.equal(tensor, after[name]), name


def test_without_a_base_there_is_no_lm_head_and_the_scores_are_the_same(tiny_rm, seqcls, tmp_path):
    done = convert(seqcls[0], tmp_path / "back")
    assert not done.lm_head and any("--base" in note for note in done.notes)
    assert by_ours(tmp_path / "back") == pytest.approx(literal_scores(tiny_rm), abs=1e-4)


def test_base_of_another_shape_is_refused(seqcls, rm, tmp_path):
    edit(rm, lambda tensors: tensors.update({"lm_head.weight": torch.zeros(500, 32)}))
    with pytest.raises(ConvertError, match=r"LM head.*\[500, 32\].*\[512, 32\]"):
        convert(seqcls[0], tmp_path / "back", base=rm)
    assert not (tmp_path / "back").exists()


def sharded(folder, bin=False):
    """The same checkpoint in three files; the head's two tensors are apart, and one file holds only the LM head."""
    tensors = weights(folder)
    (folder / "model.safetensors").unlink()
    parts = [{}, {"lm_head.weight": tensors.pop("lm_head.weight")}, {WEIGHT: tensors.pop(WEIGHT)}]
    for number, name in enumerate(sorted(tensors)):
        parts[2 * (number % 2)][name] = tensors[name]
    stem, ending = ("pytorch_model", "bin") if bin else ("model", "safetensors")
    places = {}
    for number, part in enumerate(parts, 1):
        file = f"{stem}-{number:05}-of-00003.{ending}"
        torch.save(part, folder / file) if bin else save_file(part, folder / file, metadata={"format": "pt"})
        places |= dict.fromkeys(part, file)
    index = folder / f"{stem}.{ending}.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}))


@pytest.mark.parametrize("bin", [False, True])
def test_shards_with_the_head_torn_apart(rm, seqcls, tmp_path, bin):
    sharded(rm, bin)
    done = convert(rm, tmp_path / "out")
    assert done.files == 2
    files = sorted(file.name for file in (tmp_path / "out").glob("*.safetensors"))
    assert files == ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert by_trl(tmp_path / "out") == pytest.approx(by_trl(seqcls[0]), abs=1e-6)


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_llama_factory_keeps_the_head_in_a_file_of_its_own(rm, seqcls, tmp_path, ending):
    head = {name: weights(rm)[name] for name in (WEIGHT, BIAS)}
    edit(rm, lambda tensors: [tensors.pop(name) for name in head])
    file = rm / f"value_head.{ending}"
    torch.save(head, file) if ending == "bin" else save_file(head, file)
    convert(rm, tmp_path / "out")
    expected, got = weights(seqcls[0]), weights(tmp_path / "out")
    assert expected.keys() == got.keys() and all(torch.equal(expected[name], got[name]) for name in expected)
    # And into AceCodeRM's layout, where all is in one file.
    convert(rm, tmp_path / "rm-layout", to="causal-rm")
    assert weights(tmp_path / "rm-layout")[WEIGHT].equal(head[WEIGHT])
    assert not list((tmp_path / "rm-layout").glob("value_head*"))


def test_bf16_backbone_with_fp32_head_keeps_both(rm, tmp_path):
    edit(rm, lambda tensors: tensors.update({n: t.bfloat16() for n, t in tensors.items() if n not in (WEIGHT, BIAS)}))
    before = weights(rm)
    convert(rm, tmp_path / "out")
    after = weights(tmp_path / "out")
    assert after["score.weight"].dtype == torch.float32 and after["score.weight"].equal(before[WEIGHT])
    assert after["model.norm.weight"].dtype == torch.bfloat16


def test_openrlhf_trained_model_with_a_head_of_its_own_name(rm, seqcls, tmp_path):
    def rename(tensors):
        tensors["value_head.weight"] = tensors.pop(WEIGHT)
        del tensors[BIAS], tensors["lm_head.weight"]

    edit(rm, rename)
    edit_config(rm, value_head_prefix="value_head", architectures=["RewardModel"], mean=1.0, std=2.0)
    for to, scores in (
        ("seqcls", by_trl),
        ("causal-rm", lambda folder: RewardScorer(folder, max_tokens=999).score(PAIRS)),
    ):
        done = convert(rm, tmp_path / to, to=to)
        assert done.bias == 0.0
        assert scores(tmp_path / to) == pytest.approx(by_trl(seqcls[0]), abs=1e-4)
        # It was trained at EOS; the template goes on behind it.
        assert "at EOS ('<|im_end|>'); scores are read here at a chat's last token, '\\n'" in done.notes[-1]
        config = json.loads((tmp_path / to / "config.json").read_text())
        assert "mean" not in config and config.get("value_head_prefix") == ("score" if to == "seqcls" else None)


def test_llama_with_tied_embeddings(tmp_path):
    set_seed(3)
    config = LlamaConfig(
        vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, tie_word_embeddings=True, initializer_range=0.3, pad_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path / "base")
    model = AutoModelForCausalRM.from_base(tmp_path / "base")
    torch.nn.init.constant_(model.v_head.summary.bias, -0.5)
    model.save_pretrained(tmp_path / "rm")
    done = convert(tmp_path / "rm", tmp_path / "seqcls")
    assert done.architecture == "LlamaForSequenceClassification" and "scored by both forms" in done.verified
    back = convert(tmp_path / "seqcls", tmp_path / "back")
    assert back.lm_head  # tied: it is the embeddings
    model = AutoModelForCausalRM.from_pretrained(tmp_path / "back", lm_head=True, dtype=torch.float32)
    logits, _, values = model(torch.tensor([[5, 6, 7]]), return_logits=True)
    assert logits.shape == (1, 3, 300) and values.shape == (1, 3)


def test_padding_that_a_chat_ends_with_is_replaced_in_the_tokenizer_too(rm, seqcls, tmp_path):
    # Llama 3's case: chats end with EOS itself, which is the padding token as well.
    template = (rm / "chat_template.jinja").read_text().replace("'<|im_end|>' + '\n'", "'<|im_end|>'")
    (rm / "chat_template.jinja").write_text(template)
    settings = json.loads((rm / "tokenizer_config.json").read_text()) | {"pad_token": "<|im_end|>"}
    (rm / "tokenizer_config.json").write_text(json.dumps(settings))
    edit_config(rm, pad_token_id=2)
    assert tokens(rm)[0][-1] == 2  # the trap is set
    done = convert(rm, tmp_path / "out")
    assert "'<|endoftext|>' instead of '<|im_end|>'" in done.notes[0]
    assert by_trl(tmp_path / "out") == pytest.approx([score - 0.75 for score in literal_scores(rm)], abs=1e-4)


def test_what_belongs_to_the_tokenizer_goes_along(tiny_rm, seqcls):
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        assert (seqcls[0] / name).read_bytes() == (tiny_rm / name).read_bytes()
    assert "lower by the bias" in (seqcls[0] / "README.md").read_text()
    assert json.loads((seqcls[0] / "conversion.json").read_text())["bias"] == 0.75


def change(name):
    """Damaged sources, and what the refusal must say."""

    def layered(tensors):
        del tensors[WEIGHT], tensors[BIAS]
        tensors |= {"score.0.weight": torch.ones(32, 32), "score.2.weight": torch.ones(1, 32)}

    return {
        "no head": (lambda t: [t.pop(WEIGHT), t.pop(BIAS)], "no value head"),
        "half a head": (lambda t: t.pop(BIAS), "half a value head"),
        "two heads": (lambda t: t.update({"score.weight": torch.ones(1, 32)}), "two value heads that differ"),
        "two scores": (lambda t: t.update({WEIGHT: torch.ones(2, 32)}), r"shape \[2, 32\]"),
        "layered": (layered, "more than one Linear.*Qwen2ForRewardModel"),
        "foreign": (lambda t: t.update({"visual.proj.weight": torch.ones(2, 2)}), "visual.proj.weight is neither"),
        "no backbone": (lambda t: [t.pop(n) for n in list(t) if n.startswith("model.")], "no backbone"),
    }[name]


@pytest.mark.parametrize(
    "name", ["no head", "half a head", "two heads", "two scores", "layered", "foreign", "no backbone"]
)
def test_refused_sources_leave_nothing(rm, tmp_path, name):
    damage, told = change(name)
    edit(rm, damage)
    with pytest.raises((ConvertError, HeadError), match=told):
        convert(rm, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rm"]


def test_the_same_head_twice_becomes_one(rm, seqcls, tmp_path):
    edit(rm, lambda t: t.update({"score.weight": t[WEIGHT].clone(), "score.bias": t[BIAS].clone()}))
    convert(rm, tmp_path / "out")
    assert weights(tmp_path / "out").keys() == weights(seqcls[0]).keys()


def test_a_file_that_breaks_off_is_refused(rm, tmp_path):
    file = rm / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises((ShardError, HeadError), match=r"model\.safetensors.*whole"):
        convert(rm, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("to", ["seqcls", "causal-rm"])
def test_a_backbone_that_is_not_the_config_s_is_refused_unverified_too(rm, tmp_path, to):
    name = "model.layers.1.mlp.up_proj.weight"
    whole = weights(rm)[name]
    edit(rm, lambda t: t.pop(name))
    with pytest.raises(ConvertError, match=f"{name} is missing"):
        convert(rm, tmp_path / "out", to=to, verify="none")
    edit(rm, lambda t: t.update({name: whole[:-1].clone()}))
    with pytest.raises(ConvertError, match=f"{name} has shape"):
        convert(rm, tmp_path / "out", to=to, verify="none")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rm"]


@pytest.mark.parametrize("verify", ["scores", "tensors"])
def test_one_wrong_tensor_in_the_target_is_seen(tiny_rm, seqcls, tmp_path, verify):
    copy = shutil.copytree(seqcls[0], tmp_path / "copy")
    kept = [
        [
            t.called(t.name.replace("v_head.summary", "score"))
            for t in read_shards(tiny_rm)[0]
            if t.name != "lm_head.weight"
        ]
    ]
    check(tiny_rm, read_head(tiny_rm), copy, kept, "seqcls", verify)
    edit(copy, lambda t: t["model.layers.0.mlp.up_proj.weight"][0].mul_(1.5))
    with pytest.raises(ConvertError):
        check(tiny_rm, read_head(tiny_rm), copy, kept, "seqcls", verify)


def test_a_target_in_use_stays_unless_told_and_unless_it_is_no_model(tiny_rm, tmp_path, monkeypatch):
    target = tmp_path / "out"
    target.mkdir()
    (target / "thesis.txt").write_text("mine")
    with pytest.raises(ConvertError, match="--overwrite"):
        convert(tiny_rm, target)
    with pytest.raises(ConvertError, match="something else than a model"):
        convert(tiny_rm, target, overwrite=True)
    (target / "config.json").write_text("{}")
    # A conversion that fails late leaves the old model, too.
    with monkeypatch.context() as patched:
        patched.setattr(convert_module, "check", lambda *arguments: (_ for _ in ()).throw(ConvertError("differs")))
        with pytest.raises(ConvertError, match="differs"):
            convert(tiny_rm, target, overwrite=True)
    assert (target / "thesis.txt").read_text() == "mine"
    convert(tiny_rm, target, overwrite=True, verify="none")
    assert "thesis.txt" not in {file.name for file in target.iterdir()}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_source_is_never_the_target(rm):
    for target in (rm, rm.parent, rm / ".." / rm.name):
        with pytest.raises(ConvertError, match="source"):
            convert(rm, target, overwrite=True)
    assert weights(rm)


DRIVER = """
import sys
from pathlib import Path
from acecoder_rl.reward_model.convert import convert

def memory(name):
    return next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith(name + ":"))

open("/proc/self/clear_refs", "w").write("5")  # the peak so far is forgotten
before = memory("VmRSS")
done = convert(Path(sys.argv[1]), Path(sys.argv[2]), verify="tensors")
assert "byte for byte" in done.verified
print(memory("VmHWM") - before)
"""


def test_memory_does_not_grow_with_the_checkpoint(rm, tmp_path):
    shard, count = 80 << 20, 4
    kept = weights(rm)
    (rm / "model.safetensors").unlink()
    places = {}
    for number in range(1, count + 1):
        file = f"model-{number:05}-of-{count:05}.safetensors"
        part = {f"model.layers.{number}.big": torch.arange(shard // 4, dtype=torch.int32)} | (
            kept if number == 1 else {}
        )
        save_file(part, rm / file, metadata={"format": "pt"})
        places |= dict.fromkeys(part, file)
    (rm / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    command = [sys.executable, "-c", DRIVER, rm, tmp_path / "out"]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert answer.returncode == 0, answer.stderr
    assert int(answer.stdout) << 10 < shard, f"{answer.stdout} kB for shards of {shard >> 10} kB"
    assert sum(file.stat().st_size for file in (tmp_path / "out").glob("*.safetensors")) > count * shard
