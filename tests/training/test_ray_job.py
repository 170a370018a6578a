"""A job gets what it needs, is followed over lost connections, and stopping it waits for its end.

The cluster is a stand-in that packs the folder by Ray's own code, keeps the job's log and runs nothing; a real one
is in runs/.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import zipfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from acecoder_rl.training import ray_job, ray_package
from acecoder_rl.training.errors import RunFailed, Stopped
from acecoder_rl.training.load import load_recipe
from acecoder_rl.training.recipe import RecipeError
from acecoder_rl.training.run_folder import git_state

pytest.importorskip("aiohttp", reason="ray[default] is not installed")
job_submission = pytest.importorskip("ray.job_submission")

RECIPE = (
    (Path(__file__).parent / "recipes" / "cpu.yaml")
    .read_text()
    .replace("runs/models/smollm2-135m-instruct", "o/m")
    .replace("  eval: starter:eval\n", "")
    .replace("starter:train", "starter:eval")
)
AWAY = ["logging.folder=/shared/run"]


class Cluster:
    """Answers as JobSubmissionClient; each item of `tails` is what one connection to the log brings, and its end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tails: list[list[Any]] = [["step 1\n"]]
        self.statuses = ["RUNNING", "SUCCEEDED"]
        self.submitted: dict[str, Any] = {}
        self.stopped = False

    def __call__(self, address: str) -> Cluster:
        return self

    def get_address(self) -> str:
        return "http://head:8265"

    def submit_job(self, entrypoint: str, runtime_env: dict[str, Any]) -> str:
        from ray._private.ray_constants import get_runtime_env_default_excludes
        from ray._private.runtime_env.packaging import create_package

        excludes = get_runtime_env_default_excludes() + runtime_env["excludes"]
        create_package(runtime_env["working_dir"], self.folder / "sent.zip", True, excludes=excludes)
        zipfile.ZipFile(self.folder / "sent.zip").extractall(self.folder / "there")
        self.submitted = runtime_env | {"entrypoint": entrypoint}
        return "raysubmit_1"

    def get_job_status(self, job: str) -> Any:
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if status == "down":
            raise ConnectionError("refused")
        return job_submission.JobStatus(status)

    async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        for item in self.tails.pop(0) if len(self.tails) > 1 else self.tails[0]:
            if isinstance(item, Exception):
                raise item
            if callable(item):
                item()
            else:
                yield item

    def stop_job(self, job: str) -> bool:
        self.stopped = True
        self.statuses, self.tails = ["RUNNING", "STOPPED"], [["step 1\nsaved\n"]]
        return True


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "my.yaml").write_text(RECIPE)
    monkeypatch.chdir(folder)
    for name in ray_job.PASSED_ON:
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster(tmp_path)
    monkeypatch.setattr(job_submission, "JobSubmissionClient", made)
    monkeypatch.setattr(ray_job, "AGAIN", 0.01)
    return made


@pytest.fixture
def started(cluster: Cluster, tmp_path: Path) -> Callable[[], list[str]]:
    """Runs the job's command as Ray does, with a `python` that tells its arguments and the recipe it finds."""

    def run() -> list[str]:
        python = tmp_path / "bin" / "python"
        python.parent.mkdir()
        python.write_text('#!/bin/sh\necho "$@"\ncat "$4"\n')
        python.chmod(0o755)
        path = f"{python.parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            cluster.submitted["entrypoint"], shell=True, cwd=tmp_path / "there", env={"PATH": path},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.split("\n", 1)

    return run


def _submit(recipe: str | Path = "my.yaml", *more: str, resume: bool = False) -> None:
    ray_job.submit("http://head:8265", Path(recipe), [*AWAY, *more], resume)


def _refused(*more: str) -> str:
    with pytest.raises(RecipeError) as error:
        _submit("my.yaml", *more)
    return str(error.value)


# What the job gets


def test_a_recipe_of_this_folder_is_shipped_with_it(here, cluster, started):
    _submit()
    command, text = started()
    assert command == "-m acecoder_rl.cli train my.yaml --set logging.folder=/shared/run"
    assert text == RECIPE


@pytest.mark.parametrize("place", ["runs/slower/recipe.yaml", "secret/it's $HOME.yaml", "../beside.yaml"])
def test_a_recipe_that_is_not_shipped_comes_with_the_command(here, cluster, started, place):
    (here / ".gitignore").write_text("secret/\n/runs/\n")
    text = RECIPE + "# it's 100% of `$HOME`\\n\n"
    (here / place).parent.mkdir(parents=True, exist_ok=True)
    (here / place).write_text(text)
    _submit(place, resume=True)
    command, found = started()
    assert found == text
    assert command == (
        f"-m acecoder_rl.cli train submitted/{Path(place).name} --set logging.folder=/shared/run --resume"
    )


