"""`acecoder-rl serve-rm`: arguments; the work is in acecoder_rl/reward_model/serve.py."""

from __future__ import annotations

from typing import Annotated

import typer

from acecoder_rl.commands.told import BAD_INPUT, FAILED, console, errors_told, fail

EPILOG = """[bold]Examples[/bold]

acecoder-rl serve-rm TIGER-Lab/AceCodeRM-7B --gpus-per-replica 1 --replicas 2

acecoder-rl serve-rm TIGER-Lab/AceCodeRM-32B --gpus-per-replica 4

ACECODER_RL_RM_TOKEN=secret acecoder-rl serve-rm runs/rm/model --host 0.0.0.0 --port 8100

curl -s localhost:8100/score -d '{"pairs": [["Write add(a, b).", "def add(a, b): return a + b"]]}'"""


def serve_rm(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A reward model's folder, or its id on the Hub.", show_default=False),
    ],
    host: Annotated[
        str, typer.Option(help="The address to listen on; 0.0.0.0 for all, then with a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free.")] = 8100,
    replicas: Annotated[int, typer.Option(min=1, help="Copies of the model.")] = 1,
    gpus_per_replica: Annotated[
        float | None,
        typer.Option(min=0, help="Above 1 the model is spread over them; 0 for CPUs. Else 1 where there is a GPU."),
    ] = None,
    format: Annotated[str, typer.Option(help="The prompt format: raw or acecode.")] = "raw",
    token: Annotated[
        str | None,
        typer.Option(
            envvar="ACECODER_RL_RM_TOKEN",
            help="Clients must send it as a bearer token. Other users see a command line: better by the variable.",
        ),
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=16, help="Of a chat; longer answers score as empty ones.")
    ] = None,
    batch_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens in a batch: decides the peak memory.")] = None,
    dtype: Annotated[
        str | None, typer.Option(help="bfloat16, float16 or float32; else bfloat16 on GPUs, float32 on CPUs.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of a replica on CPUs; else the cores, divided by replicas.")
    ] = None,
) -> None:
    """Serve a reward model: OpenRLHF's /get_reward, our /score, /health and /metrics. Ctrl-C ends it.

    Requests that come at the same time are scored together. Ready when /health answers 200.
    """
    with errors_told():
        try:
            from acecoder_rl.reward_model.serve import LOOPBACK, Served, ServeError, serve_http
        except ModuleNotFoundError as error:
            fail(f"serving needs {error.name}, which is not installed: make setup, or pip install '.[gpu]'", BAD_INPUT)
        if dtype not in (None, "bfloat16", "float16", "float32"):
            fail(f"--dtype is {dtype!r}: give bfloat16, float16 or float32", BAD_INPUT)
        try:
            served = Served(
                model=model, format=format, replicas=replicas, token=token or None, max_tokens=max_tokens,
                gpus_per_replica=_gpus() if gpus_per_replica is None else gpus_per_replica,
                batch_tokens=batch_tokens, dtype=dtype, threads=threads,
            )  # fmt: skip
        except ValueError as error:
            fail(str(error), BAD_INPUT)
        if host not in LOOPBACK and not served.token:
            console().print(
                f"WARNING: {host} is open to everyone who reaches this machine: give a token (ACECODER_RL_RM_TOKEN)",
                markup=False, highlight=False, soft_wrap=True,
            )  # fmt: skip
        try:
            serve_http(served, host, port, lambda url: _ready(served.model, url))
        except ServeError as error:
            fail(str(error), FAILED)
        except ModuleNotFoundError as error:
            fail(f"serving needs {error.name}, which is not installed: make setup, or pip install '.[gpu]'", BAD_INPUT)


def _gpus() -> float:
    import torch

    return 1.0 if torch.cuda.is_available() else 0.0


def _ready(model: str, url: str) -> None:
    # In one line, however narrow the terminal: scripts look for the URL.
    told = f"{model} is served at {url} (/score, /get_reward, /health, /metrics)"
    console().print(told, markup=False, highlight=False, soft_wrap=True)
