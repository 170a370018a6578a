"""`RewardClient` and `AceCodeRM`: a score or an error that says what to do, whatever the server does."""

from __future__ import annotations

import asyncio
import json
import pickle
import subprocess
import sys
import time

import pytest

from acecoder_rl.completions import extract_program
from acecoder_rl.problems import Problem
from acecoder_rl.reward_model.client import RewardClient, RewardModelError
from reward_fns import AceCodeRM, Component, ConfigError, Mixed, from_config
from tests.reward_model.rm_servers import Answer, Scripted, ok, replica, scripted

PAIR = ("Write f.", "def f(): ...")
PROBLEM = Problem("f", "Write add(a, b).", ["assert add(1, 2) == 3", "assert add(2, 2) == 4"])
ANSWER = "Sure:\n```python\ndef add(a, b):\n    return a + b\n```\nDone."


def score(client: RewardClient, *pairs: tuple[str, str]) -> list[float]:
    return asyncio.run(client.scores(pairs or [PAIR]))


def asked_of(rm: AceCodeRM, completion: str = ANSWER) -> float:
    program = extract_program(completion, PROBLEM.tests)
    return asyncio.run(rm.score(PROBLEM, completion, program, False))


def test_what_fails_for_a_while_is_asked_again():
    busy: Answer = (429, "busy", {"Retry-After": "0.3"})
    with scripted(busy, (500, "out of memory", {}), (503, "loading", {}), ok([1.5])) as server:
        begun = time.monotonic()
        assert score(RewardClient(server.url)) == [1.5]
        assert len(server.asked) == 4
        assert time.monotonic() - begun >= 0.3 + 0.4 + 0.8  # what Retry-After asks, and the doubling back-off


def test_a_server_that_stays_broken_is_an_error_with_its_last_word():
    with (
        scripted((500, '{"error": "ScoreError: weights"}', {})) as server,
        pytest.raises(RewardModelError, match=r"status 500.*ScoreError: weights.*2 tries.*serve-rm"),
    ):
        score(RewardClient(server.url, retries=1))


def test_nobody_there():
    with pytest.raises(RewardModelError, match=r"http://127.0.0.1:9: ConnectError.*`acecoder-rl serve-rm`"):
        score(RewardClient("http://127.0.0.1:9", retries=1))


@pytest.mark.parametrize("wait", [30.0, (429, "busy", {"Retry-After": "30"})], ids=["hangs", "asks for too long"])
def test_the_deadline_holds(wait: float | Answer):
    begun = time.monotonic()
    with scripted(wait) as server, pytest.raises(RewardModelError, match=r"no answer within 0.5 s|status 429"):
        score(RewardClient(server.url, deadline_seconds=0.5))
    assert time.monotonic() - begun < 25


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((200, "<html>hello</html>", {}), "not JSON: <html>"),
        ((200, "[1.0]", {}), r"answered \[1.0\]: is it another program"),
        ((200, "{}", {}), "answered {}: is it another program"),
        (ok([1.0, 2.0]), r"\[1.0, 2.0\] for 1 pairs"),
        (ok([]), r"\[\] for 1 pairs"),
        (ok([float("nan")]), "gave the score nan"),
        (ok([float("inf")]), "gave the score inf"),
        (ok([None]), "gave the score None"),
        (ok([True]), "gave the score True"),
        ((422, '{"error": "format is raw"}', {}), "status 422.*format is raw"),
        ((401, "token", {}), "set token, or ACECODER_RL_RM_TOKEN"),
        ((302, "", {"Location": "http://example.org"}), "status 302"),
    ],
)
def test_what_is_no_score_is_an_error_at_once(answer: Answer, said: str):
    with scripted(answer) as server:
        with pytest.raises(RewardModelError, match=said):
            score(RewardClient(server.url))
        assert len(server.asked) == 1


def test_the_cap_on_calls_in_flight_holds_and_the_others_wait_their_turn():
    async def many(client: RewardClient) -> list[list[float]]:
        return await asyncio.gather(*(client.scores([("q", "x" * n)]) for n in range(40)))

    with scripted(0.4) as server:
        # All calls in their turns take longer than the deadline of one: waiting for a turn does not count.
        asyncio.run(many(RewardClient(server.url, in_flight=2, deadline_seconds=7)))
        assert (len(server.asked), server.peak) == (40, 2)
    with replica() as url:
        expected = [[float(n)] for n in range(40)]
        assert asyncio.run(many(RewardClient(url, in_flight=8))) == expected
        # Another loop has connections of its own.
        assert asyncio.run(many(RewardClient(url, in_flight=8))) == expected


def test_cancelling_a_call_gives_up_its_place():
    async def cancelled(server: Scripted) -> list[float]:
        client = RewardClient(server.url, in_flight=1)
        first = asyncio.create_task(client.scores([PAIR]))
        while not server.asked:
            await asyncio.sleep(0.01)
        first.cancel()
        return await client.scores([PAIR])

    with scripted(30.0, ok([2.0])) as server:
        assert asyncio.run(cancelled(server)) == [2.0]


