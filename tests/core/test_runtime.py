"""Cards, sessions, export and the model store."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from emotion_core.errors import EmotionError
from emotion_core.labels import AFFECTNET
from emotion_core.runtime.ensemble import EnsembleOutput, softmax
from emotion_core.runtime.session import FaceClassifier
from emotion_core.store.card import ModelCard
from emotion_core.store.files import atomic_write, sha256
from emotion_core.store.finding import BUNDLED, find_model, model_names

CARD = ModelCard("tiny", {"type": "esr"}, 16, 1, AFFECTNET, "none", affect="derived")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """(path of an exported network, the network)."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from emotion_core.export.onnx_export import export_onnx
    from emotion_core.export.weights import architecture_of
    from emotion_core.models.esr import ConvSpec, Esr, EsrConfig

    torch.manual_seed(0)
    model = Esr(EsrConfig(branches=3, in_channels=1, input_size=16, base=(ConvSpec(8),), branch=(ConvSpec(8),))).eval()
    path = tmp_path_factory.mktemp("models") / "tiny.onnx"
    export_onnx(model, replace(CARD, architecture=architecture_of(model)), path)
    return path, model


def test_export_equals_torch_for_every_batch_size(tiny):
    import torch

    path, model = tiny
    classifier = FaceClassifier(path)
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
    return np.random.default_rng(5).random((40, 1, 16, 16), np.float32)


@pytest.mark.parametrize(("precision", "tolerance"), [("int8", 0.05), ("float16", 2e-3)])
def test_smaller_copies_say_nearly_the_same(tiny, tmp_path, calibration, precision, tolerance):
    from emotion_core.export.quantize import convert_float16, quantize_int8

    path, out = tiny[0], tmp_path / f"{precision}.onnx"
    card = quantize_int8(path, calibration, out) if precision == "int8" else convert_float16(path, out)
    assert card.precision == precision and card.results == () and card.sha256 == sha256(out)
    copy = FaceClassifier(out)
    assert copy.card.precision == precision
    original, output = FaceClassifier(path)(calibration[:7]), copy(calibration[:7])
    np.testing.assert_allclose(output.branch_probabilities, original.branch_probabilities, atol=tolerance)
    assert not np.array_equal(output.branch_probabilities, original.branch_probabilities)
    with pytest.raises(EmotionError, match=f"is {precision} already"):
        convert_float16(out, tmp_path / "again.onnx")
    assert sorted(p.name for p in tmp_path.glob("*.onnx")) == [out.name]


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
        quantize_int8(tiny[0], np.zeros(shape, np.float32), tmp_path / "int8.onnx")
    with pytest.raises(EmotionError, match="calibration needs finite faces"):
        quantize_int8(tiny[0], np.full((4, 1, 16, 16), np.nan, np.float32), tmp_path / "int8.onnx")


def test_results_are_noted_in_the_card(tiny, tmp_path):
    from emotion_core.export.onnx_export import export_onnx
    from emotion_core.export.onnx_file import add_result

    path = tmp_path / "mine.onnx"
    export_onnx(tiny[1], CARD, path)
    add_result(path, {"dataset": "d", "split": "valid", "accuracy": 50.0})
    add_result(path, {"dataset": "d", "split": "test", "accuracy": 60.0})
    card = add_result(path, {"dataset": "d", "split": "valid", "accuracy": 70.0})
    assert [r["accuracy"] for r in card.results] == [60.0, 70.0]
    assert FaceClassifier(path).card.results == card.results  # and the hash beside it fits


def test_card_travels_in_the_file_and_beside_it(tiny):
    path, _ = tiny
    beside = ModelCard.from_json(path.with_suffix(".json").read_text())
    assert beside.sha256 == sha256(path)
    assert replace(FaceClassifier(path).card, sha256=beside.sha256) == beside


def test_damaged_files_are_one_clear_error(tiny, tmp_path):
    path, _ = tiny
    copy = tmp_path / "copy.onnx"
    data = path.read_bytes()
    copy.write_bytes(data[: len(data) // 2])
    with pytest.raises(EmotionError, match="not a readable ONNX"):
        FaceClassifier(copy)
    copy.with_suffix(".json").write_text(path.with_suffix(".json").read_text())
    with pytest.raises(EmotionError, match="sha256"):
        FaceClassifier(copy)
    with pytest.raises(EmotionError, match="no model file"):
        FaceClassifier(tmp_path / "absent.onnx")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": AFFECTNET[:7]}, r"logits ends in \[8\], the card says \[7\]"),
        ({"input_size": 48}, r"faces ends in \[1, 16, 16\]"),
        ({"channels": 3, "colour": "bgr"}, "the card says"),
    ],
)
def test_a_card_that_does_not_fit_is_refused(tiny, tmp_path, change, message):
    onnx = pytest.importorskip("onnx")
    network = onnx.load(str(tiny[0]))
    network.metadata_props[0].value = replace(CARD, **change).to_json()
    onnx.save(network, str(tmp_path / "bad.onnx"))
    with pytest.raises(EmotionError, match=message):
        FaceClassifier(tmp_path / "bad.onnx")


def test_a_network_without_a_card_is_refused(tiny, tmp_path):
    onnx = pytest.importorskip("onnx")
    network = onnx.load(str(tiny[0]))
    del network.metadata_props[:]
    onnx.save(network, str(tmp_path / "bare.onnx"))
    with pytest.raises(EmotionError, match="no model card"):
        FaceClassifier(tmp_path / "bare.onnx")


def test_wrong_batches_are_refused(tiny):
    classifier = FaceClassifier(tiny[0])
    for shape in ((1, 1, 48, 48), (1, 16, 16), (0, 1, 16, 16), (1, 3, 16, 16)):
        with pytest.raises(EmotionError, match="takes faces of shape"):
            classifier(np.zeros(shape, np.float32))


def test_a_failed_export_leaves_nothing_behind(tmp_path, tiny, monkeypatch):
    from emotion_core.export import onnx_export as export

    monkeypatch.setattr(export, "TOLERANCE", -1.0)
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
    ["", "[]", "{", '{"name": "x"}', json.dumps({**json.loads(CARD.to_json()), "colour": "bgr"}),
     json.dumps({**json.loads(CARD.to_json()), "extra": 1})],
)  # fmt: skip
def test_bad_cards_are_one_clear_error(text):
    with pytest.raises(EmotionError, match="card"):
        ModelCard.from_json(text)


def test_model_names_and_unknown_ones(empty_store):
    assert "esr_compact" in model_names()
    (empty_store / "mine.onnx").write_bytes(b"")
    assert find_model("mine") == empty_store / "mine.onnx"
    with pytest.raises(EmotionError, match=r"unknown model 'nope'.*esr_compact, mine"):
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


@pytest.mark.parametrize("name", sorted(path.stem for path in BUNDLED.glob("*.onnx")))
def test_bundled_models_load_are_small_and_honest(name):
    path = BUNDLED / f"{name}.onnx"
    classifier = FaceClassifier.load(name)
    card = ModelCard.from_json(path.with_suffix(".json").read_text())
    assert card.name == name
    assert card.sha256 == sha256(path)
    assert path.stat().st_size <= 5e6
    assert card.architecture["branches"] >= 3
    assert card.licence
    assert card.training["data"]
    assert "not annotated" in card.affect
    result = card.results[0]
    assert (result["dataset"], result["split"], result["n"]) == ("FER+", "PublicTest", 3553)
    output = classifier(
        np.random.default_rng(0).random((2, card.channels, card.input_size, card.input_size), np.float32)
    )
    np.testing.assert_allclose(output.probabilities.sum(1), 1)
