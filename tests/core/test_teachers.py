"""Teachers of any kind, and starts that know other classes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
pytest.importorskip("onnx")

from emotion_core.data.dataset import FaceSet  # noqa: E402
from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.export.onnx_export import export_onnx  # noqa: E402
from emotion_core.export.weights import save_network  # noqa: E402
from emotion_core.labels import AFFECTNET, FER2013  # noqa: E402
from emotion_core.models.esr import ConvSpec, EsrConfig  # noqa: E402
from emotion_core.models.registry import build, describe, inputs_of  # noqa: E402
from emotion_core.store.ensemble import EnsembleCard, new_member  # noqa: E402
from emotion_core.training.classifier import ClassifierTask  # noqa: E402
from emotion_core.training.classifier_config import ClassifierConfig  # noqa: E402
from emotion_core.training.teachers import Teachers  # noqa: E402
from emotion_core.vision.crop import fit_faces  # noqa: E402

CPU = torch.device("cpu")


def entry(side: int, channels: int = 1, classes: int = 7, **more) -> dict:
    layers = {"base": (ConvSpec(4, 3, padding=1, pool=True),), "branch": (ConvSpec(4, 3, padding=1),)}
    config = EsrConfig(branches=2, in_channels=channels, input_size=side, num_classes=classes, **{**layers, **more})
    return {"type": "esr", **config.to_dict()}


def network(side: int, seed: int, labels: tuple[str, ...], channels: int = 1, name: str = "teacher"):
    """A network whose answers differ from face to face, and its card."""
    model = build(entry(side, channels, len(labels)), "test", seed)
    with torch.no_grad():
        for branch in model.branches():
            branch.fc.weight *= 8
    return model, describe(entry(side, channels, len(labels)), name, labels, "CC0", training={"seed": seed})


def faces(count: int, seed: int = 0) -> FaceSet:
    rng = np.random.default_rng(seed)
    pixels = (rng.random((count, 16, 16)) ** rng.uniform(0.3, 3, (count, 1, 1)) * 255).astype(np.uint8)
    classes = np.arange(count) % len(FER2013)
    return FaceSet(pixels, np.eye(7, dtype=np.float32)[classes], classes, tuple(map(str, range(count))), FER2013)


@torch.no_grad()
def opinion(model, data: FaceSet, places: list[int]) -> np.ndarray:
    """Mean over a face and its mirror image, on the classes at some places."""
    inputs = torch.from_numpy(fit_faces(data.faces, inputs_of(model)[0]))
    said = 0
    for view in (inputs, inputs.flip(-1)):
        chosen = model(view).logits.double().softmax(-1)[..., places]
        said = said + (chosen / chosen.sum(-1, keepdim=True)).mean(1).numpy() / 2
    return said


def taught(models, data: FaceSet, student: dict) -> np.ndarray:
    inputs = inputs_of(build(student))
    targets = torch.from_numpy(data.distributions)
    return Teachers(models).teach(targets, 1.0, data, inputs, data.labels, CPU)[0].numpy()


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    """A large one in colour that knows contempt too, and a small grey one, each with weights and exported."""
    folder = tmp_path_factory.mktemp("teachers")
    made = []
    for name, side, channels, labels in (("large", 24, 3, AFFECTNET), ("small", 8, 1, FER2013)):
        model, card = network(side, 1 + len(made), labels, channels, name)
        save_network(model, card, folder / f"{name}.safetensors")
        export_onnx(model, card, folder / f"{name}.onnx")
        made.append(model)
    return folder, made


CONTEMPT_LEFT_OUT = [AFFECTNET.index(label) for label in FER2013]


def test_a_teacher_sees_faces_in_its_own_size_and_colours_and_its_other_labels_are_left_out(teachers):
    folder, (large, _) = teachers
    data = faces(9)
    expected = opinion(large, data, CONTEMPT_LEFT_OUT)
    assert np.ptp(expected, axis=0).max() > 0.02  # it does look at them
    for suffix in ("safetensors", "onnx"):
        said = taught([folder / f"large.{suffix}"], data, entry(16))
        np.testing.assert_allclose(said, expected, atol=2e-4)
        np.testing.assert_allclose(said.sum(1), 1, atol=1e-5)


def test_several_teachers_count_alike_and_an_ensemble_as_its_card_weighs_it(teachers, tmp_path):
    folder, (large, small) = teachers
    data = faces(5, 1)
    said = opinion(large, data, CONTEMPT_LEFT_OUT), opinion(small, data, list(range(7)))
    both = taught([folder / "large.onnx", folder / "small.safetensors"], data, entry(16))
    np.testing.assert_allclose(both, (said[0] + said[1]) / 2, atol=2e-4)
    other, card = network(12, 5, FER2013, 1, "other")
    export_onnx(other, card, tmp_path / "other.onnx")
    path = tmp_path / "both.json"
    members = (new_member(folder / "small.onnx", path, 3.0), new_member(tmp_path / "other.onnx", path))
    EnsembleCard("both", members).write(path)
    np.testing.assert_allclose(
        taught([path], data, entry(16)), 0.75 * said[1] + 0.25 * opinion(other, data, list(range(7))), atol=2e-4
    )


def test_a_changed_teacher_has_another_hash_and_one_that_is_gone_none(teachers, tmp_path):
    folder, _ = teachers
    paths = [folder / "large.safetensors", folder / "large.onnx", folder / "small.onnx"]
    hashes = Teachers(paths).hashes
    assert len(set(hashes)) == 3 and hashes == Teachers(paths).hashes
    assert Teachers([tmp_path / "gone.onnx", tmp_path / "gone.safetensors", "gone"]).hashes == [None] * 3
    found = []
    for weight in (1.0, 2.0):
        path = tmp_path / f"{weight}.json"
        members = (new_member(folder / "small.onnx", path), new_member(folder / "large.onnx", path, weight))
        EnsembleCard("both", members).write(path)
        found += Teachers([path]).hashes
    assert None not in found and found[0] != found[1]


def test_a_teacher_that_cannot_teach_is_one_line(teachers, tmp_path):
    folder, _ = teachers
    data = faces(3)
    contempt = replace(data, labels=(*FER2013[:-1], "contempt"))
    for models, given, message in (
        ([folder / "small.onnx"], contempt, "small.onnx must know all labels of the data: it lacks contempt and tells"),
        ([tmp_path / "gone.onnx"], data, "no model file .*gone.onnx"),
        ([tmp_path / "gone.safetensors"], data, "gone.safetensors"),
        (["av_ia"], data, "takes face_clip, sound, expected one that takes single faces"),
    ):
        with pytest.raises(EmotionError, match=message) as caught:
            taught(models, given, entry(16))
        assert "\n" not in str(caught.value)


def test_a_student_of_another_size_learns_what_its_teacher_says(teachers):
    folder, (large, _) = teachers
    data = faces(14)
    config = ClassifierConfig(model=entry(16), epochs=1, batch_size=4, teacher_weight=0.5)
    task = ClassifierTask(config, data, data, teachers=[folder / "large.onnx"])
    task.prepare(CPU)
    expected = 0.5 * data.distributions + 0.5 * opinion(large, data, CONTEMPT_LEFT_OUT)
    np.testing.assert_allclose(task.targets.numpy(), expected, atol=2e-4)
    assert task.taught == [{"name": "large", "seed": 1}]


def test_a_start_with_other_classes_gives_what_both_know_by_label(tmp_path):
    known, card = network(16, 3, AFFECTNET)
    path = tmp_path / "start.safetensors"
    save_network(known, card, path)
    data = faces(14)
    config = ClassifierConfig(model=entry(16), epochs=1, batch_size=4)
    task = ClassifierTask(config, data, data, init=path)
    assert task.labels == FER2013
    assert task.init == {"seed": 3, "taken over": "7 of 7 classes; left out: contempt"}
    np.testing.assert_allclose(
        opinion(task.model.eval(), data, list(range(7))), opinion(known, data, CONTEMPT_LEFT_OUT), atol=1e-6
    )
    affect = task.model.branches()[0].fc_dimensional.weight
    torch.testing.assert_close(affect, known.branches()[0].fc_dimensional.weight[:, CONTEMPT_LEFT_OUT])
    # The other way round the new class keeps its random weights, and its bias.
    seven, card = network(16, 4, FER2013)
    save_network(seven, card, path)
    wider = replace(data, distributions=np.eye(8, dtype=np.float32)[data.classes], labels=(*FER2013, "contempt"))
    task = ClassifierTask(config, wider, wider, init=path)
    rows = task.model.branches()[1].fc.weight
    torch.testing.assert_close(rows[:7], seven.branches()[1].fc.weight)
    torch.testing.assert_close(rows[7], build(entry(16, classes=8), "model", 0).branches()[1].fc.weight[7])
    assert task.init["taken over"] == "7 of 8 classes; new: contempt"


def test_a_start_of_another_kind_is_one_line(tmp_path):
    data = faces(14)
    path = tmp_path / "start.safetensors"
    config = ClassifierConfig(model=entry(16), epochs=1, batch_size=4)
    for entry_, labels, message in (
        (entry(16, classes=2), ("cat", "dog"), "it tells cat, dog, and none of them is among anger"),
        (entry(16, classes=8, width=2.0), AFFECTNET, "another architecture"),
        (entry(24, classes=8), AFFECTNET, "it takes face 1x24x24 grey .* here it would get face 1x16x16 grey"),
    ):
        save_network(build(entry_), describe(entry_, "other", labels, "CC0"), path)
        with pytest.raises(EmotionError, match=f"start.safetensors cannot be the start: .*{message}"):
            ClassifierTask(config, data, data, init=path)
