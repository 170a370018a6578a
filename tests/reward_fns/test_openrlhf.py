"""The adapter in OpenRLHF's own executors, with an engine that knows its answers by heart.

Covers: `AgentExecutor` and `reward_func`, loaded from the file as OpenRLHF loads them.
Does not cover: real engines and training (the slow tests of training).
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import reward_fns
from acecoder_rl.problems import ProblemError
from acecoder_rl.sandbox import SandboxError
from reward_fns import ConfigError
from reward_fns.configured import configured
from reward_fns.reward import KEYS
from tests.reward_fns.common import HANGS, PROBLEM, PROSE, RIGHT, fenced, passing
from tests.reward_fns.engine import Engine, Tokenizer, sampling

FILE = Path(reward_fns.__file__).with_name("openrlhf.py")
PROMPT = "<|im_start|>user\nWrite add(a, b).<|im_end|>\n<|im_start|>assistant\n"
LABEL = PROBLEM.to_label()
EVAL_LABEL = PROBLEM.to_label("eval")
PASS_RATE = {"reward": {"kind": "pass_rate"}}
PREFIX = "```python\n"
BODY = "def add(a, b):\n    return a + b\n"
# Names that OpenRLHF gives its own figures of a sample.
THEIRS = {"reward", "score", "response_clip_ratio", "kl", "return", "group_reward_std", "logprobs_diff"}

Load = Callable[..., ModuleType]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Load]:
    """The file, loaded by its path with this configuration, as in a process that has not read another."""

    def load_file(config: Any = PASS_RATE) -> ModuleType:
        configured.cache_clear()
        monkeypatch.setenv("ACECODER_RL_REWARD", config if isinstance(config, str) else json.dumps(config))
        spec = importlib.util.spec_from_file_location("agent_module", FILE)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    yield load_file
    configured.cache_clear()


@pytest.fixture
def openrlhf() -> ModuleType:
    """OpenRLHF's executors."""
    pytest.importorskip("torch")
    if "flash_attn" not in sys.modules and importlib.util.find_spec("flash_attn") is None:
        from acecoder_rl.training.cpu.patches import names_of_flash_attn

        names_of_flash_attn()
    return pytest.importorskip("openrlhf.utils.agent")


def scorer(name: str, **arguments: Any) -> dict[str, Any]:
    part = {"name": "rm", "kind": f"tests.reward_fns.scorers:{name}", **arguments}
    return {"reward": {"kind": "mixed", "parts": [part]}}


def execute(executor: Any, engine: Engine, label: str = LABEL, prompt: str = PROMPT) -> dict[str, Any]:
    return asyncio.run(executor.execute(prompt, label, sampling(), 1000, Tokenizer(), engine))


# AgentExecutor


def test_a_sample_comes_back_with_reward_score_and_logs(openrlhf: ModuleType, load: Load):
    executor = load().AgentExecutor()
    assert isinstance(executor, openrlhf.AgentExecutorBase)
    out = execute(executor, Engine(passing(3) + "<|im_end|>"))
    assert (out["reward"], out["scores"], out["truncated"]) == (0.6, 0.6, False)
    assert tuple(out["extra_logs"]) == KEYS
    assert (out["prompt"], out["label"]) == (PROMPT, LABEL)
    start, end = out["action_ranges"][0]
    assert Tokenizer().decode(out["observation_tokens"][:start], False) == PROMPT
    assert Tokenizer().decode(out["observation_tokens"][start:end], False) == passing(3) + "<|im_end|>"


def test_what_is_logged_is_numbers_under_the_same_names_every_time(openrlhf: ModuleType, load: Load):
    executor = load(scorer("Shortness")).AgentExecutor()
    rows = [execute(executor, Engine(answer), label)["extra_logs"]
            for answer in (RIGHT, PROSE, "", fenced("def")) for label in (LABEL, EVAL_LABEL)]  # fmt: skip
    assert {tuple(row) for row in rows} == {(*KEYS, "rm")}
    assert all(type(number) is float for row in rows for number in row.values())
    assert not THEIRS & rows[0].keys()


@pytest.mark.parametrize(
    ("answer", "finish", "value", "truncated"),
    [
        (BODY + "```", "stop", 1.0, 0.0),
        (BODY + "```<|im_end|>", "stop", 1.0, 0.0),
        (BODY, "stop", 1.0, 0.0),
        (BODY.rstrip(), "stop", 1.0, 0.0),
        (BODY + "```\nIt adds.<|im_end|>", "stop", 1.0, 0.0),
        (BODY + "```\nFor example:\n```python\nprint(add(1, 2))\n```", "stop", 1.0, 0.0),
        (BODY + "```\nFor example:\n```python\nprint(add(1,", "length", 1.0, 1.0),
        (PREFIX + BODY + "```", "stop", 1.0, 0.0),
        ("def add(a, b):\n    retu", "length", 0.0, 1.0),
        (BODY + "```", "length", 1.0, 1.0),
        ("", "stop", 0.0, 0.0),
        ("<|im_end|>", "stop", 0.0, 0.0),
    ],
)
def test_the_program_begins_in_the_assistant_prefix(
    openrlhf: ModuleType, load: Load, answer: str, finish: str, value: float, truncated: float
):
    executor = load({**PASS_RATE, "assistant_prefix": PREFIX}).AgentExecutor()
    out = execute(executor, Engine(answer, finish), prompt=PROMPT + PREFIX)
    assert out["reward"] == value
    assert out["extra_logs"]["truncated"] == float(out["truncated"]) == truncated


