"""Classes of one's own: from photos in folders to an ONNX file, in one command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training takes torch")
pytest.importorskip("onnx", reason="the export takes onnx")
pytest.importorskip("tensorboard", reason="training takes tensorboard")

import torch

from emotion_core.cli import main
from emotion_core.cli.train_own import weights_of
from emotion_core.data.own_faces import load_own_faces
from emotion_core.errors import EmotionError
from emotion_core.export.weights import load_network
from emotion_core.media.pictures import decode_picture, write_picture
from emotion_core.models.registry import build
from emotion_core.runtime.classifier import Classifier
from emotion_core.store.finding import BUNDLED
from emotion_core.store.metadata import read_card
from emotion_core.training.classifier_data import with_classes
from emotion_core.training.own_start import start_own_classes

WEIGHTS = BUNDLED / "esr_compact.safetensors"
FACE = read_card(WEIGHTS).face


def shaded(level: int, seed: int) -> np.ndarray:
    """(60, 60, 3) uint8: noise around a grey level in the upper half, around its opposite in the lower."""
    noise = np.random.default_rng(seed).integers(-20, 20, (60, 60, 3))
    halves = np.where(np.arange(60)[:, None, None] < 30, level, 255 - level)
    return np.clip(halves + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def crops(tmp_path_factory) -> Path:
    """Ten pictures each of two classes that a small training tells apart, and a folder that is no class."""
    root = tmp_path_factory.mktemp("crops")
    for label, level in (("upper", 220), ("lower", 40), ("middle", 128)):
        (root / label).mkdir()
        for i in range(10):
            write_picture(root / label / f"{i}.png", shaded(level, i))
    return root


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """A portrait in different light in two classes, with a picture without a face, and one that is none."""
    cbook = pytest.importorskip("matplotlib.cbook", reason="the portrait comes with matplotlib")
    with cbook.get_sample_data("grace_hopper.jpg") as file:
        portrait = decode_picture(file.read()).image
    root = tmp_path_factory.mktemp("photos")
    for label, factor in (("dim", 0.6), ("lit", 1.0)):
        (root / label).mkdir()
        for i in range(3):
            write_picture(root / label / f"{i}.png", (portrait * (factor - 0.05 * i)).astype(np.uint8))
    write_picture(root / "lit" / "wall.png", np.full((200, 200, 3), 90, np.uint8))
    (root / "dim" / "broken.jpg").write_bytes(b"no picture")
    return root


def train(*args: object) -> int:
    return main(["train", "classifier", *map(str, args)])


def test_one_command_from_pictures_to_a_model(crops, tmp_path, capsys):
    words = ("--data", crops, "--classes", "lower,upper", "--faces", "whole", "--init", "esr_compact", "--out",
             tmp_path / "run", "--name", "mine", "--epochs", 6, "--threads", 1)  # fmt: skip
    assert train(*words) == 0
    said = capsys.readouterr().out
    assert "16 faces learned from: lower 8, upper 8" in said and "4 faces validated on: lower 2, upper 2" in said
    assert "none of the classes, left out: middle" in said
    exported = tmp_path / "run" / "mine.onnx"
    assert f"emotion infer photo.jpg --model {exported}" in said
    classifier = Classifier.load(exported)
    assert classifier.card.labels == ("lower", "upper") and classifier.card.name == "mine"
    assert classifier.card.inputs == Classifier.load("esr_compact").card.inputs  # framed as the network learned it
    assert classifier.card.training["init"]["taken over"].startswith("all layers but")
    assert "--classes lower,upper --out run --faces whole --epochs 6" in classifier.card.training["command"]
    from emotion_core.vision.crop import fit_faces

    unseen = np.stack([shaded(level, 100 + i) for level in (40, 220) for i in range(4)])
    output = classifier(fit_faces(unseen, classifier.card.face))
    assert output.probabilities.argmax(1).tolist() == [0] * 4 + [1] * 4
    assert np.isnan(output.affect).all()  # nobody taught it valence and arousal
    assert train(*words) == 0  # all is done: the same model again
    assert "mine.onnx" in capsys.readouterr().out


def test_faces_are_cut_out_and_what_has_none_is_told(photos):
    told: list[tuple[int, int]] = []
    found = load_own_faces(photos, ["dim", "lit"], FACE, "haar", on_progress=lambda *done: told.append(done))
    assert found.no_face == ("lit/wall.png",) and found.unreadable[0][0] == "dim/broken.jpg"
    assert told[0] == (1, 8) and told[-1] == (8, 8)
    assert found.train.faces.shape == (4, 48, 48) and found.valid.faces.shape == (2, 48, 48)
    assert found.train.classes.tolist() == [0, 0, 1, 1] and found.valid.classes.tolist() == [0, 1]
    assert not set(found.train.names) & set(found.valid.names)
    assert found.train.faces[:2].mean() < 0.8 * found.train.faces[2:].mean()
    # The portrait's box as the detector has it, framed as the card says: the runtime sees the same pixels.
    from emotion_core.media.pictures import read_picture
    from emotion_core.vision.crop import crop_batch
    from emotion_core.vision.detect import create_detector

    detector, image = create_detector("haar", 640), read_picture(photos / found.train.names[-1]).image
    seen = crop_batch(image, detector.detect(image)[:1], FACE, detector.framing)[0, 0]
    assert np.abs(seen * 255 - found.train.faces[-1]).max() <= 1


def test_the_split_follows_the_seed_and_a_split_of_ones_own_is_kept(crops, tmp_path):
    first, again, other = (load_own_faces(crops, ("upper", "lower"), FACE, "whole", seed) for seed in (0, 0, 1))
    assert first.valid.names == again.valid.names != other.valid.names
    assert len(first.train) == 16 and np.bincount(first.valid.classes).tolist() == [2, 2]
    for part, indices in (("train", (0, 1)), ("valid", (2,))):
        for label in ("upper", "lower"):
            (tmp_path / part / label).mkdir(parents=True)
            for i in indices:
                write_picture(tmp_path / part / label / f"{i}.png", shaded(200, i))
    own = load_own_faces(tmp_path, ("upper", "lower"), FACE, "whole")
    assert own.train.names == ("train/lower/0.png", "train/lower/1.png", "train/upper/0.png", "train/upper/1.png")
    assert own.valid.names == ("valid/lower/2.png", "valid/upper/2.png")
    assert own.train.classes.tolist() == [1, 1, 0, 0]  # in the order that was asked for


@pytest.mark.parametrize(
    ("classes", "words"),
    [(("upper",), "two classes or more"), (("upper", "upper"), "each named once"), ("upper", "two classes"),
     (("upper", "up"), "no folder up: it holds lower, middle, upper")],
)  # fmt: skip
def test_classes_that_are_none(crops, classes, words):
    with pytest.raises(EmotionError, match=words):
        load_own_faces(crops, classes, FACE, "whole")


def test_crops_that_are_taken_for_photos_are_told(crops, tmp_path):
    with pytest.raises(
        EmotionError, match="no face was found in 10 pictures: if they are cut out already, say --faces"
    ):
        load_own_faces(crops, ("upper", "lower"), FACE, "haar")
    (tmp_path / "train").mkdir()
    with pytest.raises(EmotionError, match="a folder train alone: add valid"):
        load_own_faces(tmp_path, ("upper", "lower"), FACE, "whole")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--classes", "upper"), "two classes or more"),
        (("--classes", "upper,lower", "--dataset", "ferplus"), "leave --dataset and --fold out"),
        (("--classes", "upper,lower", "--init", "nobody"), "unknown model 'nobody'"),
        (("--classes", "upper,lower", "--init", "voice_ravdess"), "does not take one face"),
        (("--faces", "whole"), "--model PRESET, or --classes"),
    ],
)
def test_mistakes_are_one_line(crops, tmp_path, capsys, words, message):
    assert train("--data", crops, "--out", tmp_path / "run", *words) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len([line for line in errors if line.startswith("emotion: error:") and message in line]) == 1, errors


def heads(state: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, tensor in state.items() if 8 in tensor.shape[:2] and tensor.ndim <= 2}


@pytest.mark.parametrize("labels", [("tired", "happy"), tuple("abcdefgh")])
def test_features_are_kept_and_classes_are_new(labels):
    trained, card = load_network(WEIGHTS)
    model = build(with_classes(card.architecture, len(labels)), "model", 5)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    described = start_own_classes(WEIGHTS, model, labels)
    after, source = model.state_dict(), trained.state_dict()
    counting = heads(source)
    assert described.labels == labels and counting
    for name, tensor in after.items():
        if name not in counting:
            assert torch.equal(tensor, source[name]), name
        elif "happy" not in labels:
            assert torch.equal(tensor, before[name]), name  # eight classes as well, but others
        elif tensor.ndim == 1 and tensor.shape[0] == 2:
            assert tensor[1] == source[name][card.labels.index("happy")] and tensor[0] == before[name][0]


def test_another_architecture_is_no_start():
    entry = {**read_card(WEIGHTS).architecture, "branches": 2, "num_classes": 2}
    model = build(entry, "model", 0)
    with pytest.raises(EmotionError, match="another architecture"):
        start_own_classes(WEIGHTS, model, ("a", "b"))


def test_weights_by_name_and_path():
    assert (
        weights_of("esr_compact")
        == WEIGHTS
        == weights_of(str(WEIGHTS))
        == weights_of(str(BUNDLED / "esr_compact.onnx"))
    )
    with pytest.raises(EmotionError, match="weights are missing"):
        weights_of("no/such.safetensors")
