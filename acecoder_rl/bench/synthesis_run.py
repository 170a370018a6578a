"""A small synthesis run from prepared answers: its recipe, its seeds, and a server that says what three models say.

Covers: `served`: all stages have rows to keep, and imagine, verify, pairs and hard some to drop; what was asked, and
    which answers a run's cache holds.
Does not cover: models; failures of an endpoint: the server answers every request.
The functions are those of the other benchmarks (workload.py).
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from acecoder_rl.bench.workload import Workload, build_questions

QUESTIONS, PROGRAMS = 6, 4
UNREADABLE, MISTAKEN = 0, 1  # questions: one imagined without JSON, one whose oracle's program is wrong
AT_ONCE = 2  # requests, of each model
WAIT = 0.01  # seconds to an answer: some are in flight whenever a run is killed
REQUESTS = QUESTIONS + (QUESTIONS - 1) + (QUESTIONS - 2) * PROGRAMS
_SIGN = re.compile(r"answer-[0-9a-f]{16}")


@dataclass
class Served:
    """The run and its server.

    Attributes:
        recipe: of the run; it names no folder.
        asked: of each request its answer's sign, in the order they came. Every answer has its sign in its text.
    """

    recipe: Path
    asked: list[str] = field(default_factory=list)


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """Write recipe and seeds into a folder, and answer while the block runs."""
    workload = build_questions(QUESTIONS, PROGRAMS)
    served = Served(folder / "recipe.yaml")
    server = _Server(("127.0.0.1", 0), _handler(workload, served.asked))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        seeds = [program.code for program in workload.programs[::PROGRAMS]]
        (folder / "seeds.jsonl").write_text("".join(json.dumps({"program": program}) + "\n" for program in seeds))
        recipe = _recipe(folder / "seeds.jsonl", f"http://127.0.0.1:{server.server_port}/v1")
        served.recipe.write_text(json.dumps(recipe, indent=1))  # JSON is YAML
        yield served
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def paid(folder: Path) -> set[str]:
    """The signs of the answers in the cache of a run that was killed."""
    with tempfile.TemporaryDirectory(prefix="acecoder-bench-") as name:
        # Of a copy: whoever opens the cache mends it, which is for the run to do when it goes on.
        for file in folder.glob("answers.sqlite*"):
            shutil.copy(file, name)
        file = sqlite3.connect(Path(name, "answers.sqlite"))
        try:
            texts = [text for (text,) in file.execute("select text from answers")]
        except sqlite3.OperationalError:  # killed before it had its table
            texts = []
        finally:
            file.close()
    return {sign for text in texts for sign in _SIGN.findall(text)}


def _recipe(seeds: Path, url: str) -> dict[str, Any]:
    model = {"endpoint": url, "price_in": 1.0, "price_out": 2.0, "concurrency": AT_ONCE}
    return {
        "models": {name: {**model, "model": name} for name in ("writer", "oracle", "solver")},
        "seeds": {"sources": str(seeds), "near_duplicate": None},
        "imagine": {"model": "writer"},
        "verify": {"oracle": {"model": "oracle"}},
        "sample": {"models": ["solver"], "n": PROGRAMS},
        "build": {"name": "killed", "eval_share": 0.3},
        "sandbox": {"workers": 1},
    }


def _said(body: dict[str, Any], sign: str, workload: Workload) -> str:
    """What a model says to a request."""
    names = [problem.name for problem in workload.problems]
    prompt = body["messages"][-1]["content"]
    found = re.search(rf"\b(?:def|function) ({'|'.join(map(re.escape, names))})\b", prompt)
    number = names.index(found[1]) if found else UNREADABLE
    if body["model"] == "writer":
        question = f"Write the function {names[number]}."
        answer = {"question": question, "tests": list(workload.problems[number].asserts), "sign": sign}
        return f"No. {sign}" if number == UNREADABLE else json.dumps(answer)
    right = number * PROGRAMS
    if body["model"] == "solver":
        at = right + (body.get("seed") or 0) % PROGRAMS
    else:
        at = right + 1 if number == MISTAKEN else right
    return f"The program, {sign}:\n```python\n{workload.programs[at].code}\n```\n"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024  # the default of 5 turns connections away when all come at once

    def handle_error(self, *_: object) -> None:
        """Whoever asked may have been killed meanwhile."""


def _handler(workload: Workload, asked: list[str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"]))
            body = json.loads(text)
            sign = f"answer-{blake2b(json.dumps(body, sort_keys=True).encode(), digest_size=8).hexdigest()}"
            asked.append(sign)
            time.sleep(WAIT)
            said = {"role": "assistant", "content": _said(body, sign, workload)}
            usage = {"prompt_tokens": 100, "completion_tokens": 50}
            choice = {"index": 0, "finish_reason": "stop", "message": said}
            reply = {"id": sign, "object": "chat.completion", "created": 1, "model": body["model"],
                     "choices": [choice], "usage": usage}  # fmt: skip
            data = json.dumps(reply).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """stderr is the benchmark's."""

    return Handler
