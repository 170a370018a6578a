"""`from_config`: a recipe's sections become the reward they describe; mistakes are told with their mend."""

from __future__ import annotations

from pathlib import Path

import pytest

from acecoder_rl.sandbox import Limits
from acecoder_rl.sandbox.remote import Settings
from reward_fns import AllPass, ConfigError, Mixed, Part, PassRate, from_config
from reward_fns.configured import reward_of
from tests.reward_fns.scorers import Fixed, Shortness

SHORTNESS = "tests.reward_fns.scorers:Shortness"
YAML = """\
reward:
  kind: all_pass
  holdout: 0.2
sandbox:
  workers: 2
  test_seconds: 2
"""


def test_a_section_becomes_the_reward():
    assert from_config({"kind": "pass_rate"}) == PassRate()
    shaped = {"holdout": 0.2, "full_pass_bonus": 1, "overlong_penalty": 0.1, "overlong_chars": 500}
    assert from_config({"kind": "all_pass", **shaped}) == AllPass(**shaped)


def test_parts_get_the_name_of_their_class_unless_they_say_otherwise():
    mixed = from_config({"kind": "mixed", "parts": [{"kind": SHORTNESS, "weight": 0.5, "per_chars": 10}]})
    assert isinstance(mixed, Mixed)
    assert (mixed.parts[0].name, mixed.parts[0].weight) == ("shortness", 0.5)
    assert isinstance(mixed.parts[0].component, Shortness)
    named = from_config({"kind": "mixed", "parts": [{"kind": SHORTNESS, "name": "brief"}]})
    assert named.parts[0].name == "brief"


def test_the_sandbox_section_travels_with_the_reward():
    section = {"workers": 3, "require": "landlock", "preload": ["numpy"], "memory_mb": 512}
    reward = from_config({"kind": "pass_rate"}, sandbox=section)
    assert reward.sandbox == Settings(3, Limits(memory_mb=512), "landlock", None, ("numpy",))


def test_yaml_text_and_yaml_files(tmp_path: Path):
    expected = AllPass(holdout=0.2, sandbox=Settings(workers=2, limits=Limits(test_seconds=2)))
    path = tmp_path / "recipe.yaml"
    path.write_text(YAML)
    assert from_config(YAML) == from_config(path) == from_config(str(path)) == expected
    assert from_config("kind: pass_rate\nholdout: 0.1") == PassRate(holdout=0.1)
    assert from_config(path, sandbox={}) == AllPass(holdout=0.2)


def test_a_recipe_that_is_based_on_another_has_its_sandbox_and_prefix_too(tmp_path: Path):
    (tmp_path / "base.yaml").write_text(YAML + "data: {train: a.jsonl, assistant_prefix: '# '}\n")
    (tmp_path / "sub").mkdir()
    path = tmp_path / "sub" / "mine.yaml"
    path.write_text("base: ../base.yaml\nsandbox: {test_seconds: 3}\nreward: {kind: pass_rate}\n")
    settings = Settings(workers=2, limits=Limits(test_seconds=3))
    assert from_config(path) == PassRate(sandbox=settings)
    assert reward_of(path) == (PassRate(sandbox=settings), "# ")
    path.write_text("base: ../base.yaml\nsandbox:\n  # workers: 1\nreward: {holdout: 0.5}\n")
    assert from_config(path) == AllPass(holdout=0.5, sandbox=Settings(workers=2, limits=Limits(test_seconds=2)))
    path.write_text("base: mine.yaml\nreward: {kind: pass_rate}\n")
    with pytest.raises(ConfigError, match="based on this recipe"):
        from_config(path)


