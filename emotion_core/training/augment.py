"""Augmentation of whole batches of small faces, reproducible from a torch.Generator."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from emotion_core.errors import EmotionError
from emotion_core.training.degrade import DegradeConfig, degrade
from emotion_core.training.settings import check_ranges, from_mapping


@dataclass(frozen=True)
class AugmentConfig:
    """Strength of each augmentation; zero switches one off, scale and gamma 1.

    Raises:
        EmotionError: a value is out of range.
    """

    flip: float = 0.5
    """Probability of a mirror image."""
    rotation_deg: float = 10.0
    scale: float = 1.15
    """Zoom is drawn log-uniformly from [1/scale, scale]."""
    only_enlarge: bool = False
    """Draw the zoom from [1, scale]."""
    translate: float = 0.08
    """Largest shift as a share of the side."""
    gamma: float = 1.4
    """Exponent is drawn log-uniformly from [1/gamma, gamma]."""
    brightness: float = 0.0
    """The face is multiplied by a number from [1 - brightness, 1 + brightness]."""
    contrast: float = 0.2
    erase: float = 0.3
    """Probability of covering a rectangle with noise."""
    erase_side: float = 0.35
    """Largest side of that rectangle as a share of the face."""
    yaw_deg: float = 0.0
    """Largest turn of the head to a side; the face is taken for the front of a cylinder."""
    degrade: DegradeConfig | None = None
    """What bad cameras do, after everything else."""

    def __post_init__(self) -> None:
        check_ranges(
            self, flip="[0, 1]", rotation_deg="[0, 180]", scale="[1, 4]", translate="[0, 1]", gamma="[1, 10]",
            brightness="[0, 1]", contrast="[0, 1]", erase="[0, 1]", erase_side="[0.1, 1]", yaw_deg="[0, 60]",
        )  # fmt: skip
        if not isinstance(self.only_enlarge, bool):
            raise EmotionError(f"only_enlarge must be true or false, got {self.only_enlarge!r}")
        if isinstance(self.degrade, Mapping):  # as recipes and checkpoints have it
            object.__setattr__(self, "degrade", from_mapping(DegradeConfig, self.degrade, "what bad cameras do"))

    def calmed(self) -> AugmentConfig:
        """Half as strong and without erasing, for the end of a training: closer to the faces that will be seen.

        He et al.: Data Augmentation Revisited: Rethinking the Distribution Gap between Clean and Augmented Data. 2019.
        """
        return replace(
            self,
            rotation_deg=self.rotation_deg / 2,
            scale=self.scale**0.5,
            translate=self.translate / 2,
            gamma=self.gamma**0.5,
            brightness=self.brightness / 2,
            contrast=self.contrast / 2,
            erase=0.0,
            yaw_deg=self.yaw_deg / 2,
        )


PAPER = AugmentConfig(
    rotation_deg=30.0,
    scale=1.25,
    only_enlarge=True,
    translate=0.1,
    gamma=1.0,
    brightness=0.5,
    contrast=0.5,
    erase=0.0,
)
"""What the authors of ESR train with."""


def augment(faces: Tensor, config: AugmentConfig, generator: torch.Generator, side: int | None = None) -> Tensor:
    """Return a randomly changed copy of a batch.

    Args:
        faces: (N, C, S, S) float32 in [0, 1].
        config: strengths.
        generator: the only source of randomness, on the CPU wherever the faces are.
        side: of the result in pixels; that of the input when not given.

    Returns:
        (N, C, side, side) float32 in [0, 1].
    """
    n, side = faces.shape[0], side or faces.shape[-1]

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return (low + (high - low) * torch.rand(n, *shape, generator=generator)).to(faces.device)

    angle = uniform(-1.0, 1.0) * math.radians(config.rotation_deg)
    # The grid is what is sampled: a factor below 1 enlarges the face.
    zoom = torch.exp(uniform(-1.0, 0.0 if config.only_enlarge else 1.0) * math.log(config.scale))
    mirror = torch.where(uniform(0.0, 1.0) < config.flip, -1.0, 1.0)
    shift = uniform(-2.0, 2.0, 2) * config.translate  # grid coordinates span two units
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    theta = torch.stack(
        [torch.stack([mirror * cos, -sin, shift[:, 0]], 1), torch.stack([mirror * sin, cos, shift[:, 1]], 1)],
        1,
    )
    grid = functional.affine_grid(theta, [n, faces.shape[1], side, side], align_corners=False)
    if config.yaw_deg > 0:
        grid = _turned(grid, uniform(-1.0, 1.0, 1, 1) * math.radians(config.yaw_deg))
    faces = functional.grid_sample(faces, grid, padding_mode="border", align_corners=False)

    exponent = torch.exp(uniform(-1.0, 1.0, 1, 1, 1) * math.log(config.gamma))
    faces = faces.clamp(1e-4, 1.0).pow(exponent)
    if config.brightness > 0:
        faces = (faces * (1.0 + uniform(-1.0, 1.0, 1, 1, 1) * config.brightness)).clamp(0.0, 1.0)
    mean = faces.mean(dim=(1, 2, 3), keepdim=True)
    faces = ((faces - mean) * (1.0 + uniform(-1.0, 1.0, 1, 1, 1) * config.contrast) + mean).clamp(0.0, 1.0)

    if config.erase > 0:
        span = uniform(0.1, config.erase_side, 2) * side
        start = uniform(0.0, 1.0, 2) * (side - span)
        pixels = torch.arange(side, device=faces.device) + 0.5
        rows = (pixels >= start[:, :1]) & (pixels < (start + span)[:, :1])
        columns = (pixels >= start[:, 1:]) & (pixels < (start + span)[:, 1:])
        chosen = uniform(0.0, 1.0, 1, 1) < config.erase
        covered = (rows[:, :, None] & columns[:, None, :] & chosen)[:, None]
        noise = torch.rand(faces.shape, generator=generator).to(faces.device)
        faces = torch.where(covered, noise, faces)
    return faces if config.degrade is None else degrade(faces, config.degrade, generator)


_RADIUS = 0.9  # of the cylinder, in half sides of the picture


def _turned(grid: Tensor, angles: Tensor) -> Tensor:
    """Where the points (N, H, W, 2) of a head turned by angles (N, 1, 1) are on the head that looks ahead."""
    x = grid[..., 0]
    around = torch.asin((x / _RADIUS).clamp(-1, 1)) - angles
    on_head = _RADIUS * torch.sin(around.clamp(-math.pi / 2, math.pi / 2))
    return torch.stack([torch.where(x.abs() < _RADIUS, on_head, x), grid[..., 1]], -1)
