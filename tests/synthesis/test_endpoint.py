"""Asking an endpoint: whatever a server does, no question is lost, none is asked twice, and an outage stops the asking.

Does not cover: engines (test_engine.py).
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from acecoder_rl.records import InputError
from acecoder_rl.synthesis import endpoint as asking_endpoint
from acecoder_rl.synthesis.answers import Answers
from acecoder_rl.synthesis.budget import Budget, BudgetSpent
from acecoder_rl.synthesis.endpoint_replies import EndpointDown
from acecoder_rl.synthesis.models import Answer, Endpoint, Failed, Request, ask
from tests.synthesis.fake_endpoint import Fake, Reply, Script, endpoint, error, said


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Waits that the server does not ask for are short."""
    monkeypatch.setattr(asking_endpoint, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(asking_endpoint, "LONGEST_WAIT", 0.05)


def words(text: str, **more: Any) -> Request:
    return Request([{"role": "user", "content": text}], **more)


def model(fake: Fake, **more: Any) -> Endpoint:
    return Endpoint(endpoint=fake.url, model="coder", **{"timeout_seconds": 5.0, "retries": 3, **more})


def asked(
    script: Script, requests: list[Request], folder: Path, max_cost: float | None = None, **more: Any
) -> tuple[list[Any], Fake]:
    """The answers' texts, or the failures, and the server."""
    with endpoint(script) as fake, Answers(folder / "answers.sqlite") as answers:
        told = ask(model(fake, **more), requests, answers, Budget(max_cost, answers))
    return [[one.text if isinstance(one, Answer) else one for one in each] for each in told], fake


def echo(body: dict[str, Any], number: int = 0) -> Reply:
    return said(body["messages"][-1]["content"].upper())


def first(*replies: Reply) -> Script:
    """These, then echoes."""
    return lambda body, number: replies[number] if number < len(replies) else echo(body)


def test_answers_come_in_order_and_a_second_time_from_the_cache(tmp_path):
    requests = [words(f"word {i}") for i in range(40)]
    together = threading.Barrier(8)

    def script(body, number):
        together.wait(30)  # eight are in flight at once, or the test fails
        return echo(body)

    told, fake = asked(script, requests, tmp_path, concurrency=8)
    assert told == [[f"WORD {i}"] for i in range(40)]
    assert len(fake.asked) == 40 and fake.peak == 8
    with endpoint(lambda *_: error(500, "nobody must ask")) as fake, Answers(tmp_path / "answers.sqlite") as answers:
        again = ask(model(fake), requests, answers, Budget())
    assert [each[0].text for each in again] == [f"WORD {i}" for i in range(40)]
    assert fake.asked == []


def test_equal_requests_are_asked_once(tmp_path):
    told, fake = asked(echo, [words("same"), words("other"), words("same")], tmp_path)
    assert told == [["SAME"], ["OTHER"], ["SAME"]] and len(fake.asked) == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"temperature": 0.5},
        {"top_p": 0.5},
        {"max_tokens": 7},
        {"seed": 1},
        {"json_schema": {"type": "object"}},
        {"messages": [{"role": "user", "content": "word "}]},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_decides_an_answer_is_in_its_key(tmp_path, changed):
    asked(echo, [words("word")], tmp_path, structured="json_schema")
    other = Request(**{"messages": [{"role": "user", "content": "word"}], **changed})
    _, fake = asked(echo, [other], tmp_path, structured="json_schema")
    assert len(fake.asked) == 1


def test_samples_have_seeds_of_their_own_and_only_the_missing_are_asked_for(tmp_path):
    asked(lambda body, number: said(f"seed {body['seed']}"), [words("word", n=2, seed=7)], tmp_path)
    told, fake = asked(lambda body, number: said(f"seed {body['seed']}"), [words("word", n=4, seed=7)], tmp_path)
    assert told == [["seed 7", "seed 8", "seed 9", "seed 10"]]
    assert [body["seed"] for body in fake.asked] == [9, 10]


