"""EfficientFace for ONNX Runtime: channels in whole blocks, and no shuffles.

On a CPU, ONNX Runtime keeps maps in blocks of 8 or 16 channels. Where a number of channels is no multiple of that (29
and 58 are none), or channels are picked and mixed, it turns maps back and forth and computes slowly. But which unit
takes which channel is known beforehand. So each convolution here writes its channels in groups, one for each unit that
will take some; what a unit takes is then whole tensors, whose order is made up for in its weights. Every tensor has
whole blocks, with zeros in the rest.

The weights are those of the network, moved: the values are the same but for rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_linear_bn_eval

from emotion_core.export.places import BLOCK, Places, fold, place_conv, place_linear, whole
from emotion_core.models.efficientface import FEATURES, FaceFeatures


def blocked(model: nn.Module) -> nn.Module:
    """A copy that computes the same in whole blocks, for export; what has no EfficientFace in it stays as it is."""
    if not any(isinstance(module, FaceFeatures) for module in model.modules()):
        return model
    model = copy.deepcopy(model).eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, FaceFeatures):
            _rebuild(module)
    return model


def _rebuild(network: FaceFeatures) -> None:
    """Replace the layers; what ``features`` does with them stays."""
    stem = fold(network.conv1[0], network.conv1[1])
    channels = range(stem.out_channels)
    # The local features have four channels for each of the stem, and are added to what stage 2 gives: the ones that it
    # wrote first come first. With four units these are the multiples of 8, then those of 4, of 2, and the odd ones.
    first = whole(channels[::2]) + whole(channels[1::2])
    second = tuple(None if c is None else 4 * c + rest for rest in (0, 2, 1, 3) for c in first)
    network.conv1 = nn.Sequential(place_conv(stem, (0, 1, 2), first), nn.ReLU())
    network.local = _LocalFeatures(network.local, first, second)  # type: ignore[assignment]
    _move_gates(network.modulator, second)
    taken = first
    for number in (2, 3, 4):
        stage = _Stage(network.get_submodule(f"stage{number}"), taken, second if number == 2 else None)
        network.add_module(f"stage{number}", stage)
        taken = stage.given
    last = place_conv(fold(network.conv5[0], network.conv5[1]), taken, tuple(range(FEATURES)))
    network.conv5 = nn.Sequential(last, nn.ReLU(), nn.AdaptiveAvgPool2d(1))


class _Stage(nn.Module):
    """The units of a stage, between which the map is in pieces.

    Args:
        stage: of the network.
        taken: places of its input.
        wanted: places of its output, if these matter.
    """

    def __init__(self, stage: nn.Module, taken: Places, wanted: Places | None = None) -> None:
        super().__init__()
        self.units, pieces = nn.ModuleList(), [taken]
        units = list(stage.children())
        for later, unit in zip(reversed(range(len(units))), units, strict=True):
            self.units.append(new := _Unit(unit, pieces, later, wanted))
            pieces = new.pieces
        self.given: Places = sum(pieces, ())
        assert wanted in (None, self.given)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H/2, W/2), places as in ``given``."""
        pieces = [x]
        for unit in self.units:
            pieces = unit(pieces)
        return torch.cat(pieces, 1)


