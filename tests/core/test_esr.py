"""The ESR against reference outputs of the authors' implementation, and its counted parameters."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emotion_core.export.esr_files import BASE_FILE, BRANCH_FILE, load_original  # noqa: E402
from emotion_core.models.esr import PRESETS, ConvSpec, Esr, EsrConfig  # noqa: E402


def count(module) -> int:
    return sum(p.numel() for p in module.parameters())


def reference_network(folder: Path, config: EsrConfig) -> tuple[Esr, object]:
    """A network with the reference weights, and the module that made them."""
    spec = importlib.util.spec_from_file_location("fill", folder / "fill.py")
    fill = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fill)
    model = Esr(config)
    with torch.no_grad():
        fill.fill(model.base, "base.")
        for i, branch in enumerate(model.convolutional_branches):
            fill.fill(branch, f"convolutional_branches.{i}.")
    return model.eval(), fill


@pytest.fixture(scope="module", params=["esr3", "esr_star3"])
def golden(shared, request):
    """(reference arrays, network with the reference weights, reference input)."""
    reference = dict(np.load(shared / "golden" / f"{request.param}.npz"))
    model, fill = reference_network(shared / "golden", EsrConfig(branches=3, attention="star" in request.param))
    return reference, model, fill.inputs("face", int(reference["seed"]))


def close(actual, expected) -> None:
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4 * np.abs(expected).max())


def test_outputs_equal_the_reference(golden):
    reference, model, faces = golden
    with torch.no_grad():
        output = model(torch.from_numpy(faces))
        shared_mean = model.base(torch.from_numpy(faces)).mean(dim=(2, 3))
    close(output.logits, reference["emotions"])
    close(output.affect, reference["affect"])
    if "shared_mean" in reference:
        close(shared_mean, reference["shared_mean"])


def test_attention_equals_the_reference(golden):
    reference, model, faces = golden
    with torch.no_grad():
        output, attentions = model.attend(torch.from_numpy(faces))
    close(output.logits, reference["emotions"])
    if not model.config.attention:
        assert attentions == []
        return
    close(torch.stack([a.channel for a in attentions], 1), reference["channel_attention"])
    close(torch.stack([a.spatial[:, 0] for a in attentions], 1), reference["spatial_attention"])


def test_onnx_outputs_equal_the_reference(golden, tmp_path):
    pytest.importorskip("onnx")
    import onnxruntime

    from emotion_core.export.onnx_export import export_onnx
    from emotion_core.labels import AFFECTNET
    from emotion_core.models.registry import describe, entry_of

    reference, model, faces = golden
    card = describe(entry_of(model), "esr3", AFFECTNET, "none", affect="reference")
    export_onnx(model, card, tmp_path / "esr3.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "esr3.onnx"), providers=["CPUExecutionProvider"])
    logits, affect = session.run(("logits", "affect"), {"faces": faces})
    close(logits, reference["emotions"])
    close(affect, reference["affect"])


def test_names_and_shapes_are_the_authors(shared):
    published = json.loads((shared / "golden" / "state_dicts.json").read_text())
    for prefix, attention in (("esr", False), ("esr_star", True)):
        model = Esr(EsrConfig(branches=1, attention=attention))
        for part, name in ((model.base, f"{prefix}_base"), (model.convolutional_branches[0], f"{prefix}_branch")):
            assert {k: list(v.shape) for k, v in part.state_dict().items()} == dict(published[name])


def test_parameter_counts_of_the_published_networks():
    esr9 = Esr(PRESETS["esr9"])
    assert count(esr9.base) == 374_784
    assert count(esr9.convolutional_branches[0]) == 2_219_418
    assert count(esr9) == 374_784 + 9 * 2_219_418  # 20.35 M
    assert count(Esr(PRESETS["esr15"])) == 374_784 + 15 * 2_219_418  # 33.67 M
    assert count(Esr(PRESETS["esr4_ckplus"])) - 4 * (8 * 2 + 2) == 355_104  # published without the affect heads
    star = Esr(replace(PRESETS["esr_star9"], branches=1))
    assert count(star.base) == 382_316
    assert count(star.convolutional_branches[0]) == 2_272_242
    assert count(Esr(PRESETS["esr_star9"])) == 382_316 + 9 * 2_272_242  # 20.83 M


def test_compact_network_fits_five_megabytes():
    assert 2 * count(Esr(PRESETS["esr_compact"])) < 5e6  # stored as float16, exported as int8


@pytest.mark.parametrize("name", PRESETS)
def test_config_survives_json_and_output_has_the_documented_shape(name):
    config = replace(PRESETS[name], branches=2)
    assert EsrConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with torch.no_grad():
        output = Esr(config).eval()(torch.rand(3, config.in_channels, config.input_size, config.input_size))
    assert output.logits.shape == (3, 2, 8)
    assert output.affect.shape == (3, 2, 2)


def test_a_branch_can_be_added_and_taken_away():
    model = Esr(replace(PRESETS["esr4_ckplus"], branches=1)).eval()
    faces = torch.rand(2, 1, 96, 96)
    with torch.no_grad():
        first = model(faces).logits
        model.add_branch()
        assert model.config.branches == 2 and not model.convolutional_branches[1].training
        both = model(faces).logits
        torch.testing.assert_close(both[:, :1], first)
        assert not torch.equal(both[:, 0], both[:, 1])
        model.keep_branches(1)
        torch.testing.assert_close(model(faces).logits, first)
    assert model.config.branches == 1 and len(model.branches()) == 1


def test_width_scales_channels():
    half = EsrConfig(branches=1, width=0.5)
    assert Esr(half).base.conv1.out_channels == 32
    assert count(Esr(half)) < 0.3 * count(Esr(EsrConfig(branches=1)))


def test_standardize_makes_exposure_irrelevant():
    model = Esr(PRESETS["esr_compact"]).eval()
    faces = torch.rand(2, 1, 48, 48)
    with torch.no_grad():
        torch.testing.assert_close(model(faces).logits, model(faces * 0.5 + 0.2).logits, rtol=0.02, atol=0.02)
        assert torch.isfinite(model(torch.zeros(1, 1, 48, 48)).logits).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"branches": 0}, "branches"),
        ({"in_channels": 4}, "in_channels"),
        ({"width": 0}, "width"),
        ({"dropout": 1.0}, "dropout"),
        ({"affect_input": "votes"}, "affect_input"),
        ({"base": ()}, "at least one layer"),
        ({"input_size": 40}, "nothing is left"),
        ({"base": (ConvSpec(8, skip=True),)}, "skip"),
    ],
)
def test_impossible_configs_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        EsrConfig(**change)


def test_unknown_config_entry_is_named():
    with pytest.raises(ValueError, match="brnaches"):
        EsrConfig.from_dict({"brnaches": 9})


def test_original_files_load_even_in_the_old_serialisation(tmp_path: Path):
    model = Esr(EsrConfig(branches=2)).eval()
    torch.save(model.base.state_dict(), tmp_path / BASE_FILE, _use_new_zipfile_serialization=False)
    for i, branch in enumerate(model.convolutional_branches, 1):
        torch.save(branch.state_dict(), tmp_path / BRANCH_FILE.format(i))
    loaded = load_original(tmp_path)
    assert loaded.config.branches == 2
    faces = torch.rand(1, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(loaded(faces).logits, model(faces).logits)