def test_many_samples_by_one_request_where_the_endpoint_has_that(tmp_path):
    def script(body, number):
        return said(*(f"{body['seed']}+{i}" for i in range(body.get("n", 1))), tokens=(100, 10))

    with endpoint(script) as fake, Answers(tmp_path / "a.sqlite") as answers:
        kind = model(fake, samples_per_request=4, price_in=1e6, price_out=1.0)
        ((*told,),) = ask(kind, [words("word", n=6)], answers, Budget())
        paid = answers.cost()
    assert [one.text for one in told] == ["0+0", "0+1", "0+2", "0+3", "4+0", "4+1"]
    assert [body.get("n") for body in fake.asked] == [4, 2]
    assert [one.tokens_in for one in told] == [100, 0, 0, 0, 100, 0]
    assert [one.tokens_out for one in told] == [3, 3, 2, 2, 5, 5]
    assert paid == pytest.approx(200 + 20e-6) and sum(one.cost for one in told) == pytest.approx(paid)


def test_an_endpoint_that_ignores_n_is_asked_for_the_rest(tmp_path):
    told, fake = asked(lambda body, number: said(str(number)), [words("word", n=3)], tmp_path, samples_per_request=3)
    assert told == [["0", "1", "2"]] and len(fake.asked) == 3


def test_429_is_waited_for_as_long_as_it_says_and_by_everybody(tmp_path):
    begun = time.monotonic()
    told, fake = asked(first(error(429, "slow down", Retry_After="0.6")), [words(f"{i}") for i in range(9)], tmp_path,
                       concurrency=1)  # fmt: skip
    assert told == [[f"{i}"] for i in range(9)] and len(fake.asked) == 10
    assert 0.6 <= time.monotonic() - begun < 30


def test_429_does_not_use_up_the_tries(tmp_path):
    told, fake = asked(first(*[error(429, "slow down")] * 6), [words("word")], tmp_path, retries=0)
    assert told == [["WORD"]] and len(fake.asked) == 7


def test_an_endpoint_that_only_says_slow_down_is_given_up_after_the_patience(tmp_path):
    with pytest.raises(EndpointDown, match=r"slow down.*lower concurrency"):
        asked(lambda *_: error(429, "slow down"), [words("word")], tmp_path, patience_seconds=0.3)
    with pytest.raises(EndpointDown, match=r"wait 3600 s more"):
        asked(lambda *_: error(429, "slow down", Retry_After="3600"), [words("word")], tmp_path)


@pytest.mark.parametrize(
    "reply",
    [
        error(500, "oops"),
        error(503, "loading", Retry_After="0.01"),
        Reply(502, "<html>Bad gateway</html>", {"Content-Type": "text/html"}),
        Reply(200, "<html>Welcome</html>", {"Content-Type": "text/html"}),
        Reply(200, '{"choices": [{"message": {"content": "half'),
        Reply(200, ""),
        Reply(200, "[" * 100_000),
        Reply(200, {"choices": []}),
        Reply(200, {"choices": [{"message": {"content": 3}}]}),
        Reply(200, {"error": "none"}),
        Reply(200, said("half of it" * 10_000).body, reset=True),
        Reply(200, "xx", reset=True),
    ],
    ids=["500", "503", "html 502", "html 200", "invalid JSON", "empty", "deep", "no choices", "number", "other", "cut",
         "reset"],
)  # fmt: skip
def test_a_bad_moment_of_the_server_costs_no_question(tmp_path, reply):
    told, fake = asked(first(reply, reply), [words("word")], tmp_path)
    assert told == [["WORD"]] and len(fake.asked) == 3


def test_a_hang_ends_at_the_deadline_of_the_try(tmp_path):
    begun = time.monotonic()
    told, fake = asked(first(Reply(hang=True)), [words("word")], tmp_path, timeout_seconds=0.5)
    assert told == [["WORD"]] and len(fake.asked) == 2
    assert 0.5 <= time.monotonic() - begun < 20


def test_what_a_refused_connection_said_is_told(tmp_path):
    with endpoint(echo) as fake:
        pass
    with Answers(tmp_path / "a.sqlite") as answers, pytest.raises(EndpointDown) as told:
        ask(model(fake, retries=1), [words("word")], answers, Budget())
    assert fake.url in str(told.value) and "ConnectError" in str(told.value) and "(2 tries)" in str(told.value)
    assert "Answers so far are kept" in str(told.value)


