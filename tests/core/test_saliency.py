"""Grad-CAM by value: networks small enough to compute their maps by hand."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.models.esr import PRESETS, ConvSpec, Esr, EsrConfig  # noqa: E402
from emotion_core.plots.saliency import grad_cam  # noqa: E402

CONFIG = EsrConfig(
    branches=2,
    in_channels=1,
    input_size=4,
    num_classes=2,
    base=(ConvSpec(1, 1),),
    branch=(ConvSpec(2, 1, pool=True),),
    dropout=0.5,
)


@pytest.fixture
def by_hand() -> Esr:
    """The base passes faces on. Both branches compute the maps x and 1 - x and halve their size; the logits of the
    first are (mean of x, mean of 1 - x), those of the second are swapped and its other weights are -1."""
    model = Esr(CONFIG).eval()
    with torch.no_grad():
        for stack in (model.base, *model.branches()):
            stack.conv1.weight.fill_(1.0)
            stack.conv1.bias.zero_()
            stack.bn1.eps = 0.0
        for branch, weights in zip(
            model.branches(), ([[1.0, 0.0], [0.0, 1.0]], [[-1.0, 1.0], [1.0, -1.0]]), strict=True
        ):
            branch.conv1.weight[1] = -1.0
            branch.conv1.bias[1] = 1.0
            branch.fc.weight.copy_(torch.tensor(weights))
            branch.fc.bias.zero_()
    return model


QUARTERS = np.kron([[0.8, 0.4], [0.2, 0.6]], np.ones((2, 2)))  # halving it gives its four values
FACE = QUARTERS[None, None].astype(np.float32)


def enlarged(small: list[list[float]]) -> np.ndarray:
    """2x2 -> 4x4, bilinear: pixel centres lie a quarter and three quarters of the way apart; brought to 1."""
    weights = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    large = weights @ np.maximum(np.array(small), 0) @ weights.T
    return large / large.max() if large.max() > 0 else large


def test_maps_by_hand(by_hand):
    # Means: x 0.5, 1 - x 0.5. Class 0 of branch 1 weighs x by 1 / 4; all factors vanish in the scale.
    maps = grad_cam(by_hand, FACE, classes=[[0, 0]])
    assert maps.shape == (1, 2, 4, 4)
    assert maps.dtype == np.float32
    np.testing.assert_allclose(maps[0, 0], enlarged([[0.8, 0.4], [0.2, 0.6]]), atol=1e-6)
    # Class 0 of branch 2 weighs x by -1 and 1 - x by 1: 1 - 2x, cut off at 0.
    np.testing.assert_allclose(maps[0, 1], enlarged([[-0.6, 0.2], [0.6, -0.2]]), atol=1e-6)
    other = grad_cam(by_hand, FACE, classes=1)
    np.testing.assert_allclose(other[0, 0], enlarged([[0.2, 0.6], [0.8, 0.4]]), atol=1e-6)
    np.testing.assert_allclose(other[0, 1], enlarged([[0.6, -0.2], [-0.6, 0.2]]), atol=1e-6)


def test_each_branch_explains_its_own_class(by_hand):
    bright = FACE + np.float32(0.15)  # branch 1 decides for x (class 0), branch 2 for 2x - 1 (class 1)
    np.testing.assert_array_equal(grad_cam(by_hand, bright), grad_cam(by_hand, bright, classes=[[0, 1]]))
    both = np.concatenate([bright, FACE - np.float32(0.15)])
    np.testing.assert_array_equal(grad_cam(by_hand, both), grad_cam(by_hand, both, classes=[[0, 1], [1, 0]]))


def test_where_nothing_speaks_for_the_class_the_map_is_zero(by_hand):
    with torch.no_grad():
        by_hand.branches()[1].fc.weight.fill_(-1.0)
    maps = grad_cam(by_hand, FACE, classes=0)
    assert (maps[0, 1] == 0).all()
    assert maps[0, 0].max() == 1


def test_mode_gradients_and_statistics_stay(by_hand):
    by_hand.train()
    before = {name: tensor.clone() for name, tensor in by_hand.state_dict().items()}
    first = grad_cam(by_hand, FACE)
    with torch.no_grad():  # a caller without gradients gets the same
        np.testing.assert_array_equal(grad_cam(by_hand, FACE), first)  # and no dropout
    assert by_hand.training
    assert all(parameter.grad is None for parameter in by_hand.parameters())
    for name, tensor in by_hand.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("name", ["esr_compact", "esr4_ckplus", "esr9"])
def test_every_configuration_has_maps_that_differ_by_branch(name):
    torch.manual_seed(1)
    model = Esr(PRESETS[name])
    size, channels, count = model.config.input_size, model.config.in_channels, model.config.branches
    faces = np.random.default_rng(0).random((1, channels, size, size), np.float32)
    maps = grad_cam(model, faces)
    assert maps.shape == (1, count, size, size)
    assert np.isfinite(maps).all()
    assert maps.min() >= 0
    highest = maps.max(axis=(2, 3))
    assert ((highest == 0) | np.isclose(highest, 1)).all()
    assert highest.any()
    assert len({one.tobytes() for one in maps[0]}) > 1


def test_no_faces_give_no_maps(by_hand):
    assert grad_cam(by_hand, FACE[:0]).shape == (0, 2, 4, 4)


@pytest.mark.parametrize(
    ("faces", "classes", "message"),
    [
        (np.zeros((1, 3, 4, 4), np.float32), None, r"shape \(N, 1, 4, 4\), got \(1, 3, 4, 4\)"),
        (FACE[0], None, "expected faces"),
        (FACE, [0, 1, 0], r"broadcast to \(1, 2\)"),
        (FACE, 2, r"classes in 0…1, got 2"),
        (FACE, 0.5, "expected classes in"),
    ],
)
def test_other_shapes_are_refused(by_hand, faces, classes, message):
    with pytest.raises(EmotionError, match=message):
        grad_cam(by_hand, faces, classes)


def test_an_explainer_explains_the_label_in_the_mean_of_the_branches(portrait):
    pytest.importorskip("safetensors")
    from dataclasses import replace

    from emotion_core.pipeline.facial import FacialConfig, FacialPipeline
    from emotion_core.plots.explainer import Explainer
    from emotion_core.plots.saliency import load_explained
    from emotion_core.vision.crop import crop_batch

    picture = np.ascontiguousarray(portrait[:480])
    pipeline = FacialPipeline(FacialConfig(detector="haar"))
    (estimate,) = pipeline.process(picture, 0.0)
    card, unit = pipeline.classifier.card, pipeline.detector.framing
    explainer = Explainer("esr_compact", card)
    sad, strange = replace(estimate, label="sad"), replace(estimate, labels=("a", *estimate.labels[1:]), label="a")
    batch = crop_batch(picture, [estimate.face], card.face, unit)
    network = load_explained("esr_compact", card)
    for found, classes in zip(
        explainer.maps(picture, [sad, strange], unit), ([[card.labels.index("sad")]], None), strict=True
    ):
        mean = grad_cam(network, batch, classes)[0].mean(axis=0)
        np.testing.assert_allclose(found, mean / mean.max(), atol=1e-6)
        assert found.max() == pytest.approx(1)
    canvas = picture.copy()
    explainer.draw(canvas, picture, 1.0, [replace(estimate, face=None, modalities=2)], unit)
    assert np.array_equal(canvas, picture)  # a voice has no place to be coloured
