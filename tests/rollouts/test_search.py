"""Searching the texts of a log: what is found, what is kept in memory, what is read again."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from acecoder_rl.rollouts import shards
from acecoder_rl.rollouts.index import Filter, Index
from acecoder_rl.rollouts.log import RolloutLog
from acecoder_rl.rollouts.texts import TextSearch
from tests.rollouts.made import rollout


def logged(folder: Path, texts: list[tuple[str, str]], files: int = 3) -> Index:
    """A log of (completion, question), in so many files."""
    log = RolloutLog(folder)
    each = -(-len(texts) // files)
    for number, (completion, question) in enumerate(texts):
        log.add(rollout(number, completion=completion, question=question))
        if number % each == each - 1:
            assert log.flush()
    log.close()
    index = Index(folder)
    index.refresh()
    return index


def found(index: Index, text: str) -> list[int]:
    return index.select(Filter(text=text), descending=False).tolist()


def test_what_is_found_is_what_stands_in_a_text_in_any_case(tmp_path):
    draw = random.Random(5)
    # Short ones of few letters: what ends one text and begins the next is often what is looked for.
    texts = ["".join(draw.choices("aAbBäÄéßЖж\n ", k=draw.randrange(6))) for _ in range(600)]
    rows = list(zip(texts[:300], texts[300:330] * 10, strict=True))
    index = logged(tmp_path, rows)
    for _ in range(300):
        text = "".join(draw.choices("aBäÉßж", k=draw.randrange(1, 4)))
        stands = [any(text.lower() in each.lower() for each in row) for row in rows]
        assert found(index, text) == [number for number, there in enumerate(stands) if there], text


def test_what_was_read_once_is_not_read_again(tmp_path):
    index = logged(tmp_path, [(f"answer {number}", "Write it.") for number in range(30)])
    index.prepare_search()
    for path in tmp_path.glob("*.parquet"):
        path.unlink()
    assert found(index, "ANSWER 7") == [7] and len(found(index, "write")) == 30


def test_the_newest_texts_are_kept_as_far_as_there_is_room(tmp_path):
    logged(tmp_path, [(f"answer {number} {'x' * 5000}", "Write it.") for number in range(30)])
    oldest, middle, newest = there = shards.listed(tmp_path)
    search = TextSearch(tmp_path, most=2 * search_size(tmp_path, newest))
    assert [int(search.rows(shard, "answer 1").sum()) for shard in there] == [1, 10, 0]
    for shard in there:
        (tmp_path / shard.name).unlink()
    assert search.rows(newest, "answer 29").sum() == 1 == search.rows(middle, "answer 19").sum()
    assert search.rows(oldest, "answer 1").sum() == 1  # asked before
    with pytest.raises(FileNotFoundError):
        search.rows(oldest, "answer 2")


def search_size(folder: Path, shard: shards.Shard) -> int:
    return TextSearch(folder).read(shard).size
