"""Cards, classifiers, export and the model store."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest

from emotion_core.errors import EmotionError
from emotion_core.export.verify import probes
from emotion_core.labels import AFFECTNET
from emotion_core.runtime.classifier import Classifier
from emotion_core.runtime.ensemble import EnsembleOutput, softmax
from emotion_core.runtime.voice import VoiceModel
from emotion_core.store.card import AFFECT, FACE, LOGITS, SOUND, Framing, Input, ModelCard, Output
from emotion_core.store.files import atomic_write, sha256
from emotion_core.store.finding import BUNDLED, find_model, model_names

FACE_INPUT = Input("faces", FACE, (1, 16, 16), "grey", framing=Framing())
CARD = ModelCard(
    "tiny", {"type": "esr"}, AFFECTNET, "none", (FACE_INPUT,),
    (Output("logits", LOGITS, (3, 8)), Output("affect", AFFECT, (3, 2))), affect="derived",
)  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """(path of an exported network, the network)."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from emotion_core.export.onnx_export import export_onnx
    from emotion_core.models.esr import ConvSpec, Esr, EsrConfig
    from emotion_core.models.registry import entry_of

    torch.manual_seed(0)
    model = Esr(EsrConfig(branches=3, in_channels=1, input_size=16, base=(ConvSpec(8),), branch=(ConvSpec(8),))).eval()
    with torch.no_grad():  # answers that differ from face to face, or any copy would do
        for branch in model.branches():
            branch.fc.weight.mul_(300)
    path = tmp_path_factory.mktemp("models") / "tiny.onnx"
    export_onnx(model, replace(CARD, architecture=entry_of(model)), path)
    return path, model


def test_export_equals_torch_for_every_batch_size(tiny):
    import torch

    path, model = tiny
    classifier = Classifier(path)
    for count in (1, 2, 7):
        faces = np.random.default_rng(count).random((count, 1, 16, 16), np.float32)
        output = classifier(faces)
        with torch.no_grad():
            expected = model(torch.from_numpy(faces))
        np.testing.assert_allclose(output.branch_probabilities, expected.logits.softmax(-1), atol=1e-5)
        np.testing.assert_allclose(output.branch_affect, expected.affect, atol=1e-5)
        assert output.probabilities.shape == (count, 8)


@pytest.fixture(scope="module")
def calibration():
    return probes(CARD.inputs, 40, seed=5)


@pytest.mark.parametrize(("precision", "share"), [("int8", 0.15), ("float16", 0.01)])
def test_smaller_copies_say_nearly_the_same(tiny, tmp_path, calibration, precision, share):
    from emotion_core.export.quantize import convert_float16, quantize_int8

    path, out = tiny[0], tmp_path / f"{precision}.onnx"
    card = quantize_int8(path, calibration, out) if precision == "int8" else convert_float16(path, out)
    assert card.precision == precision and card.results == () and card.sha256 == sha256(out)
    smaller = Classifier(out)
    assert smaller.card.precision == precision
    original, output = Classifier(path)(calibration["faces"][:20]), smaller(calibration["faces"][:20])
    spread = np.ptp(original.branch_probabilities, axis=0).max()
    assert spread > 0.2  # the answers vary, and a copy differs by a small share of that
    np.testing.assert_allclose(output.branch_probabilities, original.branch_probabilities, atol=share * spread)
    assert not np.array_equal(output.branch_probabilities, original.branch_probabilities)
    with pytest.raises(EmotionError, match=f"is {precision} already"):
        convert_float16(out, tmp_path / "again.onnx")
    assert sorted(p.name for p in tmp_path.glob("*.onnx")) == [out.name]


