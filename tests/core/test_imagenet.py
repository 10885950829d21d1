"""A tiny ImageNet: its reader, and a network of the zoo's kind trained on it in one and in two processes."""

from __future__ import annotations

import ast
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
pytest.importorskip("safetensors")
pytest.importorskip("yaml")

from torch import nn  # noqa: E402

from emotion_core.cli.train import read_recipe  # noqa: E402
from emotion_core.data.imagenet import load_imagenet  # noqa: E402
from emotion_core.data.registry import open_dataset  # noqa: E402
from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.export.weights import load_network  # noqa: E402
from emotion_core.models.registry import Architecture, build, register  # noqa: E402
from emotion_core.store.card import FACE, LOGITS, Framing, Input, Output  # noqa: E402
from emotion_core.training.classifier import ClassifierTask, write_result  # noqa: E402
from emotion_core.training.classifier_config import ClassifierConfig  # noqa: E402
from emotion_core.training.loop import Loop  # noqa: E402

CLASSES = ("n01440764", "n01443537", "n01484850", "n01491361")
COLOURS = ((230, 40, 40), (40, 230, 40), (40, 40, 230), (220, 220, 220))
RECIPES = sorted((Path(__file__).resolve().parents[2] / "recipes" / "imagenet").glob("*.yaml"))
CONFIG = ClassifierConfig.from_dict(
    {
        "model": {"type": "residual_masking", "image_size": 32, "width": 2, "dropout": 0.0},
        "epochs": 1, "batch_size": 8, "lr": 0.05, "top_k": 2, "center_loss": 0.001,
        "augment": {"scale": 1.0, "translate": 0.0, "rotation_deg": 0.0, "gamma": 1.0, "contrast": 0.0, "erase": 0.0},
    }
)  # fmt: skip


@dataclass(frozen=True)
class MeanConfig:
    """A toy network that knows a picture by its mean colour."""

    num_classes: int = 2

    def to_dict(self):
        return asdict(self)

    @classmethod
    def from_dict(cls, data):
        return cls(**data)


class Mean(nn.Module):
    def __init__(self, config: MeanConfig) -> None:
        super().__init__()
        self.config = config
        self.decide = nn.Linear(3, config.num_classes)

    def forward(self, pictures):
        return self.decide(pictures.mean((2, 3)))


register(
    Architecture(
        "toy_mean", MeanConfig, Mean,
        lambda config: (Input("pictures", FACE, (3, 16, 16), "rgb", framing=Framing("box")),),
        lambda config: (Output("logits", LOGITS, (config.num_classes,)),),
    )
)  # fmt: skip


def write_pictures(root: Path, train: int = 12, valid: int = 4) -> Path:
    """Pictures of one colour each class, of different shapes, with noise."""
    rng = np.random.default_rng(0)
    for split, count in (("train", train), ("val", valid)):
        for name, colour in zip(CLASSES, COLOURS, strict=True):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(count):
                height, width = rng.integers(40, 90, 2)
                picture = np.clip(np.array(colour) + rng.normal(0, 30, (height, width, 3)), 0, 255).astype(np.uint8)
                encoded = cv2.imencode(".jpg", picture)[1]
                (folder / f"{name}_{i}.JPEG").write_bytes(encoded.tobytes())
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_pictures(tmp_path_factory.mktemp("imagenet"))