@pytest.mark.parametrize(
    ("reply", "mend"),
    [
        (error(401, "Incorrect API key provided"), "check api_key_env"),
        (error(403, "Country not supported"), "check api_key_env"),
        (error(404, "The model `coder` does not exist"), "is there a model 'coder'"),
        (error(429, "You exceeded your current quota", "insufficient_quota"), "in credit"),
    ],
    ids=["401", "403", "404", "quota"],
)
def test_what_no_request_can_mend_stops_at_once_with_the_servers_words(tmp_path, reply, mend):
    with pytest.raises(EndpointDown) as told:
        asked(lambda *_: reply, [words(f"{i}") for i in range(100)], tmp_path, concurrency=4)
    assert reply.body["error"]["message"] in str(told.value) and mend in str(told.value)


def test_an_endpoint_that_fails_everything_stops_before_it_costs_a_question(tmp_path):
    done: list[Answer | Failed] = []
    requests = [words(f"{i}") for i in range(200)]
    with (
        endpoint(lambda *_: error(500, "CUDA error")) as fake,
        Answers(tmp_path / "a.sqlite") as answers,
        pytest.raises(EndpointDown, match=r"CUDA error.*nor does it answer a request of a few words"),
    ):
        ask(model(fake, concurrency=4, retries=1), requests, answers, Budget(), done.append)
    assert done == [] and len(fake.asked) < 60


@pytest.mark.parametrize("retries", [0, 3])
def test_an_endpoint_that_dies_on_the_way_costs_no_question_and_what_it_said_is_kept(tmp_path, retries):
    requests, done = [words(f"{i}") for i in range(60)], list[Answer | Failed]()
    with (
        endpoint(lambda body, n: echo(body) if n < 30 else error(500, "dead")) as fake,
        Answers(tmp_path / "answers.sqlite") as answers,
        pytest.raises(EndpointDown, match="dead"),
    ):
        ask(model(fake, retries=retries, concurrency=16), requests, answers, Budget(), done.append)
    assert len(done) == 30 and not any(isinstance(one, Failed) for one in done)
    told, fake = asked(echo, requests, tmp_path)
    assert told == [[f"{i}"] for i in range(60)] and len(fake.asked) == 30


def test_a_request_that_always_fails_is_a_failure_when_the_endpoint_answers_others(tmp_path):
    def script(body, number):
        return error(500, "assertion failed") if body["messages"][-1]["content"] == "poison" else echo(body)

    told, fake = asked(script, [words("poison"), words("word")], tmp_path, retries=2)
    assert told[1] == ["WORD"] and told[0][0].reason == "server_failed"
    assert "assertion failed" in told[0][0].message and "(3 tries)" in told[0][0].message
    # Alone there is no other request to tell by: the endpoint is asked a few words.
    told, fake = asked(script, [words("poison", n=2)], tmp_path, retries=0)
    assert [one.reason for one in told[0]] == ["server_failed"] * 2 and len(fake.asked) == 2


def test_a_poisonous_hang_is_a_time_out(tmp_path):
    def script(body, number):
        return Reply(hang=True) if body["messages"][-1]["content"] == "poison" else echo(body)

    told, _ = asked(script, [words("poison")], tmp_path, retries=1, timeout_seconds=0.3)
    assert told[0][0].reason == "timeout"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (error(400, "This model's maximum context length is 8192 tokens", "context_length_exceeded"), "too_long"),
        (error(400, "The decoder prompt (length 9000) is longer than the maximum model length"), "too_long"),
        (error(413, "Payload too large"), "too_long"),
        (error(400, "The response was filtered", "content_filter"), "content_filter"),
        (error(400, "Invalid prompt"), "refused"),
        (error(422, "Unprocessable"), "refused"),
        (said("half a", finish="content_filter"), "content_filter"),
        (said(None, refusal="I cannot help with that"), "refused"),  # type: ignore[arg-type]
    ],
    ids=["context", "vllm", "413", "filter", "400", "422", "filtered answer", "refusal"],
)
def test_a_request_that_is_refused_is_asked_once_and_the_others_go_on(tmp_path, reply, reason):
    def script(body, number):
        return reply if body["messages"][-1]["content"] == "bad" else echo(body)

    told, fake = asked(script, [words("bad"), *(words(f"{i}") for i in range(5))], tmp_path)
    assert isinstance(told[0][0], Failed) and told[0][0].reason == reason
    assert told[1:] == [[f"{i}"] for i in range(5)]
    assert fake.prompts().count("bad") == 1


