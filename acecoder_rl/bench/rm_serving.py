"""A served reward model: clients that ask at the same time, against one after the other.

Covers: `serving`: `acecoder-rl serve-rm` with a small random Qwen2 on CPU, asked by our own client over HTTP, one item
    a request; the batches that came of it; `show_serving`.
Does not cover: scoring itself (rm.py), GPUs, several replicas.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from acecoder_rl.bench.measure import BenchError
from acecoder_rl.sandbox.granted import granted_cores

CLIENTS, ROUNDS = 64, 3
BAR = 3.0
READY_SECONDS = 600.0
# Deep and narrow: one short chat then costs about what starting the work of each layer costs, as it does on a GPU,
# where one chat cannot fill the machine.
CONFIG = {
    "vocab_size": 512, "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 24, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 1024, "tie_word_embeddings": False, "bos_token_id": None,
    "eos_token_id": None,
}  # fmt: skip
WORDS = ["def", "return", "for", "in", "range", "if", "else", "while", "total", "items", "append", "sum", "len", "set"]
TEMPLATE = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"

Figures = dict[str, Any]


def serving(clients: int = CLIENTS, rounds: int = ROUNDS, config: dict[str, Any] = CONFIG) -> Figures:
    """Requests a second both ways, their ratio within a round, and the batches.

    Raises:
        BenchError: the server does not start or does not answer.
    """
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="acecoder-bench-") as folder:
        tokens = _make(folder, config)
        log = Path(folder, "log")
        command = [
            sys.executable,
            "-m",
            "acecoder_rl.cli",
            "serve-rm",
            folder,
            "--port",
            "0",
            "--gpus-per-replica",
            "0",
        ]
        with log.open("w") as out:
            server = subprocess.Popen(command, stdout=out, stderr=out, env={**os.environ, "HF_HUB_OFFLINE": "1"})
        try:
            url = _url(server, log)
            _ask(url, _pairs(clients, -1), at_once=True)  # what is only slow the first time
            found = [_round(url, clients, number) for number in range(rounds)]
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                server.kill()
    return {
        "machine": {"cores": granted_cores(), "load_before": round(load_before, 2)},
        "settings": {"clients": clients, "rounds": rounds, "tokens": tokens, "config": config},
        "rounds": found,
        "faster": statistics.median(each["one_by_one"] / each["at_once"] for each in found),
        "bar": BAR,
    }


def show_serving(figures: Figures) -> None:
    """Print the figures to stdout."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=110)
    settings, config = figures["settings"], figures["settings"]["config"]
    count = settings["clients"]
    title = f"served: {count} requests of one item, chats of {settings['tokens']} tokens on average"
    table = Table("way", title=title, title_justify="left")
    for heading in ("requests/s", "batches", "items a batch"):
        table.add_column(heading, justify="right")
    for way, name in (("one_by_one", "one by one"), ("at_once", f"{count} clients at once")):
        rate = statistics.median(count / each[way] for each in figures["rounds"])
        batches = statistics.median(each[f"{way}_batches"] for each in figures["rounds"])
        table.add_row(name, f"{rate:.1f}", f"{batches:g}", f"{count / batches:.1f}")
    console.print(table)
    reached = "ok" if figures["faster"] >= figures["bar"] else "missed"
    told = (
        f"at once against one by one: {figures['faster']:.1f} times as fast, bar ≥ {figures['bar']:g}: {reached}. "
        f"{figures['machine']['cores']} cores, load {figures['machine']['load_before']} before; median of "
        f"{settings['rounds']} rounds, ratios within a round; Qwen2 of {config['num_hidden_layers']} layers, hidden "
        f"size {config['hidden_size']}, fp32, CPU. Where one chat alone keeps all cores busy, as a large model on a "
        "CPU does, batches gain little"
    )
    console.print(told, soft_wrap=True, highlight=False, markup=False)


def _make(folder: str, config: dict[str, Any]) -> float:
    """Write model and tokenizer; the mean number of tokens of a chat."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, set_seed

    from acecoder_rl import Qwen2ForCausalRM

    letters = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|im_start|>", "<|im_end|>"]
    words = [f"\u0120{word}" for word in WORDS]  # with the space before them, as byte-level BPE writes it
    vocabulary = {token: number for number, token in enumerate([*special, *sorted(letters), *words])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="!"))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token=special[1], pad_token=special[1], chat_template=TEMPLATE
    )
    tokenizer.save_pretrained(folder)
    set_seed(0)
    Qwen2ForCausalRM(Qwen2Config(**config)).save_pretrained(folder)
    chats = [
        [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        for question, answer in _pairs(CLIENTS, 0)
    ]
    rendered = tokenizer.apply_chat_template(chats, tokenize=False)
    return round(statistics.mean(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in rendered), 1)


def _pairs(count: int, seed: int) -> list[tuple[str, str]]:
    """Different ones for each seed: a scorer computes equal texts of a batch once."""
    draw = random.Random(seed)
    return [
        (" ".join(draw.choices(WORDS, k=20)), " ".join(draw.choices(WORDS, k=draw.randint(20, 60))))
        for _ in range(count)
    ]


def _url(server: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and server.poll() is None:
        if found := re.search(r"is served at (http://\S+)", log.read_text()):
            return found[1]
        time.sleep(0.1)
    raise BenchError(f"bench: the server did not start:\n{log.read_text()[-1500:]}")


def _round(url: str, clients: int, number: int) -> Figures:
    found: Figures = {}
    for way in ("one_by_one", "at_once"):
        before = _batches(url)
        found[way] = _ask(url, _pairs(clients, 2 * number + (way == "at_once")), way == "at_once")
        found[f"{way}_batches"] = _batches(url) - before - 1  # the request that connects is a batch, too
    return found


def _ask(url: str, pairs: list[tuple[str, str]], at_once: bool) -> float:
    """Seconds until all have their score."""
    from acecoder_rl.reward_model.client import RewardClient, RewardModelError

    async def ask() -> float:
        client = RewardClient(url, in_flight=len(pairs))
        await client.scores(pairs[:1])  # connects
        begun = time.perf_counter()
        if at_once:
            await asyncio.gather(*(client.scores([pair]) for pair in pairs))
        else:
            for pair in pairs:
                await client.scores([pair])
        return time.perf_counter() - begun

    try:
        return asyncio.run(ask())
    except RewardModelError as error:
        raise BenchError(f"bench: {error}") from error


def _batches(url: str) -> int:
    with urllib.request.urlopen(f"{url}/metrics", timeout=60) as answer:
        found = re.search(r"^acecoder_rm_batch_items_count\S* (\d+)", answer.read().decode(), re.MULTILINE)
    return int(found[1]) if found else 0


if __name__ == "__main__":
    show_serving(serving())
