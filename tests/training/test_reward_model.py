"""The reward model of a recipe: who serves it, what the parts that ask it are given, what does not fit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from acecoder_rl.reward_model.calibration import FILE, Calibration, write_calibration
from acecoder_rl.training.checks import check
from acecoder_rl.training.load import RecipeError, load_recipe
from acecoder_rl.training.model_size import gpus_for, parameters
from acecoder_rl.training.placement import all_gpus
from acecoder_rl.training.reward_model import calibrated, filled, serving, to_serve
from acecoder_rl.training.train import plan_of

RECIPES = Path(__file__).parent / "recipes"
PART: dict[str, Any] = {"name": "rm", "kind": "acecode_rm"}
SERVES = "reward_model.path=TIGER-Lab/AceCodeRM-7B"


@pytest.fixture
def recipe(tmp_path: Path) -> Any:
    """A recipe for GPUs (8 on a node, of which it leaves one) whose reward has the given parts."""
    from acecoder_rl.training import yaml_text

    def make(*overrides: str, parts: list[dict[str, Any]] | None = None, name: str = "gpu.yaml") -> Any:
        whole, _ = yaml_text.read((RECIPES / name).read_text())
        whole["reward"] = {"kind": "mixed", "parts": [PART | {"mean": 0, "std": 10}] if parts is None else parts}
        file = tmp_path / "my.yaml"
        file.write_text(json.dumps(whole))
        return load_recipe(file, overrides)

    return make


def test_the_parts_that_name_no_endpoint_get_the_runs_own(recipe: Any) -> None:
    own = PART | {"name": "other", "endpoint": "http://judge:8500", "mean": 0, "std": 1}
    made = recipe(SERVES, "reward_model.replicas=2", "resources.gpus_per_node=16", parts=[PART, own])
    plan = plan_of(made, [])
    first, second = plan.reward["parts"]
    assert plan.reward_model is not None
    assert first["endpoint"] == f"ray://{plan.reward_model['name']}" and second == own
    assert plan.reward_model | {"name": ""} == {
        "model": "TIGER-Lab/AceCodeRM-7B", "replicas": 2, "gpus_per_replica": 1, "name": "", "format": "raw",
    }  # fmt: skip
    assert made.reward["parts"][0] == PART, "the recipe stays as it was written"
    assert plan_of(made, []).reward_model["name"] != plan.reward_model["name"], "two runs of a cluster"


def test_a_model_that_is_served_already_is_only_asked(recipe: Any) -> None:
    plan = plan_of(recipe("reward_model.endpoint=http://judge:8500"), [])
    assert plan.reward_model is None and plan.reward["parts"][0]["endpoint"] == "http://judge:8500"


def test_its_gpus_count(recipe: Any) -> None:
    without = all_gpus(recipe("reward_model.endpoint=http://judge:8500"))
    wanted = (SERVES, "reward_model.replicas=3", "reward_model.gpus_per_replica=2", "resources.gpus_per_node=16")
    assert all_gpus(recipe(*wanted)) == without + 6
    with pytest.raises(RecipeError, match=r"resources.gpus_per_node is 8, but \d+ are asked for .*reward model 6"):
        check(recipe(*wanted[:3]), "my.yaml")


@pytest.mark.parametrize(
    ("overrides", "replicas", "gpus"),
    [
        (["resources.engines_per_node=2"], 2, 1),
        (["resources.engines_per_node=2", "resources.nodes=2"], 4, 1),
        (["resources.engines_per_node=2", "reward_model.path=TIGER-Lab/AceCodeRM-32B"], 1, 2),
        (["resources.engines_per_node=3", "resources.nodes=2", "reward_model.path=TIGER-Lab/AceCodeRM-32B"], 1, 2),
        (["resources.engines_per_node=2", "reward_model.replicas=1"], 1, 1),
        (["resources.engines_per_node=2", "reward_model.gpus_per_replica=2"], 1, 2),
    ],
)
def test_it_gets_the_gpus_that_are_left_as_many_a_copy_as_its_size_asks(
    recipe: Any, overrides: list[str], replicas: int, gpus: int
) -> None:
    served = plan_of(recipe(SERVES, *overrides), []).reward_model
    assert served is not None and (served["replicas"], served["gpus_per_replica"]) == (replicas, gpus)
    check(recipe(SERVES, *overrides), "my.yaml")


def test_without_any_gpu_left_the_recipe_is_refused(recipe: Any) -> None:
    with pytest.raises(RecipeError, match=r"8, but 9 are asked for \(policy 4 \+ engines 4 \+ reward model 1\)"):
        check(recipe(SERVES), "my.yaml")
    wide = (SERVES, "resources.nodes=4", "resources.engines_per_node=1", "reward_model.gpus_per_replica=9")
    with pytest.raises(RecipeError, match=r"gpus_per_replica is 9, but resources.gpus_per_node is 8, and a copy"):
        check(recipe(*wide), "my.yaml")


def test_a_reward_model_does_not_share_in_the_trainers_batches(recipe: Any) -> None:
    check(recipe(SERVES, "reward_model.replicas=3", "resources.gpus_per_node=11"), "my.yaml")


@pytest.mark.parametrize(
    ("path", "billions"),
    [("TIGER-Lab/AceCodeRM-32B", 32), ("some/rm-0.5b-v2", 0.5), ("me/judge", None), ("me/8bit-judge", None)],
)
def test_a_models_size_by_its_name(path: str, billions: float | None) -> None:
    assert parameters(path) == billions


def test_a_models_size_by_its_files(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"torch_dtype": "float32"}')
    with (tmp_path / "model-1-of-1.safetensors").open("wb") as file:
        file.truncate(131 * 10**9)  # no block of it is on the disk
    assert parameters(str(tmp_path)) == pytest.approx(32.75)
    assert gpus_for(str(tmp_path)) == 2


def test_on_a_cpu_replicas_are_not_counted_in_gpus(recipe: Any, tmp_path: Path) -> None:
    made = recipe(f"reward_model.path={tmp_path}", name="cpu.yaml")
    served = to_serve(made, "app", threads=2)
    assert served == {
        "model": str(tmp_path), "replicas": 1, "gpus_per_replica": 0, "name": "app", "format": "raw", "threads": 2,
        "dtype": "float32",
    }  # fmt: skip


def test_the_calibration_beside_the_model_is_taken(recipe: Any, tmp_path: Path) -> None:
    made = recipe(f"reward_model.path={tmp_path}", parts=[PART], name="cpu.yaml")
    assert calibrated(made.reward_model) is None
    assert any("has no mean and std" in line for line in check(made, "my.yaml"))
    write_calibration(tmp_path, Calibration.of([1.0, 3.0], format="raw"))
    assert (tmp_path / FILE).exists()
    assert not any("has no mean and std" in line for line in check(made, "my.yaml"))
    found = calibrated(made.reward_model)
    part = plan_of(made, []).reward["parts"][0]
    assert found is not None and (part["mean"], part["std"]) == (2.0, found.std)
    # What a part says itself stands.
    given = filled({"parts": [PART | {"mean": 7.0, "std": 1.0}]}, "ray://x", found)
    assert given["parts"][0]["mean"] == 7.0


def test_a_calibration_of_another_format_or_a_broken_one_is_told(recipe: Any, tmp_path: Path) -> None:
    asked = PART | {"format": "acecode"}
    made = recipe(f"reward_model.path={tmp_path}", parts=[asked], name="cpu.yaml")
    write_calibration(tmp_path, Calibration.of([1.0, 3.0], format="raw"))
    with pytest.raises(RecipeError, match=r"ask for format acecode, but the calibration .* is of raw: calibrate with"):
        check(made, "my.yaml")
    check(recipe(f"reward_model.path={tmp_path}", parts=[asked | {"mean": 0, "std": 1}], name="cpu.yaml"), "my.yaml")
    (tmp_path / FILE).write_text("{")
    with pytest.raises(RecipeError, match=r"reward_model.path: .*calibration.json cannot be read"):
        check(made, "my.yaml")


def test_the_model_is_served_in_the_format_that_the_parts_ask_for(recipe: Any) -> None:
    asked = PART | {"mean": 0, "std": 1, "format": "acecode"}
    served = plan_of(recipe(SERVES, parts=[asked]), []).reward_model
    assert served is not None and served["format"] == "acecode"
    both = [asked, PART | {"name": "raw", "mean": 0, "std": 1}]
    with pytest.raises(RecipeError, match="have the formats acecode, raw, but one model is served"):
        check(recipe(SERVES, "resources.gpus_per_node=16", parts=both), "my.yaml")


def test_a_failing_run_is_not_hidden_by_a_model_that_does_not_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(endpoint: str) -> None:
        raise RuntimeError("Serve is gone")

    monkeypatch.setattr("acecoder_rl.reward_model.serve.start_in_ray", lambda **section: "ray://app")
    monkeypatch.setattr("acecoder_rl.reward_model.serve.stop", stop)
    with pytest.raises(KeyError, match="the true cause"), serving({"model": "m"}):
        raise KeyError("the true cause")
    assert "Serve is gone" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="Serve is gone"), serving({"model": "m"}):
        pass


@pytest.mark.parametrize(
    ("overrides", "parts", "message"),
    [
        ([], [PART], "reward.parts has one of kind acecode_rm without endpoint: name one, or add the section"),
        (
            [SERVES],
            [PART | {"endpoint": "http://judge:8500"}],
            "reward_model is given, but no part of the reward asks it: add",
        ),
        (["reward_model.replicas=2"], [PART], "reward_model has neither path nor endpoint: give"),
        ([SERVES, "reward_model.endpoint=http://judge:8500"], [PART], "reward_model has both path and endpoint: give"),
        (
            ["reward_model.endpoint=http://judge:8500", "reward_model.replicas=2"],
            [PART],
            "reward_model.replicas is 2, but the model at reward_model.endpoint is served already: leave it out",
        ),
        (["reward_model.path=./nowhere"], [PART], "reward_model.path is './nowhere', which does not exist: give"),
    ],
)
def test_what_does_not_fit(recipe: Any, overrides: list[str], parts: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(RecipeError) as told:
        check(recipe(*overrides, "resources.gpus_per_node=16", parts=parts), "my.yaml")
    assert message in str(told.value)


def test_gpus_of_a_replica_on_a_cpu(recipe: Any, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"gpus_per_replica is 1, but resources.device is cpu: leave it out"):
        check(recipe(f"reward_model.path={tmp_path}", "reward_model.gpus_per_replica=1", name="cpu.yaml"), "my.yaml")


def test_a_wrong_argument_of_the_part_is_told_with_its_line(recipe: Any) -> None:
    with pytest.raises(RecipeError, match=r"parts\.0.*formt|formt.*parts\.0"):
        recipe(SERVES, parts=[PART | {"formt": "raw"}])
