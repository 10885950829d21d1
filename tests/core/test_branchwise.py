"""Training branch by branch on synthetic faces, killed, resumed and in two processes."""

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

from emotion_core.data.dataset import FaceDataset, FaceSet  # noqa: E402
from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.models.esr import ConvSpec, Esr, EsrConfig  # noqa: E402
from emotion_core.training.esr_branchwise import EsrBranchwiseTask  # noqa: E402
from emotion_core.training.esr_branchwise_config import BranchwiseConfig, EsrStage  # noqa: E402
from emotion_core.training.events import AlreadyFinished, Resumed, StepDone  # noqa: E402
from emotion_core.training.loop import CHECKPOINT, Loop  # noqa: E402

SIDE = 12
LABELS = ("rows", "columns", "wide rows")
TINY = EsrConfig(
    branches=3,
    input_size=SIDE,
    num_classes=3,
    base=(ConvSpec(8, 3, padding=1, pool=True),),
    branch=(ConvSpec(16, 3, padding=1),),
    attention=True,
)
CONFIG = BranchwiseConfig(
    model=TINY, first_epochs=3, later_epochs=2, tuning_epochs=3, batch_size=16, lr=0.05, step_epochs=2, per_class=20
)
PLACES = np.array([[0.5, 0.5], [-0.5, 0.5], [-0.5, -0.5]], np.float32)


class Affect(FaceDataset):
    """The faces of a set with a place in the plane in place of their class."""

    def __init__(self, faces: FaceSet) -> None:
        self.faces, self.labels = faces, faces.labels

    @property
    def targets(self):
        return PLACES[self.faces.classes]

    def face(self, index):
        return self.faces.face(index)


