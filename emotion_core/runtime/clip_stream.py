"""The audiovisual clip network on a stream: every frame is looked at once."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.runtime.classifier import Classifier
from emotion_core.runtime.ensemble import softmax
from emotion_core.store.card import FACE, SOUND, STATE, Input
from emotion_core.store.finding import find_model
from emotion_core.vision.face_clip import frame_offsets

KINDS = (FACE, STATE, SOUND)
MAX_GAP_S = 0.5
"""A window's frame may be so far from the moment that it stands for; with a larger hole there is no answer."""


class ClipModel:
    """An exported network of type audiovisual_stream.

    Args:
        path: its ONNX file.
        threads: see ``Classifier``.

    Attributes:
        path: see above.
        face, sound: its inputs.
        window_s: length of its window in seconds.
        offsets_s: (frames,) seconds of the frames from the beginning of the window.

    Raises:
        EmotionError: the file is missing or damaged, or holds another kind of network.
    """

    def __init__(self, path: str | Path, threads: int = 1) -> None:
        self.path, self.network = Path(path), Classifier(path, threads)
        card = self.card = self.network.card
        if tuple(item.kind for item in card.inputs) != KINDS:
            raise EmotionError(
                f"{card.name} takes {', '.join(item.name for item in card.inputs)}: expected an audiovisual network "
                "for streams, see `emotion export --stream`"
            )
        self.face, features, self.sound = card.inputs
        self.window_s = float(self.sound.features["window_s"])
        self.offsets_s = frame_offsets(self.window_s, features.shape[0])
        self._size = features.shape[1]

    @classmethod
    def load(cls, model: str | Path, threads: int = 1) -> ClipModel:
        """Load a model by its name or path; see ``find_model``."""
        return cls(find_model(model), threads)

    def run(
        self, face: NDArray[np.float32], features: NDArray[np.float32], sound: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Probabilities (classes,) of a window, and the features (n,) of a new frame; arrays without a batch."""
        said = self.network.run({"faces": face[None], "features": features[None], "sound": sound[None]})
        return softmax(said["logits"][0]), said["feature"][0]

    def nothing(self, item: Input) -> NDArray[np.float32]:
        """Zeros for an input: a black frame, a sound that was not heard."""
        return np.zeros(item.shape, np.float32)

    def stream(self) -> ClipStream:
        """A face that comes into sight now."""
        return ClipStream(self)

    @property
    def unseen(self) -> NDArray[np.float32]:
        """(frames, n): features of a window of which nothing is known yet."""
        return np.zeros((len(self.offsets_s), self._size), np.float32)


class ClipStream:
    """One face, frame by frame.

    Args:
        model: may serve many faces.

    Attributes:
        looked: how often the network looked at a frame.
    """

    def __init__(self, model: ClipModel) -> None:
        self.model = model
        self.looked = 0
        self._said: NDArray[np.float64] | None = None
        self._frames: deque[tuple[float, NDArray[np.float32]]] = deque()

    def see(
        self, face: NDArray[np.float32], stamp_s: float, sound: NDArray[np.float32] | None
    ) -> NDArray[np.float64] | None:
        """Judge the window that ends with this frame.

        Args:
            face: (3, size, size) float32, as the network's input says.
            stamp_s: time of the frame in seconds; one that is not later than the last one is left out, and gets the
                last answer.
            sound: MFCC (coefficients, steps) of the same window; None where nothing was heard.

        Returns:
            (classes,) that sum to 1: from the frames nearest to the moments of the window. None while some of these
            have no frame near them.
        """
        model = self.model
        if self._frames and stamp_s <= self._frames[-1][0]:
            if stamp_s > self._frames[-1][0] - model.window_s:
                return self._said
            self._frames.clear()  # the clock began anew
        heard = model.nothing(model.sound) if sound is None else sound
        known = self._window(stamp_s, also_s=stamp_s)
        said: NDArray[np.float64] | None
        said, feature = model.run(face, model.unseen if known is None else known, heard)
        self.looked += 1
        self._frames.append((stamp_s, feature))
        while self._frames[0][0] < stamp_s - model.window_s - MAX_GAP_S:
            self._frames.popleft()
        if known is None:  # of a slow camera the newest frame may be one of the window's
            known = self._window(stamp_s)
            said = None if known is None else model.run(face, known, heard)[0]
        self._said = said
        return said

    def _window(self, end_s: float, also_s: float | None = None) -> NDArray[np.float32] | None:
        """(frames, n) nearest in time; None where there is a hole, or where the frame ``also_s`` would be nearer."""
        stamps = np.array([stamp for stamp, _ in self._frames])
        if not len(stamps):
            return None
        wanted = end_s - self.model.window_s + self.model.offsets_s
        distances = np.abs(wanted[:, None] - stamps)
        nearest = distances.argmin(1)
        least = distances.min(1)
        if least.max() > MAX_GAP_S or (also_s is not None and (np.abs(wanted - also_s) < least).any()):
            return None
        return np.stack([self._frames[i][1] for i in nearest])
