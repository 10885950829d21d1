"""The node ``audiovisual``: camera images and a microphone's sound in, emotion estimates out."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from std_msgs.msg import Header

from emotion_core.audio.messages import SoundChunk
from emotion_core.errors import EmotionError
from emotion_core.pipeline.audiovisual import AudiovisualConfig, AudiovisualPipeline
from emotion_core.pipeline.facial import FacialPipeline
from emotion_core.types import EmotionEstimate, Picture
from emotion_ros.base import qos
from emotion_ros.base.diagnostics import OK, WARN, Report
from emotion_ros.base.managed import THROTTLE_S
from emotion_ros.messages.conversions import to_stamp
from emotion_ros.process.runner import Program
from emotion_ros.seeing import Card, SeeingNode, SeeingNodeConfig
from emotion_ros.sound_messages import SoundConfig, SoundReader
from emotion_ros.views.hri_faces import given_faces

NAME = "audiovisual"
MAX_WAITING = 500
"""So many chunks of sound may wait while an image is worked on: ten seconds of chunks of 20 ms."""


@dataclass(frozen=True)
class AudiovisualNodeConfig(SeeingNodeConfig, SoundConfig):
    """What concerns images and sound and not the estimation; raises EmotionError for a bad value."""


CONFIGS = (AudiovisualConfig, AudiovisualNodeConfig)


class AudiovisualNode(SeeingNode[AudiovisualPipeline]):
    """Faces in ``image`` and the voice in ``audio``, or either alone; for the rest see SeeingNode.

    The worker's thread hears what has come before it looks at an image, and at once where no image is at work.
    """

    config_class = AudiovisualConfig
    settings_class: ClassVar[type[AudiovisualNodeConfig]] = AudiovisualNodeConfig
    settings: AudiovisualNodeConfig
    _reader: SoundReader
    _waiting: deque[SoundChunk]

    def __init__(self, name: str, **options: Any) -> None:
        self._waiting = deque()
        self._unusable = self._dropped = self._told = 0
        self._microphone = ""
        super().__init__(name, **options)

    def make_pipeline(self, config: AudiovisualConfig, first_id: int) -> AudiovisualPipeline:
        """Detector, networks and fusion."""
        self._reader = SoundReader(self, self.settings)
        detector = given_faces() if self.settings.faces == "hri" else None
        return AudiovisualPipeline(config, detector, first_id=first_id)

    def describe(self, pipeline: AudiovisualPipeline) -> Mapping[str, str]:
        """What was loaded."""
        facial = pipeline.facial
        return {
            "model": pipeline.model,
            "face_model": facial.classifier.card.name,
            "voice_model": pipeline.voice.model.card.name,
            "provider": facial.classifier.provider,
            "detector": facial.detector.name,
        }

    def card(self, pipeline: AudiovisualPipeline) -> Card:
        """The fusion's."""
        return pipeline.fusion.card

    def facial(self, pipeline: AudiovisualPipeline) -> FacialPipeline:
        """The faces' part."""
        return pipeline.facial

    def subscribe(self) -> None:
        """The camera's images and the microphone's sound."""
        super().subscribe()
        self._waiting.clear()
        self._reader.listen()
        self.every("sound", self._reader.kind, self._reader.topic, self._take, qos.SOUND)
        self.get_logger().info(f"ready, waiting for sound on {self._reader.topic}")

    def see(self, pipeline: AudiovisualPipeline, picture: Picture, stamp_s: float) -> Sequence[EmotionEstimate]:
        """One image, with the sound that has come before it."""
        self._hear(pipeline)
        return pipeline.see(picture, stamp_s, self.given(picture, stamp_s))

    def _take(self, message: Any) -> None:
        """Queue a chunk for the worker, which hears it between two images."""
        worker, pipeline = self._worker, self.pipeline
        if worker is None or pipeline is None:
            return
        try:
            chunk = self._reader.read(message, self.get_clock().now().nanoseconds / 1e9)
        except EmotionError as error:
            self._refuse(error)
            return
        self._microphone = chunk.frame_id or self._microphone
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(chunk)
        worker.soon(lambda: self._hear(pipeline), "sound")

    def _hear(self, pipeline: AudiovisualPipeline) -> None:
        """Everything that waits, in the worker's thread; says what the voice alone says where no image comes."""
        while self._waiting:
            chunk = self._waiting.popleft()
            try:
                said = pipeline.hear(chunk.samples, chunk.rate_hz, chunk.stamp_s)
            except EmotionError as error:
                self._refuse(error)
                continue
            for estimate in said:
                self.tell(pipeline, [estimate], Header(stamp=to_stamp(estimate.stamp_s), frame_id=self._microphone))

    def _refuse(self, error: EmotionError) -> None:
        self._unusable += 1
        self.health.last_rejection = str(error)
        self.get_logger().warning(
            f"rejected the sound on {self._reader.topic}: {error}", throttle_duration_sec=THROTTLE_S
        )

    def forget(self) -> None:
        """Its counts, too."""
        super().forget()
        self._waiting.clear()
        self._unusable = self._dropped = self._told = 0
        self._microphone = ""

    def reports(self) -> Sequence[Report]:
        """What became of the sound."""
        pipeline = self.pipeline
        if pipeline is None:
            return super().reports()
        counts = pipeline.voice.counts
        values = {f"sound_{name}": value for name, value in vars(counts).items()}
        values["sound_rejected"], values["sound_dropped"] = self._unusable, self._dropped
        values["sound_gap_s"], values["sound_silent_s"] = f"{counts.gap_s:.2f}", f"{counts.silent_s:.2f}"
        told, self._told = self._told, self._unusable
        news = self._unusable - told
        complaint = f"{news} chunks of sound rejected since the last report" if news else ""
        return [*super().reports(), Report(WARN if news else OK, complaint, values)]


PROGRAM = Program(NAME, AudiovisualNode, start=AudiovisualNode.autostart)


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to stop; returns the exit code."""
    return PROGRAM.run(args)


if __name__ == "__main__":
    sys.exit(main())
