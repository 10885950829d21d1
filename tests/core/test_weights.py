"""The bundled weights: the torch file and the exported one are the same network."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from emotion_core.audio.mel import mel_frames  # noqa: E402
from emotion_core.data.voices import load_ravdess  # noqa: E402
from emotion_core.export.verify import probes  # noqa: E402
from emotion_core.export.weights import load_network  # noqa: E402
from emotion_core.media.sound import read_sound  # noqa: E402
from emotion_core.runtime.classifier import Classifier  # noqa: E402
from emotion_core.runtime.voice import VoiceModel  # noqa: E402
from emotion_core.store.finding import BUNDLED  # noqa: E402
from emotion_core.types import Face  # noqa: E402
from emotion_core.vision.crop import crop_batch  # noqa: E402
from emotion_core.vision.detect import create_detector  # noqa: E402

FACES = sorted(path for path in BUNDLED.glob("*.safetensors") if not path.stem.startswith(("voice", "av")))


@pytest.mark.parametrize("path", FACES, ids=lambda path: path.stem)
def test_both_files_give_the_same_values(path, portrait):
    model, card = load_network(path)
    classifier = Classifier.load(path.stem)
    assert classifier.card.architecture == card.architecture
    detector, face = create_detector("haar"), card.face
    (found,) = detector.detect(portrait)
    # A real face as cameras see it: moved, nearer and further, brighter and darker.
    rng, batches = np.random.default_rng(0), []
    for _ in range(64):
        shifted = Face(found.box.moved(*rng.uniform(-15, 15, 2)))
        lit = np.clip(portrait * rng.uniform(0.5, 1.4), 0, 255).astype(np.uint8)
        batches.append(crop_batch(lit, [shifted], face, detector.framing * rng.uniform(0.85, 1.2)))
    faces = np.concatenate(batches)
    output = classifier.uncalibrated(faces)
    with torch.no_grad():
        expected = model(torch.from_numpy(faces))
    probabilities = expected.logits.softmax(-1).numpy()
    difference = np.abs(output.probabilities - probabilities.mean(1))
    # Integers round: what they may cost was measured on these faces, with some room for other processors.
    worst, mean = {"float32": (1e-4, 1e-5), "float16": (5e-3, 1e-3), "int8": (0.06, 0.006)}[classifier.card.precision]
    assert difference.max() < worst
    assert difference.mean() < mean
    assert (output.probabilities.argmax(1) == probabilities.mean(1).argmax(1)).mean() > 0.95
    np.testing.assert_allclose(output.affect, expected.affect.mean(1).clip(-1, 1), atol=worst)


@pytest.mark.parametrize("path", sorted(BUNDLED.glob("voice*.safetensors")), ids=lambda path: path.stem)
def test_both_files_of_a_voice_give_the_same_values(path, shared):
    """On real voices of all classes, alone and after others of the same speaker."""
    model, card = load_network(path)
    exported = VoiceModel.load(path.stem)
    assert exported.card.architecture == card.architecture and exported.card.results == card.results
    assert path.with_suffix(".onnx").stat().st_size <= 4e6
    voices = load_ravdess(shared / "data" / "ravdess_audio", "valid")
    speaker, right = exported.speaker(), []
    for i in np.flatnonzero(np.asarray(voices.speakers) == "18")[::4]:
        found = read_sound(voices.path(i))
        mel = mel_frames(found.samples, found.rate_hz)
        opinion = exported.utterance(mel, speaker)
        with torch.no_grad():
            known = torch.from_numpy(speaker.known)[None]
            expected = model(torch.from_numpy(mel)[None], speaker=known)
        np.testing.assert_allclose(opinion.probabilities, expected.logits[0].softmax(0), atol=1e-4)
        np.testing.assert_allclose(opinion.pooled, expected.pooled[0], atol=1e-3)
        right.append(card.labels[opinion.probabilities.argmax()] == voices.labels[voices.classes[i]])
        speaker.add(opinion.pooled)
    assert len(right) == 15 and np.mean(right) > 0.5  # by chance: an eighth


def test_both_files_of_the_audiovisual_network_give_the_same_values():
    model, card = load_network(BUNDLED / "av_ia.safetensors")
    classifier = Classifier.load("av_ia")
    assert (classifier.card.architecture, classifier.card.labels) == (card.architecture, card.labels)
    inputs = probes(card.inputs, 6)
    with torch.no_grad():
        wanted = model.eval()(*(torch.from_numpy(batch) for batch in inputs.values())).numpy()
    found = classifier.run(inputs)["logits"]
    assert np.ptp(wanted, axis=0).max() > 0.5
    np.testing.assert_allclose(found, wanted, atol=0.05)  # folded weights are stored as float16
