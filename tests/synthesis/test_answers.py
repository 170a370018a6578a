"""The cache of answers: nothing that was paid is lost, by kill -9 or Ctrl-C, and two processes do not share it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from acecoder_rl.records import InputError
from acecoder_rl.synthesis.answers import Answers, key_of
from acecoder_rl.synthesis.budget import Budget
from acecoder_rl.synthesis.models import Answer, Endpoint, Request, ask
from tests.synthesis.fake_endpoint import Reply, endpoint, said

REPOSITORY = Path(__file__).resolve().parents[2]


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_what_is_put_is_got_whatever_characters_it_has(tmp_path):
    told = {
        key_of({"n": i}): Answer(text, "stop", 1, 2, 0.5) for i, text in enumerate(["", "é\0\n", "\ud800 half", "😀"])
    }
    with Answers(tmp_path / "a.sqlite") as answers:
        for key, answer in told.items():
            answers.put(key, answer, "m")
    with Answers(tmp_path / "a.sqlite") as answers:
        assert {key: answers.get(key) for key in told} == told
        assert answers.get(b"other") is None
        assert len(answers) == 4 and answers.cost() == 2.0


def test_the_first_answer_of_a_key_stays(tmp_path):
    with Answers(tmp_path / "a.sqlite") as answers:
        answers.put(b"key", Answer("first", "stop"), "m")
        answers.put(b"key", Answer("second", "stop"), "m")
        assert answers.get(b"key") == Answer("first", "stop")


def test_kill_9_loses_no_answer_that_was_put(tmp_path):
    code = """
import sys
from pathlib import Path
from acecoder_rl.synthesis.answers import Answers
from acecoder_rl.synthesis.models import Answer
answers = Answers(Path(sys.argv[1]))
for number in range(10**9):
    answers.put(number.to_bytes(8), Answer("x" * 5000, "stop"), "m")
    print(number, flush=True)
"""
    process = start(code, tmp_path / "a.sqlite")
    try:
        assert process.stdout is not None
        for _ in range(300):
            assert process.stdout.readline()
    finally:
        process.kill()
    rest = process.stdout.read().split("\n")
    last = int(rest[-2]) if len(rest) > 1 else 299
    process.wait()
    with Answers(tmp_path / "a.sqlite") as answers:
        assert all(answers.get(number.to_bytes(8)) for number in range(last + 1))


def test_a_second_process_is_refused_until_the_first_has_gone(tmp_path):
    code = """
import sys
from pathlib import Path
from acecoder_rl.synthesis.answers import Answers
answers = Answers(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.read()
"""
    process = start(code, tmp_path / "a.sqlite")
    try:
        assert process.stdout is not None and process.stdout.readline() == "open\n"
        with pytest.raises(InputError, match="in use by another process"):
            Answers(tmp_path / "a.sqlite")
    finally:
        process.kill()
        process.wait()
    Answers(tmp_path / "a.sqlite").close()


def test_a_file_that_is_no_cache_is_an_error(tmp_path):
    (tmp_path / "a.sqlite").write_text("something else entirely" * 100)
    with pytest.raises(InputError, match="is no cache of answers, or damaged"):
        Answers(tmp_path / "a.sqlite")


ASKING = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)
from acecoder_rl.synthesis import endpoint
from acecoder_rl.synthesis.answers import Answers
from acecoder_rl.synthesis.budget import Budget
from acecoder_rl.synthesis.models import Endpoint, Request, ask
endpoint.DRAIN_SECONDS = 1000.0  # not by its end
folder, url = sys.argv[1:]
requests = [Request([{"role": "user", "content": str(i)}]) for i in range(20)]
model = Endpoint(endpoint=url, model="coder", concurrency=6)
with Answers(Path(folder) / "a.sqlite") as answers:
    try:
        ask(model, requests, answers, Budget(), lambda answer: print(answer.text, flush=True))
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


def test_ctrl_c_keeps_what_was_answered_and_waits_for_what_is_paid(tmp_path):
    """Ten are answered at once, the next come a moment after Ctrl-C."""

    def script(body, number):
        return Reply(body=said("late").body, wait=300) if number >= 10 else said("early")

    with endpoint(script) as fake:
        process = start(ASKING, tmp_path, fake.url)
        try:
            deadline = time.monotonic() + 120
            while len(fake.asked) < 16 and time.monotonic() < deadline:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None and "6 requests in flight" in process.stderr.readline()
            fake.over.set()
            out, rest = process.communicate(timeout=120)
        finally:
            process.kill()
        assert out.split() == ["early"] * 10 + ["late"] * 6 + ["interrupted"] and rest == ""
        assert len(fake.asked) == 16
    with endpoint(lambda *_: said("new")) as fake, Answers(tmp_path / "a.sqlite") as answers:
        requests = [Request([{"role": "user", "content": str(i)}]) for i in range(20)]
        told = ask(Endpoint(endpoint=fake.url, model="coder"), requests, answers, Budget())
        assert len(fake.asked) == 4
    assert sorted(each[0].text for each in told) == ["early"] * 10 + ["late"] * 6 + ["new"] * 4


def test_a_second_ctrl_c_does_not_wait(tmp_path):
    with endpoint(lambda *_: Reply(hang=True)) as fake:
        process = start(ASKING, tmp_path, fake.url)
        try:
            deadline = time.monotonic() + 120
            while len(fake.asked) < 6 and time.monotonic() < deadline:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None and "6 requests in flight" in process.stderr.readline()
            process.send_signal(signal.SIGINT)
            out, rest = process.communicate(timeout=120)
        finally:
            process.kill()
        assert out.split() == ["interrupted"] and "Traceback" not in rest
