"""Weights of dlib's face recognition network, as face-api.js hands them out.

A manifest lists names, shapes and, for tensors of bytes, scale and least value; one file beside it holds the tensors in
that order. The npm package ``@vladmandic/face-api`` has both (``model/face_recognition_model-weights_manifest.json``
and ``face_recognition_model.bin``); dlib's weights are in the public domain (CC0).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.models.face_resnet import CHANNELS, PUBLISHED_BLOCKS, Block, FaceResnet

_DTYPES: dict[str, np.dtype[Any]] = {"uint8": np.dtype("u1"), "float32": np.dtype("<f4")}


def read_face_recognition(manifest: str | Path) -> dict[str, NDArray[np.float32]]:
    """The tensors by name; filters are (height, width, in, out).

    Raises:
        EmotionError: a file is missing, or the two do not belong together.
    """
    manifest = Path(manifest)
    try:
        groups = json.loads(manifest.read_text())
        entries = [entry for group in groups for entry in group["weights"]]
        data = b"".join((manifest.parent / _beside(path)).read_bytes() for group in groups for path in group["paths"])
        tensors, start = {}, 0
        for entry in entries:
            quantized = entry.get("quantization")
            dtype = _DTYPES[quantized["dtype"] if quantized else entry["dtype"]]
            count = int(np.prod(entry["shape"]))
            values = np.frombuffer(data, dtype, count, start).astype(np.float32).reshape(entry["shape"])
            start += count * dtype.itemsize
            if quantized:
                values = values * np.float32(quantized["scale"]) + np.float32(quantized["min"])
            tensors[entry["name"]] = values
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EmotionError(
            f"{manifest} is no manifest of face recognition weights with its file beside it: {error}"
        ) from None
    if start != len(data):
        raise EmotionError(f"{manifest} lists {start} bytes of weights, the file beside it has {len(data)}")
    return tensors


@torch.no_grad()
def start_from_face_recognition(model: FaceResnet, manifest: str | Path) -> str:
    """Put the published layers into a network, which then sees faces as they do; its classifier stays as it is.

    The published layers have no statistics of their own, since those were merged into them: call
    ``training.statistics.settle`` with a few hundred faces before training.

    Args:
        model: changed in place; in evaluation mode. A grey network gets the sum of what is seen in the three colours.

    Returns:
        In words, what was taken over.

    Raises:
        EmotionError: see ``read_face_recognition``; or the network has more blocks in a stage than were published.
    """
    tensors = read_face_recognition(manifest)
    blocks = model.config.blocks
    if any(wanted > there for wanted, there in zip(blocks, PUBLISHED_BLOCKS, strict=False)):
        raise EmotionError(f"{manifest} has {PUBLISHED_BLOCKS} blocks in its stages, the network wants {blocks}")
    try:
        filters = tensors["conv32_down/conv/filters"]
        if model.config.in_channels == 1:
            filters = filters.sum(2, keepdims=True)
        _put(model.conv, model.bn, "conv32_down", {**tensors, "conv32_down/conv/filters": filters})
        layers = 1
        for index, stage in enumerate(model.stages):
            for position, block in enumerate(stage.children()):
                assert isinstance(block, Block)
                name = _block_name(index, position)
                for number, conv, norm in ((1, block.conv1, block.bn1), (2, block.conv2, block.bn2)):
                    _put(conv, norm, f"{name}/conv{number}", tensors)
                    layers += 1
    except KeyError as error:
        raise EmotionError(f"{manifest} holds another network: it has no {error}") from None
    except (RuntimeError, ValueError) as error:
        raise EmotionError(f"{manifest} holds another network: {error}") from None
    return f"{layers} layers of a face recognition network taken over; the classifier is new"


def _block_name(stage: int, position: int) -> str:
    if stage == 0:
        return f"conv{CHANNELS[0]}_{position + 1}"
    if stage == len(CHANNELS) - 1:
        return f"conv{CHANNELS[stage]}_down_out"
    return f"conv{CHANNELS[stage]}_{position or 'down'}"


def _put(conv: torch.nn.Conv2d, norm: torch.nn.BatchNorm2d, name: str, tensors: dict[str, NDArray[np.float32]]) -> None:
    """Filters, and the affine layer behind them as a normalisation that does nothing else."""
    scale = torch.from_numpy(tensors[f"{name}/scale/weights"])
    bias = torch.from_numpy(tensors[f"{name}/conv/bias"])
    filters = np.ascontiguousarray(tensors[f"{name}/conv/filters"].transpose(3, 2, 0, 1))
    conv.weight.copy_(torch.from_numpy(filters))
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.zero_()
    norm.running_var.fill_(1.0)
    norm.weight.copy_(scale * (1.0 + norm.eps) ** 0.5)
    norm.bias.copy_(torch.from_numpy(tensors[f"{name}/scale/biases"]) + scale * bias)


def _beside(path: str) -> str:
    """A name in the manifest's own folder, and nothing else; raises ValueError."""
    if Path(path).name != path:
        raise ValueError(f"the file {path!r} is not beside the manifest")
    return path
