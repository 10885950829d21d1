"""Why faces were labelled as they were: one map for each, laid over a picture."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.plots.saliency import grad_cam, load_explained
from emotion_core.store.card import ModelCard
from emotion_core.types import EmotionEstimate, Picture
from emotion_core.vision.crop import FER2013, crop_batch
from emotion_core.vision.draw import placed
from emotion_core.vision.heat import draw_heat


class Explainer:
    """Colours the parts of faces that speak for their labels: Grad-CAM, its mean over the branches of an ESR.

    Args:
        model: name or path of the exported model, with its weights beside it.
        card: its card.

    Raises:
        EmotionError: torch is not installed, or there are no weights, or other ones.
    """

    def __init__(self, model: str, card: ModelCard) -> None:
        try:
            self._network = load_explained(model, card)
        except ImportError as error:
            if error.name not in ("torch", "safetensors"):
                raise
            advice = "pip install 'emotion-perception[train]'"
            raise EmotionError(f"Grad-CAM takes {error.name}, which is not installed here: {advice}") from None
        self._card = card

    def maps(self, image: Picture, estimates: Sequence[EmotionEstimate], unit: float) -> list[NDArray[np.float32]]:
        """What speaks for the label of each estimate.

        Args:
            image: (H, W, 3) uint8, BGR.
            estimates: with faces in the image. For a label that the model does not know, each branch explains its own.
            unit: of the detector, see ``crop_face``.

        Returns:
            For each (h, w) float32 in [0, 1], in the frame of the face's crop.
        """
        faces = [estimate.face for estimate in estimates if estimate.face is not None]
        batch = crop_batch(image, faces, self._card.face, unit)
        result = []
        for i, estimate in enumerate(estimates):
            label = estimate.label
            known = [[self._card.labels.index(label)]] if label in self._card.labels else None
            heat = grad_cam(self._network, batch[i : i + 1], known)[0].mean(axis=0)
            result.append(np.asarray(heat / max(float(heat.max()), 1e-6), np.float32))
        return result

    def draw(
        self, canvas: Picture, image: Picture, factor: float, estimates: Sequence[EmotionEstimate], unit: float
    ) -> None:
        """Lay them over the picture.

        Args:
            canvas: (H, W, 3) uint8, BGR, changed in place: the image, ``factor`` times as large.
            image, estimates, unit: as for ``maps``; estimates without a face are left out.
            factor: of the size of the canvas.
        """
        seen = [estimate for estimate in estimates if estimate.face is not None]
        framing = self._card.face.framing or FER2013
        heats = self.maps(image, seen, unit) if seen else []
        for estimate, heat in zip(placed(seen, factor, (0, 0)), heats, strict=True):
            if estimate.face is not None:
                draw_heat(canvas, estimate.face, heat, unit, framing)


def one_thread() -> None:
    """From now on torch computes in the thread that asks it, in all of this process; without torch nothing happens."""
    with contextlib.suppress(ImportError):
        import torch

        torch.set_num_threads(1)