def test_a_copy_that_says_something_else_is_refused(tiny, tmp_path, calibration):
    """Weights beyond float16, calibration on faces unlike any other, and a network that sees its input inverted."""
    import torch

    from emotion_core.export.onnx_export import compare, export_onnx
    from emotion_core.export.quantize import convert_float16, quantize_int8

    large = copy.deepcopy(tiny[1])
    with torch.no_grad():
        large.base.conv1.weight.mul_(1e5)
        large.base.conv1.bias.mul_(1e5)
    card = replace(CARD, architecture=Classifier(tiny[0]).card.architecture)
    export_onnx(large, card, tmp_path / "large.onnx")
    with pytest.raises(EmotionError, match=r"the float16 network differs from the original by .*use float32"):
        convert_float16(tmp_path / "large.onnx", tmp_path / "half.onnx")
    with pytest.raises(EmotionError, match="samples that differ"):
        quantize_int8(tiny[0], {"faces": np.zeros((40, 1, 16, 16), np.float32)}, tmp_path / "int8.onnx")
    assert not (tmp_path / "half.onnx").exists() and not (tmp_path / "int8.onnx").exists()
    inverted = copy.deepcopy(tiny[1])
    with torch.no_grad():
        inverted.base.conv1.weight.neg_()
    with pytest.raises(EmotionError, match="the float32 network differs from the original"):
        compare(inverted, Classifier(tiny[0]))


def test_int8_computes_in_integers(tiny, tmp_path, calibration):
    onnx = pytest.importorskip("onnx")
    from emotion_core.export.quantize import quantize_int8

    quantize_int8(tiny[0], calibration, tmp_path / "int8.onnx")
    network = onnx.load(str(tmp_path / "int8.onnx"))
    kernels = [t for t in network.graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4]
    assert len(kernels) == 4  # of the base and three branches


@pytest.mark.parametrize("shape", [(4, 3, 16, 16), (4, 1, 48, 48), (0, 1, 16, 16), (16, 16)])
def test_calibration_faces_that_do_not_fit_are_refused(tiny, tmp_path, shape):
    from emotion_core.export.quantize import quantize_int8

    with pytest.raises(EmotionError, match="calibration needs finite faces"):
        quantize_int8(tiny[0], {"faces": np.zeros(shape, np.float32)}, tmp_path / "int8.onnx")
    with pytest.raises(EmotionError, match="calibration needs finite faces"):
        quantize_int8(tiny[0], {"faces": np.full((4, 1, 16, 16), np.nan, np.float32)}, tmp_path / "int8.onnx")
    with pytest.raises(EmotionError, match="calibration needs finite faces"):
        quantize_int8(tiny[0], {}, tmp_path / "int8.onnx")


def test_results_are_noted_in_the_card(tiny, tmp_path):
    from emotion_core.export.onnx_export import export_onnx
    from emotion_core.export.onnx_file import add_results

    def result(split: str, protocol: str, accuracy: float) -> dict[str, object]:
        return {"dataset": "d", "split": split, "protocol": protocol, "accuracy": accuracy}

    path = tmp_path / "mine.onnx"
    export_onnx(tiny[1], CARD, path)
    add_results(path, [result("valid", "a", 50.0), result("valid", "b", 55.0)])
    add_results(path, [result("test", "a", 60.0)])
    card = add_results(path, [result("valid", "a", 70.0)])
    assert [r["accuracy"] for r in card.results] == [70.0, 60.0, 55.0]
    assert Classifier(path).card.results == card.results  # and its seal fits


def test_the_card_travels_in_the_file_and_the_copy_may_be_missing_or_stale(tiny, tmp_path):
    path, _ = tiny
    beside = ModelCard.from_json(path.with_suffix(".json").read_text())
    assert beside.sha256 == sha256(path)
    assert replace(Classifier(path).card, sha256=beside.sha256) == beside
    alone = tmp_path / "alone.onnx"
    alone.write_bytes(path.read_bytes())
    assert Classifier(alone).card == replace(beside, sha256="")
    alone.with_suffix(".json").write_text(replace(beside, name="stale", sha256="0" * 64).to_json())
    assert Classifier(alone).card.name == "tiny"


