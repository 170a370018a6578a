"""`acecoder-rl bench reward`: what rewards cost a rollout phase, and what holds when many are in flight.

Covers: `run_bench_reward`: generation by a real vLLM engine with a tiny random model, alone and with rewards
    in turn, the sandbox on the same cores; rewards in flight at once and threads then; runs of equal programs;
    the time of `import reward_fns`.
Does not cover: the phases themselves (reward_phases.py), reward models, GPUs.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from acecoder_rl.bench.measure import BenchError
from acecoder_rl.bench.workload import build_workload
from acecoder_rl.problems import Problem
from acecoder_rl.sandbox.granted import granted_cores

PROMPTS, SAMPLES_PER_PROMPT = 64, 8
FLIGHT_SAMPLES = 1280
ROUNDS, IMPORTS = 3, 5
PHASE_SECONDS = 1800.0
BARS = {"added": 0.10, "in_flight": 1000, "runs": PROMPTS, "import_seconds": 0.3}
STACK = ("torch", "vllm", "openrlhf")
IMPORT = (
    "import sys, time; begun = time.perf_counter(); import reward_fns; took = time.perf_counter() - begun; "
    "print(took, ', '.join(name for name in ('torch', 'ray') if name in sys.modules) or 'none')"
)

Figures = dict[str, Any]


def run_bench_reward(json_path: Path | None = None, quick: bool = False) -> int:
    """Measure, print a table, write `json_path`. 0: measured; 1: a phase failed.

    Where the training stack is not installed the rollout phase is left out, and told so.

    Args:
        quick: one round instead of three: a look, not a figure to quote.
    """
    try:
        figures = measure(1 if quick else ROUNDS)
        if json_path:
            json_path.write_text(json.dumps(figures, indent=1) + "\n")
    except (BenchError, OSError) as error:
        _say(str(error))
        return 1
    show(figures)
    return 0


def measure(rounds: int) -> Figures:
    """All figures, as the JSON holds them."""
    load_before = os.getloadavg()[0]
    _say("import reward_fns ...")
    imported = _imports()
    _say(f"{FLIGHT_SAMPLES} rewards in flight ...")
    job = {"groups": PROMPTS, "group_size": SAMPLES_PER_PROMPT}
    flight = _run("flight", {**job, "samples": _samples(FLIGHT_SAMPLES // SAMPLES_PER_PROMPT)})
    missing = [name for name in STACK if importlib.util.find_spec(name) is None]
    rollout = None
    if missing:
        _say(f"the rollout phase is left out: {', '.join(missing)} not installed (`make setup` has them)")
    else:
        _say(f"{rounds} rounds of {PROMPTS * SAMPLES_PER_PROMPT} samples, without and with rewards ...")
        rollout = _run("rollout", {"samples": _samples(PROMPTS), "rounds": rounds})
        rollout |= _medians(rollout["rounds"])
    return {
        "machine": {
            "cores": granted_cores(),
            "python": platform.python_version(),
            "kernel": platform.release(),
            "load_before": round(load_before, 2),
            "load_after": round(os.getloadavg()[0], 2),
        },
        "samples": PROMPTS * SAMPLES_PER_PROMPT,
        "rollout": rollout,
        "flight": flight,
        "import": imported,
        "bars": BARS,
    }


def _samples(prompts: int) -> list[dict[str, str]]:
    """Prompts, labels and answers of programs from the benchmark's catalogue, all of them different: half
    right, the others wrong, raising or broken. The answers' fences are left open, for a stamp."""
    problems = len(build_workload(1).problems)
    rounds = -(-prompts // problems) * SAMPLES_PER_PROMPT
    workload = build_workload(problems * rounds)
    samples = []
    for number in range(prompts):
        index, turn = number % problems, number // problems
        problem = workload.problems[index]
        question = f"Write a Python function {problem.name}."
        label = Problem(f"{problem.name}/{turn}", question, list(problem.asserts)).to_label()
        first = index + problems * SAMPLES_PER_PROMPT * turn
        for program in workload.programs[first : first + problems * SAMPLES_PER_PROMPT : problems]:
            answer = f"Here is {problem.name}:\n```python\n{program.code}"
            samples.append({"prompt": f"{question}\n", "label": label, "answer": answer})
    return samples


def _run(phase: str, job: dict[str, Any]) -> Figures:
    from acecoder_rl.training.cpu import ENGINE, environment

    here = Path(__file__)
    env = {
        **os.environ,
        **environment(granted_cores()),
        **ENGINE,
        "ACECODER_RL_REWARD": '{"reward": {"kind": "pass_rate"}}',
        "HF_HUB_OFFLINE": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "1",
        "VLLM_LOGGING_LEVEL": "WARNING",
    }
    env.pop("ACECODER_RL_SANDBOX", None)  # a sandbox of its own
    with tempfile.TemporaryDirectory(prefix="acecoder-bench-") as folder:
        job = {**job, "path": str(here.parent.parent.parent)}
        Path(folder, "job.json").write_text(json.dumps(job))
        command = [sys.executable, "-P", str(here.with_name("reward_phases.py")), phase, folder]
        with Path(folder, "log").open("w+") as log:
            process = subprocess.Popen(
                command, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
            try:
                status = process.wait(PHASE_SECONDS)
            except subprocess.TimeoutExpired:
                raise BenchError(f"bench: phase {phase} took more than {PHASE_SECONDS:.0f} s") from None
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # the engine's processes too, should any be left
                process.wait()
            log.seek(0)
            if status:
                said = log.read().strip()[-1500:]
                raise BenchError(f"bench: phase {phase} ended with status {status}:\n{said}")
        return json.loads(Path(folder, "result.json").read_text())


def _medians(rounds: list[Figures]) -> Figures:
    """The time added is taken within a round; the median of the rounds is the figure."""
    kinds = ("generation", "with_rewards")
    return {
        "seconds": {kind: statistics.median(row[kind]["seconds"] for row in rounds) for kind in kinds},
        "cpu": {kind: statistics.median(row[kind]["cpu"] for row in rounds) for kind in kinds},
        "added": statistics.median(row["with_rewards"]["seconds"] / row["generation"]["seconds"] - 1 for row in rounds),
    }


def _imports() -> Figures:
    took, heavy = [], ""
    for _ in range(IMPORTS):
        done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise BenchError(f"bench: import reward_fns fails:\n{done.stderr.strip()[-1500:]}")
        seconds, _, heavy = done.stdout.strip().partition(" ")
        took.append(float(seconds))
    return {"seconds": statistics.median(took), "heavy": heavy}


def show(figures: Figures) -> None:
    """Print the figures to stdout."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:  # a file has no width of its own, and 80 columns break every heading
        console = Console(width=110)
    rollout, flight, bars = figures["rollout"], figures["flight"], figures["bars"]
    samples, imported = figures["samples"], figures["import"]
    if rollout:
        title = f"rollout phase, {samples} samples of {rollout['tokens'] / samples:.0f} tokens"
        table = Table("", title=title, title_justify="left")
        for heading in ("seconds", "samples/s", "CPU s"):
            table.add_column(heading, justify="right")
        for kind, name in (("generation", "generation alone"), ("with_rewards", "with rewards")):
            seconds = rollout["seconds"][kind]
            table.add_row(name, f"{seconds:.2f}", f"{samples / seconds:.1f}", f"{rollout['cpu'][kind]:.2f}")
        console.print(table)

    table = Table("figure", title="against the bars", title_justify="left")
    for heading in ("measured", "bar", ""):
        table.add_column(heading, justify="right")

    def row(name: str, measured: str, bar: str, reached: bool) -> None:
        table.add_row(name, measured, bar, "ok" if reached else "missed")

    if rollout:
        row(
            "time that rewards add to generation",
            f"{rollout['added']:.1%}",
            f"<= {bars['added']:.0%}",
            rollout["added"] <= bars["added"],
        )
    row(
        f"rewards in flight at once, {flight['threads']} threads ({flight['threads_idle']} when idle)",
        str(flight["in_flight"]),
        f">= {bars['in_flight']}",
        flight["in_flight"] >= bars["in_flight"] and flight["threads"] <= flight["threads_idle"] + 1,
    )
    for kind in ("at_once", "in_turn"):
        runs = flight[f"runs_{kind}"]
        row(
            f"runs of {flight['samples']} samples, 8 of a group equal, asked for {kind.replace('_', ' ')}",
            str(runs),
            f"{bars['runs']}",
            runs == bars["runs"],
        )
    row(
        "import reward_fns, s",
        f"{imported['seconds']:.3f}",
        f"< {bars['import_seconds']:g}",
        imported["seconds"] < bars["import_seconds"],
    )
    row("torch or ray imported with it", imported["heavy"], "none", imported["heavy"] == "none")
    console.print(table)

    machine = figures["machine"]
    lines = [
        f"{machine['cores']} cores, Python {machine['python']}, Linux {machine['kernel']}, load "
        f"{machine['load_before']} before and {machine['load_after']} after"
    ]
    if rollout:
        lines += [
            f"medians of {len(rollout['rounds'])} rounds, both in turn in each; the time added is taken within "
            "a round; engine, rewards and sandbox on the same cores; CPU is the whole process tree's",
            "a random model writes garbage, so each completion is scored as an answer from the benchmark's "
            f"catalogue, 16 asserts each; all programs are different, {rollout['passed']} of {samples} pass",
        ]
    else:
        lines.append("no rollout phase: the training stack is not installed")
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
