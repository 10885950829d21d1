"""A bag with what was estimated, beside which the recorded one can be played or shown."""

from __future__ import annotations

import re
from pathlib import Path
from types import TracebackType

from emotion_core.errors import EmotionError
from emotion_core.media.bag_messages import Messages
from emotion_core.media.bag_writer import BagWriter
from emotion_core.media.bags import BagPicture
from emotion_core.recording.replay import Step
from emotion_core.types import EmotionEstimate
from emotion_core.vision.blur import FaceBlur
from emotion_core.vision.draw import draw_estimates
from emotion_core.vision.trace import AffectTraces


class EstimateBag:
    """Writes the steps of a replay; a context manager, see ``BagWriter``.

    Every picture that was processed gets one EmotionEstimates, with its header and the time at which it was recorded,
    as if a node had published it in no time. What the voice says alone bears its own stamp.

    Args:
        path: see BagWriter.
        topic: of the estimates, beginning with a slash; the overlay goes beside it.
        overlay: "compressed" or "raw" to write the pictures with what is drawn into them; empty for none.
        blur: hides the faces in them; None shows the pictures as they are.

    Attributes:
        topics: where something was written.

    Raises:
        EmotionError: it cannot be written, or the topic is none.
    """

    def __init__(self, path: str | Path, topic: str, overlay: str = "", blur: FaceBlur | None = None) -> None:
        if not re.fullmatch(r"(/[A-Za-z_]\w*)+", topic, re.ASCII):
            raise EmotionError(f"expected the whole name of a topic, such as /facial/estimates, got {topic!r}")
        self._writer = BagWriter(path)
        self._messages = Messages(self._writer.store)
        self._topic, self._overlay = topic, overlay
        beside = f"{topic.rpartition('/')[0]}/overlay"
        self._beside = f"{beside}/compressed" if overlay == "compressed" else beside
        self._traces, self._blur = AffectTraces(), blur
        self.topics = [topic, *([self._beside] if overlay else [])]

    @property
    def written(self) -> int:
        """How many messages are in it."""
        return self._writer.written

    def __enter__(self) -> EstimateBag:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, traceback)

    def add(self, step: Step) -> None:
        """Write a step, unless it failed; raises EmotionError where that cannot be."""
        sample = step.sample
        if step.failure is not None:
            return
        if isinstance(sample, BagPicture):
            height, width = sample.image.shape[:2]
            header = self._messages.header(sample.stamp_ns, sample.frame_id)
            self._writer.write(
                self._topic, self._messages.estimates(step.estimates, header, width, height), sample.bag_ns
            )
            if self._overlay:
                self._draw(sample, step.estimates)
            return
        for estimate in step.estimates:
            header = self._messages.header(round(estimate.stamp_s * 1e9), sample.frame_id)
            self._writer.write(self._topic, self._messages.estimates([estimate], header, 0, 0), sample.bag_ns)

    def _draw(self, sample: BagPicture, estimates: list[EmotionEstimate]) -> None:
        self._traces.add(estimates, sample.stamp_s)
        image = sample.image if self._blur is None else self._blur(sample.image, estimates, sample.stamp_s)
        drawn = draw_estimates(image, estimates, traces=self._traces.points(estimates, sample.stamp_s))
        header = self._messages.header(sample.stamp_ns, sample.frame_id)
        make = self._messages.compressed if self._overlay == "compressed" else self._messages.image
        self._writer.write(self._beside, make(drawn, header), sample.bag_ns)
