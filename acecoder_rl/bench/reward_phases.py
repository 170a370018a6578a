"""A phase of `acecoder-rl bench reward` in a process of its own: a rollout phase, or many rewards in flight.

Covers: `rollout`: a real vLLM engine with a tiny random model, generation alone and generation with rewards
    in turn, as OpenRLHF's engines do both; `flight`: rewards at once and threads then, runs of equal programs.
Does not cover: the figures and their table (reward.py), which starts this as `python -P reward_phases.py
    PHASE FOLDER`, with a job in FOLDER/job.json, and reads FOLDER/result.json.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
from pathlib import Path
from random import Random
from typing import Any

MODEL = {
    "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 256, "max_position_embeddings": 2048, "tie_word_embeddings": True,
}  # fmt: skip
VOCABULARY = 4096
WARM_UP = 64  # samples
TOKENS = (128, 384)  # of a completion
MAX_SEQUENCES = 128  # of the engine at once, as recipes on CPU have it
# Each run of it says another number: the numbers among the verdicts are the runs.
TELLS = "# Group {group}\nimport os\ndef f():\n    raise ValueError(os.urandom(8).hex())\n"


def rollout(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Seconds of each round, without and with rewards, and what the rewards were."""
    from vllm import AsyncEngineArgs, AsyncLLMEngine

    from acecoder_rl.training.cpu.patches import names_of_flash_attn

    names_of_flash_attn()
    import reward_fns.openrlhf as adapter

    tokenizer = _make_model(folder / "model", [sample["answer"] for sample in job["samples"]])
    # What chat models write for such problems, explanations included; drawn once, the same in every phase.
    rng = Random(0)
    tokens = [rng.randint(*TOKENS) for _ in job["samples"]]

    async def go() -> dict[str, Any]:
        engine = AsyncLLMEngine.from_engine_args(
            AsyncEngineArgs(
                model=str(folder / "model"),
                dtype="float32",
                enforce_eager=True,
                max_model_len=2048,
                max_num_seqs=MAX_SEQUENCES,
                enable_prefix_caching=True,
                distributed_executor_backend="uni",
            )
        )
        plain, ours = adapter.SingleTurnAgentExecutor(None), adapter.AgentExecutor()

        async def phase(executor: Any, stamp: str, count: int | None = None) -> dict[str, Any]:
            # Programs seen in an earlier round would not be run again: each round has its stamp.
            begun, cpu = time.monotonic(), _tree_cpu()
            out = await asyncio.gather(
                *(
                    executor.execute(
                        sample["prompt"],
                        sample["label"],
                        _sampling(length),
                        2048,
                        _Substitute(tokenizer, f"{sample['answer']}# {stamp}\n```"),
                        _Generate(engine),
                    )
                    for sample, length in list(zip(job["samples"], tokens, strict=True))[:count]
                )
            )
            return {"seconds": time.monotonic() - begun, "cpu": _tree_cpu() - cpu, "out": out}

        await phase(ours, "warm-up", WARM_UP)
        rounds = []
        for number in range(job["rounds"]):
            # Back and forth: a machine that gets slower or faster meanwhile favours neither.
            order = (plain, ours) if number % 2 == 0 else (ours, plain)
            taken = {executor: await phase(executor, f"round {number}") for executor in order}
            rewards = [sample["reward"] for sample in taken[ours].pop("out")]
            del taken[plain]["out"]
            rounds.append({"generation": taken[plain], "with_rewards": taken[ours]})
        engine.shutdown()
        return {"rounds": rounds, "passed": sum(reward == 1.0 for reward in rewards), "tokens": sum(tokens)}

    return asyncio.run(go())


