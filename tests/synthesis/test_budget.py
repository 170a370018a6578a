"""`--max-cost`: never overrun, whatever is in flight, and over all processes that work in a run folder."""

from __future__ import annotations

import pytest

from acecoder_rl.records import InputError
from acecoder_rl.synthesis.answers import Answers
from acecoder_rl.synthesis.budget import Budget, BudgetSpent
from acecoder_rl.synthesis.models import Answer, Failed, ask
from tests.synthesis.asking import asked, echo, model, quick, words
from tests.synthesis.fake_endpoint import Reply, endpoint, said

__all__ = ["quick"]  # a fixture for all tests here


def test_tokens_that_the_reply_does_not_count_are_counted_high(tmp_path):
    with endpoint(lambda *_: said("12345678", tokens=None)) as fake, Answers(tmp_path / "a.sqlite") as answers:
        ((told,),) = ask(model(fake, price_in=1.0, price_out=1.0), [words("word")], answers, Budget())
    assert told.tokens_out == 8 and told.tokens_in >= len("word")


# Prices of a dollar a token: an answer costs at least 5 USD and at most its max_tokens and the prompt's bytes.
PRICES = {"price_in": 0.0, "price_out": 1e6}


def test_the_budget_is_never_overrun_whatever_is_in_flight(tmp_path):
    requests = [words(f"{i}", max_tokens=10) for i in range(100)]
    done: list[Answer | Failed] = []
    with endpoint(lambda *_: said("x", tokens=(1, 10))) as fake, Answers(tmp_path / "a.sqlite") as answers:
        kind = model(fake, concurrency=16, **PRICES)
        with pytest.raises(BudgetSpent, match=r"--max-cost 55: 50\.0000 USD are spent.*higher --max-cost goes on"):
            ask(kind, requests, answers, Budget(55, answers), done.append)
        assert len(fake.asked) == len(done) == len(answers) == 5 and answers.cost() == 50
        # What was paid counts in the next process, and a higher limit goes on where the first stopped.
        with pytest.raises(BudgetSpent):
            ask(kind, requests, answers, Budget(55, answers))
        assert len(fake.asked) == 5
        ask(kind, requests, answers, Budget(1000, answers))
        assert len(fake.asked) == 100 and answers.cost() == 1000


def test_answers_that_cost_less_than_feared_leave_room_for_more(tmp_path):
    requests = [words(f"{i}", max_tokens=10) for i in range(100)]
    with (
        endpoint(lambda *_: said("x", tokens=(1, 1))) as fake,
        Answers(tmp_path / "a.sqlite") as answers,
        pytest.raises(BudgetSpent),
    ):
        ask(model(fake, concurrency=16, **PRICES), requests, answers, Budget(50, answers))
    assert len(fake.asked) == 41  # 41 USD, and the next might cost 10


def test_a_request_that_may_be_paid_without_an_answer_counts(tmp_path):
    requests = [words(f"{i}", max_tokens=10) for i in range(10)]
    with Answers(tmp_path / "a.sqlite") as answers:
        with endpoint(lambda *_: Reply(hang=True)) as fake:
            kind = model(fake, timeout_seconds=3.0, concurrency=1, **PRICES)
            with pytest.raises(BudgetSpent, match=r"up to 20\.0000 USD by requests without an answer"):
                ask(kind, requests, answers, Budget(20, answers))
        assert len(fake.asked) == 2
        assert Budget(20, answers).unsure == 20


def test_the_first_words_of_an_answer_are_paid_as_well(tmp_path):
    prefix = "x" * 1000
    request = words("word", assistant_prefix=prefix)
    # A dollar a token of the prompt: its bytes, and those of the first words, at least.
    prices = {"price_in": 1e6, "price_out": 0.0}
    with pytest.raises(BudgetSpent):
        asked(echo, [request], tmp_path, max_cost=900.0, continue_prefix=True, **prices)


@pytest.mark.parametrize("limit", [-1.0, float("nan")])
def test_a_limit_that_is_none_is_an_error(limit):
    with pytest.raises(InputError, match=r"max_cost is .*: give USD, 0 or more"):
        Budget(limit)


def test_a_limit_without_prices_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"--max-cost needs prices.*price_in and price_out"):
        asked(echo, [words("word")], tmp_path, max_cost=1.0)
    told, _ = asked(echo, [words("word")], tmp_path, max_cost=0.0, price_in=0.0, price_out=0.0)
    assert told == [["WORD"]]
