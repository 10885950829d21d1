"""The zoo of FER2013: every recipe and network, and ImageNet weights in the names of torchvision and pytorchcv."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("yaml")
pytest.importorskip("tensorboard")
provider = pytest.importorskip("pytorchcv.model_provider")

from emotion_core.cli import main  # noqa: E402
from emotion_core.cli.train import read_recipe  # noqa: E402
from emotion_core.data.dataset import FaceSet  # noqa: E402
from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.export.backbone_files import start_from_backbone  # noqa: E402
from emotion_core.export.onnx_export import compare, export_onnx  # noqa: E402
from emotion_core.export.weights import load_network, save_network  # noqa: E402
from emotion_core.labels import FER2013  # noqa: E402
from emotion_core.models import residual_masking  # noqa: E402
from emotion_core.models.registry import build, describe, entry_of, inputs_of, preset  # noqa: E402
from emotion_core.models.residual_masking import ResidualMasking  # noqa: E402
from emotion_core.models.zoo import NETWORKS, ZooConfig, ZooNetwork  # noqa: E402
from emotion_core.runtime.classifier import Classifier  # noqa: E402
from emotion_core.training.classifier import ClassifierTask  # noqa: E402
from emotion_core.training.classifier_config import ClassifierConfig  # noqa: E402

RECIPES = sorted((Path(__file__).resolve().parents[2] / "recipes" / "rmn").glob("*.yaml"))
PUBLISHED = {
    "vgg19", "efficientnet_b2b", "googlenet", "resnet34", "inception_v3", "bam_resnet50", "densenet121", "resnet152",
    "cbam_resnet50", "resmasking_dropout1",
}  # fmt: skip
MILLIONS = {
    "efficientnet_b2b": 7.711, "googlenet": 5.607, "resnet34": 21.288, "inception_v3": 21.800, "bam_resnet50": 23.880,
    "densenet121": 6.961, "resnet152": 58.158, "cbam_resnet50": 26.055, "vgg19": 139.599,
    "resmasking_dropout1": 137.796,
}  # fmt: skip
"""Parameters with seven classes."""
QUICK = ("googlenet", "resnet34")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_the_published_trainer_s(path):
    config = ClassifierConfig.from_dict(read_recipe(path))
    published = {
        "optimizer": "radam", "lr": 1e-4, "weight_decay": 1e-3, "batch_size": 48, "epochs": 50, "schedule": "plateau",
        "step_factor": 0.1, "plateau_patience": 2, "patience": 8, "keep_best": True,
    }  # fmt: skip
    settings = config.to_dict()
    assert {name: settings[name] for name in published} == published
    changes = {name: value for name, value in settings["augment"].items() if name not in ("erase_side", "only_enlarge")}
    off = {"scale": 1.0, "gamma": 1.0, "translate": 0.0, "contrast": 0.0, "brightness": 0.0, "erase": 0.0}
    off |= {"yaw_deg": 0.0, "degrade": None}
    assert changes == {"flip": 0.5, "rotation_deg": 30.0, **off}
    with torch.device("meta"):
        model = build(config.model)
    assert inputs_of(model)[0].shape == (1, 224, 224) and model.config.num_classes == 7
    assert getattr(model.config, "network", "resmasking_dropout1") == path.stem
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(MILLIONS[path.stem], abs=5e-4)


def test_every_published_network_has_its_recipe():
    assert {path.stem for path in RECIPES} == PUBLISHED


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS]
)
def test_every_network_runs_small_and_exports(name, tmp_path):
    size = 96 if name == "inception_v3" else 32
    model = build({**preset(name), "image_size": size, "colour": "grey", "mean": [0.4, 0.5, 0.6]}, seed=0)
    with torch.no_grad():  # random weights let the signal grow or fade, layer by layer
        model.train()(torch.rand(4, 1, size, size))
    model.eval()
    export_onnx(model, describe(entry_of(model), name, FER2013, "none"), tmp_path / "x.onnx")
    classifier = Classifier(tmp_path / "x.onnx")
    faces = torch.rand(3, 1, size, size)
    with torch.no_grad():
        expected = model(faces)
    assert expected.shape == (3, 7) and (expected[0] - expected[1]).abs().max() > 0
    found = torch.from_numpy(classifier.run({"faces": faces.numpy()})["logits"])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4 * max(1.0, float(expected.abs().max())))
    assert compare(model, classifier, 1) < 1e-3


def conv_bn(name: str, out: int, into: int, *kernel: int, groups: int = 1):
    """A convolution without bias and its normalisation, in torchvision's names of layers."""
    conv, norm = name.split()
    yield f"{conv}.weight", (out, into // groups, *(kernel * 2 if len(kernel) == 1 else kernel))
    yield from bn(norm, out)


def bn(name: str, channels: int):
    for leaf in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{leaf}", (channels,)


def dense(name: str, out: int, *into: int):
    yield f"{name}.weight", (out, *into)
    yield f"{name}.bias", (out,)


def resnet(units, bottleneck: bool):
    yield from conv_bn("conv1 bn1", 64, 3, 7)
    channels = 64
    for stage, count in enumerate(units, 1):
        width = 32 << stage
        out = width * 4 if bottleneck else width
        for unit in range(count):
            name = f"layer{stage}.{unit}"
            sizes = [(width, channels, 1), (width, width, 3), (out, width, 1)]
            sizes = sizes if bottleneck else [(width, channels, 3), (width, width, 3)]
            for i, (o, c, k) in enumerate(sizes, 1):
                yield from conv_bn(f"{name}.conv{i} {name}.bn{i}", o, c, k)
            if unit == 0 and channels != out:
                yield from conv_bn(f"{name}.downsample.0 {name}.downsample.1", out, channels, 1)
            channels = out
    yield from dense("fc", 1000, channels)


def densenet(dot: str):
    """``dot`` stands before the numbers in the released file, which is older than the rule against it."""
    yield from conv_bn("features.conv0 features.norm0", 64, 3, 7)
    channels = 64
    for block, count in enumerate((6, 12, 24, 16), 1):
        for layer in range(1, count + 1):
            name = f"features.denseblock{block}.denselayer{layer}"
            for number, (out, into, kernel) in enumerate(((128, channels, 1), (32, 128, 3)), 1):
                yield from bn(f"{name}.norm{dot}{number}", into)
                yield f"{name}.conv{dot}{number}.weight", (out, into, kernel, kernel)
            channels += 32
        if block < 4:
            yield from bn(f"features.transition{block}.norm", channels)
            yield f"features.transition{block}.conv.weight", (channels // 2, channels, 1, 1)
            channels //= 2
    yield from bn("features.norm5", channels)
    yield from dense("classifier", 1000, channels)


def vgg():
    """At 32 pixels, where the first dense layer sees a single place."""
    position, channels = 0, 3
    for width, count in ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)):
        for _ in range(count):
            yield from dense(f"features.{position}", width, channels, 3, 3)
            position, channels = position + 2, width
        position += 1
    for position, (into, out) in zip((0, 3, 6), pairwise((512, 4096, 4096, 1000)), strict=True):
        yield from dense(f"classifier.{position}", out, into)