def test_damaged_files_are_one_clear_error(tiny, tmp_path):
    path, _ = tiny
    copy = tmp_path / "copy.onnx"
    data = path.read_bytes()
    for length in (0, 1, 100, len(data) // 2, len(data) - 1):
        copy.write_bytes(data[:length])
        with pytest.raises(EmotionError, match=r"not a readable ONNX|no model card"):
            Classifier(copy)
    copy.write_bytes(data[: len(data) // 3] + b"\0" + data[len(data) // 3 + 1 :])  # one byte of a weight
    with pytest.raises(EmotionError, match="is damaged"):
        Classifier(copy)
    with pytest.raises(EmotionError, match="no model file"):
        Classifier(tmp_path / "absent.onnx")


def test_files_of_the_first_release_are_checked_by_the_hash_beside_them(tiny, tmp_path):
    onnx = pytest.importorskip("onnx")
    old = {"name": "old", "architecture": {"type": "esr", "branches": 3}, "input_size": 16, "channels": 1,
           "labels": list(AFFECTNET), "licence": "none", "colour": "grey", "value_range": [0.0, 1.0],
           "framing": "fer2013", "affect": "derived"}  # fmt: skip
    path = tmp_path / "old.onnx"
    network = onnx.load(str(tiny[0]))
    del network.metadata_props[:]
    entry = network.metadata_props.add()
    entry.key, entry.value = "emotion_model_card", json.dumps(old)
    onnx.save(network, str(path))
    card = Classifier(path).card
    assert (card.inputs, card.outputs) == (CARD.inputs, CARD.outputs)
    beside = path.with_suffix(".json")
    beside.write_text(json.dumps({**old, "sha256": sha256(path)}))
    assert Classifier(path).card == card
    beside.write_text(json.dumps({**old, "sha256": "0" * 64}))
    with pytest.raises(EmotionError, match="sha256"):
        Classifier(path)


def test_weights_carry_their_card_and_a_seal(tiny, tmp_path):
    from emotion_core.export.weights import load_network, save_network

    path = tmp_path / "tiny.safetensors"
    save_network(tiny[1], replace(CARD, architecture=Classifier(tiny[0]).card.architecture), path)
    path.with_suffix(".json").unlink()
    model, card = load_network(path)
    assert card.name == "tiny" and model.config == tiny[1].config
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(EmotionError, match="is damaged"):
        load_network(path)
    path.write_bytes(data[:100])
    with pytest.raises(EmotionError, match="not a readable safetensors"):
        load_network(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"labels": AFFECTNET[:7], "outputs": (Output("logits", LOGITS, (3, 7)),)},
            r"logits has the shape \(N, 3, 8\), the card says \(N, 3, 7\)",
        ),
        ({"outputs": (Output("logits", LOGITS, (8,)),)}, r"the card says \(N, 8\)"),
        ({"outputs": (Output("scores", LOGITS, (3, 8)),)}, "no input or output 'scores'"),
        ({"inputs": (replace(FACE_INPUT, shape=(1, 48, 48)),)}, r"faces has the shape \(N, 1, 16, 16\)"),
        ({"inputs": (replace(FACE_INPUT, shape=(3, 16, 16), colour="bgr"),)}, "the card says"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(tiny, tmp_path, change, message):
    onnx = pytest.importorskip("onnx")
    network = onnx.load(str(tiny[0]))
    (entry,) = (item for item in network.metadata_props if item.key == "emotion_model_card")
    entry.value = replace(CARD, **change).to_json()
    del network.metadata_props[:]
    network.metadata_props.append(entry)
    onnx.save(network, str(tmp_path / "bad.onnx"))
    with pytest.raises(EmotionError, match=message):
        Classifier(tmp_path / "bad.onnx")


def test_a_network_without_a_card_is_refused(tiny, tmp_path):
    onnx = pytest.importorskip("onnx")
    network = onnx.load(str(tiny[0]))
    del network.metadata_props[:]
    onnx.save(network, str(tmp_path / "bare.onnx"))
    with pytest.raises(EmotionError, match="no model card"):
        Classifier(tmp_path / "bare.onnx")


def test_wrong_batches_are_refused(tiny):
    classifier = Classifier(tiny[0])
    for shape in ((1, 1, 48, 48), (1, 16, 16), (0, 1, 16, 16), (1, 3, 16, 16)):
        with pytest.raises(EmotionError, match="takes faces of shape"):
            classifier(np.zeros(shape, np.float32))
    with pytest.raises(EmotionError, match="takes 1 inputs"):
        classifier()
    with pytest.raises(EmotionError, match="needs the input faces"):
        classifier.run({"face": np.zeros((1, 1, 16, 16), np.float32)})


def test_an_export_does_not_take_the_only_card_of_old_weights(tiny, tmp_path):
    """Weights of the first release have theirs in the JSON beside them, where the exported network's copy would go."""
    safetensors = pytest.importorskip("safetensors.torch")
    from emotion_core.export.onnx_export import export_onnx
    from emotion_core.export.weights import load_network

    safetensors.save_file(dict(tiny[1].state_dict()), str(tmp_path / "old.safetensors"))
    card = replace(CARD, architecture=Classifier(tiny[0]).card.architecture, name="weights")
    (tmp_path / "old.json").write_text(card.to_json())
    export_onnx(tiny[1], replace(card, name="exported"), tmp_path / "old.onnx")
    assert load_network(tmp_path / "old.safetensors")[1].name == "weights"
    assert ModelCard.from_json((tmp_path / "old.onnx.json").read_text()).name == "exported"


def test_a_failed_export_leaves_nothing_behind(tmp_path, tiny, monkeypatch):
    from emotion_core.export import onnx_export as export
    from emotion_core.export import verify

    monkeypatch.setitem(verify.TOLERANCES, "float32", -1.0)
    with pytest.raises(EmotionError, match="differs"):
        export.export_onnx(tiny[1], CARD, tmp_path / "out.onnx")
    assert list(tmp_path.glob("*out*")) == []


def test_atomic_write_keeps_the_old_file_on_an_error(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path, tmp_path / "store"]
    with atomic_write(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"name": "x"}', "null", *(json.dumps({**CARD.to_dict(), **change}) for change in (
        {"extra": 1}, {"labels": ["a", "a"]}, {"labels": list(AFFECTNET[:3])}, {"name": ""}, {"precision": "int4"},
        {"inputs": []}, {"inputs": [{"name": "faces"}]}, {"inputs": [{**CARD.to_dict()["inputs"][0], "colour": "bgr"}]},
        {"inputs": [{**CARD.to_dict()["inputs"][0], "framing": {"rule": "round"}}]},
        {"inputs": [{"name": "x", "kind": "sound", "shape": [10, 156]}]},
        {"outputs": [{"name": "a", "kind": "affect", "shape": [3]}]},
    ))],
)  # fmt: skip
def test_bad_cards_are_one_clear_error(text):
    with pytest.raises(EmotionError, match="card"):
        ModelCard.from_json(text)


