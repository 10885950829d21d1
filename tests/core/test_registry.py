"""Architectures and datasets by name, built in or from elsewhere, and one path for all of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from torch import Tensor, nn  # noqa: E402

from emotion_core.bench.bench import BenchConfig, bench  # noqa: E402
from emotion_core.data import registry as datasets  # noqa: E402
from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.export.onnx_export import compare, export_onnx  # noqa: E402
from emotion_core.export.quantize import convert_float16, quantize_int8  # noqa: E402
from emotion_core.export.torch_network import TorchNetwork  # noqa: E402
from emotion_core.export.verify import probes  # noqa: E402
from emotion_core.export.weights import load_network, save_network  # noqa: E402
from emotion_core.models import registry  # noqa: E402
from emotion_core.models.registry import Architecture, build, describe, entry_of, preset, preset_names  # noqa: E402
from emotion_core.runtime.classifier import Classifier  # noqa: E402
from emotion_core.store.card import FACE_CLIP, INPUT_DIMENSIONS, LOGITS, SOUND, Framing, Input, Output  # noqa: E402


@dataclass(frozen=True)
class FusionConfig:
    """Of a toy network that sees a clip and hears sound; it has one output, a plain tensor."""

    num_classes: int = 4
    width: int = 8

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width must be at least 1, got {self.width}")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> FusionConfig:
        return cls(**data)


class Fusion(nn.Module):
    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        self.see = nn.Conv3d(3, config.width, 3, padding=1)
        self.hear = nn.Conv1d(10, config.width, 3)
        self.decide = nn.Linear(2 * config.width, config.num_classes)

    def forward(self, clip: Tensor, sound: Tensor) -> Tensor:
        seen, heard = self.see(clip).relu().mean((2, 3, 4)), self.hear(sound).relu().mean(2)
        return self.decide(torch.cat([seen, heard], 1))


FUSION = Architecture(
    "toy_fusion",
    FusionConfig,
    Fusion,
    lambda config: (
        Input("clip", FACE_CLIP, (3, 5, 16, 16), "bgr", framing=Framing("box")),
        Input("sound", SOUND, (10, 20), sample_rate_hz=16000, features={"type": "mfcc"}),
    ),
    lambda config: (Output("scores", LOGITS, (config.num_classes,)),),
    {"toy_fusion_small": FusionConfig(width=4)},
)
LABELS = ("calm", "happy", "sad", "angry")


@pytest.fixture()
def fusion(monkeypatch):
    """The toy network, registered for one test."""
    monkeypatch.setattr(registry, "_registered", dict(registry._registered))
    registry.register(FUSION)
    torch.manual_seed(0)
    return Fusion(FusionConfig()).eval()


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_described_by_its_own_entry(name):
    entry = preset(name)
    architecture, config = registry.read_entry(entry)
    classes = config.num_classes
    card = describe(entry, name, tuple("abcdefgh")[:classes], "none")
    assert registry._entry(architecture, config) == entry
    assert {item.kind for item in card.inputs} <= set(INPUT_DIMENSIONS)
    assert card.outputs[0].shape == ((config.branches, classes) if hasattr(config, "branches") else (classes,))


@pytest.mark.parametrize("name", ["esr_compact", "esr4_ckplus"])
def test_a_preset_takes_and_gives_what_it_says(name):
    network = build(preset(name), seed=0)
    result = registry.named_outputs(
        registry.outputs_of(network), network(torch.rand(2, *registry.inputs_of(network)[0].shape))
    )
    assert {k: tuple(v.shape[1:]) for k, v in result.items()} == {o.name: o.shape for o in registry.outputs_of(network)}


def test_two_inputs_of_other_kinds_go_the_same_way(fusion, tmp_path):
    """Save, load, export in three precisions, run: nothing knows what a fusion is."""
    card = describe(entry_of(fusion), "fused", LABELS, "none")
    save_network(fusion, card, tmp_path / "fused.safetensors")
    loaded, again = load_network(tmp_path / "fused.safetensors")
    assert again == card and isinstance(loaded, Fusion)
    export_onnx(loaded, card, tmp_path / "fused.onnx")
    classifier = Classifier(tmp_path / "fused.onnx")
    assert compare(fusion, classifier) < 1e-5
    clip, sound = probes(card.inputs, 5, seed=3).values()
    with torch.no_grad():
        expected = fusion(torch.from_numpy(clip), torch.from_numpy(sound)).softmax(1)
    output = classifier(clip, sound)
    np.testing.assert_allclose(output.probabilities, expected, atol=1e-5)
    assert output.branch_probabilities.shape == (5, 1, 4) and np.isnan(output.affect).all()
    np.testing.assert_allclose(TorchNetwork(fusion, batch_size=2)(clip, sound).probabilities, expected, atol=1e-6)
    quantize_int8(tmp_path / "fused.onnx", probes(card.inputs, 16), tmp_path / "int8.onnx")
    convert_float16(tmp_path / "fused.onnx", tmp_path / "float16.onnx")
    for name, tolerance in (("int8", 0.05), ("float16", 2e-3)):
        np.testing.assert_allclose(
            Classifier(tmp_path / f"{name}.onnx")(clip, sound).probabilities, expected, atol=tolerance
        )
    with pytest.raises(EmotionError, match="takes face_clip, sound, expected one that takes single faces"):
        _ = classifier.card.face
    with pytest.raises(EmotionError, match=r"takes sound of shape \(N, 10, 20\), got \(4, 10, 20\)"):
        classifier(clip, sound[:4])


def test_a_benchmark_of_a_foreign_network(fusion, monkeypatch):
    from emotion_core.bench import bench as module
    from emotion_core.bench import measure

    monkeypatch.setattr(module, "measure_apart", measure._speed)  # this process knows the architecture
    report = bench(BenchConfig(("toy_fusion_small",), (1,), ("eager", "onnx", "int8"), 2, 0, False, "cpu"))
    assert [row.backend for row in report.rows] == ["eager", "onnx", "int8"]
    assert report.rows[1].difference < 1e-5


def test_what_the_registry_does_not_know(fusion):
    with pytest.raises(EmotionError, match=r"unknown architecture 'transformer': expected one of esr, .*toy_fusion"):
        build({"type": "transformer"})
    with pytest.raises(EmotionError, match="mine: unknown architecture 'None'"):
        build({}, "mine")
    with pytest.raises(EmotionError, match="width must be at least 1"):
        build({"type": "toy_fusion", "width": 0})
    with pytest.raises(EmotionError, match="unknown preset 'esr99': use one of esr9"):
        preset("esr99")
    with pytest.raises(EmotionError, match="Linear is in no registered architecture"):
        entry_of(nn.Linear(2, 2))
    with pytest.raises(EmotionError, match="2 labels, but logits of"):
        describe(entry_of(fusion), "x", ("a", "b"), "none")


def test_a_type_belongs_to_one_architecture(fusion):
    from dataclasses import replace

    registry.register(FUSION)  # the same once more is no conflict
    with pytest.raises(EmotionError, match="there is an architecture 'esr' already"):
        registry.register(replace(FUSION, type="esr"))


def test_two_types_may_share_a_configuration(fusion):
    """A network remembers its type; a preset's name belongs to one of them."""
    from dataclasses import replace

    other = replace(FUSION, type="other_fusion", presets={"other": FusionConfig(width=2)})
    registry.register(other)
    built = build(preset("other"))
    assert entry_of(built) == {"type": "other_fusion", "num_classes": 4, "width": 2}
    with pytest.raises(EmotionError, match="Fusion could be any of toy_fusion, other_fusion"):
        entry_of(Fusion(FusionConfig()))
    with pytest.raises(EmotionError, match="there is a preset 'other' already"):
        registry.register(replace(FUSION, type="third", presets={"other": FusionConfig()}))
    with pytest.raises(EmotionError, match="there is a preset 'esr9' already"):
        registry.register(replace(FUSION, type="third", presets={"esr9": FusionConfig()}))


