from __future__ import annotations

import json

import pytest

from boatseg_core.config import load_settings
from boatseg_core.errors import TrainingError
from boatseg_core.training.hyperparameters import Kept, load_best, save_best


def test_what_was_kept_comes_back_and_replaces_what_was_before(tmp_path):
    settings = load_settings(home=tmp_path)
    assert load_best(settings) is None
    save_best(settings, {"loss": "lovasz"}, study="one", value=0.1, gold_version=3)
    save_best(settings, {"crop": 128}, study="two", value=0.25, gold_version=0)
    assert load_best(settings) == Kept({"crop": 128}, "two", 0.25, 0)
    assert [file.name for file in tmp_path.iterdir()] == ["hyperparameters.json"]


def test_a_file_of_an_older_version_has_no_gold_version(tmp_path):
    old = {"params": {"crop": 128}, "study": "old", "value": 0.5}
    (tmp_path / "hyperparameters.json").write_text(json.dumps(old))
    assert load_best(load_settings(home=tmp_path)) == Kept({"crop": 128}, "old", 0.5, None)


@pytest.mark.parametrize("text", ["{", "[]", '{"params": 3, "study": "s", "value": 1}', "{}"])
def test_a_damaged_file_is_one_sentence(tmp_path, text):
    (tmp_path / "hyperparameters.json").write_text(text)
    with pytest.raises(TrainingError, match=r"hyperparameters\.json .*boatseg tune"):
        load_best(load_settings(home=tmp_path))
