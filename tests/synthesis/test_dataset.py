"""The published folder loads as it is, its prompt files are what each trainer reads, its card says what is there.

Run: pytest tests/synthesis/test_dataset.py
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from acecoder_rl.problems import Problem
from acecoder_rl.reward_model.training import data
from acecoder_rl.reward_model.training.recipe import Data
from acecoder_rl.synthesis import build, dataset, hard, pairs, prompt_files
from acecoder_rl.synthesis.build import BuildSettings
from acecoder_rl.synthesis.hard import HardSettings
from acecoder_rl.synthesis.pairs import PairsSettings
from acecoder_rl.synthesis.stages import rows_of
from tests.synthesis.tables import question, sampled

SETTINGS = BuildSettings(name="Tiny", license="mit", eval_share=0.2)
MODELS = {"/models": {"tiny": {"path": "/home/somebody/models/tiny-1"}, "big": {"model": "coders/big-2"}}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with 60 questions, published: every third has no sample that passes 0.8."""
    folder = tmp_path_factory.mktemp("run")
    table = [question(number, [10, 4, 3] if number % 3 else [7, number % 7]) for number in range(60)]
    sampled(folder, table, chunk_size=25, settings=MODELS)
    build.run(folder)
    pairs.run(folder, PairsSettings())
    hard.run(folder, HardSettings())
    dataset.publish(folder, SETTINGS)
    return folder


def load(path: Path | str, cache: Path, **options: Any) -> Any:
    datasets = pytest.importorskip("datasets")
    return datasets.load_dataset(str(path), cache_dir=str(cache), **options)


def header(folder: Path) -> dict[str, Any]:
    _, head, _ = (folder / "dataset" / "README.md").read_text().split("---\n", 2)
    return yaml.safe_load(head)


def test_every_config_of_the_card_loads(run: Path, tmp_path: Path):
    configs = header(run)["configs"]
    prompts = ["verl", "trl", "hard_verl", "hard_trl"]
    assert [config["config_name"] for config in configs] == ["default", "hard", "pairs", *prompts]
    counts = {}
    for config in configs:
        loaded = load(run / "dataset", tmp_path, name=config["config_name"])
        assert list(loaded) == [each["split"] for each in config["data_files"]]
        counts[config["config_name"]] = sum(split.num_rows for split in loaded.values())
    chosen = counts["hard"]
    assert (counts["default"], counts["pairs"]) == (60, 80) and 0 < chosen < 60
    assert [counts[name] for name in prompts] == [60, 60, chosen, chosen]
    # The default one is the dataset, row for row, and by the general loader as well.
    expected = list(rows_of(run, "build"))
    assert load(run / "dataset", tmp_path, split="train").to_list() == expected
    parquet = load("parquet", tmp_path, data_files=str(run / "dataset/data/*.parquet"), split="train")
    assert parquet.to_list() == expected


