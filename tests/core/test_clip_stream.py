"""The clip network on a stream: the same answers as on clips, and each frame looked at once."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("safetensors")

from emotion_core.cli import main  # noqa: E402
from emotion_core.data.voices import RAVDESS  # noqa: E402
from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.export.weights import save_network  # noqa: E402
from emotion_core.models.audiovisual import AudiovisualConfig  # noqa: E402
from emotion_core.models.registry import build, describe, entry_of  # noqa: E402
from emotion_core.pipeline.audiovisual import AudiovisualConfig as PipelineConfig  # noqa: E402
from emotion_core.pipeline.audiovisual import AudiovisualPipeline  # noqa: E402
from emotion_core.runtime.clip_stream import ClipModel  # noqa: E402
from emotion_core.types import FACE, VOICE  # noqa: E402

PUBLISHED = np.array([3, 10, 17, 24, 31, 39, 46, 53, 60, 67, 75, 82, 89, 96, 103])


@pytest.fixture(scope="module", params=["ia", "it", "lt"])
def exported(request, tmp_path_factory):
    """The network, and the same for streams, from the command line."""
    folder = tmp_path_factory.mktemp("av")
    config = AudiovisualConfig(fusion=request.param, image_size=32)
    model = build({"type": "audiovisual", **config.to_dict()}, seed=3)
    for module in model.modules():  # statistics of a network that has seen something
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.mul_(0.3)
    card = describe(entry_of(model), "tiny", RAVDESS, "none")
    save_network(model, card, folder / "tiny.safetensors")
    assert main(["export", str(folder / "tiny.safetensors"), "--out", str(folder / "s.onnx"), "--stream"]) == 0
    return model.eval(), ClipModel(folder / "s.onnx")


def faces(count: int) -> np.ndarray:
    return np.random.default_rng(0).random((count, 3, 32, 32), np.float32)


def test_every_window_equals_the_clip_of_its_frames(exported):
    network, model = exported
    assert model.card.name == "tiny_stream"
    frames, sound = faces(130), np.random.default_rng(1).standard_normal((10, 156)).astype(np.float32)
    stream = model.stream()
    said = [stream.see(face, 7.0 + i / 30, sound) for i, face in enumerate(frames)]
    assert stream.looked == len(frames), "a frame is looked at once"
    answered = [i for i, answer in enumerate(said) if answer is not None]
    assert answered == list(range(answered[0], 130)) and answered[0] <= 108
    for i in (108, 115, 129):  # the window ends with frame i: its frame k was at i - 108 + k
        clip = torch.from_numpy(frames[i - 108 + PUBLISHED].transpose(1, 0, 2, 3)[None].copy())
        with torch.no_grad():
            wanted = network(clip, torch.from_numpy(sound)[None]).softmax(1)[0].numpy()
        np.testing.assert_allclose(said[i], wanted, atol=1e-4)


@pytest.mark.parametrize("rate_hz", [2.5, 7, 15, 60])
def test_other_rates_take_the_nearest_frames(exported, rate_hz):
    network, model = exported
    count = round(5 * rate_hz)
    frames, stamps = faces(count), np.arange(count) / rate_hz
    stream = model.stream()
    said = [stream.see(face, stamp, None) for face, stamp in zip(frames, stamps, strict=True)]
    wanted_s = stamps[-1] - 3.6 + PUBLISHED / 30
    nearest = np.abs(wanted_s[:, None] - stamps).argmin(1)
    clip = torch.from_numpy(frames[nearest].transpose(1, 0, 2, 3)[None].copy())
    with torch.no_grad():
        wanted = network(clip, torch.zeros(1, 10, 156)).softmax(1)[0].numpy()
    np.testing.assert_allclose(said[-1], wanted, atol=1e-4)


def test_holes_give_no_answer_and_late_frames_are_left_out(exported):
    _, model = exported
    stream = model.stream()
    frames = faces(150)
    for i in range(110):
        last = stream.see(frames[i], i / 30, None)
    assert last is not None
    np.testing.assert_array_equal(stream.see(frames[0], 2.0, None), last)
    assert stream.looked == 110
    assert stream.see(frames[110], 110 / 30 + 2.0, None) is None, "two seconds are missing"
    assert stream.see(frames[111], -50.0, None) is None, "a clock that began anew"
    assert len(stream._frames) == 1


def test_memory_stays(exported):
    _, model = exported
    stream = model.stream()
    face = faces(1)[0]
    for i in range(400):
        stream.see(face, i / 30, None)
    assert len(stream._frames) <= (3.6 + 0.5) * 30 + 2


def test_only_networks_for_streams(tmp_path, capsys):
    with pytest.raises(EmotionError, match="emotion export --stream"):
        ClipModel.load("esr_compact")
    from emotion_core.store.finding import BUNDLED

    source = BUNDLED / "esr_compact.safetensors"
    assert main(["export", str(source), "--out", str(tmp_path / "x.onnx"), "--stream"]) == 2
    assert "--stream is for audiovisual networks" in capsys.readouterr().err


def test_in_the_pipeline(exported, portrait, shared):
    pytest.importorskip("av")
    from emotion_core.media.sound import read_sound

    if exported[0].config.fusion != "ia":
        pytest.skip("one fusion is enough here")
    sound = read_sound(shared / "data/ravdess_audio/Actor_12/03-01-05-02-01-01-12.flac", 16000).samples
    config = PipelineConfig(detector="haar", clip_model=str(exported[1].path))
    pipeline = AudiovisualPipeline(config)
    models, senses = [], []
    for i in range(60):
        stamp = i / 10
        part = sound[round(stamp * 16000) : round((stamp + 0.1) * 16000)]
        if len(part):
            pipeline.hear(part, 16000, stamp)
        (estimate,) = pipeline.see(portrait, stamp)
        models.append(estimate.model)
        senses.append(estimate.modalities)
        assert estimate.labels == pipeline.fusion.labels and sum(estimate.probabilities) == pytest.approx(1)
    assert "late_fusion" in models, "until the window is full the late fusion answers"
    for i, (model_name, used) in enumerate(zip(models, senses, strict=True)):
        assert (model_name == "esr_compact") == (used == FACE), "a face alone is what the face's model says"
        assert i < 40 or used == FACE or model_name == "tiny_stream"
    assert "tiny_stream" in models and {FACE, FACE | VOICE} == set(senses)


def test_the_bundled_network_for_streams_is_the_bundled_one_for_clips():
    from emotion_core.runtime.classifier import Classifier
    from emotion_core.runtime.ensemble import softmax

    whole, model = Classifier.load("av_ia"), ClipModel.load("av_ia_stream")
    assert whole.card.labels == model.card.labels
    assert len(whole.card.results) == 5 and "CC BY-NC-SA" in whole.card.licence
    assert "no data here has both" in whole.card.notes
    rng = np.random.default_rng(0)
    frames, sound = rng.random((109, 3, 64, 64), np.float32), rng.standard_normal((10, 156)).astype(np.float32)
    stream = model.stream()
    for i, face in enumerate(frames):
        said = stream.see(face, i / 30, sound)
    clip = frames[PUBLISHED].transpose(1, 0, 2, 3)[None]
    logits = whole.run({"clip": clip, "sound": sound[None]})["logits"][0]
    np.testing.assert_allclose(said, softmax(logits), atol=1e-4)
