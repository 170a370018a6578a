"""Tiny models: a reward model as tests/reward_model has it, and a policy with the same tokenizer."""

import signal

import pytest

from acecoder_rl.rollouts import log, shards
from tests.reward_model.conftest import make_tokenizer, tiny_config, tiny_rm  # noqa: F401


@pytest.fixture
def logged(tmp_path, monkeypatch):
    """Rewards are logged; gives what stands in the log."""
    folder, handler = tmp_path / "rollouts", signal.getsignal(signal.SIGTERM)
    monkeypatch.setenv(log.FOLDER, str(folder))

    def rows():
        import pyarrow.parquet as parquet

        assert log.active().flush()
        return [row for each in shards.listed(folder) for row in parquet.read_table(folder / each.name).to_pylist()]

    yield rows
    log.active().close()
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """The folder of a language model with random weights."""
    from transformers import Qwen2ForCausalLM, set_seed

    folder = tmp_path_factory.mktemp("policy")
    set_seed(1)
    Qwen2ForCausalLM(tiny_config()).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder
