"""A recipe based on another: it says only what differs, and each mistake is told in the file that has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from acecoder_rl.training.load import RecipeError, load_recipe, resolved_yaml

WHOLE = """\
model:
  path: some/model
data:
  train: [one.jsonl, two.jsonl]
reward:
  kind: all_pass
  holdout: 0.2
sandbox:
  workers: 2
rollout: {batch_size: 8, n_samples_per_prompt: 4}
train:
  advantage_estimator: rloo
  learning_rate: 1e-6
  batch_size: 32
resources: {actor_gpus_per_node: 1, engines_per_node: 1}
openrlhf:
  actor.dual_clip: 3.0
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("recipes").mkdir()
    Path("recipes/whole.yaml").write_text(WHOLE)
    return tmp_path


def _own(text: str, name: str = "recipes/own.yaml") -> str:
    Path(name).write_text(text)
    return name


def _mistakes(file: str, *overrides: str) -> tuple[str, ...]:
    with pytest.raises(RecipeError) as caught:
        load_recipe(file, overrides)
    return caught.value.mistakes


def test_fields_that_it_does_not_name_are_the_others() -> None:
    own = load_recipe(_own("base: whole.yaml\ntrain:\n  learning_rate: 2e-6\n"))
    whole = load_recipe("recipes/whole.yaml")
    assert own.train == whole.train.model_copy(update={"learning_rate": 2e-6})
    assert own.logging.folder == "runs/own"
    rest = {"train", "logging"}
    assert own.model_dump(exclude=rest) == whole.model_dump(exclude=rest)


def test_lists_are_replaced_and_so_is_a_reward_of_another_kind() -> None:
    own = load_recipe(_own("base: whole.yaml\ndata:\n  train: [three.jsonl]\nreward:\n  kind: pass_rate\n"))
    assert [source.path for source in own.data.train] == ["three.jsonl"]
    assert own.reward == {"kind": "pass_rate"}
    assert load_recipe(_own("base: whole.yaml\nreward:\n  holdout: 0.5\n")).reward == {
        "kind": "all_pass",
        "holdout": 0.5,
    }


def test_a_section_without_any_line_takes_nothing_away_and_a_null_field_does() -> None:
    assert load_recipe(_own("base: whole.yaml\nsandbox:\n  # workers: 3\n")).sandbox == {"workers": 2}
    above = _own("base: own.yaml\nreward_model:\n", "recipes/above.yaml")
    _own("base: whole.yaml\nreward_model:\n  path: some/judge\n")
    assert load_recipe("recipes/own.yaml").reward_model is not None
    assert load_recipe(above).reward_model is None


def test_a_path_is_looked_for_from_the_file_that_has_it() -> None:
    Path("mine/deep").mkdir(parents=True)
    _own("base: ../../recipes/whole.yaml\ntrain:\n  seed: 7\n", "mine/deep/middle.yaml")
    own = load_recipe(_own("base: deep/middle.yaml\ntrain:\n  batch_size: 64\n", "mine/own.yaml"))
    assert (own.train.seed, own.train.batch_size, own.train.learning_rate) == (7, 64, 1e-6)


def test_the_resolved_recipe_stands_alone(folder: Path) -> None:
    own = load_recipe(_own("base: whole.yaml\ntrain:\n  learning_rate: 2e-6\n"), ["train.seed=3"])
    resolved = folder / "resolved.yaml"
    resolved.write_text(resolved_yaml(own))
    Path("recipes/whole.yaml").unlink()
    assert "base" not in resolved.read_text() and load_recipe(resolved) == own


def test_each_mistake_is_told_in_its_own_file() -> None:
    Path("recipes/whole.yaml").write_text(WHOLE.replace("workers: 2", "workers: no").replace("rloo", "rlo"))
    own = _own("base: whole.yaml\ntrain:\n  learning_rate: fast\n  epochs: 3\n")
    told = _mistakes(own, "rollout.batch_size=0")
    assert [line.split(" is ")[0] for line in told] == [
        "recipes/own.yaml:3: train.learning_rate",
        "recipes/own.yaml:4: train.epochs",
        "recipes/whole.yaml:9: sandbox.workers",
        "--set rollout.batch_size=0: rollout.batch_size",
        "recipes/whole.yaml:12: train.advantage_estimator",
    ]


def test_what_was_replaced_is_no_mistake_any_more() -> None:
    Path("recipes/whole.yaml").write_text(WHOLE.replace("1e-6", "fast").replace("[one.jsonl, two.jsonl]", "[1, 2]"))
    load_recipe(_own("base: whole.yaml\ndata: {train: a.jsonl}\ntrain: {learning_rate: 1e-6}\n"))


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("no.yaml", "own.yaml:2: base is 'no.yaml', but there is no file recipes/no.yaml: give a path from recipes"),
        (".", "own.yaml:2: base is '.', but there is no file recipes: give"),
        ("5", "own.yaml:2: base is 5: give the path of a recipe"),
        ("", "own.yaml:2: base is"),
        ("own.yaml", "own.yaml:2: base is 'own.yaml', which is based on this recipe: leave base out"),
        ("../recipes/own.yaml", "own.yaml:2: base is '../recipes/own.yaml', which is based on this recipe"),
        ("list.yaml", "list.yaml: is no recipe: give the sections model, data"),
        ("broken.yaml", "broken.yaml:2: not valid YAML"),
    ],
)
def test_a_base_that_cannot_be_one(base: str, message: str) -> None:
    _own("- a\n", "recipes/list.yaml")
    _own("a: [\n", "recipes/broken.yaml")
    (told,) = _mistakes(_own(f"# mine\nbase: {base}\n"))
    assert told.startswith(f"recipes/{message}")


def test_a_circle_over_several_files_ends() -> None:
    _own("base: b.yaml\n", "recipes/a.yaml")
    _own("base: c.yaml\n", "recipes/b.yaml")
    _own("base: a.yaml\n", "recipes/c.yaml")
    (told,) = _mistakes("recipes/a.yaml")
    assert told.startswith("recipes/c.yaml:1: base is 'a.yaml', which is based on this recipe")
