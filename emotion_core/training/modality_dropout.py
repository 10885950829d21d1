"""Batches in which a sense is missing, weak or noise, so that a network learns to do without.

Chumachenko, Iosifidis, Gabbouj: Self-attention fusion for audiovisual emotion recognition with incomplete data. ICPR
2022. https://arxiv.org/abs/2201.11095
"""

from __future__ import annotations

import torch
from torch import Tensor

_STEPS = 100  # of the weights in zerodrop: 0, 0.01 to 0.99


def drop(
    clips: Tensor, sounds: Tensor, targets: Tensor, kind: str, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Add incomplete copies to a batch, and mix all of it.

    'nodrop' changes nothing. 'noisedrop' gives three batches: as it is; noise for sound; noise for clips. 'zerodrop'
    gives four: as it is; the sound times c and the clip times 1 - c, one c in {0, 0.01, ..., 0.99} a sample; no sound;
    no clip.

    Args:
        clips: (N, channels, frames, height, width) float32.
        sounds: (N, coefficients, steps) float32.
        targets: (N,).
        kind: one of the three.
        generator: the only source of randomness, on the CPU wherever the batch is.

    Returns:
        The same with 1, 3 or 4 times as many samples, in one random order for all of them.
    """
    if kind == "nodrop":
        return clips, sounds, targets
    if kind == "noisedrop":
        clips = torch.cat([clips, clips, _noise(clips, generator)])
        sounds = torch.cat([sounds, _noise(sounds, generator), sounds])
    else:
        c = (torch.randint(_STEPS, (len(clips),), generator=generator) / _STEPS).to(clips.device)
        clips = torch.cat([clips, clips * (1 - c)[:, None, None, None, None], clips, torch.zeros_like(clips)])
        sounds = torch.cat([sounds, sounds * c[:, None, None], torch.zeros_like(sounds), sounds])
    targets = targets.repeat(len(clips) // len(targets))
    order = torch.randperm(len(clips), generator=generator).to(clips.device)
    return clips[order], sounds[order], targets[order]


def _noise(like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(like.shape, generator=generator).to(like.device)
