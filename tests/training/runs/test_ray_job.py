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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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


@pytest.fixture
def mine(recipe: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    """Makes a folder with a recipe and its problems, as one has on one's own machine."""

    def make(**sections: dict[str, Any]) -> Path:
        folder = tmp_path / "mine"
        folder.mkdir()
        file = recipe(reward={"kind": "pass_rate", "parts": None}, **sections)
        text = file.read_text().replace("  parts: null\n", "")
        text = text.replace(f"{tmp_path}/problems12.jsonl", "problems12.jsonl")
        (folder / "tiny.yaml").write_text(text)
        shutil.move(tmp_path / "problems12.jsonl", folder)
        return folder

    return make


def test_a_run_is_shipped_followed_and_ends(cluster, mine, tmp_path):
    folder = mine()
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
    (folder / "near.yaml").write_text((folder / "tiny.yaml").read_text().replace(str(run), "runs/near"))
    refused = subprocess.run(
        [sys.executable, "-m", "acecoder_rl.cli", "train", "near.yaml", "--address", cluster],
        cwd=folder, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert refused.returncode == 2 and "give an absolute path on storage that the nodes share" in refused.stderr


def test_ctrl_c_here_ends_it_there_in_order(cluster, mine, tmp_path):
    folder = mine(train={"episodes": 100})
    submitted = subprocess.Popen(
        [sys.executable, "-m", "acecoder_rl.cli", "train", "tiny.yaml", "--address", cluster],
        cwd=folder, env=os.environ | {"HF_TOKEN": "hf_secret"}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert submitted.stderr is not None
    said = ""
    while "step 2/" not in said and (line := submitted.stderr.readline()):
        said += line
    submitted.send_signal(signal.SIGINT)
    said += submitted.communicate(timeout=120)[1]
    assert submitted.returncode == 130, said
    assert "stopped by SIGTERM: step " in said, said  # the launcher's own last words, there
    assert "stopped by SIGINT: job raysubmit_" in said and "has ended (STOPPED)" in said, said
    assert "to be seen in Ray's dashboard: HF_TOKEN" in said and "hf_secret" not in said
    for file in (tmp_path / "run").glob("*.json"):
        assert "hf_secret" not in file.read_text()


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
