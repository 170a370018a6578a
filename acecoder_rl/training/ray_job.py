"""A training run as a job of a running Ray cluster: `acecoder-rl train RECIPE --address http://head:8265`.

Covers: shipping this folder, starting `acecoder-rl train` there, its progress here, stopping it from here.
Does not cover: the run itself, which is the same there (train.py), what is shipped (ray_package.py), starting a
    cluster (slurm/).
"""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from acecoder_rl.training import ray_package, yaml_text
from acecoder_rl.training.errors import NotInstalled, RunFailed, Stopped
from acecoder_rl.training.launch import signals_raise
from acecoder_rl.training.load import load_recipe
from acecoder_rl.training.openrlhf_parser import check_arguments
from acecoder_rl.training.plan import arguments, explain
from acecoder_rl.training.recipe import Recipe, RecipeError
from acecoder_rl.training.recipe_file import read_document
from acecoder_rl.training.run_folder import GIT, git_state

# Of the submitting shell, which the job's processes need and would not have.
PASSED_ON = ("HF_TOKEN", "HF_HOME", "HF_ENDPOINT", "WANDB_API_KEY", "WANDB_BASE_URL")
COPY = "submitted"  # folder in the job's copy for a recipe that is not shipped
# Ray kills a job that it stops after 3 seconds; ours ends Ray's workers and engines first (launch.py).
STOP_SECONDS = 60
AGAIN = 2.0  # seconds between attempts to reach the cluster
SILENCE = 300.0  # seconds without a line, after which a connection may be dead without having said so
GIVE_UP = 600.0  # seconds without any answer


def submit(address: str, recipe_file: Path, overrides: Iterable[str], resume: bool) -> None:
    """Run there, following it to its end; Ctrl-C and SIGTERM stop it there.

    Args:
        address: of the cluster's dashboard.

    Raises:
        RecipeError: what is wrong with the recipe, as far as it can be told here.
        NotInstalled: this Python has no ray[default].
        RunFailed: the job failed, or the cluster cannot be reached.
        Stopped: a signal came; the job has been stopped.
    """
    overrides = list(overrides)
    recipe = load_recipe(recipe_file, overrides)
    try:
        import aiohttp  # noqa: F401  (Ray's client does without, and fails later)
        from ray.exceptions import AuthenticationError
        from ray.job_submission import JobSubmissionClient
    except ImportError as error:
        raise NotInstalled(f"--address needs Ray's job client ({error}): pip install 'ray[default]==2.55.0'") from error
    files = ray_package.shipped(Path.cwd())
    wrong = _mistakes(recipe, str(recipe_file))
    wrong += [f"{recipe_file}: {line}" for line in ray_package.missing(recipe, files)]
    if wrong:
        raise RecipeError(wrong)
    if reason := ray_package.too_large(files):
        raise RunFailed(reason)
    for field, path in ray_package.elsewhere(recipe):
        _tell(f"unchecked: {field} {path} is not here; the job looks for it there")

    place, write = _recipe_there(recipe_file, files)
    command = ["python", "-m", "acecoder_rl.cli", "train", place]
    command += [part for override in overrides for part in ("--set", override)] + ["--resume"] * resume
    try:
        client = JobSubmissionClient(address)
        job = client.submit_job(
            entrypoint=write + shlex.join(command),
            runtime_env={"working_dir": ".", "excludes": ray_package.LEFT_OUT, "env_vars": _environment(files)},
        )
    except (OSError, RuntimeError, ValueError, AuthenticationError) as error:
        raise RunFailed(f"{address} takes no job: {error}") from error
    _tell(f"job {job} at {client.get_address()}: {shlex.join(command)}")
    log = _Log(client, job)
    with signals_raise():
        try:
            status = asyncio.run(log.follow())
        except Stopped as stopped:
            raise Stopped(stopped.number, _stop(log, stopped.number)) from None
    if status != "SUCCEEDED":
        raise RunFailed(f"job {job}: {status.value}; its whole log: {recipe.logging.folder}/train.log")


def _mistakes(recipe: Recipe, where: str) -> list[str]:
    """What can be told here; of data that only the cluster has, nothing."""
    wrong: list[str] = []
    try:
        explain(recipe, where)
    except RecipeError as error:
        there = tuple(f"{where}: {field.removesuffix('path')}" for field, _ in ray_package.elsewhere(recipe))
        wrong += [line for line in error.mistakes if not line.startswith(there)]
        if not wrong:  # it ended before this
            with suppress(NotInstalled):
                check_arguments(arguments(recipe), where)
    folder = recipe.logging.folder or ""
    if not os.path.isabs(folder):
        wrong.append(
            f"{where}: logging.folder is {folder!r}, which would be in the job's own copy of this folder: "
            "give an absolute path on storage that the nodes share"
        )
    return wrong


