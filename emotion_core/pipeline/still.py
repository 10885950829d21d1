"""Estimates for single pictures, without tracks and smoothing."""

from __future__ import annotations

from emotion_core.media.given import as_picture
from emotion_core.runtime.classifier import Classifier
from emotion_core.store.finding import DEFAULT_MODEL
from emotion_core.types import EmotionEstimate, Picture
from emotion_core.vision.crop import crop_inputs
from emotion_core.vision.detect import FaceDetector, create_detector
from emotion_core.vision.quality import judged


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
        """Estimates for a picture, the largest face first; all stamps are 0.

        Args:
            image: (H, W, 3) uint8, BGR, or whatever else ``as_picture`` takes: a path, a file's content, grey, ….

        Raises:
            EmotionError: it is no picture, or cannot be read.
        """
        image = as_picture(image)
        faces = self.detector.detect(image)
        if not faces:
            return []
        card = self.classifier.card
        batches = crop_inputs(image, faces, card.faces, self.detector.framing)
        faces = judged(faces, batches[0], self.detector.framing, self.detector.name)
        output = self.classifier(*batches)
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
