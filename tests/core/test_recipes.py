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
from emotion_core.training.audiovisual_config import AudiovisualTrainingConfig
from emotion_core.training.classifier_config import ClassifierConfig
from emotion_core.training.esr_joint_config import EsrTrainingConfig
from emotion_core.training.voice_config import VoiceTrainingConfig

LAST_STEPS = {"esr_compact": "esr_compact_robust"}
"""Recipes of models that were trained in several steps."""
RECIPES = Path(__file__).resolve().parents[2] / "recipes"


def _kind(path):
    kinds = {
        "classifier": ClassifierConfig, "efficientface": ClassifierConfig, "voice": VoiceTrainingConfig,
        "av": AudiovisualTrainingConfig, "face": ClassifierConfig,
    }  # fmt: skip
    if path.stem.endswith("_fer2013"):
        return ClassifierConfig
    return kinds.get(path.stem.partition("_")[0], EsrTrainingConfig)


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_recipe_is_accepted(path):
    settings = read_recipe(path)
    again = json.loads(json.dumps(_kind(path).from_dict(settings).to_dict()))
    first = path.stem.partition("_")[0]
    if first in ("voice", "efficientface", "face"):
        assert again["model"]["type"] == {"face": "face_resnet"}.get(first, first)
    else:
        assert again["model"]["fusion"] == "ia" if first == "av" else again["model"]["branches"] >= 3
    for name, value in settings.items():  # what a recipe says is what is trained
        if name not in ("model", "augment", "resolutions"):
            assert again[name] == value, name


@pytest.mark.parametrize("path", sorted(BUNDLED.glob("*.onnx")), ids=lambda path: path.stem)
def test_bundled_models_were_trained_by_their_recipe(path):
    card = json.loads(path.with_suffix(".json").read_text())
    audiovisual = path.stem.startswith("av_ia")
    name = "av_ia_pairs" if audiovisual else LAST_STEPS.get(path.stem, path.stem)
    settings = read_recipe(RECIPES / f"{name}.yaml")
    recipe = json.loads(json.dumps(_kind(path).from_dict(settings).to_dict()))
    network = {"type": "esr", **recipe.pop("model")}
    if _kind(path) in (AudiovisualTrainingConfig, ClassifierConfig):  # the classes come from the data
        network |= {"type": card["architecture"]["type"], "num_classes": len(card["labels"])}
    assert card["architecture"] == network
    for name in set(recipe) & set(card["training"]):
        told, wanted = card["training"][name], recipe[name]
        if name == "augment":  # a card of before does not speak of what there was not
            wanted = {key: value for key, value in wanted.items() if key in told or value not in (None, 0.0)}
        if name != "amp":  # where it runs decides
            assert told == wanted, name
    assert "epochs" in card["training"] and card["training"]["seed"] == 0


def test_files_that_are_no_recipe(tmp_path):
    with pytest.raises(EmotionError, match="cannot be read"):
        read_recipe(tmp_path / "absent.yaml")
    for text, message in (("a: [", "not a YAML file"), ("- 1", "holds no settings"), ("", "holds no settings")):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(EmotionError, match=message):
            read_recipe(tmp_path / "bad.yaml")
