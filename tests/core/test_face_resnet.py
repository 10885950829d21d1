"""The network that starts from published face recognition weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from emotion_core.errors import EmotionError  # noqa: E402
from emotion_core.export.face_recognition_files import (  # noqa: E402
    read_face_recognition,
    start_from_face_recognition,
)
from emotion_core.models.face_resnet import (  # noqa: E402
    CHANNELS,
    PUBLISHED_BLOCKS,
    FaceResnet,
    FaceResnetConfig,
)
from emotion_core.models.registry import build, preset  # noqa: E402
from emotion_core.training.statistics import settle  # noqa: E402
from emotion_core.training.trained import load_any_start  # noqa: E402

SHARED = Path(__file__).resolve().parents[3] / "shared"
MANIFEST = SHARED / "models" / "face_recognition_model-weights_manifest.json"


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """A file of the published layout with random weights."""
    folder, rng = tmp_path_factory.mktemp("weights"), np.random.default_rng(0)
    entries, data = [], b""

    def add(name, shape):
        nonlocal data
        low, scale = (0.5, 0.01) if "scale/weights" in name else (-0.06, 0.12 / 255)
        entries.append(
            {"name": name, "shape": list(shape), "dtype": "float32",
             "quantization": {"dtype": "uint8", "scale": scale, "min": low}}
        )  # fmt: skip
        data += rng.integers(0, 256, shape, np.uint8).tobytes()

    def layer(name, side, channels_in, channels):
        add(f"{name}/conv/filters", (side, side, channels_in, channels))
        for rest in ("conv/bias", "scale/weights", "scale/biases"):
            add(f"{name}/{rest}", (channels,))

    layer("conv32_down", 7, 3, 32)
    channels = 32
    for index, count in enumerate(PUBLISHED_BLOCKS):
        wanted = CHANNELS[index]
        for position in range(count):
            name = f"conv32_{position + 1}" if not index else f"conv{wanted}_{position or 'down'}"
            name = "conv256_down_out" if index == 4 else name
            layer(f"{name}/conv1", 3, channels, wanted)
            layer(f"{name}/conv2", 3, wanted, wanted)
            channels = wanted
    (folder / "weights.bin").write_bytes(data)
    path = folder / "manifest.json"
    path.write_text(json.dumps([{"weights": entries, "paths": ["weights.bin"]}]))
    return path


def by_hand(tensors, image, blocks):
    """The published network in numpy-like steps, without batch normalisation: (N, 3, S, S) -> (N, channels)."""
    functional = torch.nn.functional

    def affine(x, name):
        scale, bias = (torch.from_numpy(tensors[f"{name}/scale/{part}"]) for part in ("weights", "biases"))
        return x * scale[:, None, None] + bias[:, None, None]

    def conv(x, name, stride, padding):
        filters = torch.from_numpy(tensors[f"{name}/conv/filters"].transpose(3, 2, 0, 1).copy())
        return affine(
            functional.conv2d(x, filters, torch.from_numpy(tensors[f"{name}/conv/bias"]), stride, padding), name
        )

    x = functional.max_pool2d(torch.relu(conv(image, "conv32_down", 2, 0)), 3, 2)
    for index, count in enumerate(blocks):
        for position in range(count):
            size = CHANNELS[index]
            down = index > 0 and position == 0
            name = f"conv32_{position + 1}" if not index else f"conv{size}_{position or 'down'}"
            name = "conv256_down_out" if index == 4 else name
            y = torch.relu(conv(x, f"{name}/conv1", 2 if down else 1, 0 if down else 1))
            y = conv(y, f"{name}/conv2", 1, 1)
            if down:
                x = functional.avg_pool2d(x, 2)
                grown = torch.zeros(len(x), y.shape[1], max(x.shape[2], y.shape[2]), max(x.shape[3], y.shape[3]))
                grown[:, : x.shape[1], : x.shape[2], : x.shape[3]] = x
                grown[:, :, : y.shape[2], : y.shape[3]] += y
                x = torch.relu(grown)
            else:
                x = torch.relu(x + y)
    return x.mean((2, 3))


@torch.no_grad()
def test_it_sees_what_the_published_layers_see(manifest):
    config = FaceResnetConfig(8, 150, 3, PUBLISHED_BLOCKS)
    model = FaceResnet(config).eval()
    assert "29 layers" in start_from_face_recognition(model, manifest)
    faces = torch.rand(2, 3, 150, 150, generator=torch.Generator().manual_seed(0))
    centred = faces - faces.mean((1, 2, 3), keepdim=True)
    scaled = centred * (0.22 / torch.sqrt((centred**2).mean((1, 2, 3), keepdim=True) + 1e-4))
    expected = by_hand(read_face_recognition(manifest), scaled, PUBLISHED_BLOCKS)
    assert expected.std() > 0.01
    torch.testing.assert_close(model.features(faces), expected, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_a_grey_face_is_seen_like_one_of_three_equal_colours(manifest):
    grey, colour = (FaceResnet(FaceResnetConfig(8, 64, channels, (1, 1))).eval() for channels in (1, 3))
    for model in (grey, colour):
        start_from_face_recognition(model, manifest)
    face = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(grey.features(face), colour.features(face.expand(-1, 3, -1, -1)), rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_settling_changes_the_statistics_and_not_the_answers(manifest):
    model = FaceResnet(FaceResnetConfig(8, 64, 1, (2, 2, 1))).eval()
    start_from_face_recognition(model, manifest)
    faces = torch.rand(64, 1, 64, 64, generator=torch.Generator().manual_seed(2))
    before = model(faces).logits
    settle(model, faces)
    torch.testing.assert_close(model(faces).logits, before, rtol=1e-3, atol=1e-4)
    model.train()
    model.drop.p = 0.0
    # In training a batch's own statistics count: now they are those that are kept.
    torch.testing.assert_close(model(faces).logits, before, rtol=1e-3, atol=1e-3)


def test_it_starts_by_its_manifest_as_any_network_by_a_file(manifest, tmp_path):
    model = build(preset("face_resnet_compact"), "test", 0)
    assert "layers of a face recognition network" in load_any_start(manifest, model, model_labels())
    with pytest.raises(EmotionError, match=r"blocks in its stages, the network wants"):
        load_any_start(manifest, FaceResnet(FaceResnetConfig(blocks=(4,))), model_labels())
    broken = tmp_path / "manifest.json"
    broken.write_text("[]x")
    with pytest.raises(EmotionError, match="is no manifest"):
        load_any_start(broken, model, model_labels())
    broken.write_text(manifest.read_text())
    with pytest.raises(EmotionError, match="is no manifest"):
        load_any_start(broken, model, model_labels())  # the weights are not beside it
    (tmp_path / "weights.bin").write_bytes((manifest.parent / "weights.bin").read_bytes() + b"more")
    with pytest.raises(EmotionError, match="the file beside it has"):
        load_any_start(broken, model, model_labels())
    broken.write_text(manifest.read_text().replace("weights.bin", "../weights.bin"))
    with pytest.raises(EmotionError, match="not beside the manifest"):
        load_any_start(broken, model, model_labels())


def model_labels():
    return tuple("abcdefgh")


@pytest.mark.parametrize(
    "wrong",
    [
        {"image_size": 32}, {"image_size": 48}, {"inner_size": 40, "image_size": 48}, {"in_channels": 2},
        {"blocks": ()}, {"blocks": (1, 0)}, {"blocks": (1, 1, 1, 1, 1, 1)}, {"dropout": 1.0},
        {"num_classes": 1}, {"depth": 3},
    ],
)  # fmt: skip
def test_a_wrong_configuration_is_refused(wrong):
    with pytest.raises(ValueError):
        FaceResnetConfig.from_dict({**FaceResnetConfig().to_dict(), **wrong})


@torch.no_grad()
def test_exposure_and_contrast_do_not_count_and_small_faces_are_enlarged():
    model = build(preset("face_resnet_compact"), "test", 0)
    faces = torch.rand(3, 1, 48, 48, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.2
    torch.testing.assert_close(model(faces * 0.5 + 0.1).logits, model(faces).logits, atol=2e-2, rtol=1e-2)
    assert model(faces).affect.shape == (3, 2)
    assert sum(p.numel() for p in model.parameters()) < 3_300_000


@torch.no_grad()
def test_two_photos_of_one_face_are_closer_than_two_faces():
    if not MANIFEST.is_file():
        pytest.skip("needs ../shared/models")
    cv2 = pytest.importorskip("cv2")
    clips = SHARED / "data" / "clips"
    model = FaceResnet(FaceResnetConfig(8, 150, 3, PUBLISHED_BLOCKS)).eval()
    start_from_face_recognition(model, MANIFEST)
    seen = []
    for name, box in (("d18.mp4", (0, 480, 0, 480)), ("wda_aoc.mp4", (0, 512, 0, 512))):
        video = cv2.VideoCapture(str(clips / name))
        frames = []
        for _ in range(60):
            frames.append(video.read()[1])
        for frame in (frames[0], frames[59]):
            face = cv2.resize(frame[box[0] : box[1], box[2] : box[3]], (150, 150), interpolation=cv2.INTER_AREA)
            seen.append(torch.from_numpy(face[..., ::-1].copy()).permute(2, 0, 1)[None] / 255)
    first, later, other, _ = torch.nn.functional.normalize(model.features(torch.cat(seen)))
    assert (first - later).norm() < 0.5 * (first - other).norm()
