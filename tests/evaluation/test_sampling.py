"""A failed engine is told by its last lines, and before an engine is loaded for nothing.

Does not cover: sampling itself, which needs a model (`make quickstart`).
"""

from __future__ import annotations

import pytest

from acecoder_rl.evaluation.sampling import Job, SamplingFailed, sample


def test_a_failure_ends_with_the_engines_last_words(tmp_path):
    log = tmp_path / "engine.log"
    log.write_text("of an evaluation before\n" * 5)
    job = Job("org/model", str(tmp_path / "no.jsonl"), str(tmp_path / "out.jsonl"), 1, 0.0, 8, 16, "gpu")
    with pytest.raises(SamplingFailed) as failed:
        sample([job], log)
    first, *last = str(failed.value).splitlines()
    assert first == "sampling from org/model ended with status 1:"
    assert last[-2] == f"FileNotFoundError: [Errno 2] No such file or directory: '{job.prompts}'"
    assert last[-1] == f"all of it: {log}" and len(last) <= 6
    assert log.read_text().startswith("of an evaluation before\n") and last[-2] in log.read_text()
    assert not (tmp_path / "out.jsonl").exists()
