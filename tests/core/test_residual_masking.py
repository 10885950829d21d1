"""The Residual Masking Network: the published values, the authors' files, what loading them costs."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("safetensors")

from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.export.backbone_files import load_residual_masking  # noqa: E402
from emotion_core.export.onnx_export import compare, export_onnx  # noqa: E402
from emotion_core.export.weights import load_network, save_network  # noqa: E402
from emotion_core.labels import FER2013  # noqa: E402
from emotion_core.models.registry import build, describe, entry_of, preset  # noqa: E402
from emotion_core.models.residual_masking import ResidualMasking, ResidualMaskingConfig  # noqa: E402
from emotion_core.runtime.classifier import Classifier  # noqa: E402

SMALL = ResidualMaskingConfig(image_size=32, width=4)


def small(seed: int = 0, **changes) -> ResidualMasking:
    """A network in which every weight matters: the authors begin with masks of nothing but shortcuts."""
    network = build({"type": "residual_masking", **replace(SMALL, **changes).to_dict()}, seed=seed)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for name, tensor in network.state_dict().items():
            if name.endswith(("bn1.weight", "bn2.weight", "running_var")):
                tensor.uniform_(0.5, 1.5)
    return network


def as_published(network: ResidualMasking) -> dict:
    """The state_dict as the authors' code has it: the shortcut of a mask's conv{n} is its downsample{n} as well."""
    state = {}
    for name, tensor in network.state_dict().items():
        if match := re.fullmatch(r"(mask\d)\.conv(\d)\.downsample\.(.*)", name):
            state["{}.downsample{}.{}".format(*match.groups())] = tensor
        state[name] = tensor
    return state


def checkpoint(network: ResidualMasking) -> dict:
    """What the authors' trainer saves."""
    return {"arch": "resmasking_dropout1", "lr": 1e-4, "cwd": "/home", "net": as_published(network),
            "best_val_acc": 71.2, "val_acc_list": [60.0, 71.2]}  # fmt: skip


