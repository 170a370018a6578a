"""Candidates sampled here: N completions a problem from a vLLM engine, in blocks that are never sampled twice.

Covers: prompts of problems, blocks of them as files of the work's folder, their completions.
Does not cover: the engine (sampling.py).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from acecoder_rl.evaluation.candidates import Candidates, Completion
from acecoder_rl.evaluation.sampling import Job, sample
from acecoder_rl.records import InputError, jsonl_line

SEQUENCES = 256  # of a block: enough for an engine to be busy, and what a kill loses at most


@dataclass(frozen=True)
class Sampling:
    """How candidates are sampled.

    Attributes:
        model: folder or Hub id.
        samples: completions a problem.
        temperature, top_p: of the sampling.
        max_new_tokens: of a completion; longer ones are cut off.
        prompt_template: the user's turn; `{question}` and `{first_test}` stand for the problem's.
        chat: render with the model's chat template; False: the bare text.
        assistant_prefix: what the answer starts with, such as an opening fence; part of the completion.
        device: "gpu" or "cpu".
        threads: on CPU.
        seed: of the engine.
    """

    model: str
    samples: int = 16
    temperature: float = 1.0
    top_p: float = 1.0
    max_new_tokens: int = 1024
    prompt_template: str = "{question}"
    chat: bool = True
    assistant_prefix: str = ""
    device: str = "gpu"
    threads: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        for name, fits, mend in (
            ("samples", self.samples >= 1, "1 or more"),
            ("temperature", self.temperature > 0 or self.samples == 1, "more than 0, or one sample"),
            ("top_p", 0 < self.top_p <= 1, "more than 0, at most 1"),
            ("max_new_tokens", self.max_new_tokens >= 1, "1 or more"),
            ("device", self.device in ("gpu", "cpu"), "gpu or cpu"),
        ):
            if not fits:
                raise InputError(f"{name} is {getattr(self, name)!r}: give {mend}")


def fill(asked: Sequence[Candidates], sampling: Sampling, folder: Path) -> None:
    """Give each problem its completions; those in `folder/samples` from an earlier run are taken as they are.

    Raises:
        InputError: the prompts cannot be made.
        SamplingFailed: the engine failed; blocks that were done stay.
    """
    blocks = folder / "samples"
    blocks.mkdir(exist_ok=True)
    size = max(1, SEQUENCES // sampling.samples)
    parts = [(blocks / f"{start:06d}.jsonl", asked[start : start + size]) for start in range(0, len(asked), size)]
    missing = [(path, part) for path, part in parts if not path.exists()]
    if missing:
        prompts, longest = _prompts(asked, sampling)
        jobs = []
        for path, part in missing:
            rows = path.with_suffix(".prompts.jsonl")
            rows.write_bytes(b"".join(jsonl_line({"label": each.id, "prompt": prompts[each.id]}) for each in part))
            job = Job(
                sampling.model, str(rows), str(path), sampling.samples, sampling.temperature, sampling.max_new_tokens,
                longest + sampling.max_new_tokens, sampling.device, sampling.threads, sampling.seed, sampling.top_p,
            )  # fmt: skip
            jobs.append(job)
        sample(jobs, folder / "engine.log")
    for path, part in parts:
        for each, line in zip(part, path.read_text().splitlines(), strict=True):
            texts = json.loads(line)["completions"]
            each.completions = [
                Completion(sampling.assistant_prefix + text, 0, index) for index, text in enumerate(texts)
            ]


def _prompts(asked: Sequence[Candidates], sampling: Sampling) -> tuple[dict[str, str], int]:
    from acecoder_rl.cases import ProblemError
    from acecoder_rl.problems import Problem
    from acecoder_rl.training.model_path import resolve
    from acecoder_rl.training.prompts import Renderer, load_tokenizer
    from acecoder_rl.training.recipe import Data, RecipeError

    if "{first_test}" in sampling.prompt_template and (bare := [each.id for each in asked if each.problem is None]):
        raise InputError(f"problem {bare[0]} has no tests, but the prompt shows {{first_test}}: leave it out there")
    try:
        data = Data(
            train=["candidates"], prompt_template=sampling.prompt_template, chat=sampling.chat,
            assistant_prefix=sampling.assistant_prefix,
        )  # fmt: skip
        renderer = Renderer(data, load_tokenizer(resolve(sampling.model)))
        prompts = {
            # A problem without tests is rendered with some that nobody reads.
            each.id: renderer.render(each.problem or Problem(each.id, each.question, ["assert True"]), each.id)
            for each in asked
        }
    except (RecipeError, ProblemError) as error:
        raise InputError(str(error).replace("model.path", "--model").replace("data.", "")) from None
    return prompts, max(renderer.lengths(list(prompts.values())))
