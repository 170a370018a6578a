"""`Qwen2ForCausalRM` as the model card uses it, and what it refuses."""

import copy
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, Qwen3Config, set_seed

from acecoder_rl import AutoModelForCausalRM, Qwen2ForCausalRM
from acecoder_rl.reward_model.checkpoint import HeadError
from acecoder_rl.reward_model.model import last_values
from tests.reward_model.literal import Literal

WEIGHT, BIAS = "v_head.summary.weight", "v_head.summary.bias"
CHATS = [
    [{"role": "user", "content": "Write a function that returns the sum."}, {"role": "assistant", "content": text}]
    for text in ("def f(a, b):\n    return a + b", "x", "def f(numbers):\n    total = 0\n    return total" * 3)
]


@pytest.fixture(scope="module")
def literal(tiny_rm):
    literal = Literal(tiny_rm)
    return [literal.chat(chat[0]["content"], chat[1]["content"]) for chat in CHATS]


def inputs(folder, chats, side):
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side=side)
    return tokenizer.apply_chat_template(chats, tokenize=True, return_dict=True, padding=True, return_tensors="pt")


def values(model, batch, **more):
    with torch.no_grad():
        return model.eval()(**batch, output_hidden_states=True, return_dict=True, use_cache=False, **more)


def test_importing_the_package_needs_no_torch():
    code = "import sys, acecoder_rl; assert not {'torch', 'transformers'} & set(sys.modules), 'heavy'"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_model_cards_example_gives_the_literal_scores(tiny_rm, literal):
    model = Qwen2ForCausalRM.from_pretrained(tiny_rm, device_map="auto")
    batch = inputs(tiny_rm, CHATS, "right").to(model.device)
    with torch.no_grad():
        _, _, values = model(**batch, output_hidden_states=True, return_dict=True, use_cache=False)
    masks = batch["attention_mask"]
    scores = values.gather(dim=-1, index=(masks.sum(dim=-1, keepdim=True) - 1)).squeeze()
    assert values.shape == batch["input_ids"].shape
    assert scores.tolist() == pytest.approx(literal, abs=1e-4)
    assert max(literal) - min(literal) > 0.1  # else equal scores would prove nothing


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_on_either_side_changes_no_score(tiny_rm, literal, side, attention):
    model = Qwen2ForCausalRM.from_pretrained(tiny_rm, attn_implementation=attention)
    assert model.config._attn_implementation == attention
    batch = inputs(tiny_rm, CHATS, side)
    _, _, found = values(model, batch)
    assert last_values(found, batch["attention_mask"]).tolist() == pytest.approx(literal, abs=1e-4)


def test_a_batch_of_one_keeps_its_shape(tiny_rm, literal):
    batch = inputs(tiny_rm, CHATS[:1], "right")
    _, _, found = values(Qwen2ForCausalRM.from_pretrained(tiny_rm), batch)
    assert found.shape == (1, batch["input_ids"].shape[1])
    assert last_values(found, batch["attention_mask"]).tolist() == pytest.approx(literal[:1], abs=1e-4)


