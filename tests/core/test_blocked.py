"""EfficientFace in whole blocks of channels says what the network says, and ONNX Runtime need not turn maps around."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

import onnxruntime  # noqa: E402

from emotion_core.export.blocked import blocked  # noqa: E402
from emotion_core.export.onnx_export import export_onnx  # noqa: E402
from emotion_core.export.places import BLOCK, fold, place_conv, place_linear, whole  # noqa: E402
from emotion_core.export.verify import probes  # noqa: E402
from emotion_core.models.audiovisual import FUSIONS  # noqa: E402
from emotion_core.models.audiovisual_stream import as_stream  # noqa: E402
from emotion_core.models.registry import build, describe, entry_of, named_outputs  # noqa: E402
from emotion_core.runtime.classifier import Classifier  # noqa: E402

LABELS = ("a", "b", "c")


def lively(**config):
    """A network with a card, whose answers depend on what it sees, in normalisations too."""
    network = build({"num_classes": len(LABELS), **config}, seed=0)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                torch.nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
                torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
                torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.uniform_(module.bias, -0.2, 0.2)
    return network.eval(), describe(entry_of(network), "x", LABELS, "none")


def answers(network, card, count=3):
    inputs = probes(card.inputs, count)
    with torch.no_grad():
        result = network(*(torch.from_numpy(batch) for batch in inputs.values()))
    return {name: value.numpy() for name, value in named_outputs(card.outputs, result).items()}, inputs


def check_same(found, wanted):
    """Within 1e-4 of the largest number, and of a network that does not say the same of everything."""
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        scale = np.abs(value).max()
        assert np.ptp(value, axis=0).max() > 0.05 * scale
        np.testing.assert_allclose(found[name] / scale, value / scale, atol=1e-4)


@pytest.mark.parametrize(
    ("architecture", "config"),
    [
        *(("audiovisual", {"fusion": fusion, "image_size": 64, "frames": 3}) for fusion in FUSIONS),
        ("audiovisual", {"image_size": 224, "frames": 1}),
        ("efficientface", {"image_size": 96}),
        ("efficientface", {"image_size": 32}),
    ],
)
def test_the_same_in_torch(architecture, config):
    network, card = lively(type=architecture, **config)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    check_same(answers(blocked(network), card)[0], answers(network, card)[0])
    after = network.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(value, after[name]) for name, value in before.items())


def test_the_same_for_streams_in_onnx(tmp_path):
    stream, card = as_stream(*lively(type="audiovisual", image_size=64, frames=3))
    wanted, inputs = answers(stream, card)
    export_onnx(stream, card, tmp_path / "stream.onnx")
    found = Classifier(tmp_path / "stream.onnx").run(inputs)
    check_same(found, wanted)
    assert set(found) == {"logits", "feature"} and found["feature"].shape == (3, 1024)


def test_onnx_runtime_leaves_the_blocks_only_where_it_has_to(tmp_path):
    """What its optimiser makes of the exported network: no channels are picked, and maps hardly turned."""
    network, card = lively(type="efficientface", image_size=64)
    export_onnx(network, card, tmp_path / "network.onnx")
    wanted, inputs = answers(network, card)
    check_same(Classifier(tmp_path / "network.onnx").run(inputs), wanted)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(tmp_path / "network.onnx"), options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(str(tmp_path / "optimised.onnx")).graph.node
    kinds = Counter(node.op_type for node in nodes)
    assert not kinds["Gather"] and not kinds["Split"] and not kinds["Slice"]
    if kinds["ReorderOutput"]:  # a processor for which ONNX Runtime has blocks
        assert {node.domain for node in nodes if "Conv" in node.op_type} == {"com.microsoft.nchwc"}
        # The quadrants are put together and the gates multiplied without blocks, and the features come out.
        assert kinds["ReorderInput"] <= 1 and kinds["ReorderOutput"] <= 7


def test_layers_at_other_places_compute_the_same():
    torch.manual_seed(0)
    conv, linear, x = torch.nn.Conv2d(3, 2, 3), torch.nn.Linear(3, 2), torch.rand(2, 3, 5, 5)
    taken, given = (2, None, 0, 1), (None, 1, 0)
    moved = torch.stack([torch.rand(2, 5, 5) if c is None else x[:, c] for c in taken], 1)
    with torch.no_grad():
        found, wanted = place_conv(conv, taken, given)(moved), conv(x)
        torch.testing.assert_close(found[:, 1:], wanted.flip(1))
        assert not found[:, 0].any()
        found = place_linear(linear, taken, given)(moved[..., 0, 0])
        torch.testing.assert_close(found[:, 1:], linear(x[..., 0, 0]).flip(1))
    alone = torch.nn.Conv2d(3, 3, 3, groups=3)
    with torch.no_grad():
        found = place_conv(alone, taken, taken)(moved)
        torch.testing.assert_close(found[:, [2, 3, 0]], alone(x))
        norm = torch.nn.BatchNorm2d(2).eval()
        norm.running_mean.uniform_()
        torch.testing.assert_close(fold(conv.eval(), norm)(x), norm(conv(x)))


def test_whole_blocks():
    assert whole(range(BLOCK)) == tuple(range(BLOCK))
    assert whole([5, 3]) == (5, 3) + (None,) * (BLOCK - 2)


def test_other_networks_stay_as_they_are():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 29, 3), torch.nn.BatchNorm2d(29))
    assert blocked(network) is network
