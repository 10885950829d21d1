"""Faces as bad cameras show them: far away, out of focus, in the dark, noisy, compressed.

Hendrycks, Dietterich: Benchmarking Neural Network Robustness to Common Corruptions and Perturbations. ICLR 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emotion_core.training.settings import check_ranges

_CHANCE = 0.35  # of each of the changes, for a face that is changed


@dataclass(frozen=True)
class DegradeConfig:
    """What may happen to a face; each happens to a third of the faces that are changed.

    Raises:
        EmotionError: a value is out of range.
    """

    share: float = 0.5
    """Probability that anything happens to a face."""
    shrink: float = 0.3
    """Smallest size, as a share of the side, to which a face is shrunk and enlarged again."""
    blur: float = 0.03
    """Largest standard deviation of a Gaussian blur, as a share of the side."""
    dark: float = 0.2
    """Least light, of 1; the pixels are then rounded to whole numbers."""
    noise: float = 0.05
    """Largest standard deviation of the noise, of pixels in [0, 1]."""
    jpeg: int = 25
    """Lowest quality of a JPEG; 100 leaves that out."""

    def __post_init__(self) -> None:
        check_ranges(
            self, share="[0, 1]", shrink="[0.05, 1]", blur="[0, 0.5]", dark="[0.02, 1]", noise="[0, 1]", jpeg="[1, 100]"
        )  # fmt: skip


def degrade(faces: Tensor, config: DegradeConfig, generator: torch.Generator) -> Tensor:
    """A copy of a batch in which some faces are worse.

    Args:
        faces: (N, C, S, S) float32 in [0, 1].
        generator: the only source of randomness, on the CPU wherever the faces are.
    """
    draws = torch.rand(len(faces), 11, generator=generator).numpy()
    changed = draws[:, 0] < config.share
    if not changed.any():
        return faces
    noise = torch.randn(int(changed.sum()), *faces.shape[1:], generator=generator).numpy()
    result = faces.cpu().numpy().copy()
    for i, own in zip(np.flatnonzero(changed), noise, strict=True):
        planes = [_worse(plane, draws[i, 1:], config, grain) for plane, grain in zip(result[i], own, strict=True)]
        result[i] = np.stack(planes)
    return torch.from_numpy(result).to(faces.device)


def _worse(
    face: NDArray[np.float32], draws: NDArray[np.float32], config: DegradeConfig, grain: NDArray[np.float32]
) -> NDArray[np.float32]:
    """One channel, in the order in which light passes: lens, distance, exposure, sensor, compression."""
    happens, strength = draws[:5] < _CHANCE, draws[5:]
    side = face.shape[0]
    if happens[0] and (sigma := float(strength[0]) * config.blur * side) > 0.1:
        face = cv2.GaussianBlur(face, (0, 0), sigma)  # type: ignore[assignment]
    if happens[1] and (small := round(side * config.shrink ** float(strength[1]))) < side:
        shrunk = cv2.resize(face, (small, small), interpolation=cv2.INTER_AREA)
        face = cv2.resize(shrunk, (side, side), interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
    if happens[2] and config.dark < 1:
        light = config.dark ** float(strength[2])
        face = np.round(face * (255 * light)) / np.float32(255)
        grain = grain * light
    if happens[3]:
        face = face + grain * np.float32(config.noise * strength[3])
    face = np.clip(face, 0, 1)
    if happens[4] and (quality := round(100 - float(strength[4]) * (100 - config.jpeg))) < 100:
        data = cv2.imencode(".jpg", np.asarray(face * 255, np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        decoded = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
        assert decoded is not None
        face = decoded.astype(np.float32) / np.float32(255)
    return face
