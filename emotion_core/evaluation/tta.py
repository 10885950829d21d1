"""Test-time augmentation: a network looks at each face several times, and its probabilities are summed.

Pham, Vu, Tran: Facial Expression Recognition Using Residual Masking Network. ICPR 2020, where eight to ten random views
are taken. Here the first two are the face itself and its mirror image, and all others follow from a seed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.evaluation.evaluate import Network, Sampled, run_network
from emotion_core.runtime.ensemble import EnsembleOutput
from emotion_core.store.card import FACE, Input


@dataclass(frozen=True)
class TtaConfig:
    """What the views are.

    Attributes:
        views: of each face, the unchanged one included.
        rotation_deg: largest turn, to either side.
        zoom: largest enlargement, of which a part is cut out: 1.1 leaves 91 % of the side.
        seed: of turns, mirror images and cuts; each face gets its own.

    Raises:
        EmotionError: a value is out of range.
    """

    views: int = 10
    rotation_deg: float = 10.0
    zoom: float = 1.1
    seed: int = 0

    def __post_init__(self) -> None:
        for ok, problem in (
            (2 <= self.views <= 100, f"views: expected 2 to 100, got {self.views}"),
            (0 <= self.rotation_deg <= 45, f"rotation_deg: expected 0 to 45, got {self.rotation_deg:g}"),
            (1 <= self.zoom <= 2, f"zoom: expected 1 to 2, got {self.zoom:g}"),
            (self.seed >= 0, f"seed: expected at least 0, got {self.seed}"),
        ):
            if not ok:
                raise EmotionError(f"test-time augmentation, {problem}")


class View:
    """A dataset's faces, each turned, mirrored and cut as its number and the seed say.

    Args:
        data: gives faces as networks take them.
        number: of the view; 0 is the unchanged face, 1 its mirror image.
    """

    def __init__(self, data: Sampled, number: int, config: TtaConfig) -> None:
        self._data, self._number = data, number
        # All at once, so that a face's view depends neither on batches nor on what was looked at before.
        draws = np.random.default_rng((config.seed, number)).random((len(data), 5))
        self._mirrored = draws[:, 0] < 0.5
        self._turn_rad = np.deg2rad(config.rotation_deg) * (2 * draws[:, 1] - 1)
        self._zoom = config.zoom ** draws[:, 2]
        self._shift = (1 - 1 / self._zoom[:, None]) * (draws[:, 3:] - 0.5)  # what is cut out lies inside the face

    def __len__(self) -> int:
        return len(self._data)

    def sample(self, index: int, inputs: Sequence[Input]) -> tuple[NDArray[np.float32], ...]:
        """One view of a face for each input; raises EmotionError for inputs that are no faces."""
        if any(item.kind != FACE for item in inputs):
            raise EmotionError("test-time augmentation is for models that take single faces")
        faces = self._data.sample(index, inputs)
        if self._number == 0:
            return faces
        if self._number == 1:
            return tuple(np.ascontiguousarray(face[:, :, ::-1]) for face in faces)
        return tuple(self._seen(face, index) for face in faces)

    def _seen(self, face: NDArray[np.float32], index: int) -> NDArray[np.float32]:
        """(channels, H, W) -> the same shape."""
        height, width = face.shape[1:]
        centre = np.array([width, height]) / 2
        turn, zoom = self._turn_rad[index], self._zoom[index]
        matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) / zoom
        matrix[:, 0] *= -1 if self._mirrored[index] else 1
        # From a pixel's middle in the view to its place in the face.
        place = centre + self._shift[index] * (width, height) - 0.5 - matrix @ (centre - 0.5)
        seen = cv2.warpAffine(
            np.ascontiguousarray(face.transpose(1, 2, 0)),
            np.column_stack([matrix, place]),
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(seen, np.float32).reshape(height, width, -1).transpose(2, 0, 1)


def run_views(
    network: Network,
    data: Sampled,
    inputs: Sequence[Input],
    config: TtaConfig,
    on_progress: Callable[[int], None] | None = None,
) -> tuple[EnsembleOutput, EnsembleOutput]:
    """What a network says about every face, without and with test-time augmentation.

    Args:
        network, data, inputs: as for ``run_network``.
        on_progress: called with the number of views that were looked at.

    Raises:
        EmotionError: see ``run_network``; or the network takes anything but single faces.
    """
    outputs = []
    for number in range(config.views):
        before = number * len(data)
        tell = None if on_progress is None else (lambda done, before=before: on_progress(before + done))
        outputs.append(run_network(network, View(data, number, config), inputs, on_progress=tell))
    summed = EnsembleOutput(
        np.mean([output.branch_probabilities for output in outputs], axis=0),
        np.mean([output.branch_affect for output in outputs], axis=0),
        outputs[0].weights,
    )
    return outputs[0], summed
