"""The audiovisual network against reference outputs of an independent implementation, its files and its export."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from emotion_core.audio import mfcc  # noqa: E402
from emotion_core.audio.features import sound_features  # noqa: E402
from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.export.audiovisual_files import load_audiovisual, start_from_efficientface  # noqa: E402
from emotion_core.export.onnx_export import compare, export_onnx  # noqa: E402
from emotion_core.export.weights import save_network  # noqa: E402
from emotion_core.models.audiovisual import FUSIONS, MFCC, PRESETS, Audiovisual, AudiovisualConfig  # noqa: E402
from emotion_core.models.cross_attention import CrossAttention  # noqa: E402
from emotion_core.models.efficientface import EfficientFace, EfficientFaceConfig  # noqa: E402
from emotion_core.models.registry import build, describe, entry_of, preset  # noqa: E402
from emotion_core.runtime.classifier import Classifier  # noqa: E402

SMALL = AudiovisualConfig(frames=3, image_size=32, window_s=0.5)
LABELS = tuple("abcdefgh")


def count(module) -> int:
    return sum(p.numel() for p in module.parameters())


def small(seed: int = 0, **changes) -> Audiovisual:
    """A network whose answers depend on what it sees and hears: torch's own random weights make them fade."""
    network = build({"type": "audiovisual", **replace(SMALL, **changes).to_dict()}, seed=seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for parameter in network.parameters():
            if parameter.ndim > 1:
                torch.nn.init.kaiming_normal_(parameter)
    return network


def example(config: AudiovisualConfig, batch: int = 2, seed: int = 0):
    """A random clip and sound."""
    generator = torch.Generator().manual_seed(seed)
    clip = torch.rand(batch, 3, config.frames, config.image_size, config.image_size, generator=generator)
    return clip, torch.randn(batch, config.coefficients, config.steps, generator=generator)


def close(actual, expected) -> None:
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


@pytest.fixture(scope="module", params=FUSIONS)
def golden(shared, request):
    """(reference arrays, network with the reference weights, clip, sound)."""
    spec = importlib.util.spec_from_file_location("fill", shared / "golden" / "fill.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    reference = dict(np.load(shared / "golden" / f"av_{request.param}.npz"))
    model = Audiovisual(PRESETS[f"av_{request.param}"])
    with torch.no_grad():
        fill.fill(model)
    clip, sound = (torch.from_numpy(fill.inputs(kind, int(reference["seed"]))) for kind in ("video", "audio"))
    return reference, model.eval(), clip, sound


def test_outputs_equal_the_reference(golden):
    reference, model, clip, sound = golden
    silence, darkness = torch.zeros_like(sound), torch.zeros_like(clip)
    with torch.no_grad():
        close(model(clip, sound), reference["logits"])
        close(model(clip, silence), reference["logits_onlyvideo"])
        close(model(darkness, sound), reference["logits_onlyaudio"])
        close(model.visual_model.features(clip[0, :, :2].transpose(0, 1)), reference["visual_features"])


def test_onnx_outputs_equal_the_reference(golden, tmp_path):
    reference, model, clip, sound = golden
    card = describe(entry_of(model), "av", LABELS, "none")
    assert [item.name for item in card.inputs] == ["clip", "sound"]
    export_onnx(model, card, tmp_path / "av.onnx")
    classifier = Classifier(tmp_path / "av.onnx")
    for heard, name in ((sound, "logits"), (torch.zeros_like(sound), "logits_onlyvideo")):
        close(classifier.run({"clip": clip.numpy(), "sound": heard.numpy()})["logits"], reference[name])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_names_and_shapes_are_the_published(shared, fusion):
    published = json.loads((shared / "golden" / "state_dicts.json").read_text())[f"av_{fusion}"]
    own = Audiovisual(PRESETS[f"av_{fusion}"]).state_dict()
    assert {name: list(tensor.shape) for name, tensor in own.items()} == dict(published)


def test_parameter_counts_are_the_published():
    counts = {name: count(Audiovisual(config)) for name, config in PRESETS.items()}
    assert counts == {"av_ia": 1_854_766, "av_it": 1_938_414, "av_lt": 2_045_550}


def test_the_inputs_are_described_as_the_sound_package_makes_them():
    card = describe(preset("av_ia"), "x", LABELS, "none")
    clip, sound = card.inputs
    assert (clip.kind, clip.shape, clip.colour, clip.value_range) == ("face_clip", (3, 15, 224, 224), "bgr", (0.0, 1.0))
    assert clip.framing.rule == "box"
    assert (sound.kind, sound.sample_rate_hz) == ("sound", mfcc.RATE_HZ)
    assert sound.features == {**MFCC, "n_mfcc": mfcc.N_MFCC, "window_s": mfcc.WINDOW_S}
    librosa = mfcc.LIBROSA
    assert (MFCC["n_fft"], MFCC["hop_length"], MFCC["n_mels"]) == (librosa.n_fft, librosa.hop, librosa.n_mels)
    for seconds in (0.1, 1.0, mfcc.WINDOW_S, 5.0):
        samples = np.zeros(round(seconds * mfcc.RATE_HZ), np.float32)
        assert sound_features(samples, mfcc.RATE_HZ, sound).shape == sound.shape == (10, 156)


@pytest.mark.parametrize(("fusion", "heads"), [("ia", 2), ("it", 64), ("lt", 4)])
def test_any_number_of_heads_exports_with_any_batch(fusion, heads, tmp_path):
    model = small(fusion=fusion, heads=heads, num_classes=5)
    assert count(model) == count(small(fusion=fusion, num_classes=5))
    path = tmp_path / "av.onnx"
    export_onnx(model, describe(entry_of(model), "av", LABELS[:5], "none"), path)
    classifier = Classifier(path)
    assert max(compare(model, classifier, batch) for batch in (1, 2, 5)) < 1e-3
    clip, sound = example(model.config, 1)
    with torch.no_grad():
        other = small(fusion=fusion, heads=2 * heads if heads < 64 else 32, num_classes=5)(clip, sound)
        assert (model(clip, sound) - other).abs().max() > 1e-4  # heads change what is computed


def test_attention_is_that_of_torch():
    """The same weights in ``torch.nn.MultiheadAttention``."""
    torch.manual_seed(0)
    ours = CrossAttention(keys=16, queries=12, heads=3)
    theirs = torch.nn.MultiheadAttention(12, 3, kdim=16, vdim=16, batch_first=True)
    keys, queries = torch.rand(2, 5, 16), torch.rand(2, 7, 12)
    with torch.no_grad():
        theirs.in_proj_bias.zero_()
        theirs.q_proj_weight.copy_(ours.q.weight)
        theirs.k_proj_weight.copy_(ours.kv.weight[:12])
        theirs.v_proj_weight.copy_(ours.kv.weight[12:])
        theirs.out_proj.load_state_dict(ours.proj.state_dict())
        expected, weights = theirs(queries, keys, keys, average_attn_weights=False)
        torch.testing.assert_close(ours(keys, queries), expected)
        torch.testing.assert_close(ours.weights(keys, queries), weights)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_known_features_of_frames_give_the_same(fusion):
    """A stream computes each frame once and shares it between windows."""
    model = small(fusion=fusion)
    clip, sound = example(model.config)
    with torch.no_grad():
        features = torch.stack([model.visual_model.features(clip[:, :, i]) for i in range(3)], 1)
        torch.testing.assert_close(model.classify(features, sound), model(clip, sound))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_learned_weights_are_those_behind_the_logits(fusion):
    model = small(fusion=fusion)
    parameters = list(model.parameters())
    gradients = torch.autograd.grad(model(*example(model.config)).sum(), parameters, allow_unused=True)
    reached = {id(p) for p, gradient in zip(parameters, gradients, strict=True) if gradient is not None}
    assert {id(p) for p in model.learned()} == reached and len(reached) < len(parameters)


AUTHORS = {"ia": ("av1", "va1"), "it": ("av1", "va1"), "lt": ("av", "va")}


@pytest.mark.parametrize("fusion", FUSIONS)
def test_both_namings_load(fusion, tmp_path):
    model = small(seed=3, fusion=fusion, num_classes=5, coefficients=12)
    av, va = AUTHORS[fusion]

    def renamed(name: str) -> str:
        name = name.replace("classifier.", "classifier_1.")
        return (
            "module." + name.replace("av.", f"{av}.", 1)
            if name.startswith("av.")
            else ("module." + name.replace("va.", f"{va}.", 1) if name.startswith("va.") else "module." + name)
        )

    torch.save(model.state_dict(), tmp_path / "opendr.pt")
    state = {renamed(name): tensor for name, tensor in model.state_dict().items()}
    torch.save({"epoch": 3, "arch": "multimodalcnn", "state_dict": state, "best_prec1": 0.0}, tmp_path / "authors.pth")
    assert f"module.{av}.q.weight" in state or f"module.{av}.attn.q.weight" in state
    clip, sound = example(model.config)
    for name in ("opendr.pt", "authors.pth"):
        loaded = load_audiovisual(tmp_path / name, SMALL)
        assert loaded.config == model.config and not loaded.training
        with torch.no_grad():
            torch.testing.assert_close(loaded(clip, sound), model(clip, sound), rtol=0, atol=0)


def test_files_that_hold_something_else_say_so(tmp_path):
    with pytest.raises(EmotionError, match="there is no file"):
        load_audiovisual(tmp_path / "none.pt")
    path = tmp_path / "x.pt"
    path.write_bytes(b"PK broken")
    with pytest.raises(EmotionError, match="is damaged, or holds more than weights"):
        load_audiovisual(path)
    torch.save([1, 2], path)
    with pytest.raises(EmotionError, match="holds no weights: expected a state_dict"):
        load_audiovisual(path)
    torch.save(EfficientFace(EfficientFaceConfig()).state_dict(), path)
    with pytest.raises(EmotionError, match="holds no audiovisual network"):
        load_audiovisual(path)
    state = small().state_dict()
    del state["visual_model.conv5.0.weight"]
    torch.save(state, path)
    with pytest.raises(EmotionError, match=r"weights of another network .*visual_model\.conv5\.0\.weight"):
        load_audiovisual(path)


def test_code_in_a_file_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"state_dict": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(EmotionError, match="holds more than weights"):
        load_audiovisual(tmp_path / "trap.pt")
    assert not (tmp_path / "ran").exists()


def test_efficientface_is_where_the_pictures_start(tmp_path):
    face = build({"type": "efficientface", "image_size": 32}, seed=5)
    state = {f"module.{name}": tensor for name, tensor in face.state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "EfficientFace.pth.tar")
    save_network(face, describe(entry_of(face), "face", LABELS[:7], "none"), tmp_path / "face.safetensors")
    faces = torch.rand(4, 3, 32, 32)
    for name in ("EfficientFace.pth.tar", "face.safetensors"):
        model, before = small(), small().state_dict()
        start_from_efficientface(model, tmp_path / name)
        with torch.no_grad():
            torch.testing.assert_close(model.visual_model.features(faces), face.features(faces), rtol=0, atol=0)
        changed = {key for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])}
        assert changed and not [key for key in changed if "conv1d_" in key or not key.startswith("visual_model.")]
    torch.save({"conv1.0.weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(EmotionError, match="holds no EfficientFace: it lacks"):
        start_from_efficientface(small(), tmp_path / "other.pt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fusion": "late"}, "one of ia, it, lt, got 'late'"),
        ({"heads": 3}, "heads must divide 64 with fusion 'ia', got 3"),
        ({"fusion": "lt", "heads": 3}, "heads must divide 128"),
        ({"frames": 0}, "frames"),
        ({"image_size": 225}, "multiple of 32, got 225"),
        ({"num_classes": 1}, "num_classes"),
        ({"window_s": 0.2}, "window_s must be at least 0.28"),
    ],
)
def test_impossible_configs_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        AudiovisualConfig(**change)


def test_config_survives_json():
    config = replace(SMALL, fusion="lt", heads=128)
    assert AudiovisualConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(ValueError, match="fussion"):
        AudiovisualConfig.from_dict({"fussion": "ia"})
