"""Estimates for single pictures, without tracks and smoothing."""

from __future__ import annotations

from emotion_core.runtime.classifier import Classifier
from emotion_core.store.finding import DEFAULT_MODEL
from emotion_core.types import EmotionEstimate, Picture
from emotion_core.vision.crop import crop_inputs
from emotion_core.vision.detect import FaceDetector, create_detector


class StillPipeline:
    """Finds and labels the faces of one picture at a time.

    Args:
        model: name or path, see ``find_model``.
        detector: 'auto', 'yunet' or 'haar'.
        vote: label by the plurality vote of the branches instead of their mean probability; probabilities and
            confidence stay the mean.

    Raises:
        EmotionError: the model or the detector cannot be loaded.
    """

    def __init__(self, model: str = DEFAULT_MODEL, detector: str = "auto", vote: bool = False) -> None:
        self.detector: FaceDetector = create_detector(detector, detection_size=640)
        self.classifier = Classifier.load(model, threads=0)
        self.vote = vote

    def process(self, image: Picture) -> list[EmotionEstimate]:
        """Estimates for (H, W, 3) uint8 BGR, the largest face first; all stamps are 0."""
        faces = self.detector.detect(image)
        if not faces:
            return []
        card = self.classifier.card
        output = self.classifier(*crop_inputs(image, faces, card.faces, self.detector.framing))
        probabilities, affect, votes = output.probabilities, output.affect, output.votes
        return [
            EmotionEstimate(
                stamp_s=0.0,
                labels=card.labels,
                probabilities=tuple(probabilities[i].tolist()),
                valence=float(affect[i, 0]),
                arousal=float(affect[i, 1]),
                face=face,
                model=card.name,
                label=card.labels[votes[i]] if self.vote else "",
            )
            for i, face in enumerate(faces)
        ]
