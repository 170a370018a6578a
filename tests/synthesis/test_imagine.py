"""Prompts and the imagine stage: what is asked, what becomes of each kind of answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from acecoder_rl.records import InputError
from acecoder_rl.synthesis import imagine
from acecoder_rl.synthesis.answers import Answers
from acecoder_rl.synthesis.budget import Budget
from acecoder_rl.synthesis.imagine import ANSWER_SCHEMA, ImagineSettings
from acecoder_rl.synthesis.models import Endpoint
from acecoder_rl.synthesis.prompts import load_prompt
from acecoder_rl.synthesis.stages import Chunk
from tests.synthesis.fake_endpoint import Fake, endpoint, error, said

GOOD = json.dumps({"question": "Write f.", "tests": ["assert f(1) == 2", "assert f(2) == 3"]})


def seed(id: str, program: str = "def f(x):\n    return x + 1", instruction: str | None = None) -> dict[str, Any]:
    return {"id": id, "source": "oss", "instruction": instruction, "program": program}


def imagined(rows: list[dict[str, Any]], script: Any, folder: Any, **settings: Any) -> tuple[Chunk, Fake]:
    with endpoint(script) as fake, Answers(folder / "a.sqlite") as answers:
        models = {"big": Endpoint(endpoint=fake.url, model="m", structured="json_schema", price_in=1.0, price_out=2.0)}
        told = ImagineSettings(model="big", **settings)
        return imagine.process(rows, settings=told, models=models, answers=answers, budget=Budget()), fake


def test_each_answer_is_a_row_or_a_drop_with_its_reason(tmp_path):
    replies = {
        "p0": said(GOOD),
        "p1": said("I would rather not."),
        "p2": said('{"question": "Write f.", "tests": ["assert f(1) == 2", "assert f(', finish="length"),
        "p3": said('{"question": "Write', finish="length"),
        "p4": said('{"question": "Write f.", "tests": []}'),
        "p5": said('{"tests": ["assert f(1) == 2"]}'),
        "p6": said(""),
        "p7": error(400, "maximum context length is 8 tokens"),
        "p8": said("", finish="content_filter"),
        "p9": said(None, refusal="No."),
    }

    def script(body, number):
        text = body["messages"][-1]["content"]
        return next((reply for name, reply in replies.items() if f"\n{name}\n" in text), said("ready"))

    chunk, _ = imagined([seed(f"oss_{i}", f"p{i}") for i in range(10)], script, tmp_path)
    assert chunk.rows == [
        {"id": "oss_0", "source": "oss", "question": "Write f.",
         "tests": '["assert f(1) == 2", "assert f(2) == 3"]', "model": "big"},
        {"id": "oss_2", "source": "oss", "question": "Write f.", "tests": '["assert f(1) == 2"]', "model": "big"},
    ]  # fmt: skip
    assert [(each.id, each.reason) for each in chunk.dropped] == [
        ("oss_1", "unreadable"), ("oss_3", "cut_off"), ("oss_4", "no_tests"), ("oss_5", "no_question"),
        ("oss_6", "empty"), ("oss_7", "too_long"), ("oss_8", "content_filter"), ("oss_9", "refused"),
    ]  # fmt: skip
    assert "maximum context length" in chunk.dropped[5].detail["message"]
    assert chunk.counts["tests"] == 3 and chunk.cost == pytest.approx(9 * 20e-6)


def test_the_prompt_shows_the_seed_and_asks_for_tests_that_stand_alone(tmp_path):
    program = 'def f(d):\n    return "{instruction}".format(**d)  # {count}'
    rows = [seed("a", program, "Write {program}."), seed("b", program), seed("c", program + " ", " ")]
    _, fake = imagined(rows, lambda *_: said(GOOD), tmp_path, tests=17)
    with_question, without, blank = sorted(fake.prompts(), key=lambda text: "Write {program}." not in text)
    assert "Write {program}." in with_question and "Original question" not in without + blank
    for prompt in (with_question, without, blank):
        assert f"```python\n{program}" in prompt  # braces of a program are no placeholders
        assert "about 17" in prompt and "assert statement" in prompt and "stands alone" in prompt
        assert "constants" in prompt and '"question"' in prompt and '"tests"' in prompt
    body = fake.asked[0]
    assert body["messages"][0]["role"] == "system" and body["max_tokens"] == 8192 and body["temperature"] == 0.7
    assert body["response_format"]["json_schema"]["schema"] == ANSWER_SCHEMA


def test_a_users_prompt_is_used(tmp_path):
    (tmp_path / "my.txt").write_text("Instead: {program}\n")
    _, fake = imagined([seed("a", "p")], lambda *_: said(GOOD), tmp_path,
                       prompt_without_question=str(tmp_path / "my.txt"), system_prompt=None)  # fmt: skip
    assert fake.asked[0]["messages"] == [{"role": "user", "content": "Instead: p"}]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Write about {programm}", r"my.txt \(imagine.prompt\) has \{programm\}, which stands for nothing: there are "
         r"\{program\}, \{count\}"),
        ("Write {count} tests", r"my.txt \(imagine.prompt\) has no \{program\}: put it where"),
        (None, "imagine.prompt is .*my.txt.*cannot be read"),
    ],
    ids=["unknown", "missing", "no file"],
)  # fmt: skip
def test_a_wrong_prompt_file_is_told(tmp_path, text, told):
    if text is not None:
        (tmp_path / "my.txt").write_text(text)
    with pytest.raises(InputError, match=told):
        load_prompt(tmp_path / "my.txt", "imagine", ("program",), ("count",), "imagine.prompt")


def test_our_prompts_are_right():
    imagine.prompts_of(ImagineSettings(model="m"))
    prompt = load_prompt(None, "solve", ("question", "tests"))
    assert '"""\nQ {tests}\n\nassert f(1)\n"""' in prompt.fill(question="Q {tests}", tests="assert f(1)")
