"""SkyRL's own `make` builds our environment, and its own type of a step comes back."""

import json

import pytest

from tests.reward_fns.common import PROBLEM, RIGHT, TESTS, passing
from tests.reward_fns.trainers import installed, run

SCRIPT = """
import json
import skyrl_gym
given = json.loads(GIVEN)
skyrl_gym.register(id="acecode", entry_point="reward_fns.skyrl:AceCodeEnv")
said = []
for truth, action in given["rows"]:
    extras = {"reward_spec": {"method": "rule", "ground_truth": truth}}
    env = skyrl_gym.make("acecode", env_config={"config": given["config"]}, extras=extras)
    prompt, _ = env.init([{"role": "user", "content": "Write add(a, b)."}])
    out = env.step(action)
    said.append([out["reward"], out["done"], out["observations"], out["metadata"]["pass_rate"],
                 env.get_metrics()["pass_rate"]])
try:
    skyrl_gym.make("acecode", env_config={}, extras={"reward_spec": {}})
except ValueError as error:
    said.append(str(error))
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def skyrl():
    return installed("skyrl", "skyrl-gym==0.4.0", "func_timeout==4.3.5")


def test_an_episode_is_one_answer_and_its_reward(skyrl):
    rows = [(PROBLEM.to_label(), RIGHT), (PROBLEM.to_label(), passing(2)), (json.dumps(TESTS), passing(3))]
    given = json.dumps({"rows": rows, "config": {"reward": {"kind": "pass_rate", "no_program_penalty": 0.5}}})
    *steps, refused = json.loads(run(SCRIPT.replace("GIVEN", repr(given)), skyrl))
    assert steps == [[1.0, True, [], 1.0, 1.0], [0.4, True, [], 0.4, 0.4], [0.6, True, [], 0.6, 0.6]]
    assert "reward_spec.ground_truth" in refused