def inception():
    def conv(name: str, *sizes: int):
        return conv_bn(f"{name}.conv {name}.bn", *sizes)

    def block(name: str, *layers):
        for layer, *sizes in layers:
            yield from conv(f"{name}.{layer}", *sizes)

    for name, *sizes in (("1a_3x3", 32, 3, 3), ("2a_3x3", 32, 32, 3), ("2b_3x3", 64, 32, 3), ("3b_1x1", 80, 64, 1),
                         ("4a_3x3", 192, 80, 3)):  # fmt: skip
        yield from conv(f"Conv2d_{name}", *sizes)
    for name, c, pool in (("5b", 192, 32), ("5c", 256, 64), ("5d", 288, 64)):
        yield from block(f"Mixed_{name}", ("branch1x1", 64, c, 1), ("branch5x5_1", 48, c, 1),
                         ("branch5x5_2", 64, 48, 5), ("branch3x3dbl_1", 64, c, 1), ("branch3x3dbl_2", 96, 64, 3),
                         ("branch3x3dbl_3", 96, 96, 3), ("branch_pool", pool, c, 1))  # fmt: skip
    yield from block("Mixed_6a", ("branch3x3", 384, 288, 3), ("branch3x3dbl_1", 64, 288, 1),
                     ("branch3x3dbl_2", 96, 64, 3), ("branch3x3dbl_3", 96, 96, 3))  # fmt: skip
    for name, w in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        yield from block(f"Mixed_{name}", ("branch1x1", 192, 768, 1), ("branch7x7_1", w, 768, 1),
                         ("branch7x7_2", w, w, 1, 7), ("branch7x7_3", 192, w, 7, 1), ("branch7x7dbl_1", w, 768, 1),
                         ("branch7x7dbl_2", w, w, 7, 1), ("branch7x7dbl_3", w, w, 1, 7), ("branch7x7dbl_4", w, w, 7, 1),
                         ("branch7x7dbl_5", 192, w, 1, 7), ("branch_pool", 192, 768, 1))  # fmt: skip
    yield from block("AuxLogits", ("conv0", 128, 768, 1), ("conv1", 768, 128, 5))
    yield from dense("AuxLogits.fc", 1000, 768)
    yield from block("Mixed_7a", ("branch3x3_1", 192, 768, 1), ("branch3x3_2", 320, 192, 3),
                     ("branch7x7x3_1", 192, 768, 1), ("branch7x7x3_2", 192, 192, 1, 7),
                     ("branch7x7x3_3", 192, 192, 7, 1), ("branch7x7x3_4", 192, 192, 3))  # fmt: skip
    for name, c in (("7b", 1280), ("7c", 2048)):
        yield from block(f"Mixed_{name}", ("branch1x1", 320, c, 1), ("branch3x3_1", 384, c, 1),
                         ("branch3x3_2a", 384, 384, 1, 3), ("branch3x3_2b", 384, 384, 3, 1),
                         ("branch3x3dbl_1", 448, c, 1), ("branch3x3dbl_2", 384, 448, 3),
                         ("branch3x3dbl_3a", 384, 384, 1, 3), ("branch3x3dbl_3b", 384, 384, 3, 1),
                         ("branch_pool", 192, c, 1))  # fmt: skip
    yield from dense("fc", 1000, 2048)