@pytest.mark.parametrize(
    ("field", "value", "message", "more"),
    [
        ("temperature", 1.0, "temperature is not supported with this model", {}),
        ("max_tokens", 1024, "max_tokens is too large: 1024", {}),
        ("n", 2, "n must be 1", {"samples_per_request": 2}),
        ("continue_final_message", True, "unknown field", {"continue_prefix": True}),
        ("messages", ("system", "user"), "System role not supported", {}),
    ],
    ids=["temperature", "max_tokens", "n", "prefix", "system"],
)
def test_a_setting_that_the_endpoint_refuses_stops_instead_of_dropping_everything(
    tmp_path, field, value, message, more
):
    def script(body, number):
        told = tuple(each["role"] for each in body["messages"])[:2] if field == "messages" else body.get(field)
        return error(400, message) if told == value else echo(body)

    system = [{"role": "system", "content": "Be brief."}]
    requests = [Request([*system, {"role": "user", "content": f"{i}"}], n=2, assistant_prefix="So:") for i in range(30)]
    with pytest.raises(EndpointDown, match=message):
        asked(script, requests, tmp_path, concurrency=8, **more)


def test_fields_are_added_and_left_out(tmp_path):
    told, fake = asked(echo, [words("word")], tmp_path, extra={"temperature": None, "reasoning_effort": "low"},
                       max_tokens_name="max_completion_tokens", seeds=False)  # fmt: skip
    assert told == [["WORD"]]
    assert fake.asked[0]["reasoning_effort"] == "low" and fake.asked[0]["max_completion_tokens"] == 1024
    assert not {"temperature", "max_tokens", "seed"} & set(fake.asked[0])


@pytest.mark.parametrize("structured", ["json_schema", "json_object", "none"])
def test_json_is_asked_for_as_the_settings_say(tmp_path, structured):
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    _, fake = asked(echo, [words("word", json_schema=schema)], tmp_path, structured=structured)
    told = fake.asked[0].get("response_format")
    assert (
        told
        == {
            "json_schema": {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}},
            "json_object": {"type": "json_object"},
            "none": None,
        }[structured]
    )


def test_an_endpoint_without_structured_output_is_an_error_that_names_the_setting(tmp_path):
    def script(body, number):
        return error(400, "Unknown parameter: 'response_format'") if "response_format" in body else echo(body)

    with pytest.raises(EndpointDown, match=r"response_format.*structured: json_schema.*json_object, none"):
        asked(script, [words("word", json_schema={"type": "object"})], tmp_path, structured="json_schema")


def test_the_first_words_of_an_answer_are_sent_and_are_part_of_it(tmp_path):
    def script(body, number):
        return said(f" and {body['messages'][-1]['role']} {body.get('continue_final_message')}")

    request = words("word", assistant_prefix="```python")
    told, _ = asked(script, [request], tmp_path, continue_prefix=True)
    assert told == [["```python and assistant True"]]
    told, _ = asked(script, [request], tmp_path)
    assert told == [[" and user None"]]


def test_the_key_is_sent_only_where_it_belongs(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    _, fake = asked(echo, [words("word")], tmp_path)
    assert "sk-secret" not in str(fake.headers)
    _, fake = asked(echo, [words("other")], tmp_path, api_key_env="OPENAI_API_KEY")
    assert fake.headers[0]["authorization"] == "Bearer sk-secret"
    with pytest.raises(InputError, match=r"api_key_env is NO_SUCH_KEY.*export NO_SUCH_KEY"):
        asked(echo, [words("third")], tmp_path, api_key_env="NO_SUCH_KEY")


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
            kind = model(fake, timeout_seconds=0.2, concurrency=1, **PRICES)
            with pytest.raises(BudgetSpent, match=r"up to 50\.0000 USD by requests without an answer"):
                ask(kind, requests, answers, Budget(50, answers))
        assert len(fake.asked) == 5
        assert Budget(50, answers).unsure == 50


def test_a_limit_without_prices_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"--max-cost needs prices.*price_in and price_out"):
        asked(echo, [words("word")], tmp_path, max_cost=1.0)
    told, _ = asked(echo, [words("word")], tmp_path, max_cost=0.0, price_in=0.0, price_out=0.0)
    assert told == [["WORD"]]