def test_the_callers_section_is_left_as_it_was():
    section = {"kind": "mixed", "parts": [{"kind": SHORTNESS, "weight": 0.5}]}
    assert from_config(section) is not from_config(section)
    assert section == {"kind": "mixed", "parts": [{"kind": SHORTNESS, "weight": 0.5}]}


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({}, "reward.kind is None: give one of pass_rate, all_pass, mixed"),
        ({"kind": "passrate"}, "reward.kind is 'passrate': did you mean 'pass_rate'?"),
        ({"kind": ["x"]}, "reward.kind is ['x']: give one of"),
        ([], "reward is []: give keys and values"),
        ({"kind": "pass_rate", "hold_out": 0.2}, "reward.hold_out is not known: did you mean 'holdout'?"),
        ({"kind": "pass_rate", "sandbox": {}}, "reward.sandbox is not known"),
        ({"kind": "pass_rate", "parts": []}, "reward.parts is not known"),
        ({"kind": "pass_rate", "holdout": 1}, "reward.holdout is 1: give a share below 1"),
        ({"kind": "pass_rate", "holdout": "0.2"}, "reward.holdout is '0.2': give a number from 0 to 10"),
        ({"kind": "pass_rate", "holdout": float("nan")}, "reward.holdout is nan"),
        ({"kind": "all_pass", "allow_shared": 1}, "reward.allow_shared is 1: give true or false"),
        (
            {"kind": "all_pass", "overlong_chars": 0},
            "reward.overlong_chars is 0: give a whole number above 0",
        ),
        ({"kind": "all_pass", "full_pass_bonus": 9.5}, "reward.values may reach 10.5"),
        ({"kind": "mixed"}, "reward.parts is None: give a list, each with name, kind and weight"),
        ({"kind": "mixed", "parts": [3]}, "reward.parts.0 is 3: give keys and values"),
        (
            {"kind": "mixed", "parts": [{"name": "a"}]},
            "reward.parts.0.kind is None: give one of acecode_rm, or give 'package.module:Class'",
        ),
        (
            {"kind": "mixed", "parts": [{"kind": "no.such:Thing"}]},
            "which does not import: No module named 'no'",
        ),
        ({"kind": "mixed", "parts": [{"kind": SHORTNESS + "est"}]}, "which does not import"),
        (
            {"kind": "mixed", "parts": [{"kind": SHORTNESS, "per_char": 1}]},
            "0.per_char is not known: did you mean 'per_chars'",
        ),
        (
            {"kind": "mixed", "parts": [{"kind": SHORTNESS, "wieght": 1}]},
            "0.wieght is not known: did you mean 'weight'",
        ),
        (
            {"kind": "mixed", "parts": [{"kind": "acecode_rm", "endpont": "http://a:1"}]},
            "reward.parts.0.endpont is not known: did you mean 'endpoint'",
        ),
        ({"kind": "mixed", "parts": [{"kind": SHORTNESS, "std": 0}]}, "reward.parts.0: shortness: std 0"),
        ({"kind": "mixed", "parts": [{"kind": SHORTNESS, "weight": "1"}]}, "weight is '1': give a number"),
        (
            {"kind": "mixed", "parts": [{"kind": "tests.reward_fns.scorers:NoScorer"}]},
            "has no method `async score",
        ),
        ({"kind": "mixed", "parts": [{"kind": SHORTNESS}], "modes": 1}, "did you mean 'mode'?"),
    ],
)
def test_a_wrong_section_is_told_with_field_value_and_mend(section, said: str):
    with pytest.raises(ConfigError) as caught:
        from_config(section)
    first, _, rest = said.partition(".*")
    assert first in str(caught.value)
    assert rest in str(caught.value)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"worker": 1}, "sandbox.worker is not known: did you mean 'workers'?"),
        ({"workers": 0}, "sandbox.workers is 0: give 1 or more"),
        ({"require": "all"}, "sandbox.require='all': give one of namespaces, landlock, none"),
        ({"preload": "numpy"}, "sandbox.preload is 'numpy': give a list of module names"),
        ({"test_seconds": -1}, "sandbox.test_seconds is -1: give a number above 0"),
        ({"tests_seconds": 1}, "did you mean 'test_seconds'?"),
        (3, "sandbox is 3: give keys and values"),
    ],
)
def test_a_wrong_sandbox_section_is_told_too(section, said: str):
    with pytest.raises(ConfigError) as caught:
        from_config({"kind": "pass_rate"}, sandbox=section)
    assert said in str(caught.value)


def test_errors_name_the_file(tmp_path: Path):
    path = tmp_path / "recipe.yaml"
    with pytest.raises(ConfigError, match=rf"{path} cannot be read: No such file"):
        from_config(path)
    path.write_text("reward: {kind: pas_rate}")
    with pytest.raises(ConfigError, match=rf"{path}: reward.kind is 'pas_rate': did you mean"):
        from_config(str(path))
    path.write_text("reward: [")
    with pytest.raises(ConfigError, match=rf"{path} is not YAML"):
        from_config(path)
    path.write_text("")
    with pytest.raises(ConfigError, match=rf"{path}: reward is None: give keys and values"):
        from_config(path)


def test_python_callers_get_the_same_checks():
    with pytest.raises(ValueError, match="holdout is 1"):
        PassRate(holdout=1)
    with pytest.raises(ValueError, match="limit -1"):
        Part("a", Fixed(), limit=-1)