def test_train_rm_takes_the_folder_as_a_dataset(run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    found = [pair for _, pair in data.rows(Data(path=str(run / "dataset"), config="pairs"))]
    assert len(found) == 80 and found[0].gap == pytest.approx(0.7)


def test_the_split_is_by_question_and_seed_alone(tmp_path: Path):
    rows = build.process([question(number, []) for number in range(2000)]).rows
    sides = [prompt_files.is_eval(row["question"], 0.2, 1) for row in rows]
    assert 340 < sum(sides) < 460
    assert sides != [prompt_files.is_eval(row["question"], 0.2, 2) for row in rows]
    # More to evaluate on takes nothing back, and white space makes no other question.
    assert all(
        prompt_files.is_eval(f" {row['question']}\n", 0.3, 1) for row, side in zip(rows, sides, strict=True) if side
    )
    assert not any(prompt_files.is_eval(row["question"], 0.0, 1) for row in rows)
    for order in (rows[:50], rows[49::-1]):
        assert prompt_files.write(order, tmp_path / "out", 0.2, 1) == {
            "train": 50 - sum(sides[:50]),
            "eval": sum(sides[:50]),
            "left_out": 0,
        }


def problems(run: Path) -> dict[str, Problem]:
    return {row["id"]: Problem.from_record(row) for row in rows_of(run, "build")}


def check_labels(run: Path, labels: dict[str, list[str]]) -> None:
    """Every problem is in one split, whole, with the split's mode."""
    expected, seen = problems(run), []
    for mode, texts in labels.items():
        for text in texts:
            problem = Problem.from_label(text)
            assert problem == expected[problem.id] and problem.mode == mode
            assert prompt_files.is_eval(problem.question, 0.2, 42) == (mode == "eval")
            seen.append(problem.id)
    assert sorted(seen) == sorted(expected) and all(labels.values())


def test_openrlhf_reads_its_files(run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """By OpenRLHF's own dataset, with the question made a chat by the tokenizer's template."""
    pytest.importorskip("openrlhf")
    datasets = pytest.importorskip("datasets")
    from openrlhf.datasets.prompts_dataset import PromptDataset

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    settings = SimpleNamespace(input_key="prompt", label_key="label", apply_chat_template=True)
    strategy = SimpleNamespace(args=SimpleNamespace(data=settings), is_rank_0=lambda: False)
    tokenizer = SimpleNamespace(apply_chat_template=lambda chat, **_: f"<{chat[0]['role']}>{chat[0]['content']}<end>")
    labels = {}
    for mode in ("train", "eval"):
        file = run / f"dataset/prompts/openrlhf/{mode}.jsonl"
        rows = datasets.load_dataset("json", data_files=str(file), split="train")
        sources, prompts, texts, _ = zip(*PromptDataset(rows, tokenizer, strategy), strict=True)
        assert set(sources) == {"oss"}
        assert list(prompts) == [f"<user>{Problem.from_label(text).question}<end>" for text in texts]
        labels[mode] = list(texts)
    check_labels(run, labels)


def test_verls_rows(run: Path, tmp_path: Path):
    """verl's RLHFDataset reads Parquet with `datasets`, and hands reward_model.ground_truth to compute_score."""
    labels = {}
    for mode in ("train", "eval"):
        file = run / f"dataset/prompts/verl/{mode}.parquet"
        rows = load("parquet", tmp_path, data_files=str(file), split="train").to_list()
        labels[mode] = [row["reward_model"]["ground_truth"] for row in rows]
        for index, row in enumerate(rows):
            problem = Problem.from_label(labels[mode][index])
            assert row["prompt"] == [{"role": "user", "content": problem.question}]
            assert (row["data_source"], row["ability"], row["reward_model"]["style"]) == ("oss", "code", "rule")
            assert row["extra_info"] == {"split": mode, "index": index, "id": problem.id}
            assert Problem.from_record(row).tests == problem.tests  # `acecoder-rl score` reads them, too
    check_labels(run, labels)


def test_trls_rows(run: Path, tmp_path: Path):
    pytest.importorskip("trl")
    from trl.data_utils import is_conversational

    labels = {}
    for mode in ("train", "eval"):
        file = run / f"dataset/prompts/trl/{mode}.parquet"
        rows = load("parquet", tmp_path, data_files=str(file), split="train")
        assert rows.column_names == ["prompt", "label"] and is_conversational(rows[0])
        labels[mode] = rows["label"][:]
        questions = [Problem.from_label(label).question for label in labels[mode]]
        assert [prompt[0]["content"] for prompt in rows["prompt"]] == questions
    check_labels(run, labels)


def test_the_card_says_what_is_there(run: Path):
    card = (run / "dataset" / "README.md").read_text()
    assert header(run)["license"] == "mit" and header(run)["size_categories"] == ["n<1K"]
    assert "| build | 60 | 60 | none |" in card
    assert "| pairs | 60 | 80 | none_good_enough 20 |" in card
    assert "600 tests (10.00 a question) and 160 programs (2.67 a question)." in card
    assert "Questions by source: oss 60." in card and "Programs by model: tiny 160." in card
    assert "over the tests that were kept" in card
    assert "| programs | tiny | `tiny-1` |" in card and "| programs | big | `coders/big-2` |" in card
    assert "somebody" not in card
    assert "made from seed code by" in card and "the hard ones of these" in card
    counts = json.loads((run / "dataset.json").read_text())["prompts"]["counts"]
    assert f"| `trl` | eval | {counts['eval']} | the questions as prompts with labels, for trl: `prompts/" in card


def test_publishing_again_touches_nothing(run: Path):
    def stamps() -> dict[str, tuple[int, int]]:
        files = [path for path in (run / "dataset").rglob("*") if path.is_file()]
        return {str(path): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}

    before = stamps()
    dataset.publish(run, SETTINGS)
    assert stamps() == before


def test_what_a_kill_left_half_made_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    table = [question(number, [10, 4]) for number in range(10)]
    folder = sampled(tmp_path / "run", table)
    build.run(folder)
    told: list[tuple[int, int | None]] = []
    dataset.publish(folder, SETTINGS, lambda *done: told.append(done))
    assert told == [(0, 10), (10, 10)]
    whole = {path: path.read_bytes() for path in (folder / "dataset").rglob("*") if path.is_file()}

    class Killed(BaseException):
        pass

    def killed(rows: Any, target: Path, **_: Any) -> Any:
        (target / "trl").mkdir(parents=True)
        (target / "trl" / "train.parquet").write_bytes(b"half")
        raise Killed

    # Killed while other settings made it anew, then run with the first ones again.
    with monkeypatch.context() as patch:
        patch.setattr(prompt_files, "write", killed)
        with pytest.raises(Killed):
            dataset.publish(folder, BuildSettings(name="Tiny", license="mit", eval_share=0.5))
    dataset.publish(folder, SETTINGS)
    assert {path: path.read_bytes() for path in (folder / "dataset").rglob("*") if path.is_file()} == whole


def test_a_stage_made_anew_replaces_its_files_and_a_missing_one_takes_them_away(tmp_path: Path):
    import shutil

    folder = sampled(tmp_path / "run", [question(number, [10, 4]) for number in range(3)])
    build.run(folder)
    pairs.run(folder, PairsSettings())
    here = dataset.publish(folder, BuildSettings())
    assert header(folder)["pretty_name"] == "run" and "license" not in header(folder)
    (shard,) = (here / "pairs").iterdir()
    assert os.stat(shard).st_nlink == 2
    shutil.rmtree(folder / "pairs")
    pairs.run(folder, PairsSettings(max_per_question=1, min_gap=0.9))
    dataset.publish(folder, BuildSettings())
    assert "pairs" not in [config["config_name"] for config in header(folder)["configs"]]  # there are none
    shutil.rmtree(folder / "pairs")
    dataset.publish(folder, BuildSettings())
    assert sorted(path.name for path in here.iterdir()) == ["README.md", "data", "prompts"]


def test_the_hard_rows_of_a_foreign_dataset_are_a_dataset_by_themselves(tmp_path: Path, jsonl):
    rows = build.process([question(number, [number, 4]) for number in range(9)]).rows
    rows[8]["test_cases"] = ["True"]  # a test that checks nothing
    hard.run(tmp_path / "run", HardSettings(source=str(jsonl("theirs.jsonl", rows)), band=[0.4, 1.0]))
    here = dataset.publish(tmp_path / "run", BuildSettings(eval_share=0))
    assert sorted(path.name for path in here.iterdir()) == ["README.md", "hard", "hard_prompts"]
    card = (here / "README.md").read_text()
    assert "The rows of `hard` were chosen from `theirs.jsonl`, whose pass rates they keep." in card
    assert "| hard | 9 | 5 | below_band 4 |" in card and str(tmp_path) not in card
    # Nobody takes it for a dataset of our own making, whatever else is in the run's folder.
    assert "chosen from `theirs.jsonl` by" in card and "the hard ones of `theirs.jsonl`" in card
    assert "none stated: see the licences of `theirs.jsonl`" in card
    assert "seed" not in card and "over the tests that were kept" not in card
    sampled(tmp_path / "run", [question(number, [10, 4]) for number in range(3)], settings=MODELS)
    assert dataset.publish(tmp_path / "run", BuildSettings(eval_share=0)) == here
    assert (here / "README.md").read_text() == card
    assert not list(here.rglob("eval.*"))
    assert "| `hard` | train | 5 |" in card and "| `hard_verl` | train | 4 |" in card
    assert "1 questions have tests that acecoder-rl cannot read: `hard_prompts` is without them." in card
