"""`acecoder-rl train --address`: a run as a job of a Ray cluster that is there already."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.training.runs.looks import HERE, left_behind, reports

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """A head node with its dashboard; the address of that."""
    pytest.importorskip("opencensus", reason="ray[default] is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--port=0", "--num-cpus=8",
               "--num-gpus=4", f"--dashboard-port={port}", "--dashboard-host=127.0.0.1", "--include-dashboard=true",
               "--disable-usage-stats"]  # fmt: skip
    environment = os.environ | {
        "PYTHONPATH": str(HERE),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    with (tmp_path / "ray.log").open("w") as log:
        head = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    address = f"http://127.0.0.1:{port}"
    try:
        _until_it_answers(address, head)
        yield address
    finally:
        os.killpg(head.pid, signal.SIGTERM)
        head.wait(30)
        for _ in range(100):
            if not left_behind():
                break
            time.sleep(0.2)


def test_a_run_is_shipped_followed_and_ends(cluster, recipe, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    file = recipe(reward={"kind": "pass_rate", "parts": None})
    text = file.read_text().replace("  parts: null\n", "").replace(f"{tmp_path}/problems12.jsonl", "problems12.jsonl")
    (folder / "tiny.yaml").write_text(text)
    shutil.move(tmp_path / "problems12.jsonl", folder)

    done = subprocess.run(
        [sys.executable, "-m", "acecoder_rl.cli", "train", "tiny.yaml", "--address", cluster],
        cwd=folder, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "step 3/3" in done.stderr
    run = tmp_path / "run"
    assert [row["step"] for row in reports(run, "train")] == [1, 2, 3]
    assert (run / "model" / "config.json").exists()

    # What cannot work there is told here, before anything is sent.
    (folder / "near.yaml").write_text(text.replace(str(run), "runs/near"))
    refused = subprocess.run(
        [sys.executable, "-m", "acecoder_rl.cli", "train", "near.yaml", "--address", cluster],
        cwd=folder, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert refused.returncode == 2 and "give an absolute path on storage that the nodes share" in refused.stderr


def _until_it_answers(address: str, head: subprocess.Popen) -> None:
    end = time.monotonic() + 90
    while True:
        try:
            with urllib.request.urlopen(f"{address}/api/jobs/", timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            assert head.poll() is None and time.monotonic() < end
            time.sleep(0.5)
