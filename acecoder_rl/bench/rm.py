"""`acecoder-rl bench rm`: scoring with a reward model, against the way of AceCodeRM's model card.

Covers: `run_bench_rm`: seconds, peak memory and scores of both ways on a small random Qwen2 with Qwen2.5's vocabulary,
    on CPU, each in fresh processes, in turn; how much is padding; the arithmetic for Qwen2.5-Coder-7B's shapes.
Does not cover: the ways themselves (rm_phases.py), a served one (rm_serving.py), GPUs, how good the scores are.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from acecoder_rl.bench.measure import BenchError
from acecoder_rl.bench.rm_serving import ROUNDS as SERVED_ROUNDS
from acecoder_rl.bench.rm_serving import serving, show_serving
from acecoder_rl.sandbox.granted import granted_cores

PAIRS, ROUNDS = 256, 2
QUICK_PAIRS, QUICK_ROUNDS = 64, 1
CARD_BATCH = 4  # the model card scores its four programs in one batch
BATCH_TOKENS = 4096
SHORTEST, LONGEST = 40, 600  # tokens of a chat
PHASE_SECONDS = 1800.0
CONFIG = {
    "vocab_size": 151_936, "hidden_size": 128, "intermediate_size": 512, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 1024, "tie_word_embeddings": False,
    "initializer_range": 0.1, "bos_token_id": None, "eos_token_id": None,
}  # fmt: skip
# Qwen2.5-Coder-7B's config.json; its embedding has more rows than the tokenizer has tokens.
SHAPES_7B = {"vocabulary": 152_064, "hidden": 3584, "layers": 28, "intermediate": 18_944, "key_value": 512}
BARS = {"faster": 3.0, "memory": 1 / 3, "difference": 1e-4}
MEASURED = ("seconds", "cpu_seconds", "peak_mb", "loaded_mb")

Figures = dict[str, Any]


def run_bench_rm(json_path: Path | None = None, quick: bool = False) -> int:
    """Measure, print a table, write `json_path`. 0: measured; 1: a phase failed.

    Args:
        quick: a quarter of the pairs and one round: a look, not a figure to quote.
    """
    try:
        figures = measure(QUICK_PAIRS if quick else PAIRS, QUICK_ROUNDS if quick else ROUNDS)
        _say("a served model ...")
        figures["served"] = serving(rounds=QUICK_ROUNDS if quick else SERVED_ROUNDS)
        if json_path:
            json_path.write_text(json.dumps(figures, indent=1) + "\n")
    except (BenchError, OSError) as error:
        _say(str(error))
        return 1
    show(figures)
    show_serving(figures["served"])
    return 0


def measure(pairs: int, rounds: int, config: dict[str, Any] = CONFIG) -> Figures:
    """All figures, as the JSON holds them."""
    load_before = os.getloadavg()[0]
    draw = random.Random(0)
    # Log-uniform: many short chats, some long ones, in no order, as questions and answers come.
    lengths = [round(SHORTEST * (LONGEST / SHORTEST) ** draw.random()) for _ in range(pairs)]
    sequences = [[draw.randrange(1, config["vocab_size"]) for _ in range(length)] for length in lengths]
    runs: dict[str, list[Figures]] = {"card": [], "scorer": []}
    with tempfile.TemporaryDirectory(prefix="acecoder-bench-") as folder:
        job = {
            "model": str(Path(folder, "model")), "config": config, "sequences": sequences, "threads": granted_cores(),
            "card_batch": CARD_BATCH, "batch_tokens": BATCH_TOKENS,
        }  # fmt: skip
        _say("making a model ...")
        _run({**job, "phase": "make"}, folder)
        for number in range(rounds):
            for phase in runs:
                _say(f"round {number + 1} of {rounds}: {phase}, {pairs} pairs ...")
                runs[phase].append(_run({**job, "phase": phase}, folder))
    # Ratios within a round: another process on the machine then slows both.
    both = list(zip(runs["card"], runs["scorer"], strict=True))
    difference = max(
        abs(one - other) for card, own in both for one, other in zip(card["scores"], own["scores"], strict=True)
    )
    return {
        "machine": {"cores": granted_cores(), "load_before": round(load_before, 2)},
        "settings": {
            "pairs": pairs, "rounds": rounds, "tokens": sum(lengths), "card_tokens": _padded(lengths),
            "own_tokens": _own(lengths), "card_batch": CARD_BATCH, "batch_tokens": BATCH_TOKENS, "config": config,
        },
        "rounds": {phase: [{**run, "scores": len(run["scores"])} for run in found] for phase, found in runs.items()},
        "medians": {
            phase: {key: statistics.median(run[key] for run in found) for key in MEASURED}
            for phase, found in runs.items()
        },
        "faster": statistics.median(card["seconds"] / own["seconds"] for card, own in both),
        "less_cpu": statistics.median(card["cpu_seconds"] / own["cpu_seconds"] for card, own in both),
        "memory": statistics.median(own["peak_mb"] / card["peak_mb"] for card, own in both),
        "difference": difference,
        "bars": BARS,
        "arithmetic_7b": arithmetic(**SHAPES_7B),
    }  # fmt: skip


def arithmetic(vocabulary: int, hidden: int, layers: int, intermediate: int, key_value: int) -> Figures:
    """What a token costs in a model of these shapes; attention itself, which is small at these lengths, is left out."""
    backbone = layers * (2 * hidden * hidden + 2 * hidden * key_value + 3 * hidden * intermediate)
    return {
        "logits_bytes_fp32": vocabulary * 4,
        "hidden_states_bytes_bf16": (layers + 1) * hidden * 2,
        "batch_logits_gb": vocabulary * 4 * 16 * 2048 / 1e9,
        "lm_head_gb_bf16": vocabulary * hidden * 2 / 1e9,
        "lm_head_share_of_flops": vocabulary * hidden / (vocabulary * hidden + backbone),
    }


def show(figures: Figures) -> None:
    """Print the figures to stdout."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=110)
    settings, shapes = figures["settings"], figures["arithmetic_7b"]
    title = f"{settings['pairs']} pairs, {settings['tokens']} tokens, vocabulary {settings['config']['vocab_size']:,}"
    table = Table("way", title=title, title_justify="left")
    for heading in ("seconds", "CPU seconds", "tokens with padding", "peak MB", "of it the loaded model"):
        table.add_column(heading, justify="right")
    names = {"card": ("model card's", "card_tokens"), "scorer": ("RewardScorer", "own_tokens")}
    for phase, row in figures["medians"].items():
        name, tokens = names[phase]
        seconds, cpu, peak, loaded = (row[key] for key in MEASURED)
        table.add_row(name, f"{seconds:.2f}", f"{cpu:.2f}", str(settings[tokens]), f"{peak:.0f}", f"{loaded:.0f}")
    console.print(table)
    bars = Table("against the bars", title_justify="left")
    for heading in ("measured", "bar", ""):
        bars.add_column(heading, justify="right")
    rows = (
        ("times faster", figures["faster"], "≥ 3", figures["faster"] >= BARS["faster"]),
        ("peak memory, share of the card's", figures["memory"], "≤ 0.333", figures["memory"] <= BARS["memory"]),
        (
            "greatest difference of a score",
            figures["difference"],
            "≤ 1e-4",
            figures["difference"] <= BARS["difference"],
        ),
    )
    # CPU seconds have no bar of their own: on a busy machine they are the surer figure.
    bars.add_row("times less CPU", f"{figures['less_cpu']:.3g}", "", "")
    for name, value, bar, reached in rows:
        bars.add_row(name, f"{value:.3g}", bar, "ok" if reached else "missed")
    console.print(bars)
    lines = (
        f"{figures['machine']['cores']} cores, load {figures['machine']['load_before']} before; medians of "
        f"{settings['rounds']} rounds, ratios within a round; fp32, CPU; the card's way in batches of "
        f"{settings['card_batch']} as they come, with LM logits; RewardScorer in batches of {settings['batch_tokens']} "
        "tokens. Peak is VmHWM of a fresh process less its memory after the imports, the model included",
        "In a model this small the LM head is most of the work: expect less of a gain in time from a large one, where "
        "it is mostly padding; memory is what matters there",
        f"Qwen2.5-Coder-7B by its shapes (not measured): logits {shapes['logits_bytes_fp32']:,} bytes a token in fp32, "
        f"{shapes['batch_logits_gb']:.1f} GB for a batch of 16 times 2,048 tokens; all hidden states "
        f"{shapes['hidden_states_bytes_bf16']:,} bytes a token in bf16; the LM head "
        f"{shapes['lm_head_gb_bf16']:.2f} GB in bf16 and {shapes['lm_head_share_of_flops']:.0%} of the work. "
        "RewardScorer has none of these",
    )
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _padded(lengths: list[int]) -> int:
    batches = [lengths[start : start + CARD_BATCH] for start in range(0, len(lengths), CARD_BATCH)]
    return sum(max(batch) * len(batch) for batch in batches)


def _own(lengths: list[int]) -> int:
    from acecoder_rl.reward_model.batches import token_batches

    return sum(max(lengths[i] for i in batch) * len(batch) for batch in token_batches(lengths, BATCH_TOKENS))


def _run(job: Figures, folder: str) -> Figures:
    """A phase in a fresh process."""
    job_file, result_file = Path(folder, "job.json"), Path(folder, "result.json")
    job_file.write_text(json.dumps(job))
    result_file.unlink(missing_ok=True)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "acecoder_rl.bench.rm_phases", str(job_file), str(result_file)],
            env={**os.environ, "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_OFFLINE": "1"},
            capture_output=True, text=True, timeout=PHASE_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"bench: phase {job['phase']} took more than {PHASE_SECONDS:.0f} s: try --quick") from error
    if done.returncode:
        raise BenchError(f"bench: phase {job['phase']} ended with status {done.returncode}:\n{done.stderr[-1500:]}")
    return json.loads(result_file.read_text())


def _say(line: str) -> None:
    print(f"acecoder-rl: {line}", file=sys.stderr)
