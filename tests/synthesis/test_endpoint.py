"""Asking an endpoint: whatever a server does, no question is lost or asked twice, and an outage stops the asking.

Does not cover: what requests say (test_endpoint_requests.py), money (test_budget.py), engines (test_engine.py).
"""

from __future__ import annotations

import threading
import time

import pytest

from acecoder_rl.synthesis.answers import Answers
from acecoder_rl.synthesis.budget import Budget
from acecoder_rl.synthesis.endpoint_replies import EndpointDown
from acecoder_rl.synthesis.models import Answer, Failed, ask
from tests.synthesis.asking import asked, echo, first, model, quick, words
from tests.synthesis.fake_endpoint import Reply, endpoint, error, said

__all__ = ["quick"]  # a fixture for all tests here


def test_answers_come_in_order_and_a_second_time_from_the_cache(tmp_path):
    requests = [words(f"word {i}") for i in range(40)]
    together = threading.Barrier(8)

    def script(body, number):
        together.wait(120)  # eight are in flight at once, or the test fails
        return echo(body)

    told, fake = asked(script, requests, tmp_path, concurrency=8, timeout_seconds=300.0)
    assert told == [[f"WORD {i}"] for i in range(40)]
    assert len(fake.asked) == 40 and fake.peak == 8
    with endpoint(lambda *_: error(500, "nobody must ask")) as fake, Answers(tmp_path / "answers.sqlite") as answers:
        again = ask(model(fake), requests, answers, Budget())
    assert [each[0].text for each in again] == [f"WORD {i}" for i in range(40)]
    assert fake.asked == []


def test_equal_requests_are_asked_once(tmp_path):
    told, fake = asked(echo, [words("same"), words("other"), words("same")], tmp_path)
    assert told == [["SAME"], ["OTHER"], ["SAME"]] and len(fake.asked) == 2


def test_429_is_waited_for_as_long_as_it_says_and_by_everybody(tmp_path):
    begun = time.monotonic()
    told, fake = asked(first(error(429, "slow down", Retry_After="0.6")), [words(f"{i}") for i in range(9)], tmp_path,
                       concurrency=1)  # fmt: skip
    assert told == [[f"{i}"] for i in range(9)] and len(fake.asked) == 10
    assert 0.6 <= time.monotonic() - begun < 120


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
    told, fake = asked(first(Reply(hang=True)), [words("word")], tmp_path, timeout_seconds=5.0)
    assert told == [["WORD"]] and len(fake.asked) == 2
    assert 2.5 <= time.monotonic() - begun < 200  # the server hangs for 300


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

    told, _ = asked(script, [words("poison")], tmp_path, retries=1, timeout_seconds=3.0)
    assert told[0][0].reason == "timeout"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (error(400, "This model's maximum context length is 8192 tokens", "context_length_exceeded"), "too_long"),
        (error(400, "The decoder prompt (length 9000) is longer than the maximum model length"), "too_long"),
        (error(413, "Payload too large"), "too_long"),
        (
            error(
                429,
                "Request too large for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000, "
                "Requested 61337. The input or output tokens must be reduced",
                "rate_limit_exceeded",
            ),
            "too_long",
        ),
        (error(400, "The response was filtered", "content_filter"), "content_filter"),
        (error(400, "Invalid prompt"), "refused"),
        (error(422, "Unprocessable"), "refused"),
        (said("half a", finish="content_filter"), "content_filter"),
        (said(None, refusal="I cannot help with that"), "refused"),  # type: ignore[arg-type]
    ],
    ids=["context", "vllm", "413", "429 for ever", "filter", "400", "422", "filtered answer", "refusal"],
)
def test_a_request_that_is_refused_is_asked_once_and_the_others_go_on(tmp_path, reply, reason):
    def script(body, number):
        return reply if body["messages"][-1]["content"] == "bad" else echo(body)

    told, fake = asked(script, [words("bad"), *(words(f"{i}") for i in range(5))], tmp_path)
    assert isinstance(told[0][0], Failed) and told[0][0].reason == reason
    assert told[1:] == [[f"{i}"] for i in range(5)]
    assert fake.prompts().count("bad") == 1
