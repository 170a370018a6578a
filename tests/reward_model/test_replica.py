"""A replica over HTTP: both contracts, the token, the caps, and errors that name the field."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from acecoder_rl.problems import Problem
from acecoder_rl.queries import completion_in, question_in
from acecoder_rl.reward_model import replica as replica_module
from acecoder_rl.reward_model.bodies import read_get_reward
from tests.reward_model.rm_servers import LengthScorer, replica, slow

CHAT = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWrite f.<|im_end|>\n<|im_start|>assistant\n"
LLAMA = "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nWrite g.<|eot_id|>"
LABEL = Problem("f", "Write f, please.", ["assert f(1) == 2"]).to_label()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with replica() as url:
        yield url


def post(url: str, path: str, body: Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(url + path, content=content, headers=headers, timeout=120)


def figures(url: str) -> dict[str, float]:
    """The metrics, without the replica's name."""
    text = httpx.get(f"{url}/metrics", timeout=120).text
    rows = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {re.sub(r'replica="\w+",?', "", name).replace("{}", ""): float(value) for name, value in rows}


def test_score(url: str):
    answer = post(url, "/score", {"pairs": [["q", "four"], ["q", "", "assert f()"]], "format": "raw"})
    assert answer.status_code == 200
    assert answer.json() == {"scores": [4.0, 0.0], "flags": [[], ["empty"]], "tokens": [7, 7], "format": "raw"}
    assert post(url, "/score", {"pairs": []}).json()["scores"] == []


def test_get_reward_as_openrlhf_asks(url: str):
    body = {"query": [f"{CHAT}x = 1<|im_end|>"], "prompts": [CHAT], "labels": [LABEL]}
    answer = post(url, "/get_reward", body).json()
    assert answer["rewards"] == answer["scores"] == answer["extra_logs"]["rm_score"] == [5.0]
    assert answer["extra_logs"].keys() >= {"rm_tokens", "rm_too_long", "rm_empty"}


@pytest.mark.parametrize(
    ("prompt", "label", "question"),
    [
        (CHAT, LABEL, "Write f, please."),
        (CHAT, None, "Write f."),
        (CHAT, "no label of ours", "Write f."),
        (CHAT, '{"answer": 42}', "Write f."),
        (CHAT, 7, "Write f."),
        (LLAMA, None, "Write g."),
        ("Write h.\n", "", "Write h."),
    ],
)
def test_the_question_is_the_labels_else_the_prompts(prompt: str, label: Any, question: str):
    body = {"query": [f"{prompt}x = 1"], "prompts": [prompt], "labels": [label]}
    test = "assert f(1) == 2" if label == LABEL else None
    assert read_get_reward(json.dumps(body).encode()) == [(question, "x = 1", test)]


def test_the_completion_is_the_query_without_its_prompt():
    assert completion_in(f"{CHAT}x = 1<|im_end|>\n", CHAT) == "x = 1"
    assert completion_in(CHAT, CHAT) == ""
    # Cut from the left, as OpenRLHF cuts what is too long.
    assert completion_in(f"\ufffd{CHAT[30:]}x = 1", CHAT) == "x = 1"
    # A fence that the prompt has opened belongs to the answer.
    fenced = f"{CHAT}```python\n"
    assert completion_in(f"{fenced}x = 1\n```", fenced) == "```python\nx = 1\n```"
    assert question_in(fenced) == "Write f."
    with pytest.raises(ValueError, match="the prompt is not in the query"):
        completion_in("x = 1", CHAT)


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("/score", b"{", 400, "the body is not JSON"),
        ("/score", b"\xff", 400, "the body is not JSON"),
        ("/score", b"[" * 100_000, 400, "the body is not JSON"),
        ("/score", [1], 400, r"the body is \[1\]: give an object"),
        ("/score", {}, 422, "pairs is missing: give a list"),
        ("/score", {"pairs": "q"}, 422, "pairs is 'q': give a list"),
        ("/score", {"pairs": [["q", "a"], ["q"]]}, 422, r"pairs\[1\] is \['q'\]: give \[question, completion\]"),
        ("/score", {"pairs": [["q", None]]}, 422, r"pairs\[0\] is \['q', None\]"),
        ("/score", {"pairs": [["q", "a", 3]]}, 422, r"pairs\[0\]"),
        (
            "/score",
            {"pairs": [["q", "a"]], "format": "acecode"},
            422,
            "format is 'acecode', but this server scores 'raw'",
        ),
        ("/score", {"pairs": [["q", "a"]] * 5000}, 413, "pairs has 5000 items: send at most 4096"),
        ("/get_reward", {"query": ["q"]}, 422, "prompts is missing"),
        ("/get_reward", {"query": ["q"], "prompts": []}, 422, "prompts has 0 items, but query has 1"),
        ("/get_reward", {"query": ["q"], "prompts": ["q"], "labels": "l"}, 422, "labels is 'l': give a list"),
        ("/get_reward", {"query": ["q"], "prompts": ["q"], "labels": []}, 422, "labels has 0 items"),
        ("/get_reward", {"query": [3], "prompts": ["q"]}, 422, r"query\[0\] is 3: give a string"),
        ("/get_reward", {"query": ["x"], "prompts": ["qqq"]}, 422, r"query\[0\]: the prompt is not in the query"),
        (
            "/get_reward",
            {"query": ["q"], "prompts": ["q"], "labels": [LABEL.replace('"version":1', '"version":9')]},
            422,
            r"labels\[0\]: label: field 'version' is 9",
        ),
        ("/nowhere", {}, 404, "/nowhere is not known"),
        ("/health", {}, 405, "/health takes GET, not POST"),
    ],
)
def test_bad_requests_name_the_field(url: str, path: str, body: Any, status: int, said: str):
    answer = post(url, path, body)
    assert answer.status_code == status
    assert re.search(said, answer.json()["error"])


