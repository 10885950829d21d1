"""EfficientFace alone: names and shapes as published, what it computes, its files."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.export.audiovisual_files import load_efficientface  # noqa: E402
from emotion_core.export.onnx_export import compare, export_onnx  # noqa: E402
from emotion_core.models.efficientface import (  # noqa: E402
    PRESETS,
    RAF_DB_MEAN,
    RAF_DB_STD,
    EfficientFace,
    EfficientFaceConfig,
)
from emotion_core.models.registry import build, describe, entry_of, preset  # noqa: E402
from emotion_core.runtime.classifier import Classifier  # noqa: E402

SMALL = EfficientFaceConfig(image_size=64)


def lively(seed: int, **config) -> EfficientFace:
    """A network of 64 px whose answers depend on what it sees: torch's own random weights make them fade."""
    network = build({"type": "efficientface", "image_size": 64, **config}, seed=seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for parameter in network.parameters():
            if parameter.ndim > 1:
                torch.nn.init.kaiming_normal_(parameter)
    return network


def test_names_and_shapes_are_the_authors(shared):
    """Those of the convolutions are known from the audiovisual network, which has them too."""
    published = json.loads((shared / "golden" / "state_dicts.json").read_text())["av_ia"]
    convolutions = {
        name.removeprefix("visual_model."): list(shape)
        for name, shape in published.items()
        if name.startswith("visual_model.") and "conv1d_" not in name and "classifier" not in name
    }
    for classes in (7, 8):
        own = EfficientFace(EfficientFaceConfig(num_classes=classes)).state_dict()
        assert {name: list(tensor.shape) for name, tensor in own.items()} == {
            **convolutions,
            "fc.weight": [classes, 1024],
            "fc.bias": [classes],
        }


def test_the_published_normalisation_is_part_of_the_network():
    network = lively(0)
    faces = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    normalised = (faces - torch.tensor(RAF_DB_MEAN).view(3, 1, 1)) / torch.tensor(RAF_DB_STD).view(3, 1, 1)
    with torch.no_grad():
        expected = network.fc(network.features(normalised))
        torch.testing.assert_close(network(faces), expected)
        assert network(faces.flip(1)).sub(expected).abs().max() > 0.01  # the order of the colours matters


def test_each_quadrant_has_its_own_filters():
    """What changes at the top right of the face changes that quadrant of the local features, and no other."""
    torch.manual_seed(0)
    local = EfficientFace(SMALL).eval().local
    before = torch.rand(1, 29, 16, 16)
    after = before.clone()
    after[:, :, :8, 8:] += 1
    with torch.no_grad():
        changed = (local(before) != local(after)).any(1)[0]
    assert changed[:4, 4:].all() and not changed[4:].any() and not changed[:, :4].any()


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_the_published_size_and_classes(name):
    network = build(preset(name), seed=0)
    classes = PRESETS[name].num_classes
    assert classes in (7, 8)
    assert sum(p.numel() for p in network.parameters()) == 1_275_293 + 1025 * (classes - 7)  # 1.28 M


def test_exported_it_says_the_same(tmp_path):
    network = lively(1)
    card = describe(entry_of(network), "face", tuple("abcdefg"), "none")
    assert (card.face.colour, card.face.size, card.face.framing.rule) == ("rgb", (64, 64), "box")
    export_onnx(network, card, tmp_path / "face.onnx")
    classifier = Classifier(tmp_path / "face.onnx")
    assert compare(network, classifier, count=5) < 1e-3
    faces = np.random.default_rng(0).random((3, 3, 64, 64), np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(faces)).softmax(1)
    np.testing.assert_allclose(classifier(faces).probabilities, expected, atol=1e-5)


def test_the_authors_files_load(tmp_path):
    """They hold a state_dict under that key, of a network that lay on several GPUs."""
    network = build(preset("efficientface8"), seed=2)
    state = {f"module.{name}": tensor for name, tensor in network.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "a.pth.tar")
    torch.save(network.state_dict(), tmp_path / "b.pt", _use_new_zipfile_serialization=False)
    for name in ("a.pth.tar", "b.pt"):
        loaded = load_efficientface(tmp_path / name)
        assert loaded.config.num_classes == 8 and not loaded.training
        assert all(torch.equal(loaded.state_dict()[key], value) for key, value in network.state_dict().items())
    torch.save({"fc.weight": torch.zeros(7, 1024)}, tmp_path / "c.pt")
    with pytest.raises(EmotionError, match=r"c\.pt holds the weights of another network"):
        load_efficientface(tmp_path / "c.pt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_classes": 1}, "num_classes"),
        ({"image_size": 100}, "multiple of 32, got 100"),
        ({"std": (1.0, 0.0, 1.0)}, "std positive"),
    ],
)
def test_impossible_configs_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        EfficientFaceConfig(**change)


def test_config_survives_json():
    config = EfficientFaceConfig(num_classes=8, mean=(0.0, 0.0, 0.0))
    assert EfficientFaceConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(ValueError, match="sizes"):
        EfficientFaceConfig.from_dict({"sizes": 9})