class _Generate:
    """An engine as OpenRLHF's rollout actor shows it to executors."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine

    async def generate(self, prompt_token_ids: list[int], params: Any, multi_modal_data: Any = None) -> Any:
        from vllm.inputs import TokensPrompt
        from vllm.utils import random_uuid

        final = None
        prompt = TokensPrompt(prompt_token_ids=prompt_token_ids)
        async for output in self.engine.generate(prompt, params, request_id=random_uuid()):
            final = output
        return final


class _Substitute:
    """A tokenizer that decodes, and then gives a program for the garbage of a random model."""

    def __init__(self, tokenizer: Any, answer: str) -> None:
        self.tokenizer, self.answer = tokenizer, answer

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.tokenizer(*args, **kwargs)

    def get_added_vocab(self) -> dict[str, int]:
        return self.tokenizer.get_added_vocab()

    def decode(self, *args: Any, **kwargs: Any) -> str:
        self.tokenizer.decode(*args, **kwargs)
        return self.answer


def _sampling(tokens: int) -> Any:
    """Exactly so many tokens."""
    from vllm import SamplingParams

    return SamplingParams(temperature=1.0, max_tokens=tokens, min_tokens=tokens, ignore_eos=True)


def _make_model(folder: Path, texts: list[str]) -> Any:
    """A tokenizer trained on the texts, and a random model for it, saved in `folder`."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(texts, VOCABULARY, special_tokens=["<|endoftext|>"], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, eos_token="<|endoftext|>")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen2Config(**MODEL, vocab_size=VOCABULARY, eos_token_id=0, bos_token_id=0)
    Qwen2ForCausalLM(config).save_pretrained(folder)
    return tokenizer


def flight(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Rewards in flight at once and threads then; runs of equal programs, asked for at once and in turn."""
    from acecoder_rl.problems import Problem
    from reward_fns import PassRate

    async def go() -> dict[str, Any]:
        reward = PassRate()
        await reward.score(Problem("warm", "", ["assert f() == 1"]), "```python\ndef f(): return 1\n```")
        idle = _threads()
        problems = {sample["label"]: Problem.from_label(sample["label"]) for sample in job["samples"]}
        tasks = [
            asyncio.create_task(reward.score(problems[sample["label"]], sample["answer"] + "```"))
            for sample in job["samples"]
        ]
        flying = threads = 0
        while not all(task.done() for task in tasks):
            await asyncio.sleep(0.02)  # by then all are handed over, and some are done
            flying = max(flying, sum(not task.done() for task in tasks))
            threads = max(threads, _threads())
        for task in tasks:
            task.result()

        tells = Problem("tells", "", ["assert f() == 1"])
        groups, size = job["groups"], job["group_size"]
        together = await asyncio.gather(
            *(
                reward.score(tells, f"```python\n{TELLS.format(group=group)}```")
                for group in range(groups)
                for _ in range(size)
            )
        )
        in_turn = [
            await reward.score(tells, f"```python\n{TELLS.format(group=-1 - group)}```")
            for _ in range(size)
            for group in range(groups)
        ]
        return {
            "in_flight": flying,
            "threads_idle": idle,
            "threads": threads,
            "asked": len(tasks),
            "samples": groups * size,
            "runs_at_once": _runs(together),
            "runs_in_turn": _runs(in_turn),
        }

    return asyncio.run(go())


def _runs(rewards: list[Any]) -> int:
    return len({reward.verdict.outcomes[0].message for reward in rewards})


def _tree_cpu() -> float:
    """CPU seconds of this process and all its descendants, those that ended included."""
    ticks, children = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):  # it ended meanwhile
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                ticks[int(entry.name)] = sum(map(int, fields[11:15]))
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    total, todo = 0, [os.getpid()]
    while todo:
        process = todo.pop()
        total += ticks.get(process, 0)
        todo += children.get(process, [])
    return total / os.sysconf("SC_CLK_TCK")


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


if __name__ == "__main__":
    PHASES = {"rollout": rollout, "flight": flight}
    where = Path(sys.argv[2])
    job_ = json.loads((where / "job.json").read_text())
    sys.path.insert(0, job_["path"])
    (where / "result.json").write_text(json.dumps(PHASES[sys.argv[1]](job_, where)))
