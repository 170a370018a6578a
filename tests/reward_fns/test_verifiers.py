"""verifiers' own scoring finds our functions by their names, as a taskset's configuration has them (slow: its packages
take minutes to install); what they read of a task and a trace, on objects of the same shape."""

import asyncio
import json
from types import SimpleNamespace

import pytest

from reward_fns.configured import configured
from reward_fns.verifiers import facts
from reward_fns.verifiers import tests as reward
from tests.reward_fns.common import PROBLEM, RIGHT, passing
from tests.reward_fns.trainers import installed, run

SCRIPT = """
import asyncio, json
import verifiers.v1 as vf
from verifiers.v1.task import Task, TaskConfig, TaskData
from verifiers.v1.trace import AgentInfo, Trace, TraceTask
from verifiers.v1.configs.agent import AgentConfig

class Data(TaskData):
    label: str | None = None

class Code(Task[Data, vf.State, TaskConfig]):
    pass

given = json.loads(GIVEN)
config = TaskConfig(
    rewards={"tests": {"fn": "reward_fns.verifiers:tests", "weight": 2.0}},
    metrics={"facts": {"fn": "reward_fns.verifiers:facts"}},
)

async def score(label, answer, stop):
    data = Data(id="add", prompt="Write add(a, b).", label=label)
    trace = Trace(task=TraceTask(type="Code", data=data), agent=AgentInfo(config=AgentConfig()), root_reply=answer,
                  stop_condition=stop)
    await Code(data, config).score(trace)
    return [trace.reward, trace.metrics["pass_rate"], trace.metrics["truncated"], sorted(trace.rewards)]

async def main():
    said = [await score(*row) for row in given]
    try:
        await score(None, "hello", None)
    except Exception as error:
        said.append(f"{type(error).__name__}: {error}")
    print(json.dumps(said))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def verifiers():
    return installed("verifiers", "verifiers==0.4.0", dependencies=True)


@pytest.fixture
def setting(monkeypatch):
    config = {"reward": {"kind": "pass_rate", "truncated_penalty": 0.25}}
    monkeypatch.setenv("ACECODER_RL_REWARD", json.dumps(config))
    configured.cache_clear()
    yield
    configured.cache_clear()


@pytest.mark.parametrize("where", ["label", "info"])
def test_task_and_trace_are_read(setting, where):
    label = {"label": PROBLEM.to_label()}
    task = SimpleNamespace(id="add", prompt="Write add.", **(label if where == "label" else {"info": label}))
    trace = SimpleNamespace(id=where, last_reply=passing(2), is_truncated=True)
    assert asyncio.run(reward(task, trace)) == pytest.approx(0.15)
    assert asyncio.run(facts(task, trace))["pass_rate"] == 0.4


def test_a_rollout_is_scored_and_logged_once(setting, logged):
    async def score(trace):
        return (await facts(task, trace))["pass_rate"], await reward(task, trace)

    task = SimpleNamespace(id="add", prompt="Write add.", label=PROBLEM.to_label())
    for name in ("one", "other"):  # two samples, which happen to be equal
        trace = SimpleNamespace(id=name, last_reply=passing(2), is_truncated=False)
        assert asyncio.run(score(trace)) == (0.4, 0.4)
    trace.last_reply = RIGHT  # tried again
    assert asyncio.run(score(trace)) == (1.0, 1.0)
    assert [row["reward"] for row in logged()] == [0.4, 0.4, 1.0]


def test_a_task_without_tests_fails_loudly(setting):
    task = SimpleNamespace(id="add", prompt="Write add.")
    with pytest.raises(ValueError, match=r"task 'add' has neither 'label' nor 'tests'"):
        asyncio.run(reward(task, SimpleNamespace(id="", last_reply=RIGHT, is_truncated=False)))


@pytest.mark.slow
def test_a_taskset_scores_by_our_functions(verifiers):
    label = PROBLEM.to_label()
    rows = [(label, RIGHT, None), (label, passing(2), "max_output_tokens")]
    config = {"reward": {"kind": "pass_rate", "truncated_penalty": 0.25}}
    script = SCRIPT.replace("GIVEN", repr(json.dumps(rows)))
    *scored, failed = json.loads(run(script, verifiers, ACECODER_RL_REWARD=json.dumps(config)).splitlines()[-1])
    assert [each[0] for each in scored] == [2.0, pytest.approx(2 * (0.4 - 0.25))]
    assert [each[1:] for each in scored] == [[1.0, 0.0, ["tests"]], [0.4, 1.0, ["tests"]]]
    assert "put Problem.to_label() into 'label'" in failed
