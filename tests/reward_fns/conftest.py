"""Tiny models: a reward model as tests/reward_model has it, and a policy with the same tokenizer."""

import pytest

from tests.reward_model.conftest import make_tokenizer, tiny_config, tiny_rm  # noqa: F401


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """The folder of a language model with random weights."""
    from transformers import Qwen2ForCausalLM, set_seed

    folder = tmp_path_factory.mktemp("policy")
    set_seed(1)
    Qwen2ForCausalLM(tiny_config()).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder
