"""What the tests on Slurm share: the cluster, a tiny recipe, submitting as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.slurm.cluster import Cluster
from tests.training.conftest import tokenizer_folder  # noqa: F401
from tests.training.runs.conftest import problems, recipe, tiny_model  # noqa: F401
from tests.training.runs.looks import HERE

ROOT = Path(__file__).parents[2]
GOING_ON = ("PENDING", "RUNNING", "COMPLETING", "REQUEUED", "SIGNALING")
PATIENCE = 1800  # seconds, of a machine that has much else to do
SMALL = ("--cpus-per-task=2", "--mem=6G", "--time=60")


@pytest.fixture(scope="session")
def slurm() -> Iterator[Cluster]:
    """Two nodes, n1 and n2, on this machine."""
    cluster = Cluster()
    yield cluster
    cluster.close()


@pytest.fixture
def sbatch(slurm: Cluster, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """`sbatch SCRIPT ARGUMENTS` from the checkout; the job's number. Its output comes to tmp_path/job-<number>.

    With `--wait` among the options sbatch ends when the job does, and with its status, which must be 0 then.
    """
    jobs: list[str] = []
    # What stands in for the user's environment: this Python, and the rewards of the run tests.
    environment = os.environ | slurm.environment | {"COLUMNS": "200"}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"

    def submit(script: str, *arguments: object, options: tuple[str, ...] = (), quick: bool = False) -> str:
        path = f"{HERE.parents[1] / 'slurm' / 'quick'}" if quick else str(HERE)
        to = f"--output={tmp_path}/job-%A" + ("-%a" if "--array" in str(options) else "")
        done = subprocess.run(
            ["sbatch", "--parsable", *SMALL, to, *options, f"slurm/{script}", *map(str, arguments)],
            cwd=ROOT,
            env=environment | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, f"{done.stderr}\n{output(tmp_path)}"
        jobs.append(done.stdout.strip())
        return jobs[-1]

    yield submit
    slurm.cancel(*jobs)


@pytest.fixture
def finished(slurm: Cluster, tmp_path: Path) -> Callable[..., tuple[str, str]]:
    """Waits for a job; its state (COMPLETED, FAILED, ...) and exit code, and all its output."""

    def wait(number: str, seconds: float = PATIENCE) -> tuple[str, str]:
        end = time.monotonic() + seconds
        while (job := slurm.job(number))["JobState"] in GOING_ON:
            assert time.monotonic() < end, f"{job}\n{output(tmp_path)}"
            time.sleep(0.3)
        return f"{job['JobState']} {job['ExitCode']}", output(tmp_path)

    return wait


@pytest.fixture
def said(slurm: Cluster, tmp_path: Path) -> Callable[[str, str], None]:
    """Waits until a job has said something; it may not end before."""

    def wait(number: str, words: str, seconds: float = PATIENCE) -> None:
        end = time.monotonic() + seconds
        file = tmp_path / f"job-{number}"
        while True:
            state = slurm.job(number)["JobState"]
            if file.exists() and words in file.read_text(errors="replace"):
                return
            assert state in GOING_ON and time.monotonic() < end, f"{state}: {output(tmp_path)}"
            time.sleep(0.3)

    return wait


def output(folder: Path) -> str:
    """What the jobs have said so far, and the logs of their nodes."""
    files = [*sorted(folder.glob("job-*")), *sorted(folder.rglob("nodes/*.log"))]
    return "\n".join(f"=== {file}\n{file.read_text(errors='replace')}" for file in files)
