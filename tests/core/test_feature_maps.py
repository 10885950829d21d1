"""Grad-CAM of networks that know nothing of it."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pytorchcv")

from emotion_core.cli import main  # noqa: E402
from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.models.registry import build, inputs_of  # noqa: E402
from emotion_core.plots.saliency import grad_cam, load_explained  # noqa: E402
from emotion_core.store.ensemble import model_card  # noqa: E402

MASKING = {"type": "residual_masking", "image_size": 64, "width": 4, "dropout": 0.4}


def faces(model, count: int = 2) -> np.ndarray:
    return np.random.default_rng(0).random((count, *inputs_of(model)[0].shape), np.float32)


def test_of_a_network_that_averages_it_is_its_weights_times_its_features():
    model = build(MASKING, seed=0)
    seen = []
    model.fc.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    batch = faces(model)
    # Features before their mean: what a network of one more stage would see.
    x = model.maxpool(model.bn1(model.conv1(torch.from_numpy(batch))).relu())
    for number in range(1, 5):
        x = model.get_submodule(f"layer{number}")(x)
        x = x * (1 + model.get_submodule(f"mask{number}")(x))
    maps = grad_cam(model, batch, [[1], [4]])
    torch.testing.assert_close(seen[-1], x.mean((2, 3)), atol=1e-5, rtol=1e-4)
    weights = model.fc[1].weight[[1, 4]]  # of the classes
    small = torch.relu((weights[:, :, None, None] * x).sum(1, keepdim=True))
    large = torch.nn.functional.interpolate(small, size=(64, 64), mode="bilinear", align_corners=False)
    expected = (large / large.amax((2, 3), keepdim=True).clamp(min=1e-12)).detach().numpy()
    assert maps.shape == (2, 1, 64, 64) and expected.any()
    np.testing.assert_allclose(maps, expected, atol=1e-4)


@pytest.mark.parametrize("network", ["resnet34", "googlenet", "densenet121", "cbam_resnet34"])
def test_any_network_of_the_zoo(network):
    model = build({"type": "zoo", "network": network, "image_size": 64}, seed=0)
    batch = faces(model, 1)
    each = np.stack([grad_cam(model, batch, [[c]])[0, 0] for c in range(7)])
    assert each.shape == (7, 64, 64) and each.min() >= 0
    assert set(each.max((1, 2)).round(4)) <= {0.0, 1.0} and each.any()
    own = int(model(torch.from_numpy(batch)).argmax())
    np.testing.assert_allclose(grad_cam(model, batch)[0, 0], each[own], atol=1e-5)


def test_mode_and_gradients_stay_as_they_were():
    model = build(MASKING, seed=0)
    model.layer1.train()
    grad_cam(model, faces(model))
    assert model.layer1.training and not model.layer2.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert grad_cam(model, faces(model, 0)).shape == (0, 1, 64, 64)


def test_what_it_cannot_explain_is_one_clear_error(tiny_models, monkeypatch):
    model = build(MASKING, seed=0)
    with pytest.raises(EmotionError, match="expected faces of shape"):
        grad_cam(model, np.zeros((1, 3, 32, 32), np.float32))
    with pytest.raises(EmotionError, match="classes in 0…6"):
        grad_cam(model, faces(model), 7)
    flat = torch.nn.Linear(3 * 64 * 64, 7)
    monkeypatch.setattr(model, "forward", lambda batch: flat(batch.flatten(1)))
    with pytest.raises(EmotionError, match="computes no feature maps"):
        grad_cam(model, faces(model))
    with pytest.raises(EmotionError, match="expected one that takes single faces"):
        load_explained("voice_ravdess", model_card("voice_ravdess"))


def test_the_command_draws_it_for_any_model_with_its_weights(tiny_models, portrait, tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "face.png"), portrait)
    out = tmp_path / "out.png"
    command = ["video", str(tmp_path / "face.png"), "--model", str(tiny_models["seven"]), "--out", str(out)]
    assert main([*command, "--gradcam"]) == 0
    explained = cv2.imread(str(out))
    assert main([*command, "--branches"]) == 0
    assert explained.shape == cv2.imread(str(out)).shape == (720, 1280, 3)
    assert not np.array_equal(explained, cv2.imread(str(out)))


def test_the_map_lies_on_what_the_network_saw(tiny_models, portrait):
    """A network that frames faces more closely than FER2013 does is shown a closer picture."""
    from emotion_core.plots.observer import Observer
    from emotion_core.vision.crop import crop_face

    observer = Observer(str(tiny_models["seven"]), "haar", stills=True, gradcam=True)
    (estimate,) = observer.look(portrait, 0.0)
    reading = observer._reading(portrait)
    framing = model_card(tiny_models["seven"]).face.framing
    unit = observer._pipeline.detector.framing
    assert np.array_equal(reading.crop, crop_face(portrait, estimate.face, 240, unit, framing))
    assert not np.array_equal(reading.crop, crop_face(portrait, estimate.face, 240, unit))
    assert reading.saliency.shape == (1, 64, 64)