def test_eval_rows_get_the_plain_value(openrlhf: ModuleType, load: Load):
    executor = load({"reward": {"kind": "pass_rate", "full_pass_bonus": 0.5, "holdout": 0.4}}).AgentExecutor()
    assert execute(executor, Engine(RIGHT), LABEL)["reward"] == 1.5
    assert execute(executor, Engine(RIGHT), EVAL_LABEL)["reward"] == 1.0
    assert execute(executor, Engine(passing(4)), EVAL_LABEL)["reward"] == 0.0


def test_scores_are_what_the_tests_earn_without_anything_else(openrlhf: ModuleType, load: Load):
    config = scorer("Fixed", value=5.0)
    config["reward"] |= {"full_pass_bonus": 1.0, "weight": 0.5}
    out = execute(load(config).AgentExecutor(), Engine(passing(2)))
    assert out["scores"] == 0.4
    assert out["reward"] == pytest.approx(0.2 + 0.9999, abs=1e-3)


def test_a_group_flies_at_once_and_keeps_its_order(openrlhf: ModuleType, load: Load):
    executor = load().AgentExecutor()
    engine = Engine(lambda number: passing(number % 6, f"# {number}"))

    async def group() -> tuple[list[dict[str, Any]], int]:
        samples = (executor.execute(PROMPT, LABEL, sampling(), 1000, Tokenizer(), engine) for _ in range(300))
        tasks = [asyncio.ensure_future(sample) for sample in samples]
        await asyncio.sleep(0.05)
        threads = len(os.listdir("/proc/self/task"))
        return await asyncio.gather(*tasks), threads

    before = len(os.listdir("/proc/self/task"))
    out, threads = asyncio.run(group())
    assert [sample["reward"] for sample in out] == [number % 6 / 5 for number in range(300)]
    assert threads <= before + 8


@pytest.mark.parametrize(
    ("config", "error", "said"),
    [
        (scorer("Broken"), ConnectionError, "the scorer is gone"),
        (scorer("Fixed", value=float("nan")), ValueError, "rm scored a completion nan"),
    ],
)
def test_a_reward_that_fails_is_loud(openrlhf: ModuleType, load: Load, config: Any, error: type, said: str):
    executor = load(config).AgentExecutor()
    with pytest.raises(error, match=said):
        execute(executor, Engine(RIGHT))


def test_a_bad_label_is_told_before_tokens_are_spent_on_it(openrlhf: ModuleType, load: Load):
    engine = Engine(RIGHT)
    with pytest.raises(ProblemError, match="label"):
        execute(load().AgentExecutor(), engine, label="")
    assert engine.asked == []


def test_a_sandbox_that_does_not_start_stops_the_engine_when_it_starts(openrlhf: ModuleType, load: Load):
    with pytest.raises(SandboxError):
        load({**PASS_RATE, "sandbox": {"python": "/nowhere/python"}}).AgentExecutor()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("", "ACECODER_RL_REWARD is not set: start training with"),
        ("{", "ACECODER_RL_REWARD is not JSON"),
        ({}, "give an object with 'reward'"),
        ({**PASS_RATE, "prefix": ""}, "give an object with 'reward'"),
        ({**PASS_RATE, "assistant_prefix": None}, "assistant_prefix is None"),
        ({"reward": {"kind": "pas_rate"}}, "did you mean 'pass_rate'"),
    ],
)
def test_a_wrong_configuration_stops_the_engine_when_it_starts(
    openrlhf: ModuleType, load: Load, config: Any, said: str
):
    with pytest.raises(ConfigError, match=said):
        load(config).AgentExecutor()


# reward_func


def ask(module: ModuleType, query: Any, prompt: Any = PROMPT, label: Any = LABEL) -> tuple[float, dict]:
    """One sample as OpenRLHF asks for it."""
    out = module.reward_func([query], [prompt], [label])
    assert {name: len(values) for name, values in out["extra_logs"].items()} == dict.fromkeys(out["extra_logs"], 1)
    return out["rewards"][0], {name: values[0] for name, values in out["extra_logs"].items()}


def test_reward_func_in_openrlhfs_own_executor(openrlhf: ModuleType, load: Load):
    load()  # sets the environment
    executor = openrlhf.SingleTurnAgentExecutor(str(FILE))
    out = execute(executor, Engine(passing(3) + "<|im_end|>"))
    assert (out["reward"], out["scores"]) == ([0.6], [0.6])
    assert out["extra_logs"]["pass_rate"] == [0.6]
    assert out["extra_logs"]["reward_errors"] == out["extra_logs"]["truncated"] == [0.0]


