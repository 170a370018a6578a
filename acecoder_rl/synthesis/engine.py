"""Asking a vLLM engine of our own: the process it lives in, kept for the next chunk.

Covers: starting it, sending it a chunk of requests, its answers one by one, its end; one engine at a time, as they
    would share the memory.
Does not cover: the engine itself (engine_process.py).
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from acecoder_rl.evaluation.ledger import fingerprint
from acecoder_rl.evaluation.sampling import engine_environment
from acecoder_rl.records import InputError
from acecoder_rl.synthesis.answers import Answers
from acecoder_rl.synthesis.asking import Done, Job
from acecoder_rl.synthesis.budget import Budget
from acecoder_rl.synthesis.models import Answer, AskStopped, Engine, Failed, Request
from acecoder_rl.training.model_path import resolve
from acecoder_rl.training.recipe import RecipeError

LOG = "engine.log"  # beside the cache
LAST_LINES = 8  # of the log, in a message
LAST_WORDS_SECONDS = 60.0


class EngineDown(AskStopped):
    """The engine's process failed; the message has its last lines."""


@dataclass
class _Kept:
    model: Engine
    process: subprocess.Popen[str]
    answers: IO[str]
    log: Path


_kept: _Kept | None = None


def decides(model: Engine, request: Request) -> dict[str, Any]:
    """All that decides an answer, but its index."""
    structured = model.structured if request.json_schema else "none"
    return {
        "engine": model.path,
        "weights": fingerprint(model.path),
        "max_model_len": model.max_model_len,
        "arguments": model.engine,
        "chat": model.chat,
        "messages": request.messages,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "max_tokens": request.max_tokens,
        "seed": request.seed,
        "structured": structured,
        "schema": request.json_schema if structured == "json_schema" else None,
        "prefix": request.assistant_prefix,
        **({"stop": list(request.stop)} if request.stop else {}),  # older caches have none
    }


def run(model: Engine, jobs: list[Job], done: Done, cache: Answers, budget: Budget) -> None:
    """Sample what is missing; `done` is told each request's answers as they come.

    Raises:
        EngineDown: the engine does not start, or failed.
        InputError: `path` can be no model.
    """
    # Not the samples' seeds alone: on CPU the engine's is all there is, and what an engine that was started anew
    # samples must not be what the first had for other indices.
    kept = _started(model, cache.path.with_name(LOG), int.from_bytes(jobs[0].keys[0][:4]) >> 1)
    try:
        _send(kept, model, jobs)
        left = len(jobs)
        while left:
            line = kept.answers.readline()
            if not line.endswith("\n"):  # none, or half of one
                raise BrokenPipeError
            told = json.loads(line)
            job = jobs[told["job"]]
            left -= 1
            if told["failed"]:
                for index in job.indices:
                    done(job, index, Failed("too_long", told["failed"]))
                continue
            for number, (index, (text, finish, tokens)) in enumerate(zip(job.indices, told["answers"], strict=True)):
                done(job, index, Answer(text, finish, 0 if number else told["tokens_in"], tokens))
    except BrokenPipeError:
        with suppress(subprocess.TimeoutExpired):
            kept.process.wait(LAST_WORDS_SECONDS)  # it closes the pipe before it tells why
        stop()
        last = "\n".join(kept.log.read_text(errors="replace").splitlines()[-LAST_LINES:])
        raise EngineDown(
            f"the engine of {model.path} ended with status {kept.process.returncode}:\n{last}\nall of it: {kept.log}; "
            "answers so far are kept: run the same again to go on"
        ) from None
    except BaseException:
        stop()  # it is busy with what nobody waits for
        raise


def stop() -> None:
    """End the engine's process, if there is one."""
    global _kept
    if _kept is not None:
        kept, _kept = _kept, None
        kept.process.kill()
        kept.process.wait()
        kept.answers.close()


atexit.register(stop)


def _started(model: Engine, log: Path, seed: int) -> _Kept:
    global _kept
    if _kept is not None and _kept.model == model and _kept.process.poll() is None:
        return _kept
    stop()
    try:
        path = resolve(model.path)
    except RecipeError as error:
        raise InputError(f"path: {error}") from None
    ours, its = os.pipe()
    command = [sys.executable, "-m", "acecoder_rl.synthesis.engine_process", str(its)]
    with log.open("ab") as file:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=file,
            stderr=file,
            pass_fds=(its,),
            env=os.environ | engine_environment(model.device, model.threads),
            start_new_session=True,  # Ctrl-C is ours
            text=True,
        )
    os.close(its)
    _kept = _Kept(model, process, os.fdopen(ours, encoding="utf-8"), log)
    setting = model.model_dump() | {"path": path, "seed": seed}
    with suppress(BrokenPipeError):  # told by whoever reads from it
        _write(_kept, setting)
    return _kept


def _send(kept: _Kept, model: Engine, jobs: list[Job]) -> None:
    for number, job in enumerate(jobs):
        request = job.request
        line = {
            "job": number,
            "messages": request.messages,
            "n": len(job.indices),
            "temperature": request.temperature,
            "top_p": request.top_p,
            "max_tokens": request.max_tokens,
            "seed": request.seed_of(job.indices[0]),
            "schema": request.json_schema,
            "prefix": request.assistant_prefix or "",
            "stop": list(request.stop),
        }
        _write(kept, line)
    _write(kept, None)


def _write(kept: _Kept, line: Any) -> None:
    assert kept.process.stdin is not None
    kept.process.stdin.write(json.dumps(line) + "\n")
    kept.process.stdin.flush()