def efficientnet():
    yield from conv_bn("features.0.0 features.0.1", 32, 3, 3)
    channels = 32
    stages = ((16, 2, 3), (24, 3, 3), (48, 3, 5), (88, 4, 3), (120, 4, 5), (208, 5, 5), (352, 2, 3))
    for stage, (out, count, kernel) in enumerate(stages, 1):
        for unit in range(count):
            wide, block, part = channels * (1 if stage == 1 else 6), f"features.{stage}.{unit}.block", 0
            if stage > 1:
                yield from conv_bn(f"{block}.0.0 {block}.0.1", wide, channels, 1)
                part = 1
            yield from conv_bn(f"{block}.{part}.0 {block}.{part}.1", wide, wide, kernel, groups=wide)
            yield from dense(f"{block}.{part + 1}.fc1", channels // 4, wide, 1, 1)
            yield from dense(f"{block}.{part + 1}.fc2", wide, channels // 4, 1, 1)
            yield from conv_bn(f"{block}.{part + 2}.0 {block}.{part + 2}.1", out, wide, 1)
            channels = out
    yield from conv_bn("features.8.0 features.8.1", 1408, 352, 1)
    yield from dense("classifier.1", 1000, 1408)


LAYOUTS = {
    "resnet34": lambda: resnet((3, 4, 6, 3), False), "resnet152": lambda: resnet((3, 8, 36, 3), True),
    "densenet121": lambda: densenet(""), "vgg19": vgg, "inception_v3": inception, "efficientnet_b2b": efficientnet,
}  # fmt: skip
SAME = {
    "resnet34": {"layer3.4.bn2": "stage3.unit5.body.conv2.bn",
                 "layer2.0.downsample.0": "stage2.unit1.identity_conv.conv"},
    "resnet152": {"layer3.35.conv3": "stage3.unit36.body.conv3.conv", "bn1": "init_block.conv.bn"},
    "densenet121": {"features.denseblock3.denselayer24.norm2": "stage3.unit24.conv2.bn",
                    "features.transition2.conv": "stage3.trans3.conv.conv", "features.norm5": "post_activ.bn"},
    "vgg19": {"features.0": "stage1.unit1.conv", "features.34": "stage5.unit4.conv", "classifier.3": "output.fc2.fc"},
    "inception_v3": {"Mixed_6c.branch7x7dbl_4.conv": "stage2.unit3.branches.branch3.conv_list.conv4.conv",
                     "Mixed_7b.branch3x3_2b.bn": "stage3.unit2.branches.branch2.conv3x1.bn"},
    "efficientnet_b2b": {"features.1.0.block.1.fc2": "stage1.unit1.se.conv2",
                         "features.6.4.block.3.0": "stage5.unit5.conv3.conv"},
}  # fmt: skip
"""Layers in torchvision's names, and where pytorchcv has them."""


def save(path: Path, shapes) -> dict[str, float]:
    """Write a file with a value of its own for each tensor; a value that fills a tensor is stored once."""
    state = {name: torch.full((), float(i)).expand(shape) for i, (name, shape) in enumerate(shapes, 1)}
    torch.save(state, path)
    return {name: float(tensor.flatten()[0]) for name, tensor in state.items()}


def small(name: str) -> ZooNetwork:
    size = 96 if name == "inception_v3" else 32
    with torch.random.fork_rng():
        return build({**preset(name), "image_size": size})


@pytest.mark.parametrize("name", [n if n == "resnet34" else pytest.param(n, marks=pytest.mark.slow) for n in LAYOUTS])
def test_imagenet_weights_of_torchvision(name, tmp_path):
    model, path = small(name), tmp_path / "imagenet.pth"
    values = save(path, LAYOUTS[name]())
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    taken = start_from_backbone(model, path)
    assert taken.classifier == "the classifier of 1000 classes is left out, there are 7 here"
    state = model.state_dict()
    found = {}
    for key, tensor in state.items():
        if "num_batches" in key or (tensor.shape[0] == 7 and key.startswith("network.output")):
            assert torch.equal(tensor, before[key])
            continue
        assert tensor.min() == tensor.max(), key
        found[float(tensor.flatten()[0])] = key
    left = {n for n in values if values[n] not in found and not n.startswith("AuxLogits")}
    assert {re.sub(r"\.(weight|bias)$", "", n) for n in left} == {list(values)[-1].rpartition(".")[0]}
    for there, here in SAME[name].items():
        leaves = [n for n in values if n.rpartition(".")[0] == there]
        assert leaves
        for leaf in leaves:
            here = here.replace("output.", "")
            assert re.search(rf"\.{re.escape(here)}\.{leaf.rpartition('.')[2]}$", found[values[leaf]])


def test_the_densenet_that_is_released_has_older_names(tmp_path):
    newer, older = small("densenet121"), small("densenet121")
    save(tmp_path / "newer.pth", densenet(""))
    save(tmp_path / "older.pth", densenet("."))
    assert start_from_backbone(newer, tmp_path / "newer.pth") == start_from_backbone(older, tmp_path / "older.pth")
    states = newer.network.features.state_dict(), older.network.features.state_dict()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_resnet_of_both_sources_computes_what_the_masking_network_s_does(tmp_path, monkeypatch):
    """The ResNet-34 of ``residual_masking`` has torchvision's names and layers; pytorchcv's is written by others."""
    monkeypatch.setattr(residual_masking, "_DEPTHS", (1, 1, 1, 1))  # the masks of full depth are 116 M parameters
    torch.manual_seed(0)
    masking = build({"type": "residual_masking", "image_size": 32})
    state = {k: t for k, t in masking.state_dict().items() if not k.startswith(("mask", "fc"))}
    for name, tensor in state.items():
        if name.endswith(("running_mean", "running_var", "bias")) or ("bn" in name and name.endswith("weight")):
            tensor.uniform_(0.5, 1.5)
    torch.save({**state, "fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}, tmp_path / "tv.pth")
    zoo, faces = small("resnet34"), torch.rand(2, 3, 32, 32)
    start_from_backbone(zoo, tmp_path / "tv.pth")

    def plain(network: ResidualMasking):
        x = network.maxpool(network.bn1(network.conv1(faces)).relu())
        return network.layer4(network.layer3(network.layer2(network.layer1(x)))).mean((2, 3))

    with torch.no_grad():
        expected = plain(masking)
        torch.testing.assert_close(zoo.network.features(faces).flatten(1), expected)
        # And back: pytorchcv's file starts a masking network, whose masks stay as they were.
        torch.save(zoo.network.state_dict(), tmp_path / "cv.pth")
        other = build({"type": "residual_masking", "image_size": 32})
        masks = {k: t.clone() for k, t in other.state_dict().items() if k.startswith("mask")}
        start_from_backbone(other, tmp_path / "cv.pth")
        torch.testing.assert_close(plain(other), expected)
        assert all(torch.equal(other.state_dict()[name], tensor) for name, tensor in masks.items())


@pytest.mark.parametrize("name", ["cbam_resnet34", "googlenet"])
def test_imagenet_weights_in_the_networks_own_names(name, tmp_path):
    """pytorchcv's, and for GoogLeNet torchvision's with its auxiliary classifiers."""
    model = small(name)
    shapes = [(k, t.shape) for k, t in model.network.state_dict().items() if "num_batches" not in k]
    last = "fc" if name == "googlenet" else "output"
    shapes = [(k, (1000, *shape[1:]) if k.startswith(f"{last}.") else shape) for k, shape in shapes]
    shapes += dense("aux1.fc2", 1000, 1024) if name == "googlenet" else ()
    values = save(tmp_path / "cv.pth", shapes)
    assert "classifier of 1000 classes is left out" in str(start_from_backbone(model, tmp_path / "cv.pth"))
    for key, tensor in model.network.state_dict().items():
        if "num_batches" not in key and not key.startswith(f"{last}."):
            assert (tensor == values[key]).all()


def test_weights_of_another_network_are_one_clear_error(tmp_path):
    model, path = small("resnet34"), tmp_path / "x.pth"
    save(path, resnet((3, 8, 36, 3), True))
    with pytest.raises(EmotionError, match=r"holds another network: 311 layers such as conv1, bn1, .*, expected 73"):
        start_from_backbone(model, path)
    save(path, ((n, (*s[:-1], 5) if n == "layer2.1.conv1.weight" else s) for n, s in resnet((3, 4, 6, 3), False)))
    with pytest.raises(EmotionError, match=r"its layer2\.1\.conv1 does not fit features\.stage2\.unit2\.body\.conv1"):
        start_from_backbone(model, path)
    torch.save({f"{n}.running_mean": torch.zeros(1) for n in "abcdefgh"[:3]}, path)
    with pytest.raises(EmotionError, match="holds another network: 3 layers such as a, b, c, expected 73"):
        start_from_backbone(model, path)
    esr = build(preset("esr4_ckplus"))
    with pytest.raises(EmotionError, match=r"cannot be the start: Esr starts from a model\.safetensors"):
        start_from_backbone(esr, path)


def faces_of_four_classes(count: int) -> FaceSet:
    classes = np.arange(count) % 4
    pixels = np.random.default_rng(0).integers(0, 256, (count, 16, 16), np.uint8)
    return FaceSet(pixels, np.eye(4, dtype=np.float32)[classes], classes, tuple(map(str, range(count))), tuple("abcd"))


def test_a_training_starts_from_imagenet_and_from_other_classes(tmp_path, caplog):
    network = {"type": "residual_masking", "image_size": 32, "width": 4}
    source = build({**network, "num_classes": 9}, seed=3)
    state = {k: t for k, t in source.state_dict().items() if not k.startswith(("mask", "fc"))}
    torch.save({**state, "fc.weight": torch.zeros(1000, 32), "fc.bias": torch.zeros(1000)}, tmp_path / "imagenet.pth")
    save_network(source, describe(entry_of(source), "own", tuple("abcdefghi"), "none"), tmp_path / "own.safetensors")
    config = ClassifierConfig(model={**network, "colour": "grey"}, epochs=1)
    faces = faces_of_four_classes(16), faces_of_four_classes(8)
    with caplog.at_level(logging.INFO, "emotion_core"):
        task = ClassifierTask(config, *faces, init=tmp_path / "imagenet.pth")
    assert "the classifier of 1000 classes is left out, there are 4 here" in caplog.text
    assert task.labels == faces[0].labels and task.init["weights"] == "imagenet.pth"
    other = ClassifierTask(config, *faces, init=tmp_path / "own.safetensors")
    for name, tensor in state.items():
        assert torch.equal(task.model.state_dict()[name], tensor)
    assert torch.equal(other.model.mask2.conv1.conv1.weight, source.mask2.conv1.conv1.weight)
    torch.save({"net": build({**network, "num_classes": 4}, seed=4).state_dict()}, tmp_path / "authors")
    authors = ClassifierTask(config, *faces, init=tmp_path / "authors")
    assert authors.init["taken"].endswith("its 4 classes are taken for those here, in their order")
    assert task.fingerprint()["starting weights"] != other.fingerprint()["starting weights"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": "vgg16"}, "network must be one of vgg19, .*, got 'vgg16'"),
        ({"image_size": 40}, "multiple of 32, got 40"),
        ({"network": "inception_v3", "image_size": 64}, "inception_v3 needs an image_size of at least 96, got 64"),
        ({"colour": "blue"}, "colour must be one of rgb, grey"),
        ({"std": (1.0, 0.0, 1.0)}, "std positive"),
    ],
)
def test_impossible_configs_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(ZooConfig("resnet34"), **change)


def test_config_survives_json_and_files(tmp_path):
    config = ZooConfig("googlenet", 5, 32, "grey", (0.1, 0.2, 0.3), (0.5, 0.6, 0.7))
    assert ZooConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    model = build({"type": "zoo", **config.to_dict()}, seed=0)
    save_network(model, describe(entry_of(model), "g", tuple("abcde"), "none"), tmp_path / "g.safetensors", half=True)
    again, _ = load_network(tmp_path / "g.safetensors")
    faces = torch.rand(2, 1, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(again(faces), model(faces), rtol=1e-2, atol=1e-2)
    assert again.config == config and again.network.fc.weight.dtype == torch.float32


def test_without_pytorchcv_it_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pytorchcv.model_provider", None)
    with pytest.raises(EmotionError, match="resnet34 comes from pytorchcv, which is not installed: pip install"):
        build(preset("resnet34"))
    build({**preset("googlenet"), "image_size": 32})


def test_the_command_trains_from_imagenet_on_a_file_for_each_split(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name, count in (("train", 14), ("val", 7)):
        rows = [f"{i % 7},{' '.join(map(str, rng.integers(0, 256, 2304)))}" for i in range(count)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["emotion,pixels", *rows]))
    recipe = tmp_path / "recipes" / "rmn" / "small.yaml"
    recipe.parent.mkdir(parents=True)
    recipe.write_text("model: {type: residual_masking, image_size: 32, width: 2, colour: grey}\nbatch_size: 7\n")
    source = build({"type": "residual_masking", "image_size": 32, "width": 2, "num_classes": 9}, seed=0)
    state = {k: t for k, t in source.state_dict().items() if not k.startswith(("mask", "fc"))}
    (tmp_path / "tv").mkdir()
    torch.save({**state, "fc.weight": torch.zeros(9, 16), "fc.bias": torch.zeros(9)}, tmp_path / "tv" / "resnet.pth")
    arguments = ["--model", recipe, "--dataset", "fer2013", "--data", tmp_path, "--out", tmp_path / "run",
                 "--init", tmp_path / "tv" / "resnet.pth", "--epochs", 1, "--center-loss", 0.01]  # fmt: skip
    assert main(["train", "classifier", *map(str, arguments)]) == 0
    assert "7 faces of FER2013 PublicTest" in capsys.readouterr().out
    _, card = load_network(tmp_path / "run" / "model.safetensors")
    assert card.labels == FER2013 and card.face.framing.rule == "mean_side"
    assert card.training["command"] == (
        "emotion train classifier --model recipes/rmn/small.yaml --dataset fer2013 --data fer2013 --out run --epochs 1 "
        "--center-loss 0.01 --init runs/tv/resnet.pth"
    )
    assert card.training["init"]["taken"].endswith("the classifier of 9 classes is left out, there are 7 here")
    assert (tmp_path / "run" / "embedding.png").stat().st_size > 5000