@pytest.mark.parametrize("keep", [0, 10, 40, 60, len(PROMPT)])
def test_a_prompt_that_was_cut_from_the_left_is_still_told_from_the_answer(load: Load, keep: int):
    # The question holds a program that would pass: it must not be taken for the answer.
    prompt = PROMPT.replace("Write", f"{RIGHT} Write")
    wrong = "```python\ndef add(a, b):\n    return 0\n```<|im_end|>"
    cut = prompt[len(prompt) - keep :]
    value, logged = ask(load(), cut + wrong, prompt)
    assert value == 0.0
    assert logged["reward_errors"] == float(keep < 32)
    assert ask(load(), cut + RIGHT + "<|im_end|>", prompt)[0] == float(keep >= 32)
    if keep >= 32:  # half a character, where the cut fell
        assert ask(load(), "\ufffd" + cut + RIGHT + "<|im_end|>", prompt)[0] == 1.0


@pytest.mark.parametrize(
    ("answer", "truncated"),
    [
        (RIGHT + "<|im_end|>", 0.0),
        (RIGHT + "<|endoftext|>\n", 0.0),
        (fenced('def add(a, b):\n    return a + b\nX = "').removesuffix("\nIt adds."), 0.0),
        ('Say "<|im_end|>', 0.0),
        ("```python\ndef add(a, b):\n    retu", 1.0),
        (RIGHT, 1.0),
    ],
)
def test_what_ends_without_a_stop_token_was_cut_off(load: Load, answer: str, truncated: float):
    assert ask(load(), PROMPT + answer)[1]["truncated"] == truncated


def test_a_closing_fence_may_be_the_stop_token(load: Load):
    module = load({**PASS_RATE, "assistant_prefix": PREFIX})
    value, logged = ask(module, PROMPT + PREFIX + BODY + "```", PROMPT + PREFIX)
    assert (value, logged["truncated"]) == (1.0, 0.0)
    value, logged = ask(module, PROMPT + PREFIX + BODY, PROMPT + PREFIX)
    assert (value, logged["truncated"]) == (1.0, 1.0)


@pytest.mark.parametrize("label", [None, "", "{}", 3, [], '{"version": 99}', LABEL[:-5], {"tests": []}])
def test_a_malformed_label_is_worth_0_and_told(load: Load, label: Any, capfd: pytest.CaptureFixture):
    value, logged = ask(load(), PROMPT + RIGHT, label=label)
    assert (value, logged["reward_errors"]) == (0.0, 1.0)
    assert "NOT SCORED, counted as 0" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("config", "said", "seconds"),
    [
        ("", "ACECODER_RL_REWARD is not set", 120),
        ({**PASS_RATE, "sandbox": {"python": "/nowhere/python"}}, "SandboxError", 120),
        (scorer("Broken"), "ConnectionError: the scorer is gone", 120),
        (scorer("Fixed", value=float("nan")), "rm scored a completion nan", 120),
        (scorer("Waits"), "TimeoutError: no result within 0.5 s", 0.5),
        (scorer("Blocks"), "TimeoutError: no result within 0.5 s", 0.5),
    ],
    ids=["no configuration", "broken sandbox", "broken scorer", "nan", "hanging scorer", "blocking scorer"],
)
def test_reward_func_never_raises_and_never_hangs(
    load: Load, config: Any, said: str, seconds: float, capfd: pytest.CaptureFixture
):
    module = load(config)
    module.CALL_SECONDS = seconds
    value, logged = ask(module, PROMPT + RIGHT)  # a scorer that hangs does so for ever
    assert (value, logged["reward_errors"]) == (0.0, 1.0)
    assert said in capfd.readouterr().err


def test_a_sample_that_fails_has_the_keys_of_one_that_does_not(load: Load):
    module = load(scorer("Shortness"))
    assert tuple(ask(module, PROMPT + RIGHT)[1]) == tuple(ask(module, PROMPT + RIGHT, label="")[1])


@pytest.mark.parametrize("arguments", [([], [], []), (["a"], [], []), ([None], [3], ["x"])])
def test_reward_func_takes_any_lists(load: Load, arguments: tuple):
    out = load().reward_func(*arguments)
    assert len(out["rewards"]) == len(out["scores"]) == len(arguments[0])


def test_a_program_that_hangs_costs_its_limit_only(load: Load):
    config = {**PASS_RATE, "sandbox": {"test_seconds": 0.3}}
    logged = ask(load(config), PROMPT + HANGS)[1]
    assert logged["timeouts"] >= 2.0
    assert logged["sandbox_seconds"] < 3  # of CPU; by the usual limit it were 8


def test_the_file_needs_no_openrlhf_for_reward_func(load: Load, monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "openrlhf"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Missing(), *sys.meta_path])
    assert ask(load(), PROMPT + RIGHT)[0] == 1.0


class _Missing:
    """Finds no openrlhf, as where it is not installed."""

    def find_spec(self, name: str, *_: Any) -> None:
        if name == "openrlhf":
            raise ModuleNotFoundError("No module named 'openrlhf'", name="openrlhf")
