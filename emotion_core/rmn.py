"""The everyday interface of the package ``rmn``, for any model of this library.

``from emotion_core.rmn import RMN`` takes the place of ``from rmn import RMN`` (version 3.3). Names, parameters, keys
and types are the same. What is not: nothing is downloaded, all faces of a frame go through the network at once, boxes
stay inside the picture, and the network is the bundled one unless another is named.

    Pham, Vu, Tran: Facial Expression Recognition Using Residual Masking Network. ICPR 2020.
    https://github.com/phamquiluan/ResidualMaskingNetwork
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.labels import FER2013, canonical
from emotion_core.media.given import as_picture
from emotion_core.runtime.classifier import Classifier
from emotion_core.runtime.ensemble import EnsembleOutput
from emotion_core.store.finding import DEFAULT_MODEL
from emotion_core.types import Box, EmotionEstimate, Face, Picture
from emotion_core.vision.crop import crop_inputs, fit_faces
from emotion_core.vision.detect import FaceDetector, create_detector
from emotion_core.vision.draw import draw_estimates

WORDS = {"anger": "angry"}
"""What ``rmn`` calls a label that has another name in this library."""

BOX = 1.1
"""Side of a reported box, a square, over the mean side of the detector's."""

_DETECTION_PX = 640  # as for other single pictures
_LARGEST_PX = 8192  # longer pictures are shrunk: OpenCV cuts nothing out of the largest


class RMN:
    """Finds faces and tells what they show.

    Args:
        face_detector: True for the best one that is here, False for none, 'yunet', 'haar', or a detector.
        model: name or path of any model that takes single faces, an ensemble's too.
        device: 'auto' takes a GPU where ONNX Runtime has one, 'cpu', 'cuda' or 'tensorrt'.
        align: whether faces are turned so that the eyes are level, where the detector finds eyes (YuNet does); by
            default as the model was trained.
        threads: of networks on a CPU; 0 takes all cores that this process may use.

    Attributes:
        labels: of the results, in their order: angry, disgust, fear, happy, sad, surprise, neutral as far as the model
            knows them, then whatever else it knows (the bundled one: contempt).

    Raises:
        EmotionError: the model or the detector cannot be loaded, or the model takes anything but faces.
    """

    def __init__(
        self,
        face_detector: bool | str | FaceDetector = True,
        *,
        model: str = DEFAULT_MODEL,
        device: str = "auto",
        align: bool | None = None,
        threads: int = 0,
    ) -> None:
        self.face_detector: FaceDetector | None = None
        if face_detector is True or isinstance(face_detector, str):
            kind = face_detector if isinstance(face_detector, str) else "auto"
            self.face_detector = create_detector(kind, _DETECTION_PX, threads=threads)
        elif face_detector:
            self.face_detector = face_detector
        self.emo_model = Classifier.load(model, threads, device)
        self._inputs, self._align = self.emo_model.card.faces, align
        known = [canonical(label) for label in self.emo_model.card.labels]
        first = [known.index(label) for label in FER2013 if label in known]
        self._order = [*first, *(i for i in range(len(known)) if i not in first)]
        self.labels = tuple(WORDS.get(known[i], known[i]) for i in self._order)

    def detect_faces(self, frame: NDArray[Any]) -> list[dict[str, int]]:
        """Where faces are, the largest first.

        Args:
            frame: (H, W), (H, W, 1), (H, W, 3) BGR or (H, W, 4) BGRA; uint8, uint16, or floats in [0, 1]; a path, or
                whatever else ``as_picture`` takes.

        Returns:
            For each face 'xmin', 'ymin', 'xmax' and 'ymax' in pixels of the frame, the latter two exclusive.

        Raises:
            EmotionError: the frame is no picture, or there is no detector.
        """
        return [box for _, box in self._find(*_picture(frame))]

    def detect_emotion_for_single_frame(self, frame: NDArray[Any]) -> list[dict[str, Any]]:
        """What the faces of a picture show, the largest first; an empty list where there are none.

        Args:
            frame: see ``detect_faces``.

        Returns:
            For each face the keys of ``detect_faces``, and 'emo_label', 'emo_proba' and 'proba_list' as
            ``detect_emotion_for_single_face_image`` returns them.
        """
        image, size = _picture(frame)
        found = self._find(image, size)
        if not found:
            return []
        faces = [face for face, _ in found]
        output = self.emo_model(*crop_inputs(image, faces, self._inputs, self._searching.framing, self._align))
        results = []
        for (_, box), (label, proba, each) in zip(found, self._tell(output), strict=True):
            results.append({**box, "emo_label": label, "emo_proba": proba, "proba_list": each})
        return results

    def detect_emotion_for_single_face_image(
        self, face_image: NDArray[Any]
    ) -> tuple[str, float, list[dict[str, float]]]:
        """What a face shows that is cut out already.

        Args:
            face_image: of the kinds that ``detect_faces`` takes.

        Returns:
            The label, its probability, and a dictionary {label: probability} for each of ``labels``.
        """
        image, _ = _picture(face_image)
        return self._tell(self.emo_model(*(fit_faces(image[None], item) for item in self._inputs)))[0]

    @staticmethod
    def draw(frame: NDArray[Any], results: Sequence[Mapping[str, Any]]) -> Picture:
        """Draw results into a frame; returns it, or where it is not (H, W, 3) uint8 a copy that is."""
        image = as_picture(frame)
        drawn = draw_estimates(image, [_estimate(result) for result in results], panels=False)
        if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.shape != drawn.shape:
            return drawn
        if not frame.flags.writeable:
            return drawn
        frame[:] = drawn
        return frame

    def video_demo(self, source: int | str = 0) -> None:
        """Show in a window what a camera (or a video) shows, mirrored, until q or Esc is pressed.

        Raises:
            EmotionError: there is no such camera, or no display.
        """
        from emotion_core.media.frames import open_frames
        from emotion_core.media.sinks import WindowSink

        with open_frames(str(source)) as frames:
            window = WindowSink("emotions: q ends", waits=False)
            try:
                for image, stamp_s in frames:
                    mirrored = np.ascontiguousarray(image[:, ::-1])
                    if not window.put(self.draw(mirrored, self.detect_emotion_for_single_frame(mirrored)), stamp_s, ""):
                        break
            finally:
                window.close()

    @property
    def _searching(self) -> FaceDetector:
        if self.face_detector is None:
            raise EmotionError("this RMN was made with face_detector=False: give it faces that are cut out already")
        return self.face_detector

    def _find(self, image: Picture, size: tuple[int, int]) -> list[tuple[Face, dict[str, int]]]:
        """Faces in pixels of the image, and their boxes in those of the frame of a (height, width), of which it may be
        a smaller copy."""
        height, width = image.shape[:2]
        across, down = size[1] / width, size[0] / height
        found = []
        for face in self._searching.detect(image):
            x, y, wide, high = _square(face.box).clamped(width, height)
            if wide and high:
                left, top, right, bottom = x * across, y * down, (x + wide) * across, (y + high) * down
                box = {"xmin": round(left), "ymin": round(top), "xmax": round(right), "ymax": round(bottom)}
                found.append((face, box))
        return found

    def _tell(self, output: EnsembleOutput) -> list[tuple[str, float, list[dict[str, float]]]]:
        told = []
        for row in output.probabilities[:, self._order].tolist():
            best = row.index(max(row))
            told.append((self.labels[best], row[best], [{k: p} for k, p in zip(self.labels, row, strict=True)]))
        return told


