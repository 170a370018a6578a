"""Runs a recipe in children that may be killed: `python -m tests.synthesis.killed RECIPE`.

Each line of stdin begins a child: "FOLDER SECONDS" kills it after so many seconds, "FOLDER" lets it end by itself; a
line of stdout tells "killed" or "finished STATUS". The children are forked, so that no kill is wasted on imports.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import datasketch  # noqa: F401 (as the rest below: it would be loaded on first use)
import openai  # noqa: F401
import plotly.graph_objects  # noqa: F401
import pyarrow.parquet  # noqa: F401

import acecoder_rl.sandbox.pool
import acecoder_rl.training.splits  # noqa: F401
from acecoder_rl.synthesis import build, hard, pairs, stage_table
from acecoder_rl.synthesis.recipe import load
from acecoder_rl.synthesis.run import chosen, synthesize

CHUNK = 2  # rows: several parts a stage, of six seeds


def main(recipe: str) -> None:
    loaded = load(recipe)
    stage_table.CHUNKS = dict.fromkeys(stage_table.CHUNKS, CHUNK)
    for module in (build, pairs, hard):
        module.CHUNK = CHUNK
    for line in sys.stdin:
        folder, *seconds = line.split()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                synthesize(loaded.model_copy(update={"folder": str(Path(recipe).parent / folder)}), chosen(None))
                status = 0
            finally:
                os._exit(status)
        print(_end(child, float(seconds[0])) if seconds else f"finished {os.waitpid(child, 0)[1]}", flush=True)


def _end(child: int, seconds: float) -> str:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return f"finished {status}"
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    return "killed" if os.WIFSIGNALED(status) else f"finished {status}"


if __name__ == "__main__":
    main(sys.argv[1])
