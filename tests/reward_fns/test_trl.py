"""TRL's GRPOTrainer learns two steps from tests and a served reward model; labels, texts and metrics arrive."""

import json
import math
import pickle
from types import SimpleNamespace

import pytest

from acecoder_rl.problems import Problem
from reward_fns import AceCodeRM, PassRate
from reward_fns.loop import wait_for
from reward_fns.trl import TRLReward
from tests.reward_fns.common import PROBLEM, RIGHT, TESTS, passing
from tests.reward_model.conftest import make_tokenizer, tiny_config
from tests.reward_model.rm_servers import ok, replica, scripted

pytest.importorskip("trl")


def test_completions_are_scored_in_order_and_logged():
    logged = {}
    reward = TRLReward(PassRate(), name="tests")
    texts = [passing(2), [{"role": "assistant", "content": RIGHT}], passing(3)]
    label = PROBLEM.to_label()
    told = {"label": [label, json.dumps(TESTS), label], "trainer_state": None}
    values = wait_for(reward(prompts=["?"] * 3, completions=texts, log_metric=logged.__setitem__, **told))
    assert values == [0.4, 1.0, 0.6]
    assert math.isclose(logged["tests/pass_rate"], 2 / 3) and math.isclose(logged["tests/all_passed"], 1 / 3)
    again = pickle.loads(pickle.dumps(reward))  # TRL's async trainer starts processes
    assert again.__name__ == "tests" and again.reward == reward.reward


def test_tests_of_a_data_set_have_the_prompt_as_their_question(logged):
    prompts = ["Add.", [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Add two."}]]
    said = [{"role": "assistant", "content": RIGHT}, {"role": "tool", "content": passing(2)}]
    values = wait_for(TRLReward(PassRate(), "test_list")(prompts, [RIGHT, said], test_list=[list(TESTS)] * 2))
    assert values == [1.0, 1.0] and {row["question"] for row in logged()} == {"Add.", "Add two."}


def test_messages_in_parts_are_their_texts_and_a_tools_call_is_none(logged):
    parts = [{"type": "image"}, {"type": "text", "text": "Add "}, {"type": "text", "text": "two."}]
    said = [{"role": "assistant", "content": [{"type": "text", "text": RIGHT}]}]
    called = [{"role": "assistant", "content": None, "tool_calls": []}]
    asked = [{"role": "user", "content": parts}]
    values = wait_for(TRLReward(PassRate(), "test_list")([asked] * 2, [said, called], test_list=[list(TESTS)] * 2))
    rows = logged()
    assert values == [1.0, 0.0] and {row["question"] for row in rows} == {"Add two."}
    assert {row["completion"] for row in rows} == {RIGHT, ""}


def test_the_log_has_trls_step(logged):
    labels = [PROBLEM.to_label(), PROBLEM.to_label("eval")]
    for over in (0, 4):
        state = SimpleNamespace(global_step=over)
        wait_for(TRLReward(PassRate())(["?"] * 2, [RIGHT] * 2, trainer_state=state, label=labels))
    wait_for(TRLReward(PassRate())(["?"], [RIGHT], label=labels[:1]))
    # An evaluation comes after a step.
    steps = [(row["mode"], row["step"]) for row in logged()]
    assert sorted(steps[:4]) == [("eval", 0), ("eval", 4), ("train", 1), ("train", 5)] and steps[4] == ("train", None)


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match=r"no column 'label' \(columns: tests\)"):
        wait_for(TRLReward(PassRate())(prompts=["?"], completions=[RIGHT], tests=[TESTS]))


def test_a_component_gives_its_raw_score():
    with scripted(ok([-12.5])) as server:
        reward = TRLReward(AceCodeRM(endpoint=server.url))
        values = wait_for(reward(prompts=["?"], completions=[RIGHT], label=[PROBLEM.to_label()]))
    assert values == [-12.5] and reward.__name__ == "AceCodeRM"


def test_grpo_learns_from_tests_and_a_reward_model(tiny_rm, tmp_path, logged):
    from datasets import Dataset
    from transformers import Qwen2ForCausalLM, set_seed
    from trl import GRPOConfig, GRPOTrainer

    from acecoder_rl.reward_model.scoring import RewardScorer

    set_seed(0)
    rows = [Problem(f"add{i}", f"Write add(a, b), variant {i}.", TESTS) for i in range(4)]
    prompts = [[{"role": "user", "content": problem.question}] for problem in rows]
    data = Dataset.from_dict({"prompt": prompts, "label": [problem.to_label() for problem in rows]})
    tests, scorer = TRLReward(PassRate(), name="tests"), RewardScorer(str(tiny_rm))
    with replica(load=lambda _: scorer) as url:
        trainer = GRPOTrainer(
            Qwen2ForCausalLM(tiny_config()), [tests, TRLReward(AceCodeRM(endpoint=url), name="rm")],
            args=GRPOConfig(
                str(tmp_path), max_steps=2, per_device_train_batch_size=4, num_generations=4, reward_weights=[1.0, 0.1],
                max_completion_length=12, learning_rate=1e-3, logging_steps=1, report_to=[], use_cpu=True,
                save_strategy="no", disable_tqdm=True,
            ),
            train_dataset=data, processing_class=make_tokenizer(),
        )  # fmt: skip
        before = trainer.model.lm_head.weight.detach().clone()
        trainer.train()
    logs = [row for row in trainer.state.log_history if "rewards/rm/mean" in row]
    assert len(logs) == 2 and not before.equal(trainer.model.lm_head.weight)
    for row in logs:
        assert math.isclose(row["reward"], row["rewards/tests/mean"] + 0.1 * row["rewards/rm/mean"], abs_tol=1e-4)
        assert row["rewards/rm/std"] > 0 and "tests/pass_rate" in row and row["rewards/tests/mean"] == 0
    assert sorted(row["step"] for row in logged()) == [1] * 4 + [2] * 4
