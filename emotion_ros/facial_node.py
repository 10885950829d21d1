"""The node ``facial``: camera images in, emotion estimates out."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from emotion_core.pipeline.facial import FacialConfig, FacialPipeline
from emotion_core.types import EmotionEstimate, Picture
from emotion_ros.process.runner import Program
from emotion_ros.seeing import Card, SeeingNode, SeeingNodeConfig
from emotion_ros.views.hri_faces import given_faces

NAME = "facial"
CONFIGS = (FacialConfig, SeeingNodeConfig)


class FacialNode(SeeingNode[FacialPipeline]):
    """Faces in ``image``, their emotions on ``~/estimates``; for the rest see SeeingNode."""

    config_class = FacialConfig

    def make_pipeline(self, config: FacialConfig, first_id: int) -> FacialPipeline:
        """Detector and network."""
        return FacialPipeline(config, given_faces() if self.settings.faces == "hri" else None, first_id=first_id)

    def describe(self, pipeline: FacialPipeline) -> Mapping[str, str]:
        """What was loaded."""
        classifier = pipeline.classifier
        return {
            "model": classifier.card.name,
            "provider": classifier.provider,
            "detector": pipeline.detector.name,
        }

    def card(self, pipeline: FacialPipeline) -> Card:
        """The network's."""
        return pipeline.classifier.card

    def facial(self, pipeline: FacialPipeline) -> FacialPipeline:
        """All of it."""
        return pipeline

    def see(self, pipeline: FacialPipeline, picture: Picture, stamp_s: float) -> Sequence[EmotionEstimate]:
        """One image."""
        return pipeline.process(picture, stamp_s, self.given(picture, stamp_s))


PROGRAM = Program(NAME, FacialNode, start=FacialNode.autostart)


def main(args: list[str] | None = None) -> int:
    """Run the node until it is told to stop; returns the exit code."""
    return PROGRAM.run(args)


if __name__ == "__main__":
    sys.exit(main())
