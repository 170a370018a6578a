"""`acecoder-rl bench ...`: arguments; the work is in acecoder_rl/bench/."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from acecoder_rl.commands.told import check_output, errors_told

Part = Literal["scoring", "tables", "kills"]

bench = typer.Typer(no_args_is_help=True, help="Measure this machine.")


@bench.command(
    "sandbox",
    epilog="""[bold]Examples[/bold]

acecoder-rl bench sandbox --quick

acecoder-rl bench sandbox --workers 2 --against evalplus --json bench.json""",
)
def bench_sandbox(
    workers: Annotated[int | None, typer.Option(min=1, help="Programs at once.")] = None,
    programs: Annotated[int, typer.Option(min=1, help="Programs in the workload.")] = 540,
    against: Annotated[
        str | None, typer.Option(metavar="NAME", help="evalplus: its own checker on the same programs.")
    ] = None,
    json_path: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="The figures as JSON.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer programs, one round: a first look.")] = False,
) -> None:
    """Programs/s, tests/s, CPU a program against the fork floor, and how many workers to use."""
    from acecoder_rl.bench.sandbox import run_bench

    with errors_told():
        check_output("--json", json_path)
        raise typer.Exit(run_bench(workers, programs, against, json_path, quick=quick))


@bench.command(
    "reward",
    epilog="""[bold]Examples[/bold]

acecoder-rl bench reward

acecoder-rl bench reward --quick --json reward.json""",
)
def bench_reward(
    json_path: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="The figures as JSON.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One round: a first look.")] = False,
) -> None:
    """What rewards add to a rollout phase, how many can be in flight, and what equal programs cost."""
    from acecoder_rl.bench.reward import run_bench_reward

    with errors_told():
        check_output("--json", json_path)
        raise typer.Exit(run_bench_reward(json_path, quick=quick))


@bench.command(
    "rm",
    epilog="""[bold]Examples[/bold]

acecoder-rl bench rm

acecoder-rl bench rm --quick --json rm.json""",
)
def bench_rm(
    json_path: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="The figures as JSON.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer pairs, one round: a first look.")] = False,
) -> None:
    """Scoring by a reward model: seconds, memory and scores against the model card's way. CPU; needs torch."""
    from acecoder_rl.bench.rm import run_bench_rm

    with errors_told():
        check_output("--json", json_path)
        raise typer.Exit(run_bench_rm(json_path, quick=quick))


@bench.command(
    "synthesis",
    epilog="""[bold]Examples[/bold]

acecoder-rl bench synthesis --quick

acecoder-rl bench synthesis --only scoring --json synthesis.json

acecoder-rl bench synthesis --only kills""",
)
def bench_synthesis(
    json_path: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="The figures as JSON.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer questions and kills: a first look.")] = False,
    only: Annotated[Part | None, typer.Option(help="One of the parts; all without it.")] = None,
) -> None:
    """A synthesis run without its models: verify and sample against the sandbox's own rate, the tables, kill -9."""
    from acecoder_rl.bench.synthesis import run_bench_synthesis

    with errors_told():
        check_output("--json", json_path)
        raise typer.Exit(run_bench_synthesis(json_path, quick=quick, only=only))
