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
from emotion_core.training.voice_config import VoiceTrainingConfig

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def _kind(path):
    kinds = {"classifier": ClassifierConfig, "voice": VoiceTrainingConfig}
    return kinds.get(path.stem.partition("_")[0], EsrTrainingConfig)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_is_accepted(path):
    settings = read_recipe(path)
    again = _kind(path).from_dict(settings).to_dict()
    assert again["model"]["type"] == "voice" if path.stem.startswith("voice") else again["model"]["branches"] >= 3
    for name, value in settings.items():  # what a recipe says is what is trained
        if name not in ("model", "augment", "resolutions"):
            assert again[name] == value, name


@pytest.mark.parametrize("path", sorted(BUNDLED.glob("*.json")), ids=lambda path: path.stem)
def test_bundled_models_were_trained_by_their_recipe(path):
    card = json.loads(path.read_text())
    settings = read_recipe(RECIPES / f"{path.stem}.yaml")
    recipe = json.loads(json.dumps(_kind(path).from_dict(settings).to_dict()))
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