def test_cards_describe_sound_clips_and_single_networks():
    clip = Input("video", "face_clip", (3, 15, 224, 224), "bgr", framing=Framing("box"))
    mfcc = {"type": "mfcc", "n_mfcc": 10, "window_s": 3.6}
    sound = Input("audio", SOUND, (10, 156), sample_rate_hz=22050, features=mfcc)
    labels = ("calm", "angry")
    card = ModelCard("av", {"type": "x"}, labels, "none", (sound, clip), (Output("logits", LOGITS, (2,)),))
    assert ModelCard.from_json(card.to_json()) == card
    with pytest.raises(EmotionError, match="takes sound, face_clip, expected one that takes single faces"):
        _ = card.face


def test_model_names_and_unknown_ones(empty_store):
    assert "esr_compact" in model_names()
    (empty_store / "mine.onnx").write_bytes(b"")
    assert find_model("mine") == empty_store / "mine.onnx"
    with pytest.raises(EmotionError, match=r"unknown model 'nope'.*esr_compact, .*mine"):
        find_model("nope")
    with pytest.raises(EmotionError, match="no model file"):
        find_model("absent/nope.onnx")


def test_mean_and_vote():
    # Two branches narrowly prefer class 0, one is sure of class 1.
    probabilities = np.array([[[0.5, 0.4, 0.1], [0.5, 0.4, 0.1], [0.0, 1.0, 0.0]]])
    output = EnsembleOutput(probabilities, np.array([[[2.0, 0.0], [0.5, 0.0], [0.5, -0.3]]]))
    np.testing.assert_allclose(output.probabilities, [[1 / 3, 0.6, 0.2 / 3]])
    assert output.probabilities.argmax() == 1
    assert output.votes.tolist() == [0]
    np.testing.assert_allclose(output.affect, [[1.0, -0.1]])  # clipped after the mean
    tie = EnsembleOutput(np.array([[[0.6, 0.4], [0.1, 0.9]]]), np.zeros((1, 2, 2)))
    assert tie.votes.tolist() == [1]  # one vote each: the larger mean probability


