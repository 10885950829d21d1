"""What every task gets from the loop alone: going on, averages, best weights, mixed precision, clipping, processes."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("safetensors")

from emotion_core.data.dataset import FaceDataset, FaceSet  # noqa: E402
from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.models.esr import ConvSpec, EsrConfig  # noqa: E402
from emotion_core.training.augment import AugmentConfig  # noqa: E402
from emotion_core.training.average import Average  # noqa: E402
from emotion_core.training.classifier import ClassifierTask  # noqa: E402
from emotion_core.training.classifier_config import ClassifierConfig  # noqa: E402
from emotion_core.training.esr_branchwise import EsrBranchwiseTask  # noqa: E402
from emotion_core.training.esr_branchwise_config import BranchwiseConfig  # noqa: E402
from emotion_core.training.esr_joint import EsrJointTask  # noqa: E402
from emotion_core.training.esr_joint_config import EsrTrainingConfig  # noqa: E402
from emotion_core.training.events import EpochDone, StepDone  # noqa: E402
from emotion_core.training.loop import CHECKPOINT, Loop  # noqa: E402
from emotion_core.training.task import Task  # noqa: E402

SIDE = 12
LABELS = ("rows", "columns", "wide rows")
NETWORK = EsrConfig(
    branches=2, in_channels=1, input_size=SIDE, num_classes=3, base=(ConvSpec(8, 3, padding=1, pool=True),),
    branch=(ConvSpec(8, 3, padding=1),), dropout=0.1,
)  # fmt: skip
MILD = AugmentConfig(rotation_deg=5, scale=1.05, erase=0.1)
SETTINGS = {
    "joint": EsrTrainingConfig(model=NETWORK, epochs=4, batch_size=16, lr=0.05, augment=MILD, resolutions=(),
                               calm_epochs=1, unpruned_epochs=1),
    "branchwise": BranchwiseConfig(model=NETWORK, first_epochs=2, later_epochs=2, batch_size=16, lr=0.05,
                                   dimensional=False),
    "classifier": ClassifierConfig(model={"type": "esr", **NETWORK.to_dict()}, epochs=4, batch_size=16, augment=MILD),
}  # fmt: skip
TASKS = {"joint": EsrJointTask, "branchwise": EsrBranchwiseTask, "classifier": ClassifierTask}
EVERY_TASK = pytest.mark.parametrize("name", TASKS)


def stripes(count: int, seed: int, labels: tuple[str, ...] = LABELS) -> FaceSet:
    rng = np.random.default_rng(seed)
    kinds = rng.permutation(np.arange(count) % 3)
    rows, columns = np.indices((SIDE, SIDE))
    patterns = [rows // 2 % 2, columns // 2 % 2, rows // 4 % 2]
    faces = np.stack([patterns[k] * 120 + 60 + rng.normal(0, 15, (SIDE, SIDE)) for k in kinds])
    classes = np.array([labels.index(LABELS[k]) for k in kinds])
    distributions = np.eye(3, dtype=np.float32)[classes]
    return FaceSet(faces.clip(0, 255).astype(np.uint8), distributions, classes, tuple(map(str, range(count))), labels)


def loop_of(name: str, out: Path, train: FaceSet | None = None, valid: FaceSet | None = None, **settings) -> Loop:
    data = train or stripes(96, 0), valid or stripes(30, 1)
    return Loop(TASKS[name](replace(SETTINGS[name], **settings), *data), out)


def weights(loop: Loop) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in loop.model.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


class Killed(Exception):
    pass


@EVERY_TASK
@pytest.mark.parametrize("share", [0.4, 0.8])
def test_killed_and_resumed_with_everything_on_equals_undisturbed(name, share, tmp_path):
    settings = {"amp": "bfloat16", "ema_decay": 0.9, "clip_norm": 0.5, "keep_best": True, "validation_interval": 2}
    undisturbed = loop_of(name, tmp_path / "a", **settings)
    undisturbed.run()

    def kill(event) -> None:
        if isinstance(event, StepDone) and event.share > share:
            raise Killed

    with pytest.raises(Killed):
        loop_of(name, tmp_path / "b", **settings).run(kill)
    resumed = loop_of(name, tmp_path / "b", **settings)
    assert len(resumed.history) == int(4 * share) and not resumed.finished
    resumed.run()
    assert same(weights(resumed), weights(undisturbed))
    timeless = [[{k: v for k, v in row.items() if k != "seconds"} for row in loop.history]
                for loop in (resumed, undisturbed)]  # fmt: skip
    np.testing.assert_equal(*timeless)
    assert resumed.finished and loop_of(name, tmp_path / "b", **settings).finished


@EVERY_TASK
def test_history_has_the_columns_of_the_method(name, tmp_path):
    events = []
    loop = loop_of(name, tmp_path)
    loop.run(events.append)
    rows = list(csv.DictReader((tmp_path / "history.csv").open()))
    columns = {
        "joint": "epoch lr train_loss valid_accuracy branch_accuracy seconds",
        "branchwise": "stage branches epoch lr train_loss valid_accuracy branch_accuracy rmse_valence rmse_arousal "
        "seconds",
        "classifier": "epoch lr train_loss valid_loss valid_accuracy macro_f1 seconds",
    }[name]
    assert list(rows[0]) == columns.split() and len(rows) == 4
    assert [event.row for event in events if isinstance(event, EpochDone)] == loop.history
    shares = [event.share for event in events if isinstance(event, StepDone)]
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1)
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")


@EVERY_TASK
def test_the_best_weights_are_restored_when_that_is_asked_for(name, tmp_path):
    class Falling(TASKS[name]):
        """Each validation is worse than the one before."""

        seen = ()

        def measure(self, index, model):
            measured = super().measure(index, model)
            self.seen = (*self.seen, {k: v.clone() for k, v in model.state_dict().items()})
            return replace(measured, score=-float(len(self.seen)))

    task = Falling(replace(SETTINGS[name], keep_best=True), stripes(96, 0), stripes(30, 1))
    loop = Loop(task, tmp_path)
    loop.run()
    first_of_last_stage = task.seen[2 if name == "branchwise" else 0]
    fixed = {k: v for k, v in first_of_last_stage.items() if "fc_dimensional" not in k}  # the joint task tunes them
    assert all(torch.equal(loop.model.state_dict()[key], value) for key, value in fixed.items())


def test_patience_ends_a_stage_and_not_the_training(tmp_path):
    class Stuck(EsrBranchwiseTask):
        def measure(self, index, model):
            return replace(super().measure(index, model), score=0.0)

    config = replace(SETTINGS["branchwise"], first_epochs=9, later_epochs=5, patience=2)
    history = Loop(Stuck(config, stripes(96, 0), stripes(30, 1)), tmp_path).run()
    assert [row["branches"] for row in history] == [1, 1, 1, 2, 2, 2]


def test_the_average_follows_by_the_formula():
    model = torch.nn.BatchNorm1d(1)
    average = Average(model, 0.9)
    expected = 1.0
    for step, value in enumerate((2.0, 3.0, 5.0), 1):
        with torch.no_grad():
            model.weight.fill_(value)
        model.running_mean.fill_(-value)
        model.num_batches_tracked += 1
        average.follow(model)
        decay = min(0.9, step / (step + 9))
        expected = decay * expected + (1 - decay) * value
    assert float(average.model.weight.detach()) == pytest.approx(expected)
    assert int(average.model.num_batches_tracked) == 3 and average.steps == 3
    assert float(average.model.running_mean) != 0  # statistics are averaged as well


@EVERY_TASK
def test_gradients_are_clipped_to_the_norm(name, tmp_path):
    """One step of plain descent moves the weights by lr times the gradient, whose norm is bounded."""
    task = TASKS[name](
        replace(SETTINGS[name], clip_norm=1e-3, momentum=0.0, keep_best=False, ema_decay=0.0,
                **({} if name == "branchwise" else {"weight_decay": 0.0, "warmup": 0.0})),
        stripes(96, 0), stripes(30, 1),
    )  # fmt: skip
    loop = Loop(task, tmp_path)
    before = {key: value.detach().clone() for key, value in task.model.named_parameters()}

    def look(event) -> None:
        raise Killed

    with pytest.raises(Killed):
        loop.run(look)
    moved = torch.cat([(value.detach() - before[key]).flatten() for key, value in task.model.named_parameters()])
    lr = SETTINGS[name].lr
    # Weights are stored to seven digits, so the step is known to a few.
    assert 0.2 * lr * 1e-3 < float(moved.norm()) <= 1.05 * lr * 1e-3


@EVERY_TASK
def test_bfloat16_computes_differently_and_keeps_float32_weights(name, tmp_path):
    exact, mixed = (loop_of(name, tmp_path / amp, amp=amp) for amp in ("none", "bfloat16"))
    exact.run(), mixed.run()
    assert all(t.dtype == torch.float32 for t in mixed.model.state_dict().values() if t.is_floating_point())
    assert exact.history[0]["train_loss"] != mixed.history[0]["train_loss"]
    assert exact.history[0]["train_loss"] == pytest.approx(mixed.history[0]["train_loss"], rel=0.05)


def test_float16_needs_cuda_and_unknown_devices_are_named(tmp_path):
    with pytest.raises(EmotionError, match="amp 'float16' needs device 'cuda'"):
        loop_of("classifier", tmp_path, amp="float16")
    task = ClassifierTask(SETTINGS["classifier"], stripes(96, 0), stripes(30, 1))
    with pytest.raises(EmotionError, match="unknown device 'tpu': use one of cpu, cuda"):
        Loop(task, tmp_path, "tpu")
    if not torch.cuda.is_available():
        with pytest.raises(EmotionError, match="torch finds no CUDA device"):
            Loop(task, tmp_path, "cuda:3")


@EVERY_TASK
def test_float16_scales_the_loss_and_goes_on(name, tmp_path, monkeypatch):
    """Slow on a CPU and therefore refused there, but the steps are those of a GPU."""
    monkeypatch.setattr("emotion_core.training.loop.FLOAT16_DEVICES", ("cpu",))
    data, settings = (stripes(48, 0), stripes(15, 1)), {"amp": "float16", "clip_norm": 5.0}
    undisturbed = loop_of(name, tmp_path / "a", *data, **settings)
    undisturbed.run()
    exact = loop_of(name, tmp_path / "exact", *data).run()
    assert undisturbed.history[0]["train_loss"] == pytest.approx(exact[0]["train_loss"], rel=0.05)

    def kill(event) -> None:
        if isinstance(event, StepDone) and event.share > 0.3:
            raise Killed

    with pytest.raises(Killed):
        loop_of(name, tmp_path / "b", *data, **settings).run(kill)
    scaler = torch.load(tmp_path / "b" / CHECKPOINT, weights_only=True)["scaler"]
    assert scaler["scale"] == 65536.0 and scaler["_growth_tracker"] > 0
    resumed = loop_of(name, tmp_path / "b", *data, **settings)
    resumed.run()
    assert same(weights(resumed), weights(undisturbed))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@EVERY_TASK
@pytest.mark.parametrize("amp", ["none", "bfloat16", "float16"])
def test_a_gpu_learns_as_a_cpu_does(name, amp, tmp_path):
    task = TASKS[name](replace(SETTINGS[name], amp=amp), stripes(96, 0), stripes(30, 1))
    history = Loop(task, tmp_path / "gpu", "cuda").run()
    expected = loop_of(name, tmp_path / "cpu").run()
    assert history[0]["train_loss"] == pytest.approx(expected[0]["train_loss"], rel=0.05)


def test_a_loss_that_is_no_number_ends_with_advice(tmp_path):
    with pytest.raises(EmotionError, match=r"the training loss is (nan|inf) in epoch \d: use a smaller lr"):
        loop_of("classifier", tmp_path, lr=1e12, schedule="constant").run()


def changed(data: FaceSet, **what) -> FaceSet:
    return replace(data, **what)


def other_order(data: FaceSet) -> FaceSet:
    return FaceSet(data.faces[::-1], data.distributions[::-1], data.classes[::-1], (), data.labels)


def other_face(data: FaceSet) -> FaceSet:
    faces = data.faces.copy()
    faces[7, 3, 3] ^= 1
    return changed(data, faces=faces)


def other_targets(data: FaceSet) -> FaceSet:
    return changed(data, distributions=data.distributions[:, [1, 2, 0]], classes=np.array([1, 2, 0])[data.classes])


@EVERY_TASK
def test_another_training_in_the_folder_is_refused_with_the_difference(name, tmp_path):
    loop_of(name, tmp_path).run()
    train, valid = stripes(96, 0), stripes(30, 1)
    what = "samples" if name == "classifier" else "faces"
    for arguments, message in (
        ({"train": other_face(train)}, f"the training {what} are others"),
        ({"train": stripes(99, 0)}, f"the training {what} are others (96 -> 99)"),
        ({"train": other_order(train)}, f"the training {what} are in another order"),
        ({"train": other_targets(train)}, f"the training {what} have other targets"),
        ({"valid": other_face(valid)}, f"the validation {what} are others"),
        ({"lr": 0.2, "seed": 3}, f"settings differ: lr {SETTINGS[name].lr} -> 0.2, seed 0 -> 3"),
        ({"augment": replace(SETTINGS[name].augment, flip=0.1)}, "settings differ: augment.flip 0.5 -> 0.1"),
        ({"clip_norm": 1.0}, "settings differ: clip_norm 0.0 -> 1.0"),
    ):
        parts = {key: arguments.pop(key) for key in ("train", "valid") if key in arguments}
        settings = dict(sorted(arguments.items()))
        with pytest.raises(EmotionError) as refused:
            loop_of(name, tmp_path, **parts, **settings)
        assert f"belongs to another training: {message}. Use another folder" in str(refused.value)
    again = loop_of(name, tmp_path)
    assert again.finished


@pytest.mark.parametrize(("first", "second"), [(MILD, None), (None, MILD)])
def test_with_or_without_augmentation_are_two_trainings(first, second, tmp_path):
    loop_of("classifier", tmp_path, augment=first).run()
    with pytest.raises(EmotionError, match="belongs to another training: settings differ: augment"):
        loop_of("classifier", tmp_path, augment=second)


def test_another_method_in_the_folder_is_refused(tmp_path):
    loop_of("joint", tmp_path).run()
    with pytest.raises(EmotionError, match="it is a training of esr_joint, this one of classifier"):
        loop_of("classifier", tmp_path)


def test_labels_in_another_order_are_another_training_and_are_named(tmp_path):
    loop_of("classifier", tmp_path).run()
    mixed = ("columns", "wide rows", "rows")
    with pytest.raises(EmotionError, match="the labels of the training samples are others: rows, columns, wide"):
        loop_of("classifier", tmp_path, stripes(96, 0, mixed))


@EVERY_TASK
def test_validation_labels_in_another_order_count_the_same(name, tmp_path):
    mixed = ("columns", "wide rows", "rows")
    straight = loop_of(name, tmp_path / "a").run()
    turned = loop_of(name, tmp_path / "b", valid=stripes(30, 1, mixed)).run()
    assert [row["valid_accuracy"] for row in straight] == [row["valid_accuracy"] for row in turned]
    with pytest.raises(EmotionError, match="must have the same labels as the training"):
        loop_of(name, tmp_path / "c", valid=changed(stripes(30, 1), labels=("rows", "columns", "dots")))


def test_workers_decide_nothing(tmp_path):
    loop_of("classifier", tmp_path, workers=0).run()
    assert loop_of("classifier", tmp_path, workers=2).finished


def test_checkpoints_are_data_only(tmp_path):
    loop_of("branchwise", tmp_path).run()
    path = tmp_path / CHECKPOINT
    state = torch.load(path, weights_only=True)
    assert json.loads(state["fingerprint"])["starting weights"] == "random"

    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "evil"),))

    torch.save({**state, "task": Evil()}, path)
    with pytest.raises(EmotionError, match="not a readable checkpoint"):
        loop_of("branchwise", tmp_path)
    assert not (tmp_path / "evil").exists()
    torch.save({"fingerprint": "{}"}, path)
    with pytest.raises(EmotionError, match="it lacks average, best"):
        loop_of("branchwise", tmp_path)


def test_empty_data_is_named(tmp_path):
    nothing = FaceSet(
        np.empty((0, SIDE, SIDE), np.uint8), np.empty((0, 3), np.float32), np.empty(0, np.int64), (), LABELS
    )
    for name in ("joint", "branchwise", "classifier"):
        for data in ((nothing, stripes(30, 1)), (stripes(96, 0), nothing)):
            with pytest.raises(EmotionError, match="empty"):
                TASKS[name](SETTINGS[name], *data)


WORKER = """
import sys
from cases import TASKS, loop_of
import torch, torch.distributed
torch.set_num_threads(1)
for name in TASKS:
    loop = loop_of(name, f"{sys.argv[1]}/{name}", batch_size=8, ema_decay=0.9)
    history = loop.run()
    for network in (loop.task.model, loop.model):
        parameters = torch.cat([p.detach().flatten() for p in network.parameters()])
        everyone = [torch.empty_like(parameters) for _ in range(2)]
        torch.distributed.all_gather(everyone, parameters)
        assert torch.equal(*everyone), f"{name}: the processes have different weights"
    if hasattr(loop.task, "last_loss"):
        everyone = [torch.empty_like(loop.task.last_loss) for _ in range(2)]
        torch.distributed.all_gather(everyone, loop.task.last_loss)
        assert torch.equal(*everyone), "the processes would leave different faces out"
    if loop.processes.first:
        print(name, len(history), history[0]["train_loss"])