class _Unit(nn.Module):
    """Takes some pieces, makes new ones, and leaves the others as they are.

    Args:
        unit: of the network.
        pieces: places of each, the channels numbered as the network does before this unit.
        later: units of the stage that follow.
        wanted: see ``_Stage``.
    """

    def __init__(self, unit: Any, pieces: Sequence[Places], later: int, wanted: Places | None) -> None:
        super().__init__()
        half, branches = unit.split, [unit.branch2]
        first = half  # of the channels that it takes; the others pass by
        if unit.stride > 1:
            first, branches = 0, [unit.branch1, *branches]
        self.taken = [i for i, piece in enumerate(pieces) if any(c is not None and c >= first for c in piece)]
        self.left = [i for i, piece in enumerate(pieces) if any(c is not None and c < first for c in piece)]
        taken = tuple(None if c is None or c < first else c - first for i in self.taken for c in pieces[i])
        self.pieces = [tuple(None if c is None or c >= first else 2 * c for c in pieces[i]) for i in self.left]
        ways = [_split(branch, taken) for branch in branches]
        self.ways, self.makers = nn.ModuleList(way for way, _, _ in ways), nn.ModuleList()
        written = [list(range(start, 2 * half, 2)) for start in range(2 - len(branches), 2)]
        for group in _groups(written, half, later):
            piece = _arrange(sorted(chain(*group)), later, wanted)
            self.pieces.append(piece)
            convs = {
                i: place_conv(ways[i][1], ways[i][2], tuple(c // 2 if c in own else None for c in piece))
                for i, own in enumerate(group)
                if own
            }
            self.makers.append(_Sum(convs.values(), list(convs)))

    def forward(self, pieces: Sequence[Tensor]) -> list[Tensor]:
        """Pieces (N, C_i, H, W) -> pieces (N, C'_i, H/stride, W/stride), places as in ``pieces`` of this unit."""
        x = torch.cat([pieces[i] for i in self.taken], 1) if len(self.taken) > 1 else pieces[self.taken[0]]
        seen = [way(x) for way in self.ways]
        return [pieces[i] for i in self.left] + [make(seen) for make in self.makers]


class _Sum(nn.Module):
    """Convolutions of some of the inputs, added: each fills places that are zero in the others."""

    def __init__(self, convs: Iterable[nn.Conv2d], inputs: list[int]) -> None:
        super().__init__()
        self.convs, self.inputs = nn.ModuleList(convs), inputs

    def forward(self, inputs: Sequence[Tensor]) -> Tensor:
        """Inputs (N, C_i, H, W) -> (N, C', H, W)."""
        first, *others = (conv(inputs[i]) for conv, i in zip(self.convs, self.inputs, strict=True))
        return sum(others, first).relu()


def _split(branch: nn.Module, taken: Places) -> tuple[nn.Module, nn.Conv2d, Places]:
    """A branch without its last convolution, that convolution, and the places between the two."""
    layers: list[Any] = list(branch.children())
    last = fold(*layers[-3:-1])
    if len(layers) == 5:  # depthwise, 1x1
        return place_conv(fold(*layers[:2]), taken, taken), last, taken
    inner = whole(range(last.in_channels))  # 1x1, depthwise, 1x1
    expand, depthwise = place_conv(fold(*layers[:2]), taken, inner), place_conv(fold(*layers[3:5]), inner, inner)
    return nn.Sequential(expand, nn.ReLU(), depthwise), last, inner


def _groups(written: list[list[int]], half: int, later: int) -> list[list[list[int]]]:
    """Which channels go into a piece together: those that the same unit takes, or that are left at the end.

    Args:
        written: for each branch, the numbers of its channels after the unit.
        half, later: see ``_Unit``.

    Returns:
        For each piece its channels of each branch. Few go together with fewer; both branches write one piece where
        this saves a block.
    """

    def passed(channel: int) -> int:
        """By how many units; each one that a channel passes doubles its number."""
        return next((count for count in range(later) if channel << count >= half), later)

    groups = [[[c for c in own if passed(c) == count] for own in written] for count in range(later + 1)]
    groups = [group for group in groups if any(group)]
    while len(groups) > 1 and sum(len(own) for group in groups[-2:] for own in group) <= BLOCK:
        few = groups.pop()
        groups[-1] = [more + fewer for more, fewer in zip(groups[-1], few, strict=True)]
    pieces = []
    for group in groups:
        apart = [[own if i == j else [] for j in range(len(group))] for i, own in enumerate(group)]
        saves = len(whole(chain(*group))) < sum(len(whole(own)) for own in group)
        pieces += [group] if saves else apart
    return pieces


def _arrange(channels: list[int], later: int, wanted: Places | None) -> Places:
    """Places of a piece; as wanted, if its channels are left at the end of the stage."""
    final = [channel << later for channel in channels]
    if wanted is None or not set(final) <= set(wanted):
        return whole(channels)
    at = [wanted.index(channel) // BLOCK for channel in final]
    return tuple(None if c is None else c >> later for c in wanted[min(at) * BLOCK : (max(at) + 1) * BLOCK])


class _LocalFeatures(nn.Module):
    """Each quadrant of the map with filters of its own, which are moved to ``given``.

    Args:
        local: of the network.
        taken: places of its input.
        given: of its output, so many times those of the input as it has filters for each channel.
    """

    def __init__(self, local: nn.Module, taken: Places, given: Places) -> None:
        super().__init__()
        self.first: Any = nn.ModuleList()
        self.second = nn.ModuleList()
        width = len(taken)
        for i in range(1, 5):
            first, second = (
                fold(local.get_submodule(f"conv{i}_{layer}"), local.get_submodule(f"bn{i}_{layer}")) for layer in (1, 2)
            )
            parts = (given[at : at + width] for at in range(0, len(given), width))
            self.first.append(nn.ModuleList(place_conv(first, taken, part) for part in parts))
            self.second.append(place_conv(second, given, given))
        # Kernels of four points, half a map apart, each of which picks a quadrant: top left, bottom left, top right,
        # bottom right. Slicing would leave the blocks.
        points = torch.eye(4)[[0, 2, 1, 3]].view(4, 1, 1, 2, 2).expand(4, width, 1, 2, 2).clone()
        self.corners = nn.ParameterList(nn.Parameter(corner, requires_grad=False) for corner in points)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, H) -> (N, C', H/2, H/2)."""
        half = int(x.shape[2]) // 2  # a number, see the network's own
        seen = []
        for corner, first, second in zip(self.corners, self.first, self.second, strict=True):
            part = nn.functional.conv2d(x, corner, dilation=half, groups=len(corner))
            seen.append(second(torch.cat([conv(part).relu() for conv in first], 1)).relu())
        return torch.cat([torch.cat(seen[:2], 2), torch.cat(seen[2:], 2)], 3)


def _move_gates(modulator: Any, places: Places) -> None:
    """Both gates of the modulator, for a map with these places."""
    channel, spatial = modulator.channel_att, modulator.spatial_att
    reduce, norm, _, expand = channel.gate_c.children()
    reduce = fuse_linear_bn_eval(reduce, norm)
    inner = whole(range(reduce.out_features))
    channel.gate_c = nn.Sequential(place_linear(reduce, places, inner), nn.ReLU(), place_linear(expand, inner, places))
    *layers, final = spatial.gate_s.children()
    convs: list[nn.Module] = []
    for i in range(0, len(layers), 3):  # convolution, normalisation, ReLU
        convs += [place_conv(fold(*layers[i : i + 2]), places if i == 0 else inner, inner), nn.ReLU()]
    spatial.gate_s = nn.Sequential(*convs, place_conv(final, inner, (0,)))
