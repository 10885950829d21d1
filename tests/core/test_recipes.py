"""The recipes in the repository are settings that training accepts, and the bundled card tells the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("yaml")

from emotion_core.cli.train import read_recipe
from emotion_core.errors import EmotionError
from emotion_core.store.finding import BUNDLED
from emotion_core.training.classifier_config import ClassifierConfig
from emotion_core.training.esr_joint_config import EsrTrainingConfig

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_is_accepted(path):
    settings = read_recipe(path)
    kind = ClassifierConfig if path.stem.startswith("classifier") else EsrTrainingConfig
    again = kind.from_dict(settings).to_dict()
    assert again["model"]["branches"] >= 3
    for name, value in settings.items():  # what a recipe says is what is trained
        if name not in ("model", "augment", "resolutions"):
            assert again[name] == value, name


@pytest.mark.parametrize("path", sorted(BUNDLED.glob("*.json")), ids=lambda path: path.stem)
def test_bundled_models_were_trained_by_their_recipe(path):
    card = json.loads(path.read_text())
    recipe = json.loads(
        json.dumps(EsrTrainingConfig.from_dict(read_recipe(RECIPES / f"{path.stem}.yaml").copy()).to_dict())
    )
    assert card["architecture"] == {"type": "esr", **recipe.pop("model")}
    for name in set(recipe) & set(card["training"]):
        assert card["training"][name] == recipe[name], name
    assert "epochs" in card["training"] and card["training"]["seed"] == 0


def test_files_that_are_no_recipe(tmp_path):
    with pytest.raises(EmotionError, match="cannot be read"):
        read_recipe(tmp_path / "absent.yaml")
    for text, message in (("a: [", "not a YAML file"), ("- 1", "holds no settings"), ("", "holds no settings")):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(EmotionError, match=message):
            read_recipe(tmp_path / "bad.yaml")
