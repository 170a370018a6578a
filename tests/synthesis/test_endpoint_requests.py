"""What an endpoint is asked: seeds, several answers at once, JSON, first words, keys; what decides an answer."""

from __future__ import annotations

import pytest

from acecoder_rl.records import InputError
from acecoder_rl.synthesis.answers import Answers
from acecoder_rl.synthesis.budget import Budget
from acecoder_rl.synthesis.endpoint_replies import EndpointDown
from acecoder_rl.synthesis.models import Request, ask
from tests.synthesis.asking import asked, echo, model, quick, words
from tests.synthesis.fake_endpoint import endpoint, error, said

__all__ = ["quick"]  # a fixture for all tests here


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


def test_another_seed_asks_for_other_answers_also_where_none_is_sent(tmp_path):
    asked(echo, [words("word")], tmp_path, seeds=False)
    _, fake = asked(echo, [words("word"), words("word", seed=1)], tmp_path, seeds=False)
    assert len(fake.asked) == 1 and "seed" not in fake.asked[0]


def test_samples_have_seeds_of_their_own_and_only_the_missing_are_asked_for(tmp_path):
    asked(lambda body, number: said(f"seed {body['seed']}"), [words("word", n=2, seed=7)], tmp_path)
    told, fake = asked(lambda body, number: said(f"seed {body['seed']}"), [words("word", n=4, seed=7)], tmp_path)
    first = int(told[0][0].split()[1])
    assert told == [[f"seed {first + index}" for index in range(4)]]
    assert [body["seed"] for body in fake.asked] == [first + 2, first + 3]


def test_the_samples_of_one_seed_are_none_of_the_nexts():
    seeds = [[words("word", n=64, seed=seed).seed_of(index) for index in range(64)] for seed in (0, 1, 2, 2**30)]
    assert len({each for some in seeds for each in some}) == 4 * 64
    assert seeds[0] == list(range(64)) and max(map(max, seeds)) < 2**31


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
