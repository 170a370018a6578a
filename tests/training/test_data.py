"""Prompt files: no prompt too long, no problem lost without a word, weights exact, the same bytes each time.

Run: pytest tests/training/test_data.py
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acecoder_rl.problems import Problem
from acecoder_rl.training import data
from acecoder_rl.training.data import Prepared, check_reward, inspect, prepare
from acecoder_rl.training.prompts import load_tokenizer
from acecoder_rl.training.recipe import Data, Recipe, RecipeError

Make = Callable[..., Recipe]


def row(number: int, words: int = 1, **fields: Any) -> dict[str, Any]:
    tests = [f"assert f({i}) == {i * number}" for i in range(5)]
    question = f"Write f number {number}." + " word" * words
    return {"id": f"p{number}", "source": "mine", "question": question, "test_cases": tests, **fields}


@pytest.fixture(scope="session")
def recipe(tokenizer_folder) -> Make:
    """A recipe with one GPU and one prompt a multiple, but for what is given."""
    folder = tokenizer_folder()

    def make(train: Any, evaluated: Any = (), batch: int = 1, seed: int = 42, **section: Any) -> Recipe:
        return Recipe.model_validate(
            {
                "model": {"path": str(folder)},
                "data": {"train": train, "eval": list(evaluated), **section},
                "reward": {"kind": "pass_rate"},
                "rollout": {"batch_size": batch, "n_samples_per_prompt": 4, "micro_batch_size": 4},
                "train": {
                    **{"advantage_estimator": "reinforce", "learning_rate": 1e-6, "seed": seed},
                    **{"batch_size": 4, "micro_batch_size": 4},
                },
                "resources": {"actor_gpus_per_node": 1, "engines_per_node": 1},
            }
        )

    return make


def lines(path: Path | None) -> list[dict[str, str]]:
    assert path is not None
    return [json.loads(line) for line in path.read_text().splitlines()]


def ids(prepared: Prepared) -> list[str]:
    return [Problem.from_label(line["label"]).id for line in lines(prepared.train)]


def mistake(call: Callable[[], object]) -> str:
    with pytest.raises(RecipeError) as caught:
        call()
    return "\n".join(caught.value.mistakes)


def test_the_files_hold_prompts_and_labels(recipe, jsonl, tmp_path):
    train = jsonl("train.jsonl", [row(i) for i in range(5)])
    evaluated = jsonl("held out.v2.jsonl", [row(9, source=None), row(8, source="a/b c-1")])
    made = prepare(recipe(str(train), [str(evaluated)]), tmp_path / "data")
    assert sorted(ids(made)) == ["p0", "p1", "p2", "p3", "p4"]
    for line in lines(made.train):
        assert list(line) == ["prompt", "label", "datasource"]
        problem = Problem.from_label(line["label"])
        assert line["prompt"] == (f"<|im_start|>user\n{problem.question}<|im_end|>\n<|im_start|>assistant\n")
        assert (problem.mode, line["datasource"]) == ("train", "mine")
    assert [Problem.from_label(line["label"]).mode for line in lines(made.eval)] == ["eval", "eval"]
    assert [line["datasource"] for line in lines(made.eval)] == ["held_out_v2", "a_b_c_1"]
    assert made.train_counts == data.Counts(5, 5, {}, 0)
    assert (made.eval_counts, made.steps_per_episode, made.warnings) == (data.Counts(2, 2, {}, 0), 5, ())


@settings(max_examples=25, deadline=None)
@given(
    words=st.lists(st.integers(0, 60), min_size=1, max_size=12),
    beside=st.integers(-1, 1),
    which=st.integers(0, 11),
)
def test_no_prompt_is_longer_than_the_limit_and_none_is_lost(recipe, tmp_path_factory, words, beside, which):
    folder = tmp_path_factory.mktemp("property")
    path = folder / "a.jsonl"
    path.write_text("".join(json.dumps(row(i, count)) + "\n" for i, count in enumerate(words)))
    whole = recipe(str(path), max_prompt_tokens=10_000)
    tokenizer = load_tokenizer(whole.model.path)
    prompts = [line["prompt"] for line in lines(prepare(whole, folder / "whole").train)]
    lengths = [len(tokenizer(prompt, add_special_tokens=False).input_ids) for prompt in prompts]
    limit = lengths[which % len(lengths)] + beside
    given_recipe = recipe(str(path), max_prompt_tokens=limit)
    fitting = sorted(prompt for prompt, length in zip(prompts, lengths, strict=True) if length <= limit)
    if not fitting:
        assert f"data.max_prompt_tokens is {limit}, but all {len(words)} prompts" in mistake(
            lambda: prepare(given_recipe, folder / "data")
        )
        assert not (folder / "data").exists()
        return
    made = prepare(given_recipe, folder / "data")
    assert sorted(line["prompt"] for line in lines(made.train)) == fitting
    assert made.train_counts.dropped.get("too_long", 0) == len(words) - len(fitting)


@pytest.mark.parametrize(
    ("weight", "rows"), [(1, 10), (2, 20), (2.5, 25), (0.5, 5), (0.3, 3), (1.25, 13), (1.24, 12), (0.05, 1)]
)
def test_weights_give_exact_counts(recipe, jsonl, tmp_path, weight, rows):
    path = jsonl("a.jsonl", [row(i) for i in range(10)])
    other = jsonl("b.jsonl", [row(i) for i in range(100, 107)])
    made = prepare(recipe([{"path": str(path), "weight": weight}, str(other)]), tmp_path / "data")
    counts = Counter(ids(made))
    assert all(counts.pop(f"p{i}") == 1 for i in range(100, 107))
    assert counts.total() == rows
    assert {counts[f"p{i}"] for i in range(10)} <= {int(weight), int(weight) + 1}
    assert inspect(recipe([{"path": str(path), "weight": weight}]).data).train_problems == rows


def test_a_weight_that_leaves_nothing_is_an_error(recipe, jsonl, tmp_path):
    sources = [{"path": str(jsonl("a.jsonl", [row(1)])), "weight": 0.1}]
    assert mistake(lambda: prepare(recipe(sources), tmp_path / "d")).startswith("data.train.0.weight is 0.1")


def test_the_same_seed_gives_the_same_bytes(recipe, tmp_path):
    sources = [{"path": "starter:train", "weight": 1.5}, "starter:eval"]
    files = [
        prepare(recipe(sources, seed=seed), tmp_path / name).train.read_bytes()
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert files[0] == files[1] != files[2]
    assert sorted(files[0].splitlines())[:5] != files[0].splitlines()[:5]


def test_max_prompts_draws_from_all_of_the_mix(recipe, jsonl, tmp_path):
    file = jsonl("many.jsonl", [row(number) for number in range(40)])
    prepared = prepare(recipe(str(file), max_prompts=8), tmp_path / "data")
    assert len(ids(prepared)) == prepared.train_counts.rows == 8
    assert prepared.train_counts.dropped == {"over_max_prompts": 32}
    assert max(int(name.removeprefix("p")) for name in ids(prepared)) > 20


def test_rows_that_make_the_last_step_uneven_are_left_out_and_told(recipe, jsonl, tmp_path):
    given_recipe = recipe(str(jsonl("a.jsonl", [row(i) for i in range(11)])), batch=8)
    train = given_recipe.train.model_copy(update={"batch_size": 16})
    made = prepare(given_recipe.model_copy(update={"train": train}), tmp_path / "data")
    # A step takes 8 prompts; the last one half of them, which is an optimizer step of 16 samples less.
    assert len(ids(made)) == 8 and made.steps_per_episode == 1
    assert made.train_counts.dropped == {"uneven": 3}
    assert made.warnings[0].startswith("data.train has 11 prompts, of which 3 are left out")
    twelve = recipe(str(jsonl("b.jsonl", [row(i) for i in range(12)])), batch=8)
    made = prepare(twelve.model_copy(update={"train": train}), tmp_path / "data")
    assert (len(ids(made)), made.steps_per_episode, made.warnings) == (12, 2, ())


def test_where_checkpoints_are_saved_no_step_is_a_smaller_one(recipe, jsonl, tmp_path):
    eleven = recipe(str(jsonl("a.jsonl", [row(i) for i in range(11)])), batch=4)
    train = eleven.train.model_copy(update={"save_steps": 1})
    made = prepare(eleven.model_copy(update={"train": train}), tmp_path / "data")
    assert (len(ids(made)), made.steps_per_episode) == (8, 2)
    assert "with train.save_steps, so that --resume goes on in the right place" in made.warnings[0]


@pytest.mark.parametrize(("batch", "right"), [(4, True), (5, False)])
def test_only_full_steps_can_be_resumed_from(batch, right):
    """OpenRLHF's loader, driven as its trainer drives it: what an episode's last checkpoint goes on with."""
    loader = pytest.importorskip("torchdata.stateful_dataloader").StatefulDataLoader

    def make():
        return loader(list(range(12)), batch_size=1, shuffle=True, drop_last=True, collate_fn=lambda rows: rows[0])

    def steps(prompts, episodes):
        for _ in range(episodes):
            rows = iter(prompts)
            while True:
                step = list(islice(rows, batch))
                if step:
                    yield step, prompts.state_dict()
                if len(step) < batch:
                    break

    whole = list(steps(make(), 2))
    last = -(-12 // batch)  # of the first of two episodes
    resumed = make()
    resumed.load_state_dict(whole[last - 1][1])
    assert ([step for step, _ in steps(resumed, 2)] == [step for step, _ in whole[last:]]) is right


def test_fewer_problems_than_a_step_takes_is_an_error(recipe, jsonl, tmp_path):
    path = str(jsonl("a.jsonl", [row(i) for i in range(7)]))
    assert mistake(lambda: prepare(recipe(path, batch=8), tmp_path / "data")) == (
        "rollout.batch_size is 8, but data.train has only 7 prompts: give more problems, or a batch_size of at most 7"
    )


def test_eval_problems_that_are_trained_on_are_told(recipe, jsonl, tmp_path):
    train = jsonl("a.jsonl", [row(i) for i in range(4)])
    renamed = {**row(0), "id": "other name"}
    reworded = {**row(1), "question": "Another question."}
    made = prepare(recipe(str(train), [str(jsonl("e.jsonl", [renamed, reworded, row(9)]))]), tmp_path / "data")
    told = "1 of 3 problems of data.eval are in data.train as well, by their"
    assert [warning[: len(told) + 30] for warning in made.warnings] == [
        f"{told} id (p1, ...): what they score d"[: len(told) + 30],
        f"{told} exact question (other name, ...)"[: len(told) + 30],
    ]


def test_ids_that_come_twice_are_kept_and_counted(recipe, jsonl, tmp_path):
    paths = [str(jsonl(name, [row(1), row(2, words=number)])) for number, name in enumerate("ab")]
    made = prepare(recipe(paths), tmp_path / "data")
    assert (made.train_counts.rows, made.train_counts.duplicate_ids) == (4, 2)


def test_a_malformed_row_leaves_the_old_files_as_they_are(recipe, jsonl, tmp_path):
    good = prepare(recipe(str(jsonl("a.jsonl", [row(1)]))), tmp_path / "data")
    before = good.train.read_bytes()
    bad = jsonl("b.jsonl", [*(row(i) for i in range(700)), row(1, test_cases=[])])
    line = mistake(lambda: prepare(recipe(str(bad)), tmp_path / "data"))
    assert line.startswith("data.train.0: b.jsonl:701: field 'test_cases'")
    assert good.train.read_bytes() == before
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["train.jsonl"]


def test_without_eval_an_old_eval_file_goes(recipe, jsonl, tmp_path):
    path = str(jsonl("a.jsonl", [row(1)]))
    first = prepare(recipe(path, [path]), tmp_path / "data")
    assert prepare(recipe(path), tmp_path / "data").eval is None
    assert first.eval and not first.eval.exists()


@pytest.mark.parametrize("name", ["a,b", "a@b"])
def test_a_folder_that_openrlhf_cannot_name_is_refused(recipe, tmp_path, name):
    line = mistake(lambda: prepare(recipe("starter:train"), tmp_path / name))
    assert line.startswith("logging.folder leads to") and f"at {name[1]!r}" in line


def test_openrlhfs_own_loader_reads_what_was_written(recipe, jsonl, tmp_path):
    datasets = pytest.importorskip("datasets")
    # Texts that a reader might take for numbers, dates or JSON.
    odd = ["2024-05-01", "17", '{"a": 1}', "null", "é \u2028 \x00 \"'\\"]
    rows = [row(i, question=text, source="2024-05-01") for i, text in enumerate(odd)]
    rows.append(row(9, test_cases=[f"assert f({'9' * 4000}) == {i}" for i in range(3000)]))  # 12 MB
    path = str(jsonl("a.jsonl", rows))
    made = prepare(recipe(path, chat=False, max_prompt_tokens=64), tmp_path / "data")
    read = datasets.load_dataset("json", data_files=str(made.train), cache_dir=str(tmp_path / "cache"))["train"]
    assert list(read) == lines(made.train)
    assert {Problem.from_label(item["label"]).question for item in read} >= set(odd)


def test_inspect_counts_offline_and_says_what_it_could_not_read(jsonl, tmp_path):
    path = str(jsonl("a.jsonl", [row(i) for i in range(6)]))
    section = Data.model_validate({"train": [{"path": path, "max_problems": 4}, "starter:train"], "eval": "owner/name"})
    found = inspect(section)
    assert (found.train_problems, found.eval_problems) == (4 + 207, None)
    assert found.unchecked == [
        "data.eval.0.path owner/name is not here: a dataset of the Hugging Face Hub, read when training starts"
    ]


def test_inspect_reads_the_first_rows_of_a_large_file(jsonl, monkeypatch):
    monkeypatch.setattr(data, "LARGE", 10_000)
    rows = [row(i) for i in range(1500)]
    path = str(jsonl("a.jsonl", [*rows, "broken"]))
    found = inspect(Data(train=[{"path": path}]))
    assert found.train_problems is None
    assert found.unchecked[0].endswith("only its first 1000 rows were read")
    path = str(jsonl("b.jsonl", [*rows[:999], "broken", *rows]))
    assert "b.jsonl:1000: the row is not JSON" in mistake(lambda: inspect(Data(train=[{"path": path}])))


def test_inspect_names_all_mistakes_at_once(jsonl):
    section = Data.model_validate(
        {
            "train": ["missing.jsonl", str(jsonl("a.jsonl", ["broken"]))],
            "eval": [{"path": "starter:eval", "weight": 2}],
            "prompt_template": "{question} {code}",
        }
    )
    told = mistake(lambda: inspect(section)).splitlines()
    starts = (
        "data.prompt_template has {code}",
        "data.eval.0.weight is 2",
        "data.train.0.path",
        "data.train.1: a.jsonl:1",
    )
    assert len(told) == 4 and all(line.startswith(start) for line, start in zip(told, starts, strict=True))


def problem(*tests: str) -> Problem:
    return Problem("p", "q", list(tests))


PATCHES = problem("with patch('solution.g') as g:\n    assert f(1) == 1")
PLAIN = problem("assert f(1) == 1", "assert f(2) == 2", "assert f(3) == 3")


def test_verdicts_that_earn_nothing_are_told(jsonl):
    (told,) = check_reward({"kind": "pass_rate"}, [PLAIN, PATCHES, PLAIN])
    assert told.startswith("1 of 3 problems have tests that patch the program")
    assert not check_reward({"kind": "pass_rate", "allow_shared": True}, [PLAIN, PATCHES])
    assert "reward.allow_shared is false, but all problems" in mistake(
        lambda: check_reward({"kind": "all_pass"}, [PATCHES, PATCHES])
    )


@pytest.mark.parametrize(("single", "warned"), [(1, False), (2, True)])
def test_problems_without_a_withheld_test_are_told_above_a_twentieth(single, warned):
    problems = [problem("assert f(1) == 1")] * single + [PLAIN] * (20 - single)
    told = check_reward({"kind": "mixed", "holdout": 0.2}, problems)
    assert [line[:40] for line in told] == ["2 of 20 problems have too few tests to w"] * warned
    assert not check_reward({"kind": "mixed"}, problems)


def test_the_share_is_the_one_that_rewards_withhold():
    from reward_fns.holdout import withheld

    for count in range(1, 12):
        tests = problem(*(f"assert f({i}) == {i}" for i in range(count)))
        for share in (0.05, 0.1, 0.2, 0.5, 0.9):
            assert bool(check_reward({"holdout": share}, [tests])) == (not withheld(tests.tests, share))


def test_inspect_holds_the_reward_against_the_training_problems(jsonl):
    path = str(jsonl("a.jsonl", [row(i, test_cases=["assert f(1) == 1"]) for i in range(3)]))
    (told,) = inspect(Data(train=[{"path": path}]), {"kind": "all_pass", "holdout": 0.2}).warnings
    assert told.startswith("3 of 3 problems have too few tests")