@pytest.fixture(scope="module")
def golden(shared):
    """(reference logits, network with the reference weights, faces)."""
    spec = importlib.util.spec_from_file_location("fill", shared / "golden" / "fill.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    reference = dict(np.load(shared / "golden" / "rmn.npz"))
    model = build(preset("resmasking_dropout1"))
    with torch.no_grad():
        fill.fill(model)
    return reference["logits"], model, torch.from_numpy(fill.inputs("rmn", int(reference["seed"])))


def close(actual, expected) -> None:
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_logits_and_parameter_count_are_the_published(golden):
    expected, model, faces = golden
    assert sum(p.numel() for p in model.parameters()) == 137_796_423
    with torch.no_grad():
        close(model(faces), expected)


@pytest.mark.slow
def test_onnx_logits_are_the_published(golden, tmp_path):
    expected, model, faces = golden
    export_onnx(model, describe(entry_of(model), "rmn", FER2013, "none"), tmp_path / "rmn.onnx")
    close(Classifier(tmp_path / "rmn.onnx").run({"faces": faces.numpy()})["logits"], expected)


def test_names_and_shapes_are_the_published(shared):
    published = json.loads((shared / "golden" / "state_dicts.json").read_text())["rmn_resmasking_dropout1"]
    with torch.device("meta"):
        own = as_published(ResidualMasking())
    assert {name: list(tensor.shape) for name, tensor in own.items()} == dict(published)


def test_masks_weigh_the_channels_of_a_place():
    network = small()
    for number, channels in enumerate((4, 8, 16, 32), 1):
        mask = network.get_submodule(f"mask{number}")(torch.rand(2, channels, 8, 8))
        assert mask.shape == (2, channels, 8, 8)
        torch.testing.assert_close(mask.sum(1), torch.ones(2, 8, 8))


def test_any_classes_sizes_and_grey_faces_export_with_any_batch(tmp_path):
    model = small(num_classes=3, image_size=64, colour="grey")
    export_onnx(model, describe(entry_of(model), "rmn", ("a", "b", "c"), "none"), tmp_path / "rmn.onnx")
    classifier = Classifier(tmp_path / "rmn.onnx")
    assert classifier.card.face.shape == (1, 64, 64)
    assert max(compare(model, classifier, batch) for batch in (1, 3)) < 1e-4
    grey = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(model(grey), model(grey.repeat(1, 3, 1, 1)))


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before torch 1.6"])
def test_checkpoints_of_the_authors_load(tmp_path, legacy):
    network = small(seed=1, num_classes=5)
    path = tmp_path / "Z_resmasking_dropout1_rot30_2019Nov30_13.32"
    torch.save(checkpoint(network), path, _use_new_zipfile_serialization=not legacy)
    loaded = load_residual_masking(path, 32)
    assert loaded.config == replace(network.config, colour="grey") and not loaded.training
    faces = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(loaded(faces), network(faces), rtol=0, atol=0)
    save_network(loaded, describe(entry_of(loaded), "rmn", tuple("abcde"), "none"), tmp_path / "rmn.safetensors")
    again, _ = load_network(tmp_path / "rmn.safetensors")
    with torch.no_grad():
        torch.testing.assert_close(again(faces[:, :1]), network(faces[:, :1].repeat(1, 3, 1, 1)), rtol=0, atol=0)


def test_files_of_something_else_are_one_clear_error(tmp_path):
    path = tmp_path / "x"
    with pytest.raises(EmotionError, match="there is no file"):
        load_residual_masking(path)
    path.write_bytes(b"PK broken")
    with pytest.raises(EmotionError, match="is damaged, or holds more than weights"):
        load_residual_masking(path)
    torch.save({"net": [1, 2]}, path)
    with pytest.raises(EmotionError, match="holds no weights: expected a state_dict"):
        load_residual_masking(path)
    torch.save({"net": torch.nn.Linear(2, 7).state_dict()}, path)
    with pytest.raises(EmotionError, match=r"holds no resmasking_dropout1: .* found weight, bias"):
        load_residual_masking(path)
    state = as_published(small())
    del state["mask2.up_pool4.0.weight"]
    torch.save({"net": state}, path)
    with pytest.raises(EmotionError, match=r"do not fit .*mask2\.up_pool4\.0\.weight"):
        load_residual_masking(path)


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({**checkpoint(small()), "config": Trap()}, tmp_path / "trap")
    with pytest.raises(EmotionError, match="holds more than weights"):
        load_residual_masking(tmp_path / "trap")
    assert not (tmp_path / "ran").exists()


LOAD = """
import resource, sys
import torch
from emotion_core.export.backbone_files import load_residual_masking
from emotion_core.export.weights import load_network
from emotion_core.models.registry import build

path = sys.argv[1]
size = {"type": "residual_masking", "image_size": 32, "width": 4}
build(size)(torch.rand(1, 3, 32, 32))  # what torch itself takes for a network of any size
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
network = load_network(path)[0] if path.endswith(".safetensors") else load_residual_masking(path, 32)
total = sum(float(tensor.double().sum()) for tensor in network.state_dict().values())  # looks at every page
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024, total)
"""


@pytest.mark.parametrize("kind", ["before torch 1.6", "safetensors"])
def test_a_network_is_in_memory_once_while_it_loads(tmp_path, kind):
    network = build({"type": "residual_masking", "image_size": 32, "width": 16}, seed=0)
    expected = sum(float(tensor.double().sum()) for tensor in network.state_dict().values())
    path = tmp_path / ("rmn.safetensors" if kind == "safetensors" else "rmn")
    if kind == "safetensors":
        save_network(network, describe(entry_of(network), "rmn", FER2013, "none"), path)
    else:
        torch.save(checkpoint(network), path, _use_new_zipfile_serialization=False)
    size = path.stat().st_size
    assert size > 30e6
    result = subprocess.run([sys.executable, "-c", LOAD, str(path)], capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stderr
    grown, total = map(float, result.stdout.split())
    assert total == pytest.approx(expected)
    assert grown < 1.3 * size, f"{grown / size:.2f} of the file"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_size": 100}, "multiple of 32, got 100"),
        ({"num_classes": 1}, "num_classes must be a whole number of at least 2"),
        ({"colour": "bgr"}, "colour must be one of rgb, grey, got 'bgr'"),
        ({"width": 0}, "width must be a whole number of at least 1"),
        ({"dropout": 1.0}, "dropout must be in"),
    ],
)
def test_impossible_configs_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ResidualMaskingConfig(**change)


def test_config_survives_json():
    assert ResidualMaskingConfig.from_dict(json.loads(json.dumps(SMALL.to_dict()))) == SMALL
    with pytest.raises(ValueError, match="widht"):
        ResidualMaskingConfig.from_dict({"widht": 8})