@pytest.mark.parametrize(("base", "alone"), [("my.yaml", False), ("../beside.yaml", True)])
def test_a_recipe_comes_with_the_one_it_is_based_on(here, cluster, started, base, alone):
    (here.parent / "beside.yaml").write_text(RECIPE)
    (here / "own.yaml").write_text(f"base: {base}\ntrain: {{seed: 7}}\n")
    _submit("own.yaml")
    command, found = started()
    assert command.startswith(f"-m acecoder_rl.cli train {'submitted/' if alone else ''}own.yaml --set")
    assert ("base:" not in found) == alone
    (here / "there.yaml").write_text(found)
    assert load_recipe(here / "there.yaml", AWAY) == load_recipe(here / "own.yaml", AWAY)


def test_runs_stay_here_and_folders_of_that_name_deeper_down_do_not(here, cluster, tmp_path):
    for name in ("runs/a/model.bin", "mine/runs/code.py", ".venv/x.py", "pkg/__pycache__/x.pyc", "ignored.txt"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text("x")
    (here / ".rayignore").write_text("ignored.txt\n")
    _submit()
    sent = {name for name in zipfile.ZipFile(tmp_path / "sent.zip").namelist() if not name.endswith("/")}
    assert sent == {"my.yaml", "mine/runs/code.py", ".rayignore"}
    assert sent == {str(path) for path in ray_package.shipped(here)}


@pytest.mark.parametrize("path", ["runs/model", "../model", "ignored/model"])
def test_models_and_data_that_would_stay_here_are_told(here, cluster, path):
    (here / ".gitignore").write_text("ignored/\n")
    (here / path).mkdir(parents=True)
    (here / path / "config.json").write_text("{}")
    assert f"my.yaml: model.path is {path!r}, which the job would not get" in (said := _refused(f"model.path={path}"))
    assert "put it on storage that the nodes share and give its absolute path" in said
    assert not cluster.submitted


def test_data_that_only_the_cluster_has_is_left_to_it(here, cluster, capsys):
    _submit("my.yaml", "data.train=/shared/aces.parquet")
    assert "unchecked: data.train.0.path /shared/aces.parquet is not here" in capsys.readouterr().err
    assert "data.train=/shared/aces.parquet" in cluster.submitted["entrypoint"]


def test_other_mistakes_are_told_beside_data_that_only_the_cluster_has(here, cluster):
    said = _refused("data.train=/shared/aces.parquet", "data.eval=near.jsonl", "resources.gpus_per_node=1")
    assert "data.eval.0.path is 'near.jsonl', which does not exist" in said
    assert "resources.gpus_per_node is 1" in said
    assert "aces" not in said


def test_what_openrlhf_refuses_is_told_beside_data_that_only_the_cluster_has(here, cluster):
    pytest.importorskip("openrlhf")
    said = _refused("data.train=/shared/aces.parquet", "openrlhf.actor.no_such_flag=1")
    assert "openrlhf.actor.no_such_flag is not known to OpenRLHF" in said


def test_a_folder_of_the_run_that_ends_with_the_job_is_told(here, cluster):
    with pytest.raises(RecipeError, match="'runs/my', which would be in the job's own copy"):
        ray_job.submit("http://head:8265", Path("my.yaml"), [], False)


def test_a_folder_too_large_for_ray_is_told_with_what_is_large(here, cluster):
    with (here / "big.bin").open("wb") as file:
        file.truncate(101 * 2**20)
    with pytest.raises(RunFailed, match=r"takes 100 MiB.*\.rayignore or \.gitignore.*big\.bin \(101 MiB\)"):
        _submit()
    (here / ".gitignore").write_text("*.bin\n")
    _submit()


# Its environment


def test_tokens_reach_the_job_and_are_told_by_name_alone(here, cluster, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("WANDB_API_KEY", "")
    _submit()
    said = capsys.readouterr().err
    assert cluster.submitted["env_vars"] == {"HF_TOKEN": "hf_secret", "RAY_JOB_STOP_WAIT_TIME_S": "60"}
    assert "to be seen in Ray's dashboard: HF_TOKEN\n" in said
    assert "hf_secret" not in said + cluster.submitted["entrypoint"]


def test_the_git_state_of_shipped_code_goes_with_it(cluster, monkeypatch, tmp_path):
    root = Path(ray_job.__file__).parents[2]
    if git_state(root) is None:
        pytest.skip("not a checkout")
    (tmp_path / "my.yaml").write_text(RECIPE)
    monkeypatch.chdir(root)
    _submit(tmp_path / "my.yaml")
    assert json.loads(cluster.submitted["env_vars"]["ACECODER_RL_GIT"])["commit"] == git_state(root)["commit"]


# Following it


@pytest.mark.parametrize("end", [[RuntimeError("closed with code 1006")], [ConnectionError("reset")], []])
def test_lost_connections_neither_end_it_nor_print_a_line_twice(here, cluster, capsys, end):
    cluster.statuses = ["RUNNING", "RUNNING", "down", "RUNNING", "SUCCEEDED"]
    cluster.tails = [["a\nb\n", *end], ["a\n", "b\nc", *end], ["a\n", *end], ["a\nb\nc\nd\n"]]
    _submit()
    log = capsys.readouterr().err.partition("logging.folder=/shared/run\n")[2]
    assert re.subn("the connection to the job was lost .*; the job goes on, trying again\n", "", log) == (
        "a\nb\nc\nd\n",
        1,
    )


def test_a_connection_that_went_silent_is_made_anew(here, cluster, monkeypatch, capsys):
    async def tail(job):
        import asyncio

        yield "a\n"
        if cluster.statuses != ["SUCCEEDED"]:
            await asyncio.sleep(60)
        yield "b\n"

    monkeypatch.setattr(ray_job, "SILENCE", 0.05)
    monkeypatch.setattr(cluster, "tail_job_logs", tail)
    _submit()
    assert capsys.readouterr().err.endswith("a\nb\n")


def test_a_cluster_that_never_answers_again_is_given_up(here, cluster, monkeypatch):
    monkeypatch.setattr(ray_job, "GIVE_UP", 0.1)
    cluster.statuses, cluster.tails = ["down"], [[ConnectionError("refused")]]
    with pytest.raises(RunFailed, match="ray job logs --address http://head:8265 --follow raysubmit_1"):
        _submit()


def test_a_failed_job_names_its_log(here, cluster):
    cluster.statuses = ["FAILED"]
    with pytest.raises(RunFailed, match=r"job raysubmit_1: FAILED; its whole log: /shared/run/train\.log"):
        _submit()


# Stopping it


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_waits_for_the_end_and_shows_the_last_words(here, cluster, capsys, number):
    assert threading.current_thread() is threading.main_thread()
    cluster.tails = [["step 1\n", lambda: os.kill(os.getpid(), number)], ["step 1\n"]]
    cluster.statuses = ["RUNNING"]
    with pytest.raises(Stopped) as stopped:
        _submit()
    assert cluster.stopped and stopped.value.number == number
    assert str(stopped.value) == f"stopped by {number.name}: job raysubmit_1 has ended (STOPPED)"
    said = capsys.readouterr().err
    assert said.count("step 1\n") == 1 and said.endswith("saved\n")


def test_a_job_that_does_not_end_or_cannot_be_told_is_not_called_ended(here, cluster, monkeypatch):
    monkeypatch.setattr(ray_job, "STOP_SECONDS", -9.9)
    monkeypatch.setattr(cluster, "stop_job", lambda job: True)
    cluster.tails, cluster.statuses = [[lambda: os.kill(os.getpid(), signal.SIGINT)], []], ["RUNNING"]
    with pytest.raises(Stopped, match="has not ended after"):
        _submit()

    def down(job):
        raise ConnectionError("refused")

    monkeypatch.setattr(cluster, "stop_job", down)
    cluster.tails = [[lambda: os.kill(os.getpid(), signal.SIGINT)]]
    with pytest.raises(Stopped, match="may be going on: ray job stop --address http://head:8265 raysubmit_1"):
        _submit()


def test_ray_reads_how_long_stopping_may_take_from_the_jobs_environment():
    file = Path(sys.modules["ray"].__file__).parent / "dashboard" / "modules" / "job" / "job_supervisor.py"
    assert '"RAY_JOB_STOP_WAIT_TIME_S"' in file.read_text()


def test_workers_keep_what_the_job_brings_beside_what_the_driver_adds():
    from ray.runtime_env.runtime_env import _merge_runtime_env

    job = {"working_dir": "gcs://_ray_pkg_1.zip", "env_vars": {"HF_TOKEN": "x", "NCCL_DEBUG": "INFO"}}
    driver = {"env_vars": {"NCCL_DEBUG": "WARN"}, "worker_process_setup_hook": "a.b"}
    merged = _merge_runtime_env(job, driver, override=True)
    assert merged == {
        "working_dir": "gcs://_ray_pkg_1.zip",
        "env_vars": {"HF_TOKEN": "x", "NCCL_DEBUG": "WARN"},
        "worker_process_setup_hook": "a.b",
    }