def test_plugins_do_not_replace_each_other(monkeypatch, tmp_path):
    from emotion_core.plugins import load_plugin

    monkeypatch.setattr(datasets, "DATASETS", dict(datasets.DATASETS))
    text = "from emotion_core.data.registry import DatasetKind, register_dataset\n"
    for name in ("one", "two"):
        body = 'register_dataset(DatasetKind("mine", "Mine", lambda root, split: None))\n'
        (tmp_path / f"plugin_{name}.py").write_text(text + body)
    load_plugin(str(tmp_path / "plugin_one.py"))
    with pytest.raises(EmotionError, match="there is a dataset 'mine' already"):
        load_plugin(str(tmp_path / "plugin_two.py"))


def test_seeds_decide_weights_and_leave_torch_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second = (build(preset("esr4_ckplus"), seed=1).state_dict() for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(first[name], second[name]) for name in first)


class Toy(datasets.FaceDataset):
    labels: ClassVar[tuple[str, ...]] = ("calm", "happy")

    @property
    def targets(self) -> np.ndarray:
        return np.arange(4) % 2

    def face(self, index: int) -> np.ndarray:
        return np.full((16, 16), 60 * index, np.uint8)


def open_toy(root, split):
    return Toy()


def test_a_dataset_from_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "DATASETS", dict(datasets.DATASETS))
    kind = datasets.register_dataset(datasets.DatasetKind("toy", "Toy", open_toy, splits={"train": "all"}))
    assert datasets.register_dataset(kind) is kind
    assert len(datasets.open_dataset("toy", tmp_path, "train")) == 4
    with pytest.raises(EmotionError, match="Toy has no public test split: use train"):
        datasets.open_dataset("toy", tmp_path, "test")
    with pytest.raises(EmotionError, match="toy has no annotated valence and arousal: only affectnet does"):
        datasets.open_dataset("toy", tmp_path, "train", dimensional=True)
    with pytest.raises(EmotionError, match="there is a dataset 'ferplus' already"):
        datasets.register_dataset(datasets.DatasetKind("ferplus", "Mine", open_toy))
    with pytest.raises(EmotionError, match=r"unknown dataset 'nope': use one of ferplus, .* toy"):
        datasets.open_dataset("nope", tmp_path)