def stripes(count: int, seed: int) -> FaceSet:
    rng = np.random.default_rng(seed)
    classes = np.arange(count) % 3
    rows, columns = np.indices((SIDE, SIDE))
    patterns = [rows // 2 % 2, columns // 2 % 2, rows // 4 % 2]
    faces = np.stack([patterns[c] * 120 + 60 + rng.normal(0, 15, (SIDE, SIDE)) for c in classes])
    names = tuple(map(str, range(count)))
    return FaceSet(faces.clip(0, 255).astype(np.uint8), np.eye(3, dtype=np.float32)[classes], classes, names, LABELS)


@pytest.fixture(scope="module")
def data():
    train, valid = stripes(90, 0), stripes(30, 1)
    return train, valid, Affect(train), Affect(valid)


def loop_of(config: BranchwiseConfig, out: Path, *data, start: Esr | None = None) -> Loop:
    return Loop(EsrBranchwiseTask(config, *data, start=start), out)


def weights(trainer: Loop) -> dict[str, torch.Tensor]:
    return trainer.model.state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    trainer = loop_of(CONFIG, tmp_path_factory.mktemp("undisturbed"), *data)
    trainer.run()
    return trainer


def test_stages_grow_by_a_branch_and_end_with_the_tuning():
    assert CONFIG.stages() == [
        EsrStage("categorical", 3, 1), EsrStage("categorical", 2, 2), EsrStage("categorical", 2, 3),
        EsrStage("dimensional", 3, 3),
    ]  # fmt: skip
    assert replace(CONFIG, dimensional=False).stages()[-1] == EsrStage("categorical", 2, 3)


def test_everything_is_written_down(undisturbed):
    assert len(undisturbed.model.branches()) == 3
    rows = list(csv.DictReader((undisturbed.out / "history.csv").open()))
    assert [(r["stage"], int(r["branches"]), int(r["epoch"])) for r in rows] == [
        (s.kind, s.branches, e) for s in CONFIG.stages() for e in range(1, s.epochs + 1)
    ]
    # The rate starts anew with every branch, and the tuning has its own.
    assert [float(r["lr"]) for r in rows] == [0.05, 0.05, 0.025, 0.05, 0.05, 0.05, 0.05, 0.01, 0.01, 0.005]
    assert [len(r["branch_accuracy"].split()) for r in rows] == [1, 1, 1, 2, 2, 3, 3, 0, 0, 0]
    assert (undisturbed.out / "history.png").read_bytes().startswith(b"\x89PNG")
    assert len(list((undisturbed.out / "tensorboard").glob("events.*"))) == 1


def test_it_learns(data, tmp_path):
    config = replace(CONFIG, first_epochs=25, later_epochs=4, tuning_epochs=15, lr=0.1, step_epochs=20)
    history = loop_of(replace(config, model=replace(TINY, branches=2)), tmp_path, *data).run()
    classes = [row for row in history if row["stage"] == "categorical"]
    assert max(row["valid_accuracy"] for row in classes) > 90
    tuning = [row for row in history if row["stage"] == "dimensional"]
    assert tuning[-1]["train_loss"] < 0.8 * tuning[0]["train_loss"]


def test_the_best_ensemble_is_kept(data, undisturbed):
    from emotion_core.evaluation.evaluate import evaluate_affect, evaluate_categories, run_network
    from emotion_core.export.torch_network import TorchNetwork
    from emotion_core.models.registry import inputs_of

    network, face = TorchNetwork(undisturbed.model), inputs_of(undisturbed.model)[0]
    result = evaluate_categories(run_network(network, data[1], face), data[1], LABELS, "vote")
    last = [row for row in undisturbed.history if row["branches"] == 3 and row["stage"] == "categorical"]
    assert result.ensemble.accuracy == pytest.approx(max(row["valid_accuracy"] for row in last))
    affect = evaluate_affect(run_network(network, data[3], face), data[3])
    tuned = [row["rmse_valence"] + row["rmse_arousal"] for row in undisturbed.history if row["stage"] == "dimensional"]
    assert affect.valence.rmse + affect.arousal.rmse == pytest.approx(min(tuned), rel=1e-5)


class Killed(Exception):
    pass


@pytest.mark.parametrize("share", [0.15, 0.32, 0.5, 0.85])
def test_killed_and_resumed_equals_undisturbed(data, tmp_path, undisturbed, share):
    def kill(event) -> None:
        if isinstance(event, StepDone) and event.share > share:
            raise Killed

    with pytest.raises(Killed):
        loop_of(CONFIG, tmp_path, *data).run(kill)
    resumed = loop_of(CONFIG, tmp_path, *data)
    events = []
    resumed.run(events.append)
    assert isinstance(events[0], Resumed) and events[0].epochs == int(10 * share)
    assert same(weights(resumed), weights(undisturbed))
    assert [r["train_loss"] for r in resumed.history] == [r["train_loss"] for r in undisturbed.history]
    again = loop_of(CONFIG, tmp_path, *data)  # nothing is left to do
    events = []
    again.run(events.append)
    assert events == [AlreadyFinished(tmp_path, 10)] and "nothing was trained" in str(events[0])
    assert same(weights(again), weights(undisturbed)) and len(again.history) == len(undisturbed.history)


def test_older_parts_learn_slowly_or_not_at_all(data, tmp_path):
    config = replace(CONFIG, model=replace(TINY, branches=2), dimensional=False, first_epochs=1, later_epochs=1)
    states = {}
    for name, older_lr in (("slow", 0.1), ("frozen", 0.0)):
        first = loop_of(replace(config, model=replace(TINY, branches=1)), tmp_path / f"{name}1", *data[:2])
        first.run()
        both = loop_of(replace(config, older_lr=older_lr), tmp_path / name, *data[:2])
        both.run()
        states[name] = first.model.state_dict(), both.model.state_dict()
    before, after = states["frozen"]
    older = [key for key in before if key.startswith(("base.", "convolutional_branches.0."))]
    assert older and all(torch.equal(before[key], after[key]) for key in older)  # batch statistics included
    before, after = states["slow"]
    assert not torch.equal(before["base.conv1.weight"], after["base.conv1.weight"])


def test_tuning_changes_the_heads_alone(data, tmp_path):
    torch.manual_seed(0)
    model = Esr(TINY)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    loop = loop_of(replace(CONFIG, categorical=False), tmp_path, None, None, *data[2:], start=model)
    loop.run()
    assert same(model.state_dict(), before)  # the start is nobody's to change
    changed = {name for name, tensor in loop.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == {f"convolutional_branches.{i}.fc_dimensional.{p}" for i in range(3) for p in ("weight", "bias")}


def test_every_branch_sees_a_fresh_balanced_subset(data, tmp_path):
    trainer = loop_of(replace(CONFIG, per_class=10), tmp_path, *data)
    subsets = [trainer.task.subset(i) for i in range(4)]
    for subset in subsets[:3]:
        assert np.bincount(subset.targets).tolist() == [10, 10, 10]
    drawn = [tuple(sorted(subset.indices)) for subset in subsets]
    assert len(set(drawn)) == len(drawn)


def test_bfloat16_learns_too(data, tmp_path):
    config = replace(CONFIG, amp="bfloat16", model=replace(TINY, branches=2), first_epochs=8, dimensional=False)
    history = loop_of(config, tmp_path, *data[:2]).run()
    assert history[7]["train_loss"] < 0.9 * history[0]["train_loss"]


def test_a_missing_class_and_missing_data_are_named(data, tmp_path):
    train = data[0]
    two = FaceSet(*(a[train.classes < 2] for a in (train.faces, train.distributions, train.classes)), (), LABELS)
    with pytest.raises(EmotionError, match="no face of wide rows"):
        loop_of(CONFIG, tmp_path, two, *data[1:])
    with pytest.raises(EmotionError, match="dimensional training needs faces"):
        loop_of(CONFIG, tmp_path, *data[:2])
    with pytest.raises(EmotionError, match="8 classes, the data 3"):
        loop_of(replace(CONFIG, model=replace(TINY, num_classes=8)), tmp_path, *data)
    with pytest.raises(EmotionError, match="load one first"):
        loop_of(replace(CONFIG, categorical=False), tmp_path, *data)


def test_a_foreign_or_damaged_checkpoint_is_refused(data, tmp_path):
    config = replace(CONFIG, model=replace(TINY, branches=1), first_epochs=1, dimensional=False)
    loop_of(config, tmp_path, *data[:2]).run()
    with pytest.raises(EmotionError, match=r"another training: settings differ: lr 0\.05 -> 0\.2\."):
        loop_of(replace(config, lr=0.2), tmp_path, *data[:2])
    path = tmp_path / CHECKPOINT
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(EmotionError, match="not a readable checkpoint"):
        loop_of(config, tmp_path, *data[:2])


def test_a_full_disk_is_one_clear_error_and_the_old_checkpoint_stays(data, tmp_path, monkeypatch):
    import errno

    config = replace(CONFIG, model=replace(TINY, branches=1), first_epochs=2, dimensional=False)
    real, calls = torch.save, []

    def full(state: object, path: object) -> None:
        calls.append(path)
        if len(calls) == 2:
            Path(str(path)).write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(state, path)

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(EmotionError, match=r"checkpoint.pt could not be written \(No space left"):
        loop_of(config, tmp_path, *data[:2]).run()
    assert torch.load(tmp_path / CHECKPOINT, weights_only=True)["epoch"] == 1
    assert not list(tmp_path.glob(".checkpoint*"))
    monkeypatch.undo()
    assert len(loop_of(config, tmp_path, *data[:2]).run()) == 2


@pytest.mark.parametrize(
    "change",
    [
        {"lr": 0}, {"batch_size": 0}, {"momentum": 1.0}, {"first_epochs": 0}, {"step_factor": 0}, {"older_lr": -1},
        {"categorical": False, "dimensional": False},
    ],
)  # fmt: skip
def test_bad_settings_are_refused(change):
    with pytest.raises(EmotionError, match=next(iter(change))):
        replace(CONFIG, **change)


WORKER = """
import sys
from cases import CONFIG, TINY, loop_of, stripes
from dataclasses import replace
import torch, torch.distributed
torch.set_num_threads(1)
config = replace(CONFIG, model=replace(TINY, branches=2), first_epochs=1, later_epochs=1, dimensional=False)
loop = loop_of(config, sys.argv[1], stripes(90, 0), stripes(30, 1))
history = loop.run()
parameters = torch.cat([p.detach().flatten() for p in loop.model.parameters()])
everyone = [torch.empty_like(parameters) for _ in range(2)]
torch.distributed.all_gather(everyone, parameters)
assert torch.equal(*everyone), "the processes have different weights"
if loop.processes.first:
    print("epochs", len(history), float(parameters.abs().sum()))
torch.distributed.barrier()  # nobody leaves while another still talks
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_train_one_network(two_processes, tmp_path):
    first, second = two_processes(WORKER, __file__)
    assert first.startswith("epochs 2") and second == ""
    state = torch.load(tmp_path / "run" / CHECKPOINT, weights_only=True)
    fingerprint = json.loads(state["fingerprint"])
    assert state["stage"] == 2 and fingerprint["settings"]["first_epochs"] == 1 and fingerprint["processes"] == 2
