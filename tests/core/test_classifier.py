"""A plain classifier: of faces with any network, of things that are no faces, with teachers and weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("safetensors")

from torch import nn  # noqa: E402

from emotion_core.data.dataset import FaceSet  # noqa: E402
from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.export.weights import load_network  # noqa: E402
from emotion_core.models.esr import ConvSpec, EsrConfig  # noqa: E402
from emotion_core.models.registry import Architecture, register  # noqa: E402
from emotion_core.store.card import LOGITS, SOUND, Input, Output  # noqa: E402
from emotion_core.training.augment import AugmentConfig  # noqa: E402
from emotion_core.training.classifier import ClassifierTask, write_result  # noqa: E402
from emotion_core.training.classifier_config import ClassifierConfig  # noqa: E402
from emotion_core.training.loop import Loop  # noqa: E402
from emotion_core.training.task import Measured  # noqa: E402
from emotion_core.training.trained import class_probabilities  # noqa: E402

SIDE = 16
LABELS = ("rows", "columns", "wide rows", "wide columns")
NETWORK = EsrConfig(
    branches=2, in_channels=1, input_size=SIDE, num_classes=4,
    base=(ConvSpec(8, 3, padding=1, pool=True), ConvSpec(8, 3, padding=1)), branch=(ConvSpec(8, 3, padding=1),),
)  # fmt: skip
WEAK = AugmentConfig(flip=0.5, rotation_deg=2, scale=1.05, translate=0.02, gamma=1.1, contrast=0.1, erase=0.0)
CONFIG = ClassifierConfig(
    model={"type": "esr", **NETWORK.to_dict()}, epochs=3, batch_size=16, lr=0.1, augment=WEAK, schedule="cosine"
)


def stripes(count: int, seed: int, labels: tuple[str, ...] = LABELS) -> FaceSet:
    rng = np.random.default_rng(seed)
    kinds = rng.permutation(np.arange(count) % 4)
    rows, columns = np.indices((SIDE, SIDE))
    patterns = [rows // 2 % 2, columns // 2 % 2, rows // 4 % 2, columns // 4 % 2]
    faces = np.stack([patterns[k] * 120 + 60 + rng.normal(0, 15, (SIDE, SIDE)) for k in kinds])
    classes = np.array([labels.index(LABELS[k]) for k in kinds])
    pixels = faces.clip(0, 255).astype(np.uint8)
    return FaceSet(pixels, np.eye(4, dtype=np.float32)[classes], classes, tuple(map(str, range(count))), labels)


@pytest.fixture(scope="module")
def data():
    return stripes(160, 0), stripes(64, 1)


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    loop = Loop(ClassifierTask(replace(CONFIG, epochs=8), *data), tmp_path_factory.mktemp("trained"))
    loop.run()
    return loop, write_result(loop, "stripes", {"data": "stripes"}, "CC0", "folder")


def test_it_learns_and_writes_a_network_with_its_card(data, trained):
    loop, path = trained
    best = max(row["valid_accuracy"] for row in loop.history)
    assert best > 90
    network, card = load_network(path)
    assert (card.name, card.labels, card.licence) == ("stripes", LABELS, "CC0")
    assert card.training["data"] == "stripes" and card.training["optimizer"] == "sgd"
    assert card.results[0]["accuracy"] == pytest.approx(best, abs=0.01)  # the best weights are kept
    faces = torch.from_numpy(data[1].faces)[:, None].float() / 255
    hits = class_probabilities(network, faces).argmax(1).numpy() == data[1].classes
    assert 100 * hits.mean() == pytest.approx(best, abs=0.01)
    assert {"history.csv", "history.png", "checkpoint.pt", "tensorboard"} <= {p.name for p in path.parent.iterdir()}


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adamw", "lr": 0.01, "schedule": "plateau"},
        {"optimizer": "radam", "lr": 0.01, "schedule": "step", "step_epochs": 4},
        {"schedule": "constant", "ema_decay": 0.9, "clip_norm": 1.0, "amp": "bfloat16"},
    ],
    ids=lambda settings: settings["schedule"],
)
def test_optimizers_schedules_and_the_loop_s_own_means_learn(data, tmp_path, settings):
    history = Loop(ClassifierTask(replace(CONFIG, epochs=8, **settings), *data), tmp_path).run()
    assert max(row["valid_accuracy"] for row in history) > 60
    rates = [row["lr"] for row in history]
    if settings["schedule"] == "step":
        assert rates == pytest.approx([0.01] * 4 + [0.001] * 4)
    if settings["schedule"] == "constant":
        assert rates == [0.1] * 8


class Stuck(ClassifierTask):
    """No validation is better than the first."""

    def measure(self, index: int, model: nn.Module) -> Measured:
        return Measured(50.0, {"valid_accuracy": 50.0})


def test_plateau_lowers_the_rate_and_patience_ends_the_training(data, tmp_path):
    config = replace(CONFIG, epochs=20, schedule="plateau", plateau_patience=1, patience=5)
    history = Loop(Stuck(config, *data), tmp_path).run()
    assert [row["lr"] for row in history] == pytest.approx([0.1, 0.1, 0.1, 0.01, 0.01, 0.001])
    assert Loop(Stuck(config, *data), tmp_path).finished


def test_targets_are_smoothed_weighted_and_taught(data, trained, tmp_path):
    loop, path = trained
    train = data[0]
    task = ClassifierTask(replace(CONFIG, label_smoothing=0.2), *data)
    np.testing.assert_allclose(task.targets.numpy(), 0.8 * train.distributions + 0.05, atol=1e-6)

    task = ClassifierTask(replace(CONFIG, teacher_weight=0.25), *data, teachers=[path])
    task.prepare(torch.device("cpu"))
    faces = torch.from_numpy(train.faces)[:, None].float() / 255
    said = (class_probabilities(loop.model, faces) + class_probabilities(loop.model, faces.flip(-1))) / 2
    torch.testing.assert_close(task.targets, 0.75 * torch.from_numpy(train.distributions) + 0.25 * said)
    assert task.taught[0]["data"] == "stripes"


def rare(data: FaceSet) -> FaceSet:
    """The same with few faces of the last class."""
    kept = np.flatnonzero((data.classes < 3) | (np.arange(len(data)) % 8 == 0))
    return FaceSet(data.faces[kept], data.distributions[kept], data.classes[kept], (), data.labels)


def test_balanced_classes_count_alike_and_given_weights_are_taken_by_name(data):
    train = rare(data[0])
    task = ClassifierTask(replace(CONFIG, class_weights="balanced"), train, data[1])
    counts = np.bincount(train.classes)
    batch = task.batch(torch.arange(len(train)), torch.zeros(len(train), 1, SIDE, SIDE), torch.Generator(), "cpu")
    total = [float(batch.weights[torch.from_numpy(train.classes == c)].sum()) for c in range(4)]
    assert total == pytest.approx([len(train) / 4] * 4) and counts[3] < counts[0]
    given = {"columns": 2.0, "rows": 1.0, "wide columns": 4.0, "wide rows": 3.0}
    task = ClassifierTask(replace(CONFIG, class_weights=given), train, data[1])
    batch = task.batch(torch.arange(len(train)), torch.zeros(len(train), 1, SIDE, SIDE), torch.Generator(), "cpu")
    assert batch.weights.tolist() == [[1.0, 2.0, 3.0, 4.0][c] for c in train.classes]
    with pytest.raises(EmotionError, match="class_weights must have the same labels"):
        ClassifierTask(replace(CONFIG, class_weights={"rows": 1.0}), *data)


def test_the_loss_is_the_weighted_cross_entropy_by_torch(data):
    task = ClassifierTask(replace(CONFIG, class_weights={"rows": 1, "columns": 2, "wide rows": 3, "wide columns": 4}),
                          *data)  # fmt: skip
    inputs = torch.rand(8, 1, SIDE, SIDE)
    batch = task.batch(torch.arange(8), inputs, torch.Generator(), "cpu")
    output = task.model(inputs)
    classes = torch.from_numpy(data[0].classes[:8])
    expected = sum(
        nn.functional.cross_entropy(output.logits[:, b], classes, weight=torch.tensor([1.0, 2, 3, 4])) for b in (0, 1)
    )
    torch.testing.assert_close(task.loss(0, output, batch), expected)


def test_a_batch_of_a_class_that_counts_nothing_teaches_nothing(data, tmp_path):
    weights = {"rows": 0, "columns": 1, "wide rows": 1, "wide columns": 1}
    task = ClassifierTask(replace(CONFIG, class_weights=weights), *data)
    chosen = torch.from_numpy(np.flatnonzero(data[0].classes == 0)[:4])
    inputs = torch.rand(4, 1, SIDE, SIDE)
    task.model.requires_grad_(True)
    loss = task.loss(0, task.model(inputs), task.batch(chosen, inputs, torch.Generator(), "cpu"))
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is None or not p.grad.any() for p in task.model.parameters())
    with pytest.raises(EmotionError, match="every class that has samples counts 0"):
        ClassifierTask(replace(CONFIG, class_weights=dict.fromkeys(LABELS, 0)), *data)


def test_hard_labels_where_distributions_are_not_wanted(data):
    blurred = replace(data[0], distributions=0.7 * data[0].distributions + 0.075)
    assert torch.equal(
        ClassifierTask(replace(CONFIG, distributions=False), blurred, data[1]).targets, torch.eye(4)[data[0].classes]
    )
    torch.testing.assert_close(
        ClassifierTask(CONFIG, blurred, data[1]).targets, torch.from_numpy(blurred.distributions)
    )


def test_labels_in_another_order_are_the_same_labels(data, trained, tmp_path):
    _, path = trained
    mixed = ("wide columns", "rows", "wide rows", "columns")
    train, valid = stripes(160, 0, mixed), stripes(64, 1, mixed)
    assert not np.array_equal(train.classes, data[0].classes)
    task = ClassifierTask(CONFIG, train, data[1], init=path, teachers=[path])
    assert task.labels == LABELS  # those of the network that it starts from
    np.testing.assert_array_equal(task.targets.numpy(), data[0].distributions)
    assert ClassifierTask(CONFIG, data[0], valid, init=path).measure(0, task.model).score > 90
    # The teacher's columns come in the order of the student's labels.
    student = ClassifierTask(replace(CONFIG, teacher_weight=1.0), train, valid, teachers=[path])
    student.prepare(torch.device("cpu"))
    assert (student.targets.argmax(1).numpy() == train.classes).mean() > 0.9
    other = replace(stripes(16, 2), labels=("rows", "columns", "wide rows", "dots"))
    for arguments, message in (
        ((other, data[1]), "the validation data must have the same labels as the training data"),
        ((other, other, path), "the training data must have the same labels as the network"),
    ):
        with pytest.raises(EmotionError, match=message):
            ClassifierTask(CONFIG, *arguments)


def test_a_start_with_another_input_is_one_clear_line(data, tmp_path):
    colour = {"type": "esr", **replace(NETWORK, in_channels=3).to_dict()}
    loop = Loop(ClassifierTask(replace(CONFIG, model=colour, epochs=1), *data), tmp_path / "colour")
    loop.run()
    path = write_result(loop, "colour", {}, "CC0")
    takes = r"takes face 3x16x16 bgr \[0\.0, 1\.0\]; here it would get face 1x16x16 grey \[0\.0, 1\.0\]"
    with pytest.raises(EmotionError, match=f"cannot be the start: it {takes}"):
        ClassifierTask(CONFIG, *data, init=path)
    wide = {"type": "esr", **replace(NETWORK, in_channels=3, width=2.0).to_dict()}
    with pytest.raises(EmotionError, match=r"another architecture than the one to train \(other width\)"):
        ClassifierTask(replace(CONFIG, model=wide), *data, init=path)


def test_empty_data_and_what_cannot_be_shared_are_named(data):
    nothing = replace(data[0], faces=data[0].faces[:0], classes=data[0].classes[:0],
                      distributions=data[0].distributions[:0])  # fmt: skip
    with pytest.raises(EmotionError, match="no samples to learn from: the dataset is empty"):
        ClassifierTask(CONFIG, nothing, data[1])
    with pytest.raises(EmotionError, match="no samples to validate on: the dataset is empty"):
        ClassifierTask(CONFIG, data[0], nothing)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"model": "esr_huge"}, "unknown preset 'esr_huge'"),
        ({"model": {"type": "transformer"}}, "unknown architecture 'transformer'"),
        ({"model": {"type": "esr", "branches": 0}}, "model: branches must be at least 1"),
        ({"model": 7}, "model must be a preset"),
        ({"optimiser": "sgd"}, "did you mean 'optimizer'"),
        ({"optimizer": "lion"}, "unknown optimizer 'lion': use one of sgd, adamw, radam"),
        ({"schedule": "linear"}, "unknown schedule 'linear'"),
        ({"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\), got 1.0"),
        ({"class_weights": "even"}, "class_weights must be none, balanced"),
        ({"class_weights": {"happy": -1}}, "class_weights: happy must count"),
        ({"augment": {"scale": 0}}, r"scale must be in \[1, 4\], got 0"),
        ({"augment": {"flip": "often"}}, "flip must be a number, got 'often'"),
        ({"augment": {"erase_side": 0.01}}, r"erase_side must be in \[0.1, 1\]"),
        ({"augment": {"only_enlarge": 1}}, "only_enlarge must be true or false"),
        ({"augment": {"rotate": 3}}, "did you mean 'rotation_deg'"),
        ({"batch_size": 3.5}, "batch_size must be a whole number"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"ema_decay": 1}, r"ema_decay must be in \[0, 1\)"),
        ({"patience": True}, "patience must be a whole number, got True"),
    ],
)
def test_recipes_with_mistakes_say_what_is_wrong(recipe, message):
    with pytest.raises(EmotionError, match=message):
        ClassifierConfig.from_dict(recipe)


@dataclass(frozen=True)
class ToneConfig:
    """A toy network for sound features."""

    num_classes: int = 2
    hidden: int = 8

    def to_dict(self):
        return asdict(self)

    @classmethod
    def from_dict(cls, data):
        return cls(**data)


class Tone(nn.Sequential):
    def __init__(self, config: ToneConfig) -> None:
        super().__init__(
            nn.Flatten(), nn.Linear(60, config.hidden), nn.ReLU(), nn.Linear(config.hidden, config.num_classes)
        )
        self.config = config


register(
    Architecture(
        "toy_tone", ToneConfig, Tone,
        lambda config: (Input("sound", SOUND, (3, 20), sample_rate_hz=16000, features={"type": "toy"}),),
        lambda config: (Output("scores", LOGITS, (config.num_classes,)),),
    )
)  # fmt: skip


class Tones:
    """Sound features: high or low; no faces, nothing of this library's datasets."""

    labels = ("low", "middle", "high")

    def __init__(self, count: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.targets = np.arange(count) % 3
        self.items = rng.normal(self.targets[:, None, None] - 1, 0.3, (count, 3, 20)).astype(np.float32)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int):
        return self.items[index], self.targets[index]


def test_what_is_no_face_is_trained_just_so(tmp_path):
    config = ClassifierConfig(model={"type": "toy_tone"}, epochs=8, batch_size=8, lr=0.05)
    loop = Loop(ClassifierTask(config, Tones(60, 0), Tones(30, 1)), tmp_path)
    assert loop.run()[-1]["valid_accuracy"] == 100
    network, card = load_network(write_result(loop, "tones", {}, "CC0"))
    assert card.labels == ("low", "middle", "high") and network.config.num_classes == 3
    again = Loop(ClassifierTask(config, Tones(60, 0), Tones(30, 1)), tmp_path)
    assert again.finished
    with pytest.raises(EmotionError, match="the training samples are others"):
        Loop(ClassifierTask(config, Tones(60, 5), Tones(30, 1)), tmp_path)
    wrong = Tones(60, 0)
    wrong.items = wrong.items[:, :, :10]
    with pytest.raises(EmotionError, match=r"takes sound of shape \(3, 20\), the data has \(3, 10\)"):
        ClassifierTask(config, wrong, Tones(30, 1))
