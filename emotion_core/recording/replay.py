"""A bag through a pipeline, offline: the stamps in the bag are the only clock, so that it gives the same every time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from emotion_core.media.bags import BagPicture, Sample
from emotion_core.pipeline.audiovisual import AudiovisualConfig, AudiovisualPipeline
from emotion_core.pipeline.facial import FacialConfig, FacialPipeline
from emotion_core.types import EmotionEstimate

Pipeline = FacialPipeline | AudiovisualPipeline


@dataclass(frozen=True)
class Step:
    """What came of one sample.

    Attributes:
        sample: the picture or the sound.
        estimates: of everybody in the picture; of the voice alone after sound, where there is something to tell.
        failure: why there are no estimates, None where all went well.
    """

    sample: Sample
    estimates: list[EmotionEstimate]
    failure: Exception | None = None


def make_pipeline(config: FacialConfig) -> Pipeline:
    """The pipeline of a configuration; raises EmotionError as that does."""
    return AudiovisualPipeline(config) if isinstance(config, AudiovisualConfig) else FacialPipeline(config)


def replay(samples: Iterable[Sample], pipeline: Pipeline) -> Iterator[Step]:
    """One step for each sample, in their order; what is wrong with one does not end it.

    Args:
        samples: of a ``BagReader``, or some of them. Sound is left out where the pipeline does not hear.
        pipeline: what it remembers from before counts.
    """
    for sample in samples:
        try:
            yield Step(sample, _estimate(sample, pipeline))
        except Exception as error:  # whatever is wrong with this sample, the next may be well
            yield Step(sample, [], error)


def _estimate(sample: Sample, pipeline: Pipeline) -> list[EmotionEstimate]:
    if isinstance(sample, BagPicture):
        see = pipeline.see if isinstance(pipeline, AudiovisualPipeline) else pipeline.process
        return see(sample.image, sample.stamp_s)
    if isinstance(pipeline, AudiovisualPipeline):
        return pipeline.hear(sample.sound, sample.rate_hz, sample.stamp_s)
    return []


def model_of(pipeline: Pipeline) -> tuple[str, str]:
    """Names of model and face detector."""
    if isinstance(pipeline, AudiovisualPipeline):
        return pipeline.model, pipeline.facial.detector.name
    return pipeline.classifier.card.name, pipeline.detector.name
