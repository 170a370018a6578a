"""OpenRLHF's own parser and checks, run without OpenRLHF's dependencies."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from acecoder_rl.training import openrlhf_parser
from acecoder_rl.training.flags import flags
from acecoder_rl.training.load import RecipeError, load_recipe
from acecoder_rl.training.openrlhf_parser import Checked, NotInstalled, Rewrite, check_arguments

RECIPES = Path(__file__).parent / "recipes"
CPU = RECIPES / "cpu.yaml"
GPU = RECIPES / "gpu.yaml"
with_openrlhf = pytest.mark.skipif(importlib.util.find_spec("openrlhf") is None, reason="needs OpenRLHF's files")


def _check(file: Path, *overrides: str) -> Checked:
    recipe = load_recipe(file, overrides)
    return check_arguments(flags(recipe, Path("/runs/one"), Path("/runs/one/train.jsonl")), "my.yaml")


@with_openrlhf
@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "rollout.n_samples_per_prompt=1",
            "my.yaml: OpenRLHF refuses this: reinforce_baseline requires n_samples_per_prompt > 1 "
            "(rollout.n_samples_per_prompt is 1)",
        ),
        (
            "openrlhf.train.partial_rollout_enable=true",
            "my.yaml: OpenRLHF refuses this: --train.partial_rollout_enable requires --train.async_enable. "
            "(openrlhf.train.async_enable is False)",
        ),
        (
            "openrlhf.ds.param_dtype=fp32",
            "my.yaml: openrlhf.ds.param_dtype: argument --ds.param_dtype: invalid choice: 'fp32' "
            "(choose from 'bf16', 'fp16')",
        ),
        (
            "openrlhf.actor.dual_clip=x",
            "my.yaml: openrlhf.actor.dual_clip: argument --actor.dual_clip: invalid float value: 'x'",
        ),
        (
            "openrlhf.actor.dual_clp=3",
            "my.yaml: openrlhf.actor.dual_clp is not known to OpenRLHF: did you mean actor.dual_clip?",
        ),
        # argparse would take it for rollout.batch_size
        (
            "openrlhf.rollout.batch=3",
            "my.yaml: openrlhf.rollout.batch is not known to OpenRLHF: did you mean rollout.batch_size?",
        ),
        (
            "openrlhf.help=true",
            "my.yaml: openrlhf.help is not known to OpenRLHF: see python -m openrlhf.cli.train_ppo_ray --help",
        ),
        (
            "openrlhf.actor.dual_clip=[3, 77]",
            "my.yaml: openrlhf.actor.dual_clip does not take the further value '77'",
        ),
        (
            "openrlhf.reward.clip_range=3",
            "my.yaml: openrlhf.reward.clip_range: argument --reward.clip_range: expected 2 arguments",
        ),
    ],
)
def test_what_it_refuses_is_told_by_field(override: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        _check(CPU, override)
    assert str(caught.value) == message


@with_openrlhf
def test_its_own_assertion_on_batches_is_told() -> None:
    with pytest.raises(RecipeError) as caught:
        _check(GPU, "rollout.batch_size=1")
    assert "OpenRLHF refuses this: The number of sample batches must be greater" in str(caught.value)
    assert "rollout.micro_batch_size is 8" in str(caught.value)
    assert "resources.actor_gpus_per_node is 4" in str(caught.value)


@with_openrlhf
def test_what_it_prints_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert _check(GPU).warnings == ()
    (warning,) = _check(GPU, "train.kl_in_loss=true").warnings
    assert warning == "Recommend setting k1 to 'k2' or 'k3' when using KL as a loss"
    assert capsys.readouterr() == ("", "")


@with_openrlhf
def test_what_it_changes_silently_is_told() -> None:
    filled_in = {item.flag for item in _check(GPU).rewrites}
    assert filled_in == {"rollout.vllm_generate_batch_size", "actor.eps_clip_low_high", "reward.remote_url"}
    changed = _check(GPU, "resources.packing_samples=false", "openrlhf.train.dynamic_batch_enable=true").rewrites
    assert Rewrite("ds.packing_samples", False, True) in changed
    # A list that is changed in place is a change, too.
    bounds = _check(GPU, "openrlhf.algo.advantage.is_correction_threshold=[2.0]").rewrites
    assert Rewrite("algo.advantage.is_correction_threshold", [2.0], [0.0, 2.0]) in bounds


@with_openrlhf
def test_nothing_heavy_is_imported_and_it_is_quick() -> None:
    code = f"""
import sys, time
from pathlib import Path
from acecoder_rl.training.flags import flags
from acecoder_rl.training.load import load_recipe
from acecoder_rl.training.openrlhf_parser import check_arguments
argv = flags(load_recipe({str(CPU)!r}), Path("/r"), Path("/r/t.jsonl"))
start = time.process_time()
checked = check_arguments(argv, "my.yaml")
assert time.process_time() - start < 1.0
assert checked.args.train.batch_size == 48
heavy = {{"torch", "ray", "vllm", "openrlhf", "transformers", "deepspeed", "datasets"}} & set(sys.modules)
assert not heavy, heavy
assert not any(name.startswith("openrlhf") for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_openrlhf_it_says_that_nothing_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openrlhf_parser.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NotInstalled, match=r"^not checked by OpenRLHF's own parser: run `make setup`, or pip install"):
        check_arguments([], "my.yaml")


def test_an_openrlhf_of_another_make_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "openrlhf"
    (package / "cli").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "cli" / "train_ppo_ray.py").write_text("if __name__ == '__main__':\n    raise SystemExit('run')\n")
    for name in [name for name in sys.modules if name.partition(".")[0] == "openrlhf"]:
        monkeypatch.delitem(sys.modules, name)  # another test may have imported the real one
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(NotInstalled, match=r"train_ppo_ray\.py has no `train\(args\)` in its main block"):
        check_arguments([], "my.yaml")
