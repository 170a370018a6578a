"""A served reward model: the same picks, and what it had scored before it went down is not asked again."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from acecoder_rl.evaluation.best_of_n import BestOfN, ScoreError, best_of_n
from tests.servers import Server

ROWS = [
    {"id": "a", "question": "Add.", "completions": ["1", "333", "22"], "pass_rate": [1.0] * 3},
    {"id": "b", "question": "Add more.", "completions": ["4444", "", "55555"], "pass_rate": [0.0] * 3},
]


@contextmanager
def served(asked: list[Any], refuses: str = "-") -> Iterator[str]:
    """A server of the contract's /score: the completion's length; it refuses one completion."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            texts = [completion for _, completion, *_ in body["pairs"]]
            asked.append((self.path, body["format"], *texts))
            answer = json.dumps({"scores": [len(text) for text in texts]}).encode()
            self.send_response(400 if refuses in texts else 200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *arguments: Any) -> None: ...

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def test_the_picks_are_those_of_its_scores(jsonl, tmp_path):
    asked: list[Any] = []
    with served(asked) as url:
        outcome = best_of_n(BestOfN(jsonl("in.jsonl", ROWS), tmp_path / "work", endpoint=url, format="acecode"))
    assert [(pick.sample, pick.score) for pick in outcome.picks] == [(1, 3.0), (2, 5.0)]
    texts = [text for row in ROWS for text in row["completions"]]
    assert sorted(asked) == [("/score", "acecode", text) for text in sorted(texts)]


def test_a_candidate_with_half_a_character_is_scored_as_well(jsonl, tmp_path):
    asked: list[Any] = []
    row = {"id": "a", "question": "Add \ud800.", "completions": ["\udfff12", "1"], "pass_rate": [1.0, 0.0]}
    with served(asked) as url:
        outcome = best_of_n(BestOfN(jsonl("in.jsonl", [row]), tmp_path / "work", endpoint=url))
    assert [(pick.sample, pick.score) for pick in outcome.picks] == [(0, 3.0)]
    assert sorted(asked) == [("/score", "raw", "1"), ("/score", "raw", "\ufffd12")]


def test_what_was_scored_before_a_failure_is_not_asked_again(jsonl, tmp_path, monkeypatch):
    source, asked = jsonl("in.jsonl", ROWS), []
    # One at a time: what was answered before the failure is known.
    monkeypatch.setattr("acecoder_rl.evaluation.candidate_scoring.IN_FLIGHT", 1)
    with served(asked, refuses="4444") as url, pytest.raises(ScoreError, match="status 400"):
        best_of_n(BestOfN(source, tmp_path / "work", endpoint=url))
    before = [texts for *_, texts in asked[:-1]]
    kept = [json.loads(line) for line in (tmp_path / "work" / "scores.jsonl").read_text().splitlines()]
    assert before and [row["score"] for row in kept] == [len(text) for text in before]

    again: list[Any] = []
    with served(again) as other:
        settings = tmp_path / "work" / "best-of-n.json"
        settings.write_text(settings.read_text().replace(url, other))  # the same server, come back elsewhere
        outcome = best_of_n(BestOfN(source, tmp_path / "work", endpoint=other, resume=True))
    assert len(again) == 6 - len(before) and not {texts for *_, texts in again} & set(before)
    assert [pick.sample for pick in outcome.picks] == [1, 2]
