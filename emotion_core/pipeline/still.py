"""Estimates for single pictures, without tracks and smoothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.cores import bound_opencv
from emotion_core.media.given import as_picture
from emotion_core.pipeline.stages import Stages
from emotion_core.pipeline.still_config import WHOLE, StillConfig
from emotion_core.runtime.classifier import Classifier
from emotion_core.store.finding import DEFAULT_MODEL
from emotion_core.types import Box, EmotionEstimate, Face, Picture
from emotion_core.vision.crop import crop_inputs, fit_faces
from emotion_core.vision.detect import FaceDetector, create_detector
from emotion_core.vision.quality import judged
from emotion_core.vision.turned import best_turn, turned_back

GIVEN_FRAMING = 1.0
"""See ``FaceDetector.framing``: a given box has the area of the square in which FER2013 frames the face."""


class StillPipeline:
    """Finds and labels the faces of one picture at a time.

    Args:
        model: name or path, see ``find_model``.
        detector: 'auto', 'yunet' or 'haar'.
        vote: label by the plurality vote of the branches instead of their mean probability; probabilities and
            confidence stay the mean.
        settings: all else that StillConfig has, by name.

    Attributes:
        timings_ms: of the last picture, in milliseconds by stage: detect, crop, network; what there was of them.

    Raises:
        EmotionError: the model or the detector cannot be loaded, or a value is out of its range.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] = DEFAULT_MODEL,
        detector: str = "auto",
        vote: bool = False,
        **settings: Any,
    ) -> None:
        name: Any = os.fspath(model) if isinstance(model, os.PathLike) else model
        self.config = config = StillConfig(model=name, detector=detector, **settings)
        bound_opencv(config.threads)
        self.detector: FaceDetector = create_detector(detector, config.detection_size, config.min_score, config.threads)
        self.classifier = Classifier.load(config.model, config.threads, config.provider, config.prior)
        self.vote = vote
        self.timings_ms: dict[str, float] = {}

    def process(self, image: Picture, given: Sequence[Face] | None = None) -> list[EmotionEstimate]:
        """Estimates for a picture, the largest face first; all stamps are 0.

        Args:
            image: (H, W, 3) uint8, BGR, or whatever else ``as_picture`` takes: a path, a file's content, grey, ….
            given: the faces in it where somebody else found them, whose boxes are framed as GIVEN_FRAMING says; the
                estimates come in their order.

        Raises:
            EmotionError: it is no picture, or cannot be read.
        """
        stages = Stages()
        self.timings_ms = stages.ms
        image = as_picture(image)
        with stages.time("detect"):
            seen, faces, quarters = self._find(image, given)
        if not faces:
            return []
        with stages.time("crop"):
            batches = self._crop(seen, faces, given is not None)
            if given is None and self.config.faces != WHOLE:
                faces = judged(faces, batches[0], self.detector.framing, self.detector.name)
            else:
                faces = judged(faces, batches[0], GIVEN_FRAMING, "")
        with stages.time("network"):
            output = self.classifier(*batches)
        if quarters:
            faces = [turned_back(face, quarters, image.shape[1], image.shape[0]) for face in faces]
        labels, votes = self.classifier.card.labels, output.votes
        probabilities, affect = output.probabilities, output.affect  # computed when asked for
        return [
            EmotionEstimate(
                stamp_s=0.0,
                labels=labels,
                probabilities=tuple(probabilities[i].tolist()),
                valence=float(affect[i, 0]),
                arousal=float(affect[i, 1]),
                face=face,
                model=self.classifier.card.name,
                label=labels[votes[i]] if self.vote else "",
            )
            for i, face in enumerate(faces)
        ]

    def _find(self, image: Picture, given: Sequence[Face] | None) -> tuple[Picture, list[Face], int]:
        """The picture, turned where that was needed, the faces in it, and by how many quarters it is turned."""
        if given is not None:
            return image, list(given), 0
        if self.config.faces == WHOLE:
            return image, [Face(Box(0, 0, image.shape[1], image.shape[0]))], 0
        faces = self._detect(image)
        return best_turn(image, self._detect) if self.config.upright and not faces else (image, faces, 0)

    def _detect(self, image: Picture) -> list[Face]:
        faces = self.detector.detect(image)
        kept = [face for face in faces if min(face.box.width, face.box.height) >= self.config.min_face_px]
        return kept[: self.config.max_faces]

    def _crop(self, image: Picture, faces: list[Face], given: bool) -> list[NDArray[np.float32]]:
        inputs = self.classifier.card.faces
        if self.config.faces == WHOLE and not given:
            return [fit_faces(image[None], face_input) for face_input in inputs]
        return crop_inputs(image, faces, inputs, GIVEN_FRAMING if given else self.detector.framing)