def test_classes_and_pictures(root):
    train, valid = (open_dataset("imagenet", root, split) for split in ("train", "valid"))
    assert train.labels == valid.labels == CLASSES
    assert (len(train), len(valid)) == (48, 16)
    assert train.names[0] == "n01440764/n01440764_0.JPEG" and train.targets.tolist() == [i // 12 for i in range(48)]
    face = train.face(0)
    assert (face.shape, face.dtype) == ((224, 224, 3), np.uint8)
    np.testing.assert_allclose(face.mean((0, 1)), COLOURS[0], atol=8)


def test_validation_sees_the_middle_and_an_epoch_some_part(tmp_path):
    folder = tmp_path / "train" / "n1"
    folder.mkdir(parents=True)
    rows, columns = np.indices((256, 512))
    picture = np.stack([rows * 255 // 255, columns * 255 // 511, np.zeros_like(rows)], 2).astype(np.uint8)
    cv2.imwrite(str(folder / "x.png"), picture)
    data = load_imagenet(tmp_path, "train")
    np.testing.assert_array_equal(data.face(0), picture[16:240, 144:368])
    assert np.array_equal(data.view(0, 5), data.view(0, 5)) and not np.array_equal(data.view(0, 5), data.view(0, 6))
    shares, ratios = [], []
    for seed in range(60):
        part = data.view(0, seed).astype(float)
        height = (part[..., 0].max() - part[..., 0].min()) / 255 * 256
        width = (part[..., 1].max() - part[..., 1].min()) / 255 * 512
        shares.append(height * width / picture[..., 0].size)
        ratios.append(width / height)
    assert 0.06 < min(shares) < 0.3 and max(shares) > 0.5
    assert 0.7 < min(ratios) < 0.9 and 1.1 < max(ratios) < 1.4


def test_a_tall_picture_gives_its_middle_where_no_part_fits(tmp_path):
    folder = tmp_path / "train" / "n1"
    folder.mkdir(parents=True)
    cv2.imwrite(str(folder / "x.png"), np.zeros((400, 3, 3), np.uint8))
    assert load_imagenet(tmp_path, "train", side=32).view(0, 0).shape == (32, 32, 3)


def test_trees_with_mistakes_say_what_is_wrong(root, tmp_path):
    with pytest.raises(EmotionError, match="ImageNet has no public test split: use train or val"):
        open_dataset("imagenet", root, "test")
    with pytest.raises(EmotionError, match="is not a folder"):
        load_imagenet(tmp_path, "train")
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "ILSVRC2012_val_00000001.JPEG").write_bytes(b"")
    with pytest.raises(EmotionError, match="holds no folders of classes: sort its pictures into them first"):
        load_imagenet(tmp_path, "valid")
    for name in ("train/n1", "val/n2"):
        (tmp_path / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / name / "x.png"), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(EmotionError, match="n2 is not a known class: expected n1"):
        load_imagenet(tmp_path, "valid")
    (tmp_path / "train" / "n1" / "y.JPEG").write_bytes(b"no picture")
    data = load_imagenet(tmp_path, "train")
    with pytest.raises(EmotionError, match=r"y\.JPEG"):
        data.face(list(data.names).index("n1/y.JPEG"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_accepted(path):
    config = ClassifierConfig.from_dict(read_recipe(path))
    assert (config.top_k, config.model["num_classes"], config.model["image_size"]) == (5, 1000, 224)
    with torch.device("meta"):
        assert build(config.model).config.colour == "rgb"


def test_one_process_learns_and_tells_top_1_and_top_k(root, tmp_path):
    assert len(RECIPES) == 3
    config = replace(CONFIG, model={"type": "toy_mean"}, epochs=6, optimizer="adamw", lr=0.3)
    task = ClassifierTask(config, load_imagenet(root, "train", side=32), load_imagenet(root, "valid", side=32))
    first, second = ([b.inputs.sum() for b in task.batches(0, epoch, OneProcess())] for epoch in (0, 1))
    assert {float(x) for x in first}.isdisjoint(float(x) for x in second)  # other parts of the pictures
    loop = Loop(task, tmp_path)
    last = loop.run()[-1]
    assert last["valid_accuracy"] >= 75 and last["valid_top2"] >= last["valid_accuracy"]
    header = (tmp_path / "history.csv").read_text().splitlines()[0]
    assert header == "epoch,lr,train_loss,valid_loss,valid_accuracy,macro_f1,valid_top2,seconds"
    _, card = load_network(write_result(loop, "tiny", {}, "none", "imagenet"))
    best = max(loop.history, key=lambda row: row["valid_accuracy"])
    assert card.results[0]["top2_accuracy"] == pytest.approx(best["valid_top2"], abs=0.01)
    with pytest.raises(EmotionError, match="top_k must be below the number of classes, 4, got 5"):
        ClassifierTask(replace(config, top_k=5), *task.data)


class OneProcess:
    """What a task asks of the loop's processes."""

    rank, device = 0, torch.device("cpu")

    @staticmethod
    def share(order):
        return order


WORKER = """
import sys
from pathlib import Path
from torch import distributed
import cases
from emotion_core.data.imagenet import load_imagenet
from emotion_core.training.classifier import ClassifierTask
from emotion_core.training.loop import Loop

root = Path(sys.argv[1]).parent / "imagenet"
task = ClassifierTask(cases.CONFIG, load_imagenet(root, "train", 32), load_imagenet(root, "valid", 32))
loop = Loop(task, sys.argv[1])
loop.run()
weights = sum(float(p.double().abs().sum()) for p in loop.model.state_dict().values())
print([len(task.batches(0, 0, loop.processes)), weights, task.centers.values.tolist()])
distributed.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_share_an_epoch_and_end_alike(two_processes, tmp_path):
    """As torchrun starts them; the centres of the classes follow what both saw."""
    write_pictures(tmp_path / "imagenet")
    first, second = two_processes(WORKER, __file__)
    assert first == second
    batches, _, centers = ast.literal_eval(first)
    assert batches == 3  # 48 pictures, 2 processes, 8 in a batch
    assert np.abs(centers).sum(1).min() > 0
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) == 2
