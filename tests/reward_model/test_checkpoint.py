"""Finding the value head in every layout, and refusing what is none."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from acecoder_rl.reward_model.checkpoint import HeadError, NoHeadError, read_head

WEIGHT, BIAS = "v_head.summary.weight", "v_head.summary.bias"


@pytest.fixture
def folder(tiny_rm, tmp_path):
    """A copy of the checkpoint that a test may change."""
    return shutil.copytree(tiny_rm, tmp_path / "rm")


def change(folder, **tensors):
    """Replace tensors of the checkpoint; None removes one. `__` stands for a dot."""
    weights = load_file(folder / "model.safetensors")
    for name, tensor in tensors.items():
        name = name.replace("__", ".")
        weights.pop(name, None)
        if tensor is not None:
            weights[name] = tensor
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def as_bin(folder):
    file = folder / "model.safetensors"
    torch.save(load_file(file), folder / "pytorch_model.bin")
    file.unlink()


def as_shards(folder):
    """Two shards, weight and bias apart."""
    file = folder / "model.safetensors"
    weights = load_file(file)
    file.unlink()
    shards = {"a.safetensors": {BIAS: weights.pop(BIAS)}, "b.safetensors": weights}
    for name, part in shards.items():
        save_file(part, folder / name, metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {key: name for name, part in shards.items() for key in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def as_llama_factory(folder, file):
    weights = load_file(folder / "model.safetensors")
    head = {key: weights.pop(key) for key in (WEIGHT, BIAS)}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    if file.endswith(".bin"):
        torch.save(head, folder / file)
    else:
        save_file(head, folder / file)


@pytest.mark.parametrize("store", [None, as_bin, as_shards])
def test_the_head_is_read_from_any_kind_of_file(tiny_rm, folder, store):
    if store:
        store(folder)
    head = read_head(folder)
    assert head.weight.equal(load_file(tiny_rm / "model.safetensors")[WEIGHT]) and head.bias == 0.75
    assert (head.layout, head.keys) == ("v_head", (WEIGHT, BIAS))


@pytest.mark.parametrize("file", ["value_head.safetensors", "value_head.bin"])
def test_llama_factorys_separate_file(tiny_rm, folder, file):
    as_llama_factory(folder, file)
    head = read_head(folder)
    assert head.weight.equal(load_file(tiny_rm / "model.safetensors")[WEIGHT])
    assert (head.layout, head.file.name, head.bias) == ("value_head_file", file, 0.75)


def test_a_sequence_classifiers_head_may_have_no_bias(folder):
    change(folder, v_head__summary__weight=None, v_head__summary__bias=None, score__weight=torch.ones(1, 32))
    head = read_head(folder)
    assert (head.layout, head.bias, head.keys) == ("score", None, ("score.weight",))


def test_a_base_model_has_no_head_and_the_message_says_what_to_do(folder):
    change(folder, v_head__summary__weight=None, v_head__summary__bias=None, value__weight=torch.ones(1, 32))
    with pytest.raises(NoHeadError, match=r"no value head.*value\.weight.*from_base"):
        read_head(folder)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"v_head__summary__weight": torch.ones(2, 32)}, r"v_head\.summary\.weight has shape \[2, 32\]"),
        ({"v_head__summary__weight": torch.ones(32)}, r"shape \[32\], not \[1, hidden\]"),
        ({"v_head__summary__weight": torch.ones(1, 16)}, r"shape \[1, 16\], but config.json has hidden_size 32"),
        ({"v_head__summary__bias": torch.ones(2)}, r"v_head\.summary\.bias has shape \[2\], not \[1\]"),
        ({"v_head__summary__bias": None}, r"no v_head\.summary\.bias: half a value head"),
        ({"v_head__summary__weight": None}, r"no v_head\.summary\.weight: half a value head"),
        ({"v_head__summary__weight": torch.full((1, 32), torch.nan)}, "NaN or infinity"),
        ({"v_head__summary__bias": torch.tensor([torch.inf])}, "NaN or infinity"),
        ({"score__weight": torch.ones(1, 32)}, r"two value heads that differ: v_head.*score\.weight"),
    ],
)
def test_a_head_that_is_not_acecoderms_is_an_error_that_names_it(folder, tensors, said):
    change(folder, **tensors)
    with pytest.raises(HeadError, match=said):
        read_head(folder)


def test_a_second_head_file_must_agree(folder):
    save_file({WEIGHT: torch.ones(1, 32), BIAS: torch.ones(1)}, folder / "value_head.safetensors")
    with pytest.raises(HeadError, match=r"two value heads that differ: .*value_head\.safetensors"):
        read_head(folder)
    weights = load_file(folder / "model.safetensors")
    save_file({key: weights[key] for key in (WEIGHT, BIAS)}, folder / "value_head.safetensors")
    assert read_head(folder).layout == "v_head"


def test_a_head_file_is_data_not_code(folder):
    as_llama_factory(folder, "value_head.bin")
    torch.save({WEIGHT: shutil.rmtree}, folder / "value_head.bin")
    with pytest.raises(Exception, match=r"(?i)weights.only"):
        read_head(folder)


def test_a_file_cut_short_is_named(folder):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(HeadError, match=r"model\.safetensors: not a whole safetensors file.*download"):
        read_head(folder)


def test_a_shard_that_is_not_there_is_named(folder):
    as_shards(folder)
    (folder / "b.safetensors").unlink()
    with pytest.raises(OSError, match=r"b\.safetensors"):
        read_head(folder)


def test_a_folder_without_a_checkpoint(tmp_path):
    with pytest.raises(OSError, match="holds no checkpoint"):
        read_head(tmp_path)
