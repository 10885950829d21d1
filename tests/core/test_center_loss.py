"""Centre loss: its formula, centres of several processes, and the picture of what it does."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("safetensors")
cv2 = pytest.importorskip("cv2")

from torch import nn  # noqa: E402

from emotion_core.data.dataset import FaceSet  # noqa: E402
from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.models.registry import Architecture, build, preset, register  # noqa: E402
from emotion_core.plots.embedding import plot_embedding  # noqa: E402
from emotion_core.store.card import FACE, LOGITS, Framing, Input, Output  # noqa: E402
from emotion_core.training.center_loss import Centers, WithFeatures  # noqa: E402
from emotion_core.training.classifier import ClassifierTask, write_result  # noqa: E402
from emotion_core.training.classifier_config import ClassifierConfig  # noqa: E402
from emotion_core.training.distributed import Processes  # noqa: E402
from emotion_core.training.loop import Loop  # noqa: E402

LABELS = ("left", "right", "above", "below")


@dataclass(frozen=True)
class FlatConfig:
    """A toy network with two features, as the paper's pictures have them."""

    num_classes: int = 4
    features: int = 2

    def to_dict(self):
        return asdict(self)

    @classmethod
    def from_dict(cls, data):
        return cls(**data)


class Flat(nn.Module):
    def __init__(self, config: FlatConfig) -> None:
        super().__init__()
        self.config = config
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, config.features))
        self.decide = nn.Linear(config.features, config.num_classes)

    def forward(self, faces):
        return self.decide(self.hidden(faces))


register(
    Architecture(
        "toy_flat", FlatConfig, Flat,
        lambda config: (Input("faces", FACE, (1, 8, 8), "grey", framing=Framing("box")),),
        lambda config: (Output("logits", LOGITS, (config.num_classes,)),),
    )
)  # fmt: skip
CONFIG = ClassifierConfig(
    model={"type": "toy_flat"},
    epochs=30,
    batch_size=32,
    lr=0.05,
    augment=None,
    center_loss=0.5,
    center_rate=0.5,
    keep_best=False,
)


def halves(count: int, seed: int) -> FaceSet:
    """Noisy pictures with one bright half."""
    rng = np.random.default_rng(seed)
    classes = rng.permutation(np.arange(count) % 4)
    pixels = rng.normal(100, 60, (count, 8, 8))
    for picture, kind in zip(pixels, classes, strict=True):
        picture[(slice(None), slice(4)) if kind == 0 else (slice(None), slice(4, 8)) if kind == 1 else
                (slice(4),) if kind == 2 else (slice(4, 8),)] += 60  # fmt: skip
    faces = pixels.clip(0, 255).astype(np.uint8)
    return FaceSet(faces, np.eye(4, dtype=np.float32)[classes], classes, tuple(map(str, range(count))), LABELS)


@pytest.fixture(scope="module")
def data():
    return halves(256, 0), halves(128, 1)


def compactness(task: ClassifierTask, model: nn.Module) -> float:
    """Spread within the classes over the spread between them."""
    features, classes = task.embedding(model)
    means = np.stack([features[classes == c].mean(0) for c in range(4)])
    return float((features - means[classes]).var(0).sum() / means.var(0).sum())


def test_the_loss_and_the_step_of_the_centres_are_the_paper_s():
    torch.manual_seed(0)
    centers = Centers(3, 2, rate=0.5)
    centers.values = start = torch.randn(3, 2)
    features, classes = torch.randn(5, 2, requires_grad=True), torch.tensor([0, 0, 1, 0, 1])
    losses = centers.losses(features, classes)
    torch.testing.assert_close(losses, 0.5 * ((features - start[classes]) ** 2).sum(1))
    losses.sum().backward()
    torch.testing.assert_close(features.grad, (features - start[classes]).detach())  # equation 3
    centers.follow(features, classes, Processes())
    for c in range(3):  # equation 4
        mine = features.detach()[classes == c]
        delta = (start[c] - mine).sum(0) / (1 + len(mine))
        torch.testing.assert_close(centers.values[c], start[c] - 0.5 * delta)


