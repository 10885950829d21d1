"""How tensors lie in memory, which on a CPU decides how fast a training is."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor, nn

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_GIB = 1 << 30


def reuse_freed_memory() -> bool:
    """Let glibc keep freed blocks for the next allocation; returns False where malloc has no such setting.

    Training on a CPU allocates and frees the same activations at every step. By default glibc takes each one from mmap
    and gives it back, and faulting its pages in again, 4 KiB at a time, takes longer than batch normalisation itself.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    settings = ((_M_MMAP_THRESHOLD, _GIB), (_M_TRIM_THRESHOLD, 2 * _GIB - 1), (_M_TOP_PAD, _GIB // 4))
    done = [bool(mallopt(option, value)) for option, value in settings]
    return all(done)


def pixels_apart(faces: Tensor) -> Tensor:
    """The same grey faces (N, 1, S, S), strided so that a network in channels_last computes in that layout throughout.

    With a single channel both layouts are the same in memory, PyTorch takes the strides for the other one, and the
    first and largest layer is slow.
    """
    return faces.squeeze(1).unsqueeze(-1).permute(0, 3, 1, 2)


def in_layout(inputs: Tensor) -> Tensor:
    """Pictures (N, C, H, W) in the layout of ``channels_last``; anything else as it is."""
    if inputs.ndim != 4:
        return inputs
    return pixels_apart(inputs) if inputs.shape[1] == 1 else inputs.contiguous(memory_format=torch.channels_last)


def channels_last(model: nn.Module) -> None:
    """Give a network the memory layout that convolutions are fastest in on a CPU."""
    for parameter in model.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