torch.distributed.barrier()  # nobody leaves while another still talks
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_train_one_network_of_every_task(two_processes, tmp_path):
    first, second = two_processes(WORKER, __file__)
    assert second == ""
    for line, name in zip(first.splitlines(), TASKS, strict=True):
        assert line.split()[:2] == [name, "4"]
        alone = loop_of(name, tmp_path / name, ema_decay=0.9).run()
        # Half a batch in each of two processes is nearly a batch in one: the statistics of the batches differ.
        assert float(line.split()[2]) == pytest.approx(alone[0]["train_loss"], rel=0.15)
    with pytest.raises(EmotionError, match="processes 2 -> 1"):
        loop_of("joint", tmp_path / "run" / "joint", batch_size=8, ema_decay=0.9)


def test_every_dataset_tells_its_faces_apart(tmp_path):
    """A file on a disk that changes is another face; one that moves is the same."""
    import cv2

    from emotion_core.data.folder import load_folder
    from emotion_core.training.fingerprint import differences, of_data

    for root in ("a", "b"):
        for label in LABELS:
            (tmp_path / root / label).mkdir(parents=True)
            cv2.imwrite(str(tmp_path / root / label / "face.png"), np.full((9, 9), len(label), np.uint8))
    before, moved = (of_data(load_folder(tmp_path / root)) for root in ("a", "b"))
    assert before == moved
    cv2.imwrite(str(tmp_path / "b" / "rows" / "face.png"), np.full((9, 9), 77, np.uint8))
    assert differences(before, of_data(load_folder(tmp_path / "b")), "faces") == ["the faces are others"]
    assert differences(before, of_data(load_folder(tmp_path / "a", side=5)), "faces") == ["the faces are others"]


def test_a_task_needs_little() -> None:
    """The seam is small: what a method must write itself."""
    assert Task.__abstractmethods__ == {
        "stages", "fingerprint", "batches", "optimizer", "schedule", "loss", "measure",
    }  # fmt: skip
    assert issubclass(FaceSet, FaceDataset)
