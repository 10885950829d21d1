"""The voice network: hops and whole utterances agree, in torch and in ONNX Runtime; what it knows of a speaker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

import emotion_core  # noqa: E402
from emotion_core.audio.mel import mel_frames  # noqa: E402
from emotion_core.cli import main  # noqa: E402
from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.evaluation.voices import evaluate_voices, heard_before  # noqa: E402
from emotion_core.export.ge2e import load_ge2e  # noqa: E402
from emotion_core.export.onnx_export import export_onnx  # noqa: E402
from emotion_core.export.quantize import export_as, store_half  # noqa: E402
from emotion_core.media.sound import read_sound  # noqa: E402
from emotion_core.models.registry import describe, entry_of  # noqa: E402
from emotion_core.models.voice import VoiceConfig, VoiceNetwork, merged  # noqa: E402
from emotion_core.runtime.classifier import Classifier  # noqa: E402
from emotion_core.runtime.voice import Speaker, VoiceModel  # noqa: E402

SMALL = VoiceConfig(num_classes=3, hop=10, hidden=16, layers=2, first=0)
LABELS = ("calm", "happy", "sad")


def network(config: VoiceConfig = SMALL) -> VoiceNetwork:
    torch.manual_seed(0)
    model = VoiceNetwork(config).eval()
    model.centre.uniform_(-0.1, 0.1)
    model.spread.uniform_(0.5, 2)
    return model


def sound(frames: int, seed: int = 0) -> np.ndarray:
    """(40, frames) as loud as speech, with a pause."""
    mel = np.random.default_rng(seed).random((40, frames)).astype(np.float32)
    mel[:, frames // 3 : frames // 3 + 5] = 0
    return mel


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> VoiceModel:
    path = tmp_path_factory.mktemp("voice") / "voice.onnx"
    model = network()
    export_onnx(model, describe(entry_of(model), "small_voice", LABELS, "none"), path)
    return VoiceModel(path)


@torch.no_grad()
def test_pooled_statistics_are_those_of_the_frames_that_count():
    model, mel = network(), sound(40)
    values = model.encode(torch.from_numpy(mel)[None])[0][0].numpy()
    steps = np.abs(np.diff(values, axis=0, prepend=0))
    loud = mel.mean(0) >= SMALL.gate
    counted = values[loud]
    assert len(counted) == 35
    deviation = np.maximum(counted.var(0), 1e-4) ** 0.5
    expected = np.concatenate([counted.mean(0), deviation, steps[loud].mean(0), counted.max(0), counted.min(0)])
    expected = (expected - model.centre.numpy()) / model.spread.numpy()
    np.testing.assert_allclose(model(torch.from_numpy(mel)[None]).pooled[0], expected, atol=1e-4)


@torch.no_grad()
def test_only_the_upper_layers_are_pooled():
    config = VoiceConfig(num_classes=3, hidden=16, layers=3, first=1)
    assert (config.values, config.pooled) == (32, 160)
    model, mel = network(config), torch.from_numpy(sound(40))[None]
    all_layers = VoiceNetwork(VoiceConfig(num_classes=3, hidden=16, layers=3, first=0))
    all_layers.layers = model.layers
    np.testing.assert_array_equal(model.encode(mel)[0], all_layers.encode(mel)[0][:, :, 16:])


@torch.no_grad()
def test_hops_say_what_the_whole_says():
    model, mel = network(), torch.from_numpy(sound(40))[None]
    whole = model(mel)
    state, heard = torch.zeros(1, 4, 16), torch.zeros(1, 6, 32)
    for start in range(0, 40, 10):
        part = model(mel[:, :, start : start + 10], state, heard)
        state, heard = part.state, merged(heard, part.hop)
    pairs = ((part.logits, whole.logits), (part.pooled, whole.pooled), (heard, whole.hop), (state, whole.state))
    for one, other in pairs:
        np.testing.assert_allclose(one, other, atol=1e-5)


@torch.no_grad()
def test_silence_at_the_end_changes_nothing():
    model, mel = network(), sound(40)
    longer = np.concatenate([mel, np.zeros((40, 25), np.float32)], 1)
    np.testing.assert_allclose(
        model(torch.from_numpy(longer)[None]).logits, model(torch.from_numpy(mel)[None]).logits, atol=1e-6
    )


@torch.no_grad()
def test_the_exported_network_streams(exported):
    mel = sound(40)
    for length in (40, 33, 7):
        expected = network()(torch.from_numpy(mel[:, :length])[None])
        opinion = exported.utterance(mel[:, :length])
        np.testing.assert_allclose(opinion.probabilities, expected.logits[0].softmax(0), atol=1e-5)
        np.testing.assert_allclose(opinion.pooled, expected.pooled[0], atol=1e-4)
        assert opinion.frames == (mel[:, :length].mean(0) >= SMALL.gate).sum()
    # A window of two hops: the state is that of all hops, the statistics those of the last two.
    stream, model = exported.stream(window=2), network()
    for start in range(0, 40, 10):
        opinion = stream.hear(mel[:, start : start + 10])
    _, _, states = model.encode(torch.from_numpy(mel[:, :20])[None])
    last = model(torch.from_numpy(mel[:, 20:])[None], states)
    np.testing.assert_allclose(opinion.probabilities, last.logits[0].softmax(0), atol=1e-5)
    stream.reset()
    np.testing.assert_allclose(
        stream.hear(mel[:, :10]).probabilities, exported.utterance(mel[:, :10]).probabilities, atol=1e-6
    )


def test_a_copy_with_half_the_weights(exported, tmp_path):
    full = exported.network
    card = store_half(_path(exported, tmp_path), tmp_path / "half.onnx")
    assert card.precision == "float32" and card.architecture == full.card.architecture
    half = VoiceModel(tmp_path / "half.onnx")
    mel = sound(40)
    difference = np.abs(half.utterance(mel).probabilities - exported.utterance(mel).probabilities).max()
    assert 0 < difference < 2e-3
    assert (tmp_path / "half.onnx").stat().st_size < 0.75 * (tmp_path / "full.onnx").stat().st_size


def test_a_copy_of_weights_that_are_half_already_has_the_same_figures(exported, tmp_path):
    figures = ({"dataset": "tones", "split": "valid", "accuracy": 90.0, "n": 10, "protocol": "drawn"},)
    card = replace(exported.network.card, results=figures)
    rounded = network()
    for tensor in rounded.parameters():
        tensor.data = tensor.data.half().float()
    for tensor in rounded.buffers():
        tensor.data = tensor.data.half().float() if tensor.is_floating_point() else tensor.data
    assert export_as("float32", rounded, card, tmp_path / "same.onnx", half=True).results == figures
    assert export_as("float32", network(), card, tmp_path / "other.onnx", half=True).results == ()
    with pytest.raises(EmotionError, match="half the space is for float32, got float16"):
        export_as("float16", rounded, card, tmp_path / "no.onnx", half=True)
    assert not (tmp_path / "no.onnx").exists()


def test_the_bundled_file_is_the_export_of_the_bundled_weights(tmp_path):
    bundled = Path(emotion_core.__file__).parent / "weights" / "voice_ravdess.onnx"
    out = tmp_path / "again.onnx"
    assert main(["export", str(bundled.with_suffix(".safetensors")), "--half", "--out", str(out)]) == 0
    again, stored, mel = VoiceModel(out), VoiceModel(bundled), sound(120)
    assert again.network.card.results == stored.network.card.results != ()
    assert again.network.card.architecture == stored.network.card.architecture
    assert abs(out.stat().st_size / bundled.stat().st_size - 1) < 0.02
    expected = stored.utterance(mel).probabilities
    np.testing.assert_allclose(again.utterance(mel).probabilities, expected, atol=1e-6)


def _path(model: VoiceModel, folder):
    path = folder / "full.onnx"
    export_onnx(network(), model.card, path)
    return path


def test_a_known_speaker_is_taken_off(exported):
    mel, speaker = sound(40), exported.speaker()
    assert (speaker.known == 0).all()
    before = exported.utterance(mel, speaker)
    np.testing.assert_allclose(before.probabilities, exported.utterance(mel).probabilities, atol=1e-7)
    others = [exported.utterance(sound(40, seed)).pooled for seed in range(1, 6)]
    for pooled in others:
        speaker.add(pooled)
    mean = np.sum(others, 0) / (5 + speaker.shrink)
    np.testing.assert_allclose(speaker.known, mean, atol=1e-5)
    model = network()
    with torch.no_grad():
        expected = model.classes(torch.from_numpy(before.pooled - mean).float()).softmax(0)
    after = exported.utterance(mel, speaker)
    np.testing.assert_allclose(after.probabilities, expected, atol=1e-4)
    np.testing.assert_allclose(after.pooled, before.pooled)  # what is remembered is never what was taken off


def test_what_is_heard_before_comes_from_the_same_speaker_alone():
    rng = np.random.default_rng(0)
    pooled = rng.standard_normal((7, 4)).astype(np.float32)
    speakers = ("a", "b", "a", "a", "", "b", "a")
    known = heard_before(pooled, speakers, np.full(7, 99), rng, shrink=2.0)
    np.testing.assert_allclose(known[3], pooled[[0, 2, 6]].sum(0) / 5, atol=1e-6)  # all others of the same speaker
    np.testing.assert_allclose(known[1], pooled[5] / 3, atol=1e-6)
    assert (known[4] == 0).all()  # a speaker nobody knows
    assert (heard_before(pooled, speakers, np.zeros(7, int), rng) == 0).all()


def test_knowing_a_speaker_helps_where_speakers_differ():
    """Two classes that lie apart, and speakers who lie apart much more: only what was heard before tells them."""
    rng = np.random.default_rng(1)
    classes, speakers = np.tile([0, 1], 100), np.repeat([f"s{i}" for i in range(10)], 20)
    offsets = np.repeat(rng.normal(0, 6, 10), 20)
    pooled = (np.where(classes, 1.0, -1.0) + offsets + rng.normal(0, 0.3, 200))[:, None].astype(np.float32)

    def classify(statistics, known):
        value = statistics - known
        return np.concatenate([-value, value], 1)

    results = evaluate_voices(pooled, classes, speakers, classify, ("low", "high"))
    assert list(results) == [0, 5, 10, 20] and [r.n for r in results.values()] == [200, 800, 800, 800]
    assert results[0].accuracy < 70 and results[5].accuracy < results[20].accuracy
    assert results[20].accuracy > 75


def test_mistakes_are_told(exported, tmp_path):
    for mel in (np.zeros((40, 0), np.float32), np.zeros((39, 5), np.float32), np.zeros(40, np.float32)):
        with pytest.raises(EmotionError, match=r"small_voice takes mel frames of shape \(40, n\), got"):
            exported.utterance(mel)
    with pytest.raises(EmotionError, match="window of 0 hops"):
        exported.stream(0)
    with pytest.raises(EmotionError, match="shrink must be above 0"):
        Speaker(4, 0)
    with pytest.raises(EmotionError, match="takes faces: expected a voice network"):
        VoiceModel.load("esr_compact")
    with pytest.raises(ValueError, match="layers must be 1 to 8, got 0"):
        VoiceConfig(layers=0)
    with pytest.raises(ValueError, match="not a voice configuration"):
        VoiceConfig.from_dict({"depth": 3})
    with pytest.raises(EmotionError, match=r"is missing: expected the pretrained\.pt"):
        load_ge2e(tmp_path / "absent.pt", network())
    (tmp_path / "bad.pt").write_bytes(b"nothing")
    torch.save({"lstm.weight_ih_l0": torch.zeros(4, 40)}, tmp_path / "other.pt")
    for name in ("bad.pt", "other.pt"):
        with pytest.raises(EmotionError, match="no GE2E encoder of 2 LSTM layers of 16 units"):
            load_ge2e(tmp_path / name, network())


def test_the_encoder_is_that_of_ge2e(shared):
    """The layers in a row are the one three-layer LSTM that was published, on a real voice."""
    path = shared / "models" / "ge2e_speaker_encoder.pt"
    model = VoiceNetwork()
    load_ge2e(path, model)
    published = torch.nn.LSTM(40, 256, 3, batch_first=True)
    state = torch.load(path, map_location="cpu", weights_only=True)
    state = state.get("model_state", state)
    published.load_state_dict({k[5:]: v for k, v in state.items() if k.startswith("lstm.")})
    found = read_sound(next((shared / "data" / "ravdess_audio" / "Actor_11").iterdir()))
    mel = torch.from_numpy(mel_frames(found.samples, found.rate_hz))[None]
    with torch.no_grad():
        expected, (hidden, cell) = published(mel.transpose(1, 2))
        values, _, after = model.encode(mel)
    np.testing.assert_allclose(values[:, :, 256:], expected, atol=1e-5)
    np.testing.assert_allclose(after[0, 0::2], hidden[:, 0], atol=1e-5)
    np.testing.assert_allclose(after[0, 1::2], cell[:, 0], atol=1e-4)


def test_a_classifier_takes_its_four_inputs(exported):
    assert isinstance(exported.network, Classifier)
    kinds = [(item.name, item.kind) for item in exported.card.inputs]
    assert kinds == [("mel", "sound"), ("state", "state"), ("heard", "state"), ("speaker", "state")]
    assert exported.card.inputs[0].sample_rate_hz == 16000 and exported.card.inputs[0].features["n_mels"] == 40
