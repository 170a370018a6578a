"""`RewardScorer` against a literal re-computation, and what no batch may change."""

import random

import pytest
import torch
from transformers import AutoTokenizer

from acecoder_rl import Qwen2ForCausalRM
from acecoder_rl.reward_model.batches import token_batches
from acecoder_rl.reward_model.scoring import RewardScorer, ScoreError
from tests.reward_model.literal import Literal

WORDS = ("def", "return", "sum", "list", "for", "in", "range", "+=", "(", ")", "[", "]", ":", "\n", "if", "math", "x")


def mixed_pairs(count, seed=0):
    """Questions and answers of 1 to some 150 words, so that batches hold all kinds of lengths."""
    draw = random.Random(seed)

    def text(most):
        return " ".join(draw.choices(WORDS, k=draw.randint(1, most)))

    return [(text(40), text(150)) for _ in range(count)]


@pytest.fixture(scope="module")
def literal(tiny_rm):
    return Literal(tiny_rm)


@pytest.fixture(scope="module")
def scorer(tiny_rm):
    return RewardScorer(tiny_rm)


@pytest.mark.parametrize("batch_tokens", [1, 700, 8192])
def test_scores_are_the_literal_ones_in_any_batching_and_in_order(scorer, literal, batch_tokens):
    pairs = mixed_pairs(24)
    pairs.append(pairs[3])
    expected = [literal.chat(*pair) for pair in pairs]
    scorer.batch_tokens = batch_tokens
    found = scorer.score(pairs)
    assert max(abs(one - other) for one, other in zip(found, expected, strict=True)) <= 1e-4
    assert max(expected) - min(expected) > 1.0


def test_flags_and_tokens_come_with_the_values(scorer, tiny_rm):
    (plain, empty) = scorer.scored([("Add.", "def f(): pass"), ("Add.", " \n")])
    tokenizer = AutoTokenizer.from_pretrained(tiny_rm)
    chat = [{"role": "user", "content": "Add."}, {"role": "assistant", "content": "def f(): pass"}]
    assert plain.tokens == len(tokenizer.apply_chat_template(chat, tokenize=True, return_dict=False))
    assert (plain.flags, empty.flags) == ((), ("empty",))
    assert plain.value == scorer.score([("Add.", "def f(): pass")])[0]


def test_a_model_in_training_scores_without_dropout_and_goes_on_in_training(tiny_rm, scorer):
    model = Qwen2ForCausalRM.from_pretrained(tiny_rm).train()
    pairs = mixed_pairs(3)
    own = RewardScorer(model, max_tokens=1024)
    assert own.score(pairs) == own.score(pairs) == pytest.approx(scorer.score(pairs), abs=1e-5)
    assert model.training


def test_a_damaged_model_is_an_error_not_a_score(tiny_rm):
    model = Qwen2ForCausalRM.from_pretrained(tiny_rm)
    with torch.no_grad():
        model.model.norm.weight[0] = torch.inf
    with pytest.raises(ScoreError, match="weights are damaged"):
        RewardScorer(model, max_tokens=1024).score(mixed_pairs(2))


def test_progress_goes_to_stderr(scorer, capsys):
    scorer.score(mixed_pairs(2), progress=True)
    out, err = capsys.readouterr()
    assert out == "" and "scoring" in err and "2/2" in err


def test_no_pairs_no_scores_and_no_tokens_no_score(scorer):
    assert scorer.score([]) == []
    with pytest.raises(ValueError, match="without tokens"):
        scorer.score_tokens([[1], []])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_tokens": 2048}, "2048, but the model has 1024 positions"),
        ({"max_tokens": 40}, "max_tokens is 40"),
        ({"max_tokens": 1024, "batch_tokens": 0}, "batch_tokens is 0"),
        ({"max_tokens": 1024, "format": "alpaca"}, "'alpaca': give one of raw, acecode"),
    ],
)
def test_bad_settings_are_told_at_once(tiny_rm, settings, said):
    with pytest.raises(ValueError, match=said):
        RewardScorer(tiny_rm, **settings)


def test_batches_hold_like_lengths_within_the_budget():
    lengths = [5, 100, 7, 6, 300, 90, 4, 60, 95]
    batches = list(token_batches(lengths, 200))
    assert sorted(index for batch in batches for index in batch) == list(range(9))
    assert [[lengths[index] for index in batch] for batch in batches] == [[300], [100, 95], [90], [60], [7, 6], [5, 4]]


@pytest.mark.parametrize("budget", [1, 500, 10_000])
def test_at_most_a_quarter_of_a_batch_is_padding(budget):
    draw = random.Random(budget)
    lengths = [draw.randint(1, 1000) for _ in range(200)]
    for batch in token_batches(lengths, budget):
        found = [lengths[index] for index in batch]
        assert max(found) * len(found) <= max(budget, max(found))
        assert sum(found) >= 0.75 * max(found) * len(found)