def test_features_are_what_the_last_layer_sees():
    model = build({"type": "toy_flat"}, seed=0)
    faces = torch.rand(3, 1, 8, 8)
    output, features = WithFeatures(model, faces[:1])(faces)
    torch.testing.assert_close(model.decide(features), output)
    assert torch.equal(features, model.hidden(faces)) and not model.decide._forward_pre_hooks
    masking = build({"type": "residual_masking", "image_size": 32, "width": 2})
    assert WithFeatures(masking, torch.zeros(1, 3, 32, 32)).layer is masking.fc[1]
    esr = build(preset("esr4_ckplus"))
    with pytest.raises(EmotionError, match="Esr does not make its scores in one linear layer"):
        WithFeatures(esr, torch.zeros(1, 1, 96, 96))


def test_classes_become_compact_and_are_drawn(data, tmp_path):
    data = (data[0], data[0])  # of the faces that it learns from a network of two features can make what it wants
    loop = Loop(ClassifierTask(CONFIG, *data), tmp_path / "drawn")
    loop.run()
    path = write_result(loop, "flat", {}, "none", "folder")
    plain = Loop(ClassifierTask(replace(CONFIG, center_loss=0.0), *data), tmp_path / "plain")
    plain.run()
    write_result(plain, "plain", {}, "none", "folder")
    assert compactness(loop.task, loop.model) < 0.7 * compactness(plain.task, plain.model)
    assert max(row["valid_accuracy"] for row in loop.history) > 80
    assert cv2.imread(str(path.parent / "embedding.png")).shape[2] == 3
    assert not (tmp_path / "plain" / "embedding.png").exists()


def test_an_interrupted_training_ends_with_the_same_centres(data, tmp_path):
    config = replace(CONFIG, epochs=3)
    whole = Loop(ClassifierTask(config, *data), tmp_path / "whole")
    whole.run()

    class Stop(Exception):
        pass

    def stop(event):
        if type(event).__name__ == "EpochDone":
            raise Stop

    with pytest.raises(Stop):
        Loop(ClassifierTask(config, *data), tmp_path / "parts").run(stop)
    again = Loop(ClassifierTask(config, *data), tmp_path / "parts")
    again.run()
    assert whole.task.centers.values.abs().sum() > 0
    assert torch.equal(whole.task.centers.values, again.task.centers.values)


def test_more_features_are_seen_from_where_they_spread(tmp_path):
    rng = np.random.default_rng(0)
    classes = np.arange(300) % 3
    places = np.array([[0, 0], [9, 0], [0, 6]])
    turned = np.linalg.qr(rng.normal(size=(10, 10)))[0][:2]
    features = (places[classes] + rng.normal(0, 0.5, (300, 2))) @ turned + 5
    path = plot_embedding(features, classes, ("angry", "happy", "sad"), tmp_path / "x.png", places @ turned + 5)
    picture = cv2.imread(str(path))
    for colour in ((180, 119, 31), (14, 127, 255), (44, 160, 44)):  # BGR of the first three of tab10
        near = np.abs(picture.astype(int) - colour).sum(2) < 60
        rows, columns = np.nonzero(near[:, : picture.shape[1] * 3 // 4])
        assert len(rows) > 200 and max(rows.std(), columns.std()) < 60  # a blob of its own
    for shape in ((1, 2), (5, 1)):
        with pytest.raises(EmotionError, match="at least two samples of two features"):
            plot_embedding(np.zeros(shape), np.zeros(shape[0], int), ("a",), tmp_path / "y.png")
    assert not Path(tmp_path / "y.png").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"center_loss": -1}, "center_loss must be at least 0"),
        ({"center_rate": 0}, r"center_rate must be in \(0, 1\], got 0"),
        ({"top_k": 1.5}, "top_k must be a whole number"),
    ],
)
def test_impossible_settings_are_refused(change, message):
    with pytest.raises(EmotionError, match=message):
        replace(CONFIG, **change)