def _recipe_there(recipe_file: Path, files: Iterable[Path]) -> tuple[str, str]:
    """Where the job finds the recipe, and the shell's words that put it there if it is not shipped."""
    file = Path(recipe_file).resolve()
    read = read_document(os.fspath(recipe_file), Recipe)
    based_on = [Path(each).resolve() for each in read.files]
    if all(
        each.is_relative_to(Path.cwd()) and ray_package.holds(files, each.relative_to(Path.cwd())) for each in based_on
    ):
        return str(file.relative_to(Path.cwd())), ""
    place = f"{COPY}/{file.name}"
    whole = file.read_text(encoding="utf-8") if len(based_on) == 1 else yaml_text.write(read.values)
    text = shlex.quote(whole)
    return place, f"mkdir -p {COPY} && printf %s {text} > {shlex.quote(place)} && exec "


def _environment(files: Iterable[Path]) -> dict[str, str]:
    """Of all the job's processes: Ray's job supervisor, the launcher, the workers."""
    passed_on = {name: os.environ[name] for name in PASSED_ON if os.environ.get(name)}
    if passed_on:
        _tell(f"passed on to the job, and to be seen in Ray's dashboard: {', '.join(passed_on)}")
    environment = passed_on | {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_SECONDS)}
    # Where this acecoder_rl is not shipped, the one that is installed there runs.
    file = Path(__file__).resolve()
    shipped = file.is_relative_to(Path.cwd()) and ray_package.holds(files, file.relative_to(Path.cwd()))
    if shipped and (state := git_state(file.parent)):
        state["changed"] = state["changed"][:100]
        environment[GIT] = json.dumps(state)
    return environment


class _Log:
    """A job's log: every character printed once, though Ray tells it from the beginning each time it is asked."""

    def __init__(self, client: Any, job: str) -> None:
        self.client = client
        self.job = job
        self._printed = 0
        self._heard = time.monotonic()
        self._told = False

    async def follow(self) -> Any:
        """Print it until the job has ended, over lost connections; the job's status."""
        from aiohttp import ClientError

        lost = (OSError, RuntimeError, ClientError)
        while True:
            status = None
            try:
                status = self.client.get_job_status(self.job)
                self._heard = time.monotonic()
            except lost as error:
                self._lost(error)
            try:
                await self._print()
            except lost as error:
                self._lost(error)
            if status is not None and status.is_terminal():  # before the log was read, so that was all of it
                return status
            if time.monotonic() - self._heard > GIVE_UP:
                raise RunFailed(
                    f"job {self.job}: no answer for {GIVE_UP / 60:.0f} minutes; it may be going on: "
                    f"ray job logs --address {self.client.get_address()} --follow {self.job}"
                )
            await asyncio.sleep(AGAIN)

    async def _print(self) -> None:
        seen = 0
        chunks = self.client.tail_job_logs(self.job)
        while True:
            try:
                async with asyncio.timeout(SILENCE):
                    text = await anext(chunks)
            except (StopAsyncIteration, TimeoutError):
                return
            self._heard = time.monotonic()
            new = text[max(0, self._printed - seen) :]
            seen += len(text)
            self._printed = max(self._printed, seen)
            print(new, end="", file=sys.stderr, flush=True)

    def _lost(self, error: Exception) -> None:
        if not self._told:
            _tell(f"the connection to the job was lost ({error}); the job goes on, trying again")
        self._told = True


def _stop(log: _Log, number: int) -> str:
    """Have the job end, and wait for that; what became of it."""
    by = f"stopped by {signal.Signals(number).name}"
    address = log.client.get_address()
    _tell(f"stopping job {log.job}: up to {STOP_SECONDS} s, in which it ends all that it started")
    try:
        log.client.stop_job(log.job)
    except (OSError, RuntimeError) as error:
        return (
            f"{by}, but job {log.job} could not be told ({error}) and may be going on: "
            f"ray job stop --address {address} {log.job}"
        )
    try:
        # Somewhat longer than Ray, which then kills it.
        status = asyncio.run(asyncio.wait_for(log.follow(), STOP_SECONDS + 10))
    except (TimeoutError, RunFailed):
        return f"{by}, but job {log.job} has not ended after {STOP_SECONDS + 10} s: see {address}"
    return f"{by}: job {log.job} has ended ({status.value})"


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
