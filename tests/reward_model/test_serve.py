"""A reward model on Ray Serve: the command as a user runs it, and an app within a job's Ray cluster."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from acecoder_rl.reward_model.client import RewardClient, RewardModelError
from acecoder_rl.reward_model.serve import ServeError, start_in_ray, stop
from tests.conftest import Cli
from tests.reward_model.rm_servers import quick

TOKEN = {"Authorization": "Bearer s3cret"}
PAIRS = [("Write add(a, b).", f"def add(a, b):\n    return a + b + {n}") for n in range(32)]


class Server:
    """`acecoder-rl serve-rm` as a process."""

    def __init__(self, model: Path, log: Path) -> None:
        command = [
            "-m",
            "acecoder_rl.cli",
            "serve-rm",
            model,
            "--port",
            "0",
            "--gpus-per-replica",
            "0",
            "--threads",
            "1",
        ]
        environment = {**os.environ, "ACECODER_RL_RM_TOKEN": "s3cret", "HF_HUB_OFFLINE": "1"}
        with log.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, *map(str, command)], stdout=out, stderr=out, env=environment
            )
        self.log = log
        end = time.monotonic() + 600
        while not (found := re.search(r"is served at (\S+)", log.read_text())):
            assert self.process.poll() is None and time.monotonic() < end, log.read_text()
            time.sleep(0.1)
        self.url = found[1]


@pytest.fixture(scope="module")
def server(tiny_rm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    served = Server(tiny_rm, tmp_path_factory.mktemp("serve") / "log")
    yield served
    served.process.kill()
    served.process.wait()


def test_clients_at_once_get_the_scorers_scores_in_few_batches(server: Server, tiny_rm: Path):
    from acecoder_rl.reward_model.scoring import RewardScorer

    async def ask() -> list[float]:
        client = RewardClient(server.url, token="s3cret")
        return [score for (score,) in await asyncio.gather(*(client.scores([pair]) for pair in PAIRS))]

    def figure(name: str) -> float:
        text = httpx.get(f"{server.url}/metrics", headers=TOKEN, timeout=120).text
        return float(re.search(rf"^acecoder_rm_{name}\S* (\S+)$", text, re.MULTILINE)[1])

    expected = RewardScorer(tiny_rm, device="cpu").score(PAIRS)
    batches = []
    for number in range(1, 11):  # so small a model may keep up with requests that come slowly, on a busy machine
        before = sum(batches)
        found = asyncio.run(ask())
        assert found == pytest.approx(expected, abs=1e-4) and len(set(found)) > 1
        assert figure("batch_items_sum") == number * len(PAIRS)
        batches.append(figure("batch_items_count") - before)
        if batches[-1] < len(PAIRS) / 2:
            break
    assert min(batches) < len(PAIRS) / 2, batches


def test_openrlhfs_contract_health_and_errors_come_through_serve(server: Server, tiny_rm: Path):
    body = {"query": ["Q: A"], "prompts": ["Q:"], "labels": [None]}
    answer = httpx.post(f"{server.url}/get_reward", json=body, headers=TOKEN, timeout=120).json()
    assert answer["rewards"] == answer["scores"] == answer["extra_logs"]["rm_score"]
    health = httpx.get(f"{server.url}/health", headers=TOKEN, timeout=120).json()
    assert (health["model"], health["format"], health["dtype"]) == (str(tiny_rm), "raw", "float32")
    assert httpx.post(f"{server.url}/score", json={"pairs": [["q"]]}, headers=TOKEN, timeout=120).status_code == 422
    assert httpx.post(f"{server.url}/score", json={"pairs": []}, timeout=120).status_code == 401
    client = RewardClient(server.url, format="acecode", token="s3cret")
    with pytest.raises(RewardModelError, match="format is 'acecode', but this server scores 'raw'"):
        asyncio.run(client.scores(PAIRS[:1]))


def test_only_the_loopback_is_listened_on_and_sigterm_ends_it_all(server: Server):
    import psutil

    family = [psutil.Process(server.process.pid), *psutil.Process(server.process.pid).children(recursive=True)]
    addresses = {c.laddr.ip for each in family for c in each.net_connections("tcp") if c.status == "LISTEN"}
    assert addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(180) == 0
    _, left = psutil.wait_procs(family[1:], 90)
    assert not left
    assert "Traceback" not in server.log.read_text()


def test_what_cannot_start_says_why(cli: Cli, tmp_path: Path):
    (tmp_path / "model").mkdir()
    done = cli("serve-rm", "model")
    assert (done.returncode, "model has no config.json" in done.stderr) == (1, True), done.stderr
    (tmp_path / "model" / "config.json").write_text("{}")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = cli("serve-rm", "model", "--port", taken.getsockname()[1], "--host", "0.0.0.0")
    assert (done.returncode, "Address already in use: choose another with --port" in done.stderr) == (1, True)
    assert "WARNING: 0.0.0.0 is open to everyone" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    import ray

    ray.init(
        address="local", num_cpus=2, include_dashboard=False, object_store_memory=128 * 2**20, log_to_driver=False,
        logging_level="error",
    )  # fmt: skip
    yield ray
    ray.shutdown()


def asked(endpoint: str, completions: list[str], format: str = "raw") -> list[float]:
    return asyncio.run(RewardClient(endpoint, format=format, retries=1).scores([("q", text) for text in completions]))


def test_an_app_in_the_jobs_cluster_needs_no_http(cluster: Any, tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    endpoint = start_in_ray(str(tmp_path), load=quick, name="rm-a")
    assert endpoint == "ray://rm-a"
    assert asked(endpoint, ["a", "bb"]) == [1.0, 2.0]

    @cluster.remote(num_cpus=0)
    class Rollout:  # as an engine's actor asks, many at once in its own loop
        async def scores(self) -> list[list[float]]:
            client = RewardClient(endpoint)
            return await asyncio.gather(*(client.scores([("q", "x" * n)]) for n in range(50)))

    assert cluster.get(Rollout.remote().scores.remote()) == [[float(n)] for n in range(50)]
    with pytest.raises(RewardModelError, match="format is 'acecode', but this server scores 'raw'"):
        asked(endpoint, ["a"], "acecode")
    with pytest.raises(RewardModelError, match="out of memory"):
        asked(endpoint, ["boom"])
    with pytest.raises(RewardModelError, match=r"ray://other: .*does the app 'other' run in this Ray cluster"):
        asked("ray://other", ["a"])

    from ray import serve

    assert not serve.status().proxies
    stop(endpoint)
    with pytest.raises(RewardModelError, match="rm-a"):
        asked(endpoint, ["a"])


def test_a_model_that_does_not_load_is_told_at_once(cluster: Any, tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ServeError, match="need 2, but Ray has 0: ask for fewer"):
        start_in_ray(str(tmp_path), load=quick, replicas=2, gpus_per_replica=1)
    with pytest.raises(ServeError, match="ValueError: the weights are torn"):
        start_in_ray(str(tmp_path), load=torn, name="rm-b")
    stop("ray://rm-b")


def torn(served: Any) -> Any:
    raise ValueError("the weights are torn")