def test_a_body_too_large_is_refused_whether_it_says_so_or_not(url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(replica_module, "MAX_BYTES", 1000)
    big = json.dumps({"pairs": [["q", "x" * 2000]]}).encode()
    assert post(url, "/score", big).status_code == 413
    chunked = httpx.post(f"{url}/score", content=(big[i : i + 100] for i in range(0, len(big), 100)), timeout=120)
    assert chunked.status_code == 413


@pytest.mark.parametrize(
    ("completion", "said"), [("boom", "RuntimeError: CUDA error: out of memory"), ("nan", "score nan")]
)
def test_a_failure_of_the_model_is_a_500_with_its_message(url: str, completion: str, said: str):
    answer = post(url, "/score", {"pairs": [["q", completion]]})
    assert answer.status_code == 500
    assert said in answer.json()["error"]


def test_one_bad_request_does_not_fail_those_that_it_was_batched_with():
    def ask(completion: str) -> int:
        return post(url, "/score", {"pairs": [["q", completion]]}).status_code

    with replica(load=slow) as url, ThreadPoolExecutor(6) as pool:
        assert list(pool.map(ask, ["a", "b", "boom", "c", "d", "e"])) == [200, 200, 500, 200, 200, 200]


class Gated(LengthScorer):
    """Works until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.batches = threading.Event(), list[int]()

    def scored(self, pairs: list[tuple[str, str, str | None]]) -> list[Any]:
        self.batches.append(len(pairs))
        assert self.gate.wait(240)
        return super().scored(pairs)


def test_what_comes_while_the_model_works_is_one_batch_and_health_answers_meanwhile():
    def ask(n: int) -> float:
        return post(url, "/score", {"pairs": [["q", "x" * n]]}).json()["scores"][0]

    gated = Gated()
    with replica(load=lambda served: gated) as url, ThreadPoolExecutor(32) as pool:
        asked = [pool.submit(ask, n) for n in range(32)]
        while sum(gated.batches) + figures(url)["acecoder_rm_queued_items"] < 32:
            time.sleep(0.05)
        assert httpx.get(f"{url}/health", timeout=120).json()["model"] == "a-model"
        assert not any(one.done() for one in asked)
        gated.gate.set()
        assert [one.result() for one in asked] == list(range(32))
        seen = figures(url)
    assert len(gated.batches) == seen["acecoder_rm_batch_items_count"] == 2
    assert seen["acecoder_rm_items_total"] == seen["acecoder_rm_batch_items_sum"] == 32
    assert seen['acecoder_rm_requests_total{path="/score",status="200"}'] == 32
    assert seen["acecoder_rm_queued_items"] == 0


def test_a_large_request_goes_in_turns_and_keeps_its_order():
    with replica() as url:
        pairs = [["q", "x" * (n % 300)] for n in range(1000)]
        assert post(url, "/score", {"pairs": pairs}).json()["scores"] == [float(n % 300) for n in range(1000)]
        seen = figures(url)
    assert (seen["acecoder_rm_batch_items_count"], seen["acecoder_rm_items_total"]) == (4, 1000)


def test_with_a_token_only_whether_it_lives_is_told_to_strangers():
    with replica(token="s3cret") as url:
        body = {"pairs": [["q", "abc"]]}
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "s3cret"}):
            answer = post(url, "/score", body, **header)
            assert (answer.status_code, "Authorization: Bearer" in answer.json()["error"]) == (401, True)
            assert post(url, "/get_reward", {}, **header).status_code == 401
            assert httpx.get(f"{url}/metrics", headers=header, timeout=120).status_code == 401
            assert httpx.get(f"{url}/health", headers=header, timeout=120).json() == {"status": "ok"}
        trusted = {"Authorization": "Bearer s3cret"}
        assert post(url, "/score", body, **trusted).json()["scores"] == [3.0]
        assert httpx.get(f"{url}/health", headers=trusted, timeout=120).json()["format"] == "raw"
