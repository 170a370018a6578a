"""Completions of a model for a file of prompts, from a vLLM engine.

Covers: `python -m acecoder_rl.evaluation.sampling < JOBS.json`: a process of its own, so that the engine's memory and
    processes are gone when it ends.
Does not cover: making prompts (training/data.py), judging completions (pass_at_k.py).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from acecoder_rl.queries import turn_ends


@dataclass(frozen=True)
class Job:
    """What to sample.

    Attributes:
        model: folder or Hub id.
        prompts: JSONL with the columns `prompt` and `label`.
        output: JSONL to write, whole or not at all: `label`, `completions`, `truncated`, a row a prompt, in order.
        samples: completions a prompt at `temperature` and `top_p`; with temperature 0 give 1.
        max_new_tokens, max_model_len: tokens.
        device: "cpu" or "gpu".
        threads: on CPU.
    """

    model: str
    prompts: str
    output: str
    samples: int
    temperature: float
    max_new_tokens: int
    max_model_len: int
    device: str
    threads: int = 2
    seed: int = 0
    top_p: float = 1.0


class SamplingFailed(RuntimeError):
    """The engine's process failed; the message ends with its last lines."""


def sample(jobs: list[Job], log: Path) -> None:
    """Run jobs of one model, one engine for all; their outputs stand in their files.

    Raises:
        SamplingFailed: see `log`.
    """
    first = jobs[0]
    environment = engine_environment(first.device, first.threads)
    command = [sys.executable, "-m", __name__]
    told = json.dumps([asdict(job) for job in jobs]).encode()  # not as an argument: those are short
    with log.open("ab") as file:
        status = subprocess.run(command, env=os.environ | environment, input=told, stdout=file, stderr=file).returncode
    if status:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
        raise SamplingFailed(f"sampling from {first.model} ended with status {status}:\n{last}\nall of it: {log}")


def engine_environment(device: str, threads: int) -> dict[str, str]:
    """What a process with an engine has in its environment."""
    from acecoder_rl.training import cpu

    environment = cpu.environment(threads) if device == "cpu" else {}
    # The engine stays in this process, which is its own already: on CPU half the start is imports.
    return environment | {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"}


def engine_options(device: str) -> dict[str, Any]:
    """Arguments of `vllm.LLM` for a device."""
    if device != "cpu":
        return {}
    return {
        "dtype": "float32",
        "enforce_eager": True,
        "gpu_memory_utilization": 0.1,
        "max_num_seqs": 128,
    }


def end_with(parent: int) -> None:
    """End this process when its parent has gone; for a thread.

    A parent that was killed outright could not end us, and the engine's memory is wanted by the next.
    """
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _run(jobs: list[Job]) -> None:
    # Before an engine is loaded for nothing.
    prompts_of = [[json.loads(line) for line in Path(job.prompts).read_text().splitlines()] for job in jobs]

    import vllm

    first = jobs[0]
    # The engine's seed, not the samples': with those vLLM on CPU fails when a prompt is read in two parts.
    engine = vllm.LLM(first.model, max_model_len=first.max_model_len, seed=first.seed, **engine_options(first.device))
    tokenizer = engine.get_tokenizer()
    for job, rows in zip(jobs, prompts_of, strict=True):
        how = vllm.SamplingParams(
            n=job.samples,
            temperature=job.temperature,
            top_p=job.top_p,
            max_tokens=job.max_new_tokens,
            stop_token_ids=turn_ends(tokenizer),
            skip_special_tokens=True,
        )
        # As tokens: the prompts are rendered, and the engine would add what their template has already.
        prompts = [
            {"prompt_token_ids": tokenizer(row["prompt"], add_special_tokens=False)["input_ids"]} for row in rows
        ]
        answers = engine.generate(prompts, how, use_tqdm=False)
        half = Path(job.output + ".tmp")
        with half.open("w") as file:
            for row, answer in zip(rows, answers, strict=True):
                told = {
                    "label": row["label"],
                    # Not `text`: it lacks the stop token, here the fence that closes the program.
                    "completions": [
                        tokenizer.decode(each.token_ids, skip_special_tokens=True) for each in answer.outputs
                    ],
                    "truncated": [each.finish_reason == "length" for each in answer.outputs],
                }
                file.write(json.dumps(told) + "\n")
        half.replace(job.output)


if __name__ == "__main__":
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    _run([Job(**job) for job in json.load(sys.stdin)])
