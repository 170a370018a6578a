"""A patch is applied once its module has run, however that comes about, and never makes the import happen."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from acecoder_rl.training.cpu.imports import after


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Callable[..., str]:
    """Writes a package with a module `inner`; gives its name, which no other test has."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(source: str = "value = 1\n") -> str:
        name = f"patched_{abs(hash(request.node.name))}"
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "__init__.py").write_text(source)
        (tmp_path / name / "inner.py").write_text(source)
        importlib.invalidate_caches()
        return name

    return write


def _setter(name: str, value: int) -> Callable[[], None]:
    return lambda: setattr(sys.modules[name], "value", sys.modules[name].value * 10 + value)


def test_before_the_import(module):
    name = module()
    after(name, _setter(name, 2))
    assert name not in sys.modules
    assert importlib.import_module(name).value == 12


def test_after_the_import(module):
    name = module()
    imported = importlib.import_module(name)
    after(name, _setter(name, 2))
    assert imported.value == 12


def test_patches_come_in_order_and_once(module):
    name = module()
    after(name, _setter(name, 2))
    after(name, _setter(name, 3))
    assert importlib.import_module(name).value == 123
    assert importlib.import_module(name).value == 123
    assert importlib.reload(sys.modules[name]).value == 1


def test_a_submodule(module):
    name = module()
    after(f"{name}.inner", _setter(f"{name}.inner", 2))
    assert importlib.import_module(name).value == 1 and f"{name}.inner" not in sys.modules
    assert importlib.import_module(f"{name}.inner").value == 12


def test_asking_whether_there_is_such_a_module_neither_imports_nor_loses_the_patch(module):
    name = module()
    after(name, _setter(name, 2))
    assert importlib.util.find_spec(name) and importlib.util.find_spec(name)
    assert name not in sys.modules
    assert importlib.import_module(name).value == 12


def test_a_name_that_nothing_has_stays_missing():
    after("patched_nowhere", lambda: None)
    assert importlib.util.find_spec("patched_nowhere") is None
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("patched_nowhere")


def test_a_module_that_fails_at_first_is_patched_when_it_runs(module):
    name = module("raise OSError('busy')")
    after(name, _setter(name, 2))
    with pytest.raises(OSError, match="busy"):
        importlib.import_module(name)
    module("value = 1  # longer than before, so that no cached code is taken for it\n")
    assert importlib.import_module(name).value == 12


def test_a_module_is_never_had_without_its_patch(module):
    name = module()
    after(name, lambda: 1 / 0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            importlib.import_module(name)
    assert name not in sys.modules


def test_a_module_that_another_finder_knows(module, tmp_path, monkeypatch):
    # As an editable install: a finder of its own, behind Python's, and nothing on sys.path.
    name = module()
    file = tmp_path / name / "inner.py"

    class Editable:
        @staticmethod
        def find_spec(asked, path=None, target=None):
            return importlib.util.spec_from_file_location(asked, file) if asked == "patched_editable" else None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Editable])
    after("patched_editable", _setter("patched_editable", 2))
    assert importlib.import_module("patched_editable").value == 12
