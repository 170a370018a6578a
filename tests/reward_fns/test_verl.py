"""verl's own loader takes our function, and its reward loop scores rows of a real Parquet file with it."""

import json

import pytest

from tests.reward_fns.common import PROBLEM, RIGHT, TESTS, passing
from tests.reward_fns.trainers import installed, run

PACKAGES = (
    "verl==0.9.1", "tensordict==0.10.0", "hydra-core==1.3.8", "omegaconf==2.4.0", "antlr4-python3-runtime==4.9.3",
    "codetiming==1.4.0", "torchdata==0.11.0", "pyvers==0.2.3", "orjson==3.13.0",
)  # fmt: skip
SCRIPT = """
import asyncio, json
import numpy, torch
from omegaconf import OmegaConf
import pyarrow.parquet
from verl import DataProto
from verl.experimental.reward_loop.reward_loop import RewardLoopWorker

given = json.loads(GIVEN)
config = OmegaConf.create({
    "actor_rollout_ref": {"model": {"path": given["model"], "tokenizer_path": None}},
    "reward": {
        "reward_model": {"enable": False},
        "reward_manager": {"source": "register", "name": "naive"},
        "custom_reward_function": {
            "path": "pkg://reward_fns.verl", "name": "compute_score", "reward_kwargs": {"config": given["config"]},
        },
    },
})

async def main():
    worker = RewardLoopWorker(config)
    tokenizer = worker.input_tokenizer
    rows = pyarrow.parquet.read_table(given["rows"]).to_pylist()
    ids = [tokenizer.encode(text) + [tokenizer.eos_token_id] for text in given["answers"]]
    width = max(map(len, ids))
    fill = [[tokenizer.pad_token_id] * (width - len(row)) for row in ids]
    data = DataProto.from_dict(
        {
            "responses": torch.tensor([row + pad for row, pad in zip(ids, fill)]),
            "attention_mask": torch.tensor([[1] * len(row) + [0] * len(pad) for row, pad in zip(ids, fill)]),
        },
        non_tensors={name: numpy.array([row[name] for row in rows], dtype=object)
                     for name in ("data_source", "reward_model", "extra_info")},
    )
    print(json.dumps(await worker.compute_score_batch(data)))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def verl():
    pytest.importorskip("torch", reason="verl needs it")
    return installed("verl", *PACKAGES)


def row(truth: str) -> dict:
    return {
        "data_source": "acecode", "prompt": [{"role": "user", "content": PROBLEM.question}], "ability": "code",
        "reward_model": {"style": "rule", "ground_truth": truth}, "extra_info": {"question": PROBLEM.question},
    }  # fmt: skip


def test_the_reward_loop_scores_real_rows(verl, tiny_rm, tmp_path):
    import pyarrow
    import pyarrow.parquet

    labels = [PROBLEM.to_label(), PROBLEM.to_label(), PROBLEM.to_label("eval"), json.dumps(TESTS)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row(truth) for truth in labels]), tmp_path / "rows.parquet")
    answers = [RIGHT, passing(2), passing(2), passing(3)]
    given = {
        "rows": str(tmp_path / "rows.parquet"), "answers": answers, "model": str(tiny_rm),
        "config": {"reward": {"kind": "pass_rate", "full_pass_bonus": 0.5}},
    }  # fmt: skip
    scored = json.loads(run(SCRIPT.replace("GIVEN", repr(json.dumps(given))), verl).splitlines()[-1])
    assert [each["reward_score"] for each in scored] == [1.5, 0.4, 0.0, 0.6]
    facts = [each["reward_extra_info"] for each in scored]
    assert [fact["acc"] for fact in facts] == [1.0, 0.0, 0.0, 0.0]
    assert [fact["pass_rate"] for fact in facts] == [1.0, 0.4, 0.4, 0.6]
    assert len({tuple(sorted(fact)) for fact in facts}) == 1  # verl needs the same keys of every sample


def test_a_bad_row_stops_verl_with_its_reason(verl):
    script = """
import asyncio
from acecoder_rl.problems import ProblemError
from reward_fns.verl import compute_score
try:
    asyncio.run(compute_score("acecode", "hello", "[]", {}, config="pass_rate"))
except ProblemError as error:
    print("told:", error)
"""
    assert run(script, verl).startswith("told: ")
