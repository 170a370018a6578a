"""Sampled candidates: prompts as the model's template has them, blocks that are kept, none of them sampled twice.

Does not cover: the engine itself (bench/rm_learning.py runs it); what stands in for it writes its files.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from acecoder_rl.evaluation import candidate_sampling
from acecoder_rl.evaluation.candidate_sampling import Sampling, fill
from acecoder_rl.evaluation.candidates import read_questions
from acecoder_rl.evaluation.sampling import Job, SamplingFailed
from acecoder_rl.records import InputError


class Engine:
    """Answers each prompt with its own label; fails in the job `fails` counts to."""

    def __init__(self, fails: int | None = None) -> None:
        self.fails, self.prompts, self.jobs = fails, [], []

    def __call__(self, jobs: list[Job], log: Path) -> None:
        for number, job in enumerate(jobs):
            if number == self.fails:
                raise SamplingFailed("out of memory")
            rows = [json.loads(line) for line in Path(job.prompts).read_text().splitlines()]
            self.jobs.append(job)
            self.prompts += [row["prompt"] for row in rows]
            told = [{"label": row["label"], "completions": [row["label"]] * job.samples} for row in rows]
            Path(job.output).write_text("".join(json.dumps(row) + "\n" for row in told))


@pytest.fixture
def asked(jsonl):
    rows = [{"id": f"p{at}", "question": f"Write f{at}(a).", "tests": [f"assert f{at}(1) == 2"]} for at in range(5)]
    source = jsonl("problems.jsonl", rows)
    return lambda: read_questions(source)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(candidate_sampling, "SEQUENCES", 8)  # two problems of four samples a block


def test_every_problem_gets_its_own_completions(tiny_rm, asked, tmp_path, monkeypatch):
    engine, found = Engine(), asked()
    monkeypatch.setattr(candidate_sampling, "sample", engine)
    template = "{question}\nIt should pass {first_test}"
    chosen = Sampling(str(tiny_rm), 4, 0.8, 0.9, 7, template, assistant_prefix="```python\n", device="cpu", seed=3)
    fill(found, chosen, tmp_path)
    assert [[one.text for one in each.completions] for each in found] == [[f"```python\np{at}"] * 4 for at in range(5)]
    expected = "<|im_start|>user\nWrite f4(a).\nIt should pass assert f4(1) == 2<|im_end|>\n"
    expected += "<|im_start|>assistant\n```python\n"
    assert engine.prompts[4].endswith(expected)
    job = engine.jobs[0]
    assert (job.samples, job.temperature, job.top_p, job.max_new_tokens, job.device, job.seed) == (
        4, 0.8, 0.9, 7, "cpu", 3,
    )  # fmt: skip
    assert job.max_model_len > 7 + 20


def test_what_was_sampled_before_a_failure_is_not_sampled_again(tiny_rm, asked, tmp_path, monkeypatch):
    first, second = Engine(fails=2), Engine()
    monkeypatch.setattr(candidate_sampling, "sample", first)
    with pytest.raises(SamplingFailed):
        fill(asked(), Sampling(str(tiny_rm), 4, device="cpu"), tmp_path)
    monkeypatch.setattr(candidate_sampling, "sample", second)
    found = asked()
    fill(found, Sampling(str(tiny_rm), 4, device="cpu"), tmp_path)
    assert len(first.prompts) == 4 and len(second.prompts) == 1
    assert [each.completions[3].text for each in found] == ["p0", "p1", "p2", "p3", "p4"]


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("Solve it.", "prompt_template has no {question}"),
        ("{question} {tests}", "has {tests}, which stands for nothing"),
    ],
)
def test_prompts_that_cannot_be_made_are_told_before_an_engine_starts(
    template, told, tiny_rm, asked, tmp_path, monkeypatch
):
    engine = Engine()
    monkeypatch.setattr(candidate_sampling, "sample", engine)
    with pytest.raises(InputError) as error:
        fill(asked(), Sampling(str(tiny_rm), 4, device="cpu", prompt_template=template), tmp_path)
    assert told in str(error.value) and not engine.jobs