def test_softmax_of_huge_logits():
    np.testing.assert_allclose(softmax(np.array([[1e4, 0.0], [-1e4, -1e4]])), [[1, 0], [0.5, 0.5]])


@pytest.mark.parametrize("name", sorted(path.stem for path in BUNDLED.glob("esr*.onnx")))
def test_bundled_models_load_are_small_and_honest(name):
    path = BUNDLED / f"{name}.onnx"
    classifier = Classifier.load(name)
    card = ModelCard.from_json(path.with_suffix(".json").read_text())
    assert card.name == name
    assert card.sha256 == sha256(path)
    assert path.stat().st_size <= 5e6
    assert card.architecture["branches"] >= 3
    assert card.licence
    assert card.training["data"]
    assert "not annotated" in card.affect
    fresh = [r for r in card.results if "without the photos" in r["split"]]
    assert {r["protocol"]: r["n"] for r in fresh} == {"plurality, calibrated": 2884, "majority, calibrated": 2602}
    for result in fresh:
        for figure, (low, high) in result["intervals"].items():
            assert low < result[figure] < high
    others = [r for r in card.results if r["dataset"] == "FER+" and r not in fresh]
    figures = {r["protocol"].split(", ")[1].split()[0]: r for r in others}
    assert {name: (r["split"], r["n"]) for name, r in figures.items()} == {
        "plurality": ("PublicTest", 3553),
        "majority": ("PublicTest", 3199),
    }
    assert all("VNNI" in r["cpu"] for r in (*fresh, *others))  # int8 gives other last digits with and without
    output = classifier(
        np.random.default_rng(0).random((2, card.channels, card.input_size, card.input_size), np.float32)
    )
    np.testing.assert_allclose(output.probabilities.sum(1), 1)


@pytest.mark.parametrize("name", sorted(path.stem for path in BUNDLED.glob("voice*.onnx")))
def test_bundled_voices_load_are_small_and_honest(name):
    path = BUNDLED / f"{name}.onnx"
    model = VoiceModel.load(name)
    card = ModelCard.from_json(path.with_suffix(".json").read_text())
    assert (card.name, card.sha256) == (name, sha256(path)) and path.stat().st_size <= 4e6
    assert "CC BY-NC-SA 4.0" in card.licence and "Apache-2.0" in card.training["start"] and card.training["data"]
    plain, known = ([r for r in card.results if text in r["protocol"]] for text in ("nothing heard", "after 20"))
    assert {r["split"] for r in plain} == {r["split"] for r in known} == {"validation", "5 folds by actor"}
    for before, after in zip(plain, known, strict=True):
        assert before["split"] == after["split"] and 60 < before["accuracy"] < after["accuracy"] < 90
    opinion = model.utterance(np.random.default_rng(0).random((40, 120), np.float32))
    assert opinion.probabilities.sum() == pytest.approx(1) and opinion.frames == 120
