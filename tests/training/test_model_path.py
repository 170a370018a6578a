"""One reading of model.path, wherever it is looked at."""

from __future__ import annotations

import pytest

from acecoder_rl.training.model_path import missing, resolve
from acecoder_rl.training.recipe import RecipeError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "m").mkdir(parents=True)
    (tmp_path / "here" / "models" / "m").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("~/m", "home/m"),
        ("models/m", "here/models/m"),
        ("./models/m", "here/models/m"),
        ("models", "here/models"),
    ],
)
def test_a_folder_is_where_workers_find_it(path, folder, home):
    assert resolve(path) == str(home / folder) and not missing(path)


@pytest.mark.parametrize("path", ["gpt2", "Qwen/Qwen2.5-Coder-7B-Instruct"])
def test_an_id_of_the_hub_stays(path):
    assert resolve(path) == path and not missing(path)


@pytest.mark.parametrize("path", ["~/gone", "./gone", "/gone", "runs/models/gone"])
def test_a_folder_that_is_not_there_is_never_taken_for_an_id(path):
    assert missing(path) and resolve(path).startswith("/")


@pytest.mark.parametrize("path", ["my model", "a/", "org/it's", "-x", "file"])
def test_what_can_be_neither_is_refused(path, home):
    (home / "here" / "file").touch()
    with pytest.raises(RecipeError, match="is no folder and no id of the Hugging Face Hub"):
        resolve(path)