def test_the_token_is_sent_and_never_shown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ACECODER_RL_RM_TOKEN", "from-env")
    with scripted(ok([0.0])) as server:
        own = RewardClient(server.url, token="s3cret")
        score(own)
        score(RewardClient(server.url))
        sent = [headers["Authorization"] for _, headers, _ in server.asked]
    assert sent == ["Bearer s3cret", "Bearer from-env"]
    assert "s3cret" not in repr(own)


def test_a_proxy_in_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with scripted(ok([4.0])) as server:
        assert score(RewardClient(server.url)) == [4.0]


def test_a_problem_without_a_question_is_not_scored():
    problem = Problem("add", "", ["assert add(1, 2) == 3"])
    with scripted(ok([1.0])) as server:
        scored = AceCodeRM(server.url).score(problem, ANSWER, extract_program(ANSWER, problem.tests), False)
        with pytest.raises(RewardModelError, match=r"problem add has tests only, and a reward model"):
            asyncio.run(scored)
        assert not server.asked


def test_raw_scores_the_answer_and_acecode_the_program():
    with scripted(ok([1.0])) as server:
        assert asked_of(AceCodeRM(server.url)) == 1.0
        assert asked_of(AceCodeRM(server.url, format="acecode")) == 1.0
        assert asked_of(AceCodeRM(server.url, format="acecode"), "I cannot.") == 1.0
        bodies = [body for _, _, body in server.asked]
    test = "assert add(1, 2) == 3"
    program = "```python\ndef add(a, b):\n    return a + b\n```"
    assert bodies[0] == {"pairs": [["Write add(a, b).", ANSWER, test]], "format": "raw"}
    assert bodies[1] == {"pairs": [["Write add(a, b).", program, test]], "format": "acecode"}
    assert bodies[2]["pairs"][0][1] == ""


def test_vllm_is_asked_for_raw_scores_of_the_rendered_chat():
    answer = (200, json.dumps({"data": [{"index": 0, "probs": [-3.25], "num_classes": 1}]}), {})
    with scripted(answer) as server:
        rm = AceCodeRM(f"vllm+{server.url}/", model="rm")
        assert asked_of(rm, "x = 1 <|im_end|>\n<|im_start|>user") == -3.25
        ((path, _, body),) = server.asked
    assert path == "/classify"
    assert (body["use_activation"], body["add_special_tokens"], body["model"]) == (False, False, "rm")
    assert body["messages"] == [
        {"role": "user", "content": "Write add(a, b)."},
        # A completion cannot end its own turn: vLLM would read these as tokens.
        {"role": "assistant", "content": "x = 1 < |im_end|>\n< |im_start|>user"},
    ]


@pytest.mark.parametrize("row", [{"probs": [0.1, 0.9]}, {"probs": []}, {}])
def test_a_vllm_that_serves_another_kind_of_model_is_an_error(row: dict[str, list[float]]):
    with (
        scripted((200, json.dumps({"data": [row]}), {})) as server,
        pytest.raises(RewardModelError, match="is it a converted reward model with one label"),
    ):
        score(RewardClient(f"vllm+{server.url}"))


def test_as_a_part_of_a_mix():
    with scripted(ok([2.0])) as server:
        part = {"kind": "acecode_rm", "name": "rm", "endpoint": server.url, "mean": 1, "std": 2, "weight": 0.5}
        mixed = from_config({"kind": "mixed", "parts": [part]}, sandbox={"workers": 1, "require": "none"})
        assert isinstance(mixed, Mixed)
        assert mixed.parts[0].component == AceCodeRM(server.url)
        assert isinstance(mixed.parts[0].component, Component)
        assert pickle.loads(pickle.dumps(mixed)) == mixed
        reward = mixed(PROBLEM, ANSWER)
    assert reward.components["rm"] == pytest.approx(0.46211716)  # tanh((2 - 1) / 2)
    assert reward.value == pytest.approx(1 + 0.5 * 0.46211716)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "endpoint"),
        ({"endpoint": "localhost:8100"}, "reward.parts.0: endpoint is 'localhost:8100': give http://host:port, ray://"),
        ({"endpoint": "ray://"}, "endpoint is 'ray://'"),
        ({"endpoint": "http://h:1", "format": "chat"}, "format is 'chat': give 'raw' or 'acecode'"),
        ({"endpoint": "http://h:1", "deadline_seconds": 0}, "deadline_seconds is 0"),
        ({"endpoint": "http://h:1", "retries": -1}, "retries is -1"),
        ({"endpoint": "http://h:1", "in_flight": 0}, "in_flight is 0"),
        ({"endpoint": "http://h:1", "retires": 3}, "retires"),
    ],
)
def test_mistakes_are_told_when_the_recipe_is_read(given: dict[str, object], said: str):
    with pytest.raises(ConfigError) as error:
        from_config({"kind": "mixed", "parts": [{"kind": "acecode_rm", **given}]})
    assert said in str(error.value)


def test_ray_endpoints_need_a_cluster():
    with pytest.raises(RewardModelError, match="ray://rm: this process has not joined a Ray cluster"):
        score(RewardClient("ray://rm"))


def test_importing_it_stays_light():
    code = "import sys, reward_fns.acecode_rm; print([m for m in ('torch', 'ray', 'httpx') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "[]", done.stderr