def test_in_bf16_the_head_stays_fp32_and_scores_stay_near(tiny_rm, literal):
    model = Qwen2ForCausalRM.from_pretrained(tiny_rm, dtype=torch.bfloat16)
    assert model.model.embed_tokens.weight.dtype == torch.bfloat16
    assert model.v_head.summary.weight.equal(load_file(tiny_rm / "model.safetensors")[WEIGHT])
    batch = inputs(tiny_rm, CHATS, "right")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, _, found = values(model, batch)
    assert last_values(found, batch["attention_mask"]).tolist() == pytest.approx(literal, abs=2.0)

    # The head itself, exact to fp32: in bf16 its result would have 8 bits.
    hidden = torch.randn(3, 32, dtype=torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        score = model.v_head(hidden)
    exact = hidden.double() @ model.v_head.summary.weight.double().T + model.v_head.summary.bias.double()
    torch.testing.assert_close(score, exact.float(), atol=1e-5, rtol=1e-5)


def test_logits_only_when_asked_for_and_equal_to_the_causal_lms(tiny_rm):
    batch = inputs(tiny_rm, CHATS, "right")
    logits, loss, found = values(Qwen2ForCausalRM.from_pretrained(tiny_rm, lm_head=True), batch)
    assert logits is None and loss is None
    logits, _, again = values(Qwen2ForCausalRM.from_pretrained(tiny_rm, lm_head=True), batch, return_logits=True)
    lm = AutoModelForCausalLM.from_pretrained(tiny_rm).eval()
    real = batch["attention_mask"].bool()
    with torch.no_grad():
        torch.testing.assert_close(logits[real], lm(**batch).logits[real])
    torch.testing.assert_close(again, found)


def test_without_the_lm_head_logits_and_saving_say_what_to_do(tiny_rm, tmp_path):
    model = Qwen2ForCausalRM.from_pretrained(tiny_rm)
    assert not [name for name, _ in model.named_parameters() if "lm_head" in name]
    with pytest.raises(ValueError, match="lm_head=True"):
        values(model, inputs(tiny_rm, CHATS, "right"), return_logits=True)
    with pytest.raises(ValueError, match="lm_head=True"):
        model.save_pretrained(tmp_path)


def test_saved_again_it_is_the_same_checkpoint(tiny_rm, tmp_path):
    Qwen2ForCausalRM.from_pretrained(tiny_rm, lm_head=True).save_pretrained(tmp_path)
    before, after = (load_file(folder / "model.safetensors") for folder in (tiny_rm, tmp_path))
    assert before.keys() == after.keys() and all(before[key].equal(after[key]) for key in before)
    assert '"Qwen2ForCausalRM"' in (tmp_path / "config.json").read_text()


def test_dropout_is_the_configs_and_only_in_training(tiny_rm):
    model = Qwen2ForCausalRM.from_pretrained(tiny_rm)
    assert model.v_head.dropout.p == 0.1
    hidden = torch.ones(1, 32)
    assert model.eval().v_head(hidden).equal(model.v_head(hidden))
    model.train()
    assert len({model.v_head(hidden).item() for _ in range(8)}) > 1
    config = copy.deepcopy(model.config)
    config.summary_dropout_prob = 0.0
    assert Qwen2ForCausalRM.from_pretrained(tiny_rm, config=config).v_head.dropout.p == 0.0


def test_gradient_checkpointing_gives_the_same_gradients(tiny_rm):
    batch = inputs(tiny_rm, CHATS, "right")

    def gradient(checkpointed):
        model = Qwen2ForCausalRM.from_pretrained(tiny_rm).train()
        model.v_head.dropout.p = 0.0
        if checkpointed:
            model.gradient_checkpointing_enable()
        last_values(model(**batch)[2], batch["attention_mask"]).sum().backward()
        return model.model.layers[0].mlp.up_proj.weight.grad

    torch.testing.assert_close(gradient(True), gradient(False))


def test_llama_factorys_layout_scores_the_same(tiny_rm, tmp_path, literal):
    folder = shutil.copytree(tiny_rm, tmp_path / "rm")
    weights = load_file(folder / "model.safetensors")
    save_file({key: weights.pop(key) for key in (WEIGHT, BIAS)}, folder / "value_head.safetensors")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    batch = inputs(folder, CHATS, "right")
    _, _, found = values(AutoModelForCausalRM.from_pretrained(folder), batch)
    assert last_values(found, batch["attention_mask"]).tolist() == pytest.approx(literal, abs=1e-4)


@pytest.mark.parametrize("load", [Qwen2ForCausalRM.from_pretrained, AutoModelForCausalRM.from_pretrained])
def test_without_a_head_there_is_no_model(tiny_rm, tmp_path, load):
    folder = shutil.copytree(tiny_rm, tmp_path / "rm")
    weights = load_file(folder / "model.safetensors")
    score, _ = weights.pop(WEIGHT), weights.pop(BIAS)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(HeadError, match="no value head"):
        load(folder)
    save_file(weights | {"score.weight": score}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(HeadError, match=r"score\.weight.*convert-rm"):
        load(folder)


def test_a_hole_in_the_backbone_is_an_error_too(tiny_rm, tmp_path):
    folder = shutil.copytree(tiny_rm, tmp_path / "rm")
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"missing, model\.layers\.1\.mlp\.up_proj\.weight first"):
        Qwen2ForCausalRM.from_pretrained(folder)


@pytest.mark.parametrize("kind", [LlamaConfig, Qwen3Config])
@pytest.mark.parametrize("tied", [True, False])
def test_any_decoder_from_a_base_model_and_back(tmp_path, kind, tied):
    config = kind(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, tie_word_embeddings=tied,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "base")
    set_seed(1)
    first = AutoModelForCausalRM.from_base(tmp_path / "base", seed=3)
    set_seed(2)
    again = AutoModelForCausalRM.from_base(tmp_path / "base", seed=3)
    other = AutoModelForCausalRM.from_base(tmp_path / "base", seed=4)
    weight = first.v_head.summary.weight
    assert weight.equal(again.v_head.summary.weight) and not weight.equal(other.v_head.summary.weight)
    assert weight.abs().max() > 0 and first.v_head.summary.bias.item() == 0.0

    first.save_pretrained(tmp_path / "rm")
    stored = load_file(tmp_path / "rm" / "model.safetensors")
    assert ("lm_head.weight" in stored) is not tied and WEIGHT in stored
    loaded = AutoModelForCausalRM.from_pretrained(tmp_path / "rm")
    ids = torch.tensor([[5, 6, 7]])
    torch.testing.assert_close(values(loaded, {"input_ids": ids})[2], values(first, {"input_ids": ids})[2])
    with pytest.raises(HeadError, match="has a value head already"):
        AutoModelForCausalRM.from_base(tmp_path / "rm")


def test_a_model_that_is_no_decoder_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(ValueError, match="'t5'"):
        AutoModelForCausalRM.from_pretrained(tmp_path)


def test_the_last_token_of_a_row_that_has_none():
    mask = torch.tensor([[0, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    found = last_values(torch.arange(12.0).view(3, 4), mask)
    assert found.tolist() == [2.0, 4.0, 11.0]
    with pytest.raises(ValueError, match="no token at all"):
        last_values(torch.zeros(1, 4), torch.zeros(1, 4))