def _square(box: Box) -> Box:
    side = BOX * (box.width + box.height) / 2
    x, y = box.centre
    return Box(x - side / 2, y - side / 2, side, side)


def _picture(frame: Any) -> tuple[Picture, tuple[int, int]]:
    """(H, W, 3) uint8 BGR of a longer side of at most _LARGEST_PX, and the (height, width) that it had."""
    size = frame.shape[:2] if isinstance(frame, np.ndarray) else None
    if size is not None and len(size) == 2 and min(size) > 0 and max(size) > _LARGEST_PX:
        factor = _LARGEST_PX / max(size)
        small = (max(1, round(size[1] * factor)), max(1, round(size[0] * factor)))
        return as_picture(cv2.resize(frame, small, interpolation=cv2.INTER_AREA)), size
    image = as_picture(frame)
    return image, image.shape[:2]


def _estimate(result: Mapping[str, Any]) -> EmotionEstimate:
    """For drawing, which takes box, label and probability only."""
    try:
        ends = [float(result[key]) for key in ("xmin", "ymin", "xmax", "ymax")]
        label, proba = str(result["emo_label"]), float(result["emo_proba"])
        face = Face(Box(ends[0], ends[1], ends[2] - ends[0], ends[3] - ends[1]))
        return EmotionEstimate(0.0, (label, ""), (proba, 1 - proba), face=face, label=label)
    except (KeyError, TypeError, ValueError) as error:
        raise EmotionError(
            f"expected a result of detect_emotion_for_single_frame, got {result!r:.100} ({error})"
        ) from None
