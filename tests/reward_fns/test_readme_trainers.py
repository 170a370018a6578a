"""The README's lines for other trainers, run as they stand but for paths and the model."""

import asyncio
import inspect
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import pytest

from tests.reward_fns.common import PROBLEM, RIGHT, passing
from tests.reward_model.rm_servers import ok, scripted

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCKS = re.findall(r"^```py\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
LABEL = PROBLEM.to_label()


def block(mark: str) -> str:
    (found,) = [text for text in BLOCKS if mark in text]
    return found


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "my.yaml"
    path.write_text("reward: {kind: pass_rate, truncated_penalty: 0.25}\n")
    return path


@pytest.fixture
def modules() -> Iterator[dict[str, types.ModuleType]]:
    before = dict(sys.modules)
    yield sys.modules
    for name in sys.modules.keys() - before.keys():
        del sys.modules[name]


def test_trl_trains_on_a_laptop(tiny_model, tmp_path):
    pytest.importorskip("trl")
    with scripted(*(ok([score]) for score in (1.5, 0.5, -0.5, -1.5) * 2)) as server:
        text = block("GRPOTrainer")
        for old, new in (
            ("runs/models/smollm2-135m-instruct", str(tiny_model)), ("http://127.0.0.1:8100", server.url),
            ("runs/trl", str(tmp_path / "trl")), ("max_completion_length=64", "max_completion_length=8"),
        ):  # fmt: skip
            assert old in text
            text = text.replace(old, new)
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=1200, cwd=tmp_path)
        assert done.returncode == 0, done.stderr[-3000:]
    assert len(server.asked) == 8  # two steps of four completions


def test_areal_and_slime_call_it_as_they_call_theirs(recipe):
    names: dict = {}
    exec(block("def areal").replace("recipes/my.yaml", str(recipe)), names)
    # areal/api/reward_api.py: four by position, the row's columns by name
    assert names["areal"]("Write add", passing(2), [1], [2], label=LABEL, question="?") == 0.4

    class Sample:  # slime/utils/types.py, as far as rewards read it
        class Status(Enum):
            COMPLETED = "completed"
            TRUNCATED = "truncated"

        label, response, status = LABEL, RIGHT, Status.TRUNCATED

    assert inspect.iscoroutinefunction(names["slime"])
    found = asyncio.run(names["slime"](object(), Sample(), evaluation=False))
    assert found["score"] == 0.75 and found["pass_rate"] == 1.0


def test_nemo_gets_its_own_type_back(recipe, modules):
    torch = pytest.importorskip("torch")
    pytest.importorskip("ray")
    kind = TypeVar("kind")

    class EnvironmentReturn(NamedTuple, Generic[kind]):  # as in nemo_rl/environments/interfaces.py
        observations: list
        metadata: list
        next_stop_strings: list
        rewards: object
        terminateds: object
        answers: list | None = None

    interfaces = types.ModuleType("nemo_rl.environments.interfaces")
    interfaces.EnvironmentInterface, interfaces.EnvironmentReturn = object, EnvironmentReturn
    for name in ("nemo_rl", "nemo_rl.environments"):
        modules[name] = types.ModuleType(name)
    modules[interfaces.__name__] = interfaces
    names: dict = {}
    exec(block("class AceCode").replace("@ray.remote\n", ""), names)
    environment = names["AceCode"]({"reward_file": str(recipe)})
    logs = [[{"role": "user", "content": "?"}, {"role": "assistant", "content": text}] for text in (RIGHT, passing(2))]
    out = asyncio.run(environment.step(logs, [{"label": LABEL}] * 2))
    assert isinstance(out, EnvironmentReturn) and torch.allclose(out.rewards, torch.tensor([1.0, 0.4]))
    assert all(len(part) == 2 for part in out[:5])
    _, metrics = environment.global_post_process_and_metrics({"total_reward": out.rewards})
    assert metrics["mean reward"] == pytest.approx(0.7)
