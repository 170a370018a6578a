"""Reading recipes: every mistake is told at once, where it stands and with its mend."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acecoder_rl.training import yaml_text
from acecoder_rl.training.load import RecipeError, load_recipe, resolved_yaml
from acecoder_rl.training.recipe import Recipe

GOOD = """\
model:
  path: some/model
data:
  train: problems.jsonl
reward:
  kind: all_pass
rollout:
  batch_size: 8
  n_samples_per_prompt: 4
train:
  advantage_estimator: rloo
  learning_rate: 1e-6
  batch_size: 32
resources:
  actor_gpus_per_node: 1
  engines_per_node: 1
"""

# (what is replaced in GOOD, by what, the message)
MISTAKES = [
    (
        "prompt: 4",
        "prompt: 0",
        "my.yaml:9: rollout.n_samples_per_prompt is 0: give a whole number of at least 1",
    ),
    (
        "prompt: 4",
        "prompt: true",
        "my.yaml:9: rollout.n_samples_per_prompt is true: give a whole number of at least 1",
    ),
    (
        "prompt: 4",
        "prompt: 4.0",
        "my.yaml:9: rollout.n_samples_per_prompt is 4.0: give a whole number of at least 1",
    ),
    (
        "prompt: 4",
        "prompt:",
        "my.yaml:9: rollout.n_samples_per_prompt is null: give a whole number of at least 1",
    ),
    (
        "rate: 1e-6",
        "rate: '1e-6'",
        "my.yaml:12: train.learning_rate is '1e-6': give a number above 0 and at most 1",
    ),
    (
        "rate: 1e-6",
        "rate: .nan",
        "my.yaml:12: train.learning_rate is nan: give a number above 0 and at most 1",
    ),
    (
        "rate: 1e-6",
        "rate: 1:30",
        "my.yaml:12: train.learning_rate is '1:30': give a number above 0 and at most 1",
    ),
    (
        "learning_rate",
        "learning_rat",
        "my.yaml:12: train.learning_rat is not known: did you mean learning_rate?",
    ),
    ("train:\n  adv", "trian:\n  adv", "my.yaml:10: trian is not known: did you mean train?"),
    (
        "  batch_size: 32",
        "  max_new_tokens: 32",
        "my.yaml:13: train.max_new_tokens is not known: did you mean rollout.max_new_tokens?",
    ),
    (
        "  learning_rate: 1e-6\n",
        "",
        "my.yaml:10: train.learning_rate is missing: give a number above 0 and at most 1",
    ),
    (
        "estimator: rloo",
        "estimator: rlo",
        "my.yaml:11: train.advantage_estimator is 'rlo': did you mean rloo? It takes one of gae, reinforce, "
        "reinforce_baseline, rloo, group_norm, dr_grpo",
    ),
    (
        "  learning_rate: 1e-6",
        "  learning_rate: 1e-6\n  kl_in_loss: yes",
        "my.yaml:13: train.kl_in_loss is 'yes': give true or false",
    ),
    ("  train: problems.jsonl", "  train:", "my.yaml:4: data.train is null: give a list"),
    ("  train: problems.jsonl", "  train: []", "my.yaml:4: data.train is []: give a list"),
    ("  train: problems.jsonl", "  train: [{}]", "my.yaml:4: data.train.0.path is missing: give a text"),
    (
        "  train: problems.jsonl",
        "  train: [5]",
        "my.yaml:4: data.train.0 is 5: give the section, with at least path",
    ),
    ("path: some/model", "path: 5", "my.yaml:2: model.path is 5: give a text"),
    (
        "resources:\n  actor_gpus_per_node: 1\n  engines_per_node: 1\n",
        "",
        "my.yaml: resources is missing: give the section, with at least actor_gpus_per_node, engines_per_node",
    ),
    (
        "model:\n  path: some/model",
        "model: some/model",
        "my.yaml:1: model is 'some/model': give the section, with at least path",
    ),
    (
        "  batch_size: 8",
        "  batch_size: 8\n  batch_size: 9",
        "my.yaml:9: rollout.batch_size is given twice (line 8 too): keep one",
    ),
    ("kind: all_pass", "kind: all_pass\n  holdout: 1.5", "my.yaml:7: reward.holdout is 1.5"),
    ("kind: all_pass", "kindd: all_pass", "my.yaml:5: reward.kind is"),
    ("resources:", "sandbox: {test_seconds: -1}\nresources:", "my.yaml:14: sandbox"),
    (
        "resources:",
        "openrlhf: {5: 1}\nresources:",
        "my.yaml:14: openrlhf.5 is a key that is no text: put it in quotes",
    ),
    ("model:", "\tmodel:", "my.yaml:1: not valid YAML: found character '\\t' that cannot start any token"),
    (
        "model:",
        "model: !!python/name:os.system",
        "my.yaml:1: not valid YAML: could not determine a constructor",
    ),
]


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("my.yaml").write_text(GOOD)
    return Path("my.yaml")


@pytest.mark.parametrize(("old", "new", "message"), MISTAKES, ids=[message for *_, message in MISTAKES])
def test_a_mistake_is_told_where_it_stands(recipe: Path, old: str, new: str, message: str) -> None:
    assert GOOD.count(old) == 1
    recipe.write_text(GOOD.replace(old, new))
    with pytest.raises(RecipeError) as caught:
        load_recipe("my.yaml")
    assert len(caught.value.mistakes) == 1
    assert str(caught.value).startswith(message)


def test_all_mistakes_are_told_at_once_in_their_order(recipe: Path) -> None:
    recipe.write_text(GOOD.replace("all_pass", "al_pass").replace(": 8", ": x").replace("engines_per", "engine_per"))
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe, ["train.seed=-1", "nonsense"])
    assert [line.split(" is ")[0] for line in caught.value.mistakes] == [
        "--set nonsense: give section.field=value",
        "my.yaml:6: reward.kind",
        "my.yaml:8: rollout.batch_size",
        "--set train.seed=-1: train.seed",
        "my.yaml:16: resources.engine_per_node",
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1e-6", 1e-6), ("5E-7", 5e-7), ("1", 1.0), ("1.", 1.0), (".5", 0.5), ("+1e-3", 1e-3), ("0.5", 0.5)],
)
def test_numbers_as_people_write_them(recipe: Path, text: str, value: float) -> None:
    recipe.write_text(GOOD.replace("1e-6", text))
    rate = load_recipe(recipe).train.learning_rate
    assert rate == value
    assert type(rate) is float


def test_what_yaml_1_1_would_misread_stays_a_text(recipe: Path) -> None:
    names = ["no", "2026-01-01", "12:30:00", "1_000"]
    recipe.write_text(GOOD.replace("problems.jsonl", f"[{', '.join(names)}]"))
    assert [source.path for source in load_recipe(recipe).data.train] == names


def test_a_section_with_all_its_lines_commented_out_is_an_empty_one(recipe: Path) -> None:
    recipe.write_text(GOOD + "logging:\n  # tensorboard: false\nsandbox:\n")
    assert load_recipe(recipe).logging.tensorboard is True


def test_the_folder_is_named_after_the_recipe(recipe: Path) -> None:
    assert load_recipe(recipe).logging.folder == "runs/my"
    assert load_recipe(recipe, ["logging.folder=elsewhere"]).logging.folder == "elsewhere"


def test_overrides_reach_everything(recipe: Path) -> None:
    loaded = load_recipe(
        recipe,
        [
            "train.learning_rate=2e-6",
            "data.train.0.weight=2",
            "data.eval=[a.jsonl, b.jsonl]",
            "data.eval.1.max_problems=5",
            "data.prompt_template='{question}!'",
            "reward.holdout=0.2",
            "sandbox.test_seconds=2",
            "openrlhf.actor.dual_clip=3.0",
            "resources.threads=",
            "logging.wandb_project=a=b",
        ],
    )
    assert loaded.train.learning_rate == 2e-6
    assert loaded.data.train[0].model_dump() == {
        "path": "problems.jsonl",
        "split": "train",
        "weight": 2.0,
        "subset": "all",
        "max_problems": None,
    }
    assert [(source.path, source.max_problems) for source in loaded.data.eval] == [
        ("a.jsonl", None),
        ("b.jsonl", 5),
    ]
    assert loaded.data.prompt_template == "{question}!"
    assert loaded.reward == {"kind": "all_pass", "holdout": 0.2}
    assert loaded.sandbox == {"test_seconds": 2}
    assert loaded.openrlhf == {"actor.dual_clip": 3.0}
    assert loaded.logging.wandb_project == "a=b"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.batch_size=0", "train.batch_size is 0: give a whole number of at least 1"),
        ("train.batch_sise=8", "train.batch_sise is not known: did you mean batch_size?"),
        ("trian.seed=8", "trian is not known: did you mean train?"),
        ("data.train.1.weight=2", "data.train has no item 1: the last is 0"),
        ("train.seed.x=1", "train.seed is 7, which has no x"),
        ("train.seed", "give section.field=value"),
        ("seed=1", "give section.field=value"),
        ("train..seed=1", "give section.field=value"),
        ("train.seed=[", "the value is not valid YAML: expected the node content, but found '<stream end>'"),
        ("reward.kind=none", "reward.kind is"),
    ],
)
def test_a_mistake_on_the_command_line_is_told_as_such(recipe: Path, override: str, message: str) -> None:
    recipe.write_text(GOOD.replace("batch_size: 32", "batch_size: 32\n  seed: 7"))
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe, [override])
    assert str(caught.value).startswith(f"--set {override}: {message}")


def test_the_last_override_of_a_field_wins(recipe: Path) -> None:
    assert load_recipe(recipe, ["train.seed=1", "train.seed=2"]).train.seed == 2


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just text"])
def test_a_file_that_is_no_recipe(recipe: Path, text: str) -> None:
    recipe.write_text(text)
    with pytest.raises(RecipeError, match=r"^my\.yaml: is no recipe: give the sections model, data, reward, "):
        load_recipe(recipe)


def test_a_file_that_cannot_be_read(recipe: Path) -> None:
    with pytest.raises(RecipeError, match=r"^other\.yaml: there is no such file$"):
        load_recipe("other.yaml")
    recipe.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match=r"^my\.yaml: cannot be read: "):
        load_recipe(recipe)
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(recipe.absolute().parent)


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]) | st.sampled_from("\n\t"), max_size=30)
TRICKY = st.sampled_from(
    [
        "1e-6",
        "yes",
        "null",
        "~",
        "0o7",
        "012",
        "1:30",
        "2026-01-01",
        "<<",
        "- a",
        "a: b",
        "# a",
        "=",
        " a ",
        "a\n",
        "\n\n",
        "{question}",
        "```python\n",
        "'",
        '"',
        "\ufeff",
        "\x85",
        "\u2028",
    ]
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS | TRICKY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS | TRICKY, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(PLAIN)
def test_yaml_is_read_as_it_was_written(value: object) -> None:
    again, _ = yaml_text.read(yaml_text.write(value))
    assert again == value
    assert repr(again) == repr(value)  # 1 is not 1.0, nor true


@settings(max_examples=50, deadline=None)
@given(
    template=TEXTS | TRICKY,
    rate=st.floats(min_value=1e-300, max_value=1),
    weights=st.lists(st.floats(min_value=1e-9, max_value=1e300) | st.integers(1, 9), min_size=1, max_size=3),
    further=st.dictionaries(TEXTS | TRICKY, PLAIN, max_size=3),
)
def test_the_resolved_recipe_loads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, template: str, rate: float, weights: list[float], further: dict
) -> None:
    record, _ = yaml_text.read(GOOD)
    record["data"] = {
        "train": [{"path": "a", "weight": weight} for weight in weights],
        "prompt_template": template,
        "assistant_prefix": template,
    }
    record["train"]["learning_rate"] = rate
    record["openrlhf"] = further
    record["logging"] = {"folder": "runs/x"}
    recipe = Recipe.model_validate(record)
    file = tmp_path_factory.mktemp("resolved") / "recipe.yaml"
    file.write_text(resolved_yaml(recipe), encoding="utf-8", newline="")
    assert load_recipe(file) == recipe
