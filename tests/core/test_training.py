"""Training on synthetic faces: it learns, repeats itself, and survives being killed."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("safetensors")

from emotion_core.data.dataset import FaceSet  # noqa: E402
from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.export.weights import load_network  # noqa: E402
from emotion_core.labels import AFFECT_COORDINATES, AFFECTNET  # noqa: E402
from emotion_core.models.esr import ConvSpec, EsrConfig  # noqa: E402
from emotion_core.training.affect import predict  # noqa: E402
from emotion_core.training.augment import AugmentConfig, augment  # noqa: E402
from emotion_core.training.cpu import pixels_apart  # noqa: E402
from emotion_core.training.esr_joint import EsrJointTask, write_result  # noqa: E402
from emotion_core.training.esr_joint_config import EsrTrainingConfig  # noqa: E402
from emotion_core.training.events import StepDone  # noqa: E402
from emotion_core.training.loop import CHECKPOINT, Loop  # noqa: E402

SIDE = 16
TINY = EsrConfig(
    branches=3,
    in_channels=1,
    input_size=SIDE,
    base=(ConvSpec(8, 3, padding=1, pool=True), ConvSpec(8, 3, padding=1, skip=True)),
    branch=(ConvSpec(8, 3, padding=1),),
    dropout=0.1,
    standardize=True,
    affect_input="probabilities",
)
CONFIG = EsrTrainingConfig(
    model=TINY,
    epochs=4,
    batch_size=16,
    lr=0.05,
    ema_decay=0.9,
    calm_epochs=1,
    resolutions=((0, 12), (2, SIDE)),
    prune=0.3,
    unpruned_epochs=1,
)


def stripes(count: int, seed: int) -> FaceSet:
    """Pictures whose class is the direction and the width of their stripes."""
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 4, count)
    rows, columns = np.indices((SIDE, SIDE))
    patterns = [rows // 2 % 2, columns // 2 % 2, rows // 4 % 2, columns // 4 % 2]
    faces = np.stack([patterns[c] * 120 + 60 + rng.normal(0, 15, (SIDE, SIDE)) for c in classes])
    distributions = np.full((count, 8), 0.0, np.float32)
    distributions[np.arange(count), classes] = 0.8
    distributions[:, 7] += 0.2
    return FaceSet(faces.clip(0, 255).astype(np.uint8), distributions, classes, tuple(map(str, range(count))))


@pytest.fixture(scope="module")
def data():
    return stripes(160, 0), stripes(64, 1)


def loop_of(config: EsrTrainingConfig, train: FaceSet, valid: FaceSet, out, init=None, teachers=()) -> Loop:
    return Loop(EsrJointTask(config, train, valid, init, teachers), out)


def weights(loop: Loop) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in loop.model.state_dict().items()}


def test_it_learns_and_writes_everything_down(data, tmp_path):
    trainer = loop_of(replace(CONFIG, epochs=12), *data, tmp_path)
    history = trainer.run()
    assert history[-1]["valid_accuracy"] > 90
    assert history[-1]["train_loss"] < 0.7 * history[0]["train_loss"]
    rows = list(csv.DictReader((tmp_path / "history.csv").open()))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 13))
    assert float(rows[-1]["valid_accuracy"]) == history[-1]["valid_accuracy"]
    assert list((tmp_path / "tensorboard").glob("events.*"))

    path = write_result(trainer, "tiny", "emotion train esr")
    model, card = load_network(path)
    assert card.results[0]["accuracy"] == round(history[-1]["valid_accuracy"], 2)
    assert card.training["seed"] == 0
    torch.testing.assert_close(predict(model, data[1].faces), predict(trainer.model, data[1].faces))


def test_float16_weights_take_half_the_space_and_say_the_same(data, tmp_path):
    trainer = loop_of(replace(CONFIG, epochs=1), *data, tmp_path)
    trainer.run()
    exact = write_result(trainer, "tiny", "").read_bytes()
    path = write_result(trainer, "tiny", "", half=True)
    assert path.stat().st_size < 0.75 * len(exact)
    model, _ = load_network(path)
    assert all(p.dtype == torch.float32 for p in model.parameters())
    torch.testing.assert_close(
        predict(model, data[1].faces), predict(trainer.model, data[1].faces), atol=0.01, rtol=0.01
    )


def test_killed_and_resumed_equals_undisturbed(data, tmp_path):
    undisturbed = loop_of(CONFIG, *data, tmp_path / "a")
    undisturbed.run()

    class Killed(Exception):
        pass

    def kill(event) -> None:
        if isinstance(event, StepDone) and event.share * CONFIG.epochs > 2.4:
            raise Killed

    with pytest.raises(Killed):
        loop_of(CONFIG, *data, tmp_path / "b").run(kill)
    resumed = loop_of(CONFIG, *data, tmp_path / "b")
    assert len(resumed.history) == 2
    resumed.run()
    for name, tensor in weights(undisturbed).items():
        assert torch.equal(tensor, weights(resumed)[name]), name
    assert [r["train_loss"] for r in undisturbed.history] == [r["train_loss"] for r in resumed.history]


def test_training_can_start_from_a_trained_network(data, tmp_path):
    first = loop_of(replace(CONFIG, epochs=6), *data, tmp_path / "a")
    first.run()
    path = write_result(first, "first", "emotion train esr")
    second = loop_of(replace(CONFIG, epochs=1, lr=0.001, model=replace(TINY, dropout=0.0)), *data, tmp_path / "b", path)
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, second.task.model.state_dict()[name]), name
    second.run()
    assert second.history[-1]["train_loss"] < first.history[2]["train_loss"]
    card = json.loads(write_result(second, "second", "").with_suffix(".json").read_text())
    assert card["training"]["init"]["epochs"] == 6
    with pytest.raises(EmotionError, match="another architecture"):
        loop_of(replace(CONFIG, model=replace(TINY, branches=2)), *data, tmp_path / "c", path)


def test_faces_grow_with_the_epochs(data, tmp_path):
    assert [CONFIG.side(epoch) for epoch in range(4)] == [12, 12, SIDE, SIDE]
    assert replace(CONFIG, resolutions=()).side(0) == SIDE
    trainer = loop_of(CONFIG, *data, tmp_path)
    seen = []
    trainer.task.model.base.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-1]))
    trainer.run()
    assert seen[0] == 12 and seen[-1] == SIDE and set(seen) == {12, SIDE}


def test_easy_faces_are_left_out_and_the_others_of_them_count_more(data, tmp_path):
    trainer = loop_of(replace(CONFIG, epochs=10, unpruned_epochs=2), *data, tmp_path)
    generator = torch.Generator().manual_seed(0)
    order, weights = trainer.task.choose(0, generator)  # nothing is known yet
    assert sorted(order.tolist()) == list(range(160)) and set(weights.tolist()) == {1.0}

    trainer.task.last_loss = torch.arange(160.0)  # the first half lies below the mean
    order, weights = trainer.task.choose(1, generator)
    assert set(range(80, 160)) <= set(order.tolist())
    assert 80 + 80 * 0.7 - 20 < len(order) < 80 + 80 * 0.7 + 20
    assert torch.allclose(weights, torch.where(torch.arange(160) < 80, 1 / 0.7, 1.0))

    order, weights = trainer.task.choose(8, generator)  # the last two epochs see everything
    assert len(order) == 160 and set(weights.tolist()) == {1.0}


def test_the_loss_of_a_face_is_what_remains_above_its_targets_entropy(data, tmp_path):
    trainer = loop_of(replace(CONFIG, epochs=12, unpruned_epochs=12), *data, tmp_path)
    trainer.run()
    assert torch.isfinite(trainer.task.last_loss).all()
    assert (trainer.task.last_loss > -1e-4).all()
    assert trainer.task.last_loss.mean() < 3 * 0.4


def test_a_teacher_is_mixed_into_the_targets(data, tmp_path):
    first = loop_of(replace(CONFIG, epochs=6), *data, tmp_path / "a")
    first.run()
    path = write_result(first, "first", "")
    config = replace(CONFIG, epochs=1, teacher_weight=0.25)
    second = loop_of(config, *data, tmp_path / "b", teachers=[path])
    views = (predict(first.model, faces).softmax(-1).mean(1) for faces in (data[0].faces, data[0].faces[..., ::-1]))
    expected = 0.75 * torch.from_numpy(data[0].distributions) + 0.25 * sum(views) / 2
    torch.testing.assert_close(second.task.targets, expected, atol=1e-5, rtol=0)
    second.run()
    path.unlink()
    resumed = loop_of(config, *data, tmp_path / "b", teachers=[path])  # asks nobody again
    assert torch.equal(resumed.task.targets, second.task.targets)
    card = json.loads(write_result(resumed, "second", "").with_suffix(".json").read_text())
    assert card["training"]["teachers"][0]["epochs"] == 6


def test_teachers_count_alike(data, tmp_path):
    paths, views = [], []
    for seed in (1, 2):
        teacher = loop_of(replace(CONFIG, epochs=2, seed=seed), *data, tmp_path / str(seed))
        teacher.run()
        paths.append(write_result(teacher, "teacher", ""))
        views += [predict(teacher.model, f).softmax(-1).mean(1) for f in (data[0].faces, data[0].faces[..., ::-1])]
    student = loop_of(replace(CONFIG, teacher_weight=1.0), *data, tmp_path / "student", teachers=paths)
    torch.testing.assert_close(student.task.targets, torch.stack(views).mean(0), atol=1e-5, rtol=0)


def test_grey_faces_take_the_layout_of_the_network():
    faces = torch.rand(3, 1, 6, 5)
    apart = pixels_apart(faces)
    assert torch.equal(apart, faces) and apart.data_ptr() == faces.data_ptr()
    weight = torch.rand(4, 1, 3, 3).contiguous(memory_format=torch.channels_last)
    assert torch.conv2d(apart, weight).is_contiguous(memory_format=torch.channels_last)


def test_the_seed_decides(data, tmp_path):
    runs = []
    for i, seed in enumerate((0, 0, 1)):
        trainer = loop_of(replace(CONFIG, epochs=1, seed=seed), *data, tmp_path / str(i))
        trainer.run()
        runs.append(trainer.model.base.conv1.weight)
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


def test_affect_is_the_expected_position_of_the_votes(data, tmp_path):
    trainer = loop_of(replace(CONFIG, epochs=12), *data, tmp_path)
    trainer.run()
    with torch.no_grad():
        affect = trainer.model(torch.from_numpy(data[1].faces)[:, None].float() / 255).affect.mean(1).numpy()
    # The other votes are for contempt, which has no coordinates and therefore does not count.
    expected = np.array([AFFECT_COORDINATES[AFFECTNET[c]] for c in data[1].classes])
    assert np.abs(affect - expected).mean() < 0.15
    assert np.corrcoef(affect[:, 0], expected[:, 0])[0, 1] > 0.9


def test_labels_that_have_no_place_in_the_plane_teach_no_affect(data, tmp_path):
    unknown = tuple(f"class {i}" for i in range(8))
    train, valid = (replace(part, labels=unknown) for part in data)
    trainer = loop_of(replace(CONFIG, epochs=1), train, valid, tmp_path)
    trainer.run()
    assert all(torch.isfinite(tensor).all() for tensor in trainer.model.state_dict().values())
    assert load_network(write_result(trainer, "tiny", ""))[1].affect == ""


def test_a_foreign_or_damaged_checkpoint_is_refused(data, tmp_path):
    loop_of(replace(CONFIG, epochs=1), *data, tmp_path).run()
    with pytest.raises(EmotionError, match=r"another training: settings differ: epochs 1 -> 4\."):
        loop_of(CONFIG, *data, tmp_path)
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(EmotionError, match="not a readable checkpoint"):
        loop_of(replace(CONFIG, epochs=1), *data, tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0}, {"lr": 0.0}, {"batch_size": 1}, {"ema_decay": 1.0}, {"warmup": 1.0}, {"prune": 1.0},
        {"unpruned_epochs": -1}, {"teacher_weight": 1.5}, {"resolutions": ((0, 4),)},
    ],
)  # fmt: skip
def test_bad_settings_are_refused(change):
    with pytest.raises(EmotionError, match=next(iter(change))):
        replace(CONFIG, **change)


def test_settings_survive_yaml_and_wrong_ones_are_refused():
    import yaml

    text = yaml.safe_dump(json.loads(json.dumps(CONFIG.to_dict())))
    assert EsrTrainingConfig.from_dict(yaml.safe_load(text)) == CONFIG
    assert EsrTrainingConfig.from_dict({"model": "esr4_ckplus"}).model.branches == 4
    for wrong, message in (
        ({"epoch": 3}, "'epoch' is no setting of a joint training: did you mean 'epochs'"),
        ({"model": "esr_huge"}, "unknown model 'esr_huge': use one of esr9"),
        ({"model": {"branches": 0}}, "branches must be at least 1"),
        ({"augment": {"flop": 1}}, "flop"),
        ({"resolutions": [3]}, "resolutions must be pairs"),
        ({"epochs": "many"}, "epochs must be a whole number, got 'many'"),
        ({"lr": True}, "lr must be a number, got True"),
        ({"model": 3}, "model must be one of esr9"),
        ({"augment": 3}, "expected lines such as"),
        ({"amp": "half"}, "unknown amp 'half': use one of none, bfloat16, float16"),
    ):
        with pytest.raises(EmotionError, match=message):
            EsrTrainingConfig.from_dict(wrong)


def test_data_that_does_not_fit_the_network_is_refused(data, tmp_path):
    with pytest.raises(EmotionError, match="1x20x20"):
        loop_of(replace(CONFIG, model=replace(TINY, input_size=20)), *data, tmp_path)
    with pytest.raises(EmotionError, match="larger than the training set"):
        loop_of(replace(CONFIG, batch_size=500), *data, tmp_path)


def test_a_card_of_another_network_is_refused(data, tmp_path):
    trainer = loop_of(replace(CONFIG, epochs=1), *data, tmp_path)
    trainer.run()
    path = write_result(trainer, "tiny", "")
    written = path.read_bytes()
    path.write_bytes(written.replace(b'branches\\": 3', b'branches\\": 5'))
    assert path.read_bytes() != written
    with pytest.raises(EmotionError, match="is damaged"):
        load_network(path)


def test_augmentation_stays_in_range_repeats_and_can_be_off():
    faces = torch.rand(8, 1, 48, 48)
    first, second = (augment(faces, AugmentConfig(), torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == faces.shape
    assert 0 <= first.min() <= first.max() <= 1
    assert not torch.allclose(first, faces, atol=0.05)
    off = AugmentConfig(flip=0, rotation_deg=0, scale=1, translate=0, gamma=1, contrast=0, erase=0)
    torch.testing.assert_close(augment(faces, off, torch.Generator()), faces.clamp(1e-4, 1), atol=1e-4, rtol=0)


def test_calmed_augmentation_changes_less():
    faces = torch.rand(16, 1, 48, 48)
    full, calm = (
        augment(faces, c, torch.Generator().manual_seed(1)) for c in (AugmentConfig(), AugmentConfig().calmed())
    )
    original_or_mirror = torch.minimum(
        (calm - faces).abs().mean((1, 2, 3)), (calm - faces.flip(-1)).abs().mean((1, 2, 3))
    )
    erased = torch.minimum((full - faces).abs().mean((1, 2, 3)), (full - faces.flip(-1)).abs().mean((1, 2, 3)))
    assert original_or_mirror.mean() < erased.mean()
    assert AugmentConfig().calmed().erase == 0


def test_mirror_images():
    faces = torch.rand(4, 1, 48, 48)
    only_flip = AugmentConfig(flip=1, rotation_deg=0, scale=1, translate=0, gamma=1, contrast=0, erase=0)
    flipped = augment(faces, only_flip, torch.Generator())
    torch.testing.assert_close(flipped, faces.flip(-1).clamp(1e-4, 1), atol=1e-4, rtol=0)
