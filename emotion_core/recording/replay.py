"""A bag through a pipeline, offline: the stamps in the bag are the only clock, so that it gives the same every time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from emotion_core.media.ahead import ahead
from emotion_core.media.bags import BagPicture, Sample
from emotion_core.pipeline.audiovisual import AudiovisualConfig, AudiovisualPipeline
from emotion_core.pipeline.facial import FacialConfig, FacialPipeline, Sight
from emotion_core.types import EmotionEstimate

Pipeline = FacialPipeline | AudiovisualPipeline

_LOOKED = 2  # pictures that wait with their faces: more would only take memory


@dataclass(frozen=True)
class Step:
    """What came of one sample.

    Attributes:
        sample: the picture or the sound.
        estimates: of everybody in the picture; of the voice alone after sound, where there is something to tell.
        failure: why there are no estimates, None where all went well.
        took_s: seconds of work, without reading the sample.
    """

    sample: Sample
    estimates: list[EmotionEstimate]
    failure: Exception | None = None
    took_s: float = 0.0


def make_pipeline(config: FacialConfig) -> Pipeline:
    """The pipeline of a configuration; raises EmotionError as that does."""
    return AudiovisualPipeline(config) if isinstance(config, AudiovisualConfig) else FacialPipeline(config)


def replay(samples: Iterable[Sample], pipeline: Pipeline, look_ahead: bool = True) -> Iterator[Step]:
    """One step for each sample, in their order; what is wrong with one does not end it.

    One thread reads the samples, another finds the faces, while those found before are judged here; what comes of them
    is the same.

    Args:
        samples: of a ``BagReader``, or some of them. Sound is left out where the pipeline does not hear.
        pipeline: what it remembers from before counts. Nobody else uses it meanwhile.
        look_ahead: without, there are no threads, and ``Step.took_s`` is what a sample takes when nothing else works.
    """
    looked = ahead(_looked(ahead(samples), pipeline), _LOOKED) if look_ahead else _looked(samples, pipeline)
    for sample, seen, took_s in looked:
        began_s, estimates, failure = time.perf_counter(), [], seen if isinstance(seen, Exception) else None
        try:
            if not isinstance(seen, Exception):
                estimates = _estimate(sample, seen, pipeline)
        except Exception as error:  # whatever is wrong with this sample, the next may be well
            failure = error
        yield Step(sample, estimates, failure, took_s + time.perf_counter() - began_s)


def _looked(samples: Iterable[Sample], pipeline: Pipeline) -> Iterator[tuple[Sample, Sight | Exception | None, float]]:
    """Each sample with what a picture shows, or why that cannot be told, and how long looking took."""
    for sample in samples:
        began_s = time.perf_counter()
        seen: Sight | Exception | None = None
        try:
            if isinstance(sample, BagPicture):
                seen = pipeline.look(sample.image, sample.stamp_s)
        except Exception as error:
            seen = error
        yield sample, seen, time.perf_counter() - began_s


def _estimate(sample: Sample, seen: Sight | None, pipeline: Pipeline) -> list[EmotionEstimate]:
    if seen is not None:
        return pipeline.judge(seen)
    if isinstance(pipeline, AudiovisualPipeline) and not isinstance(sample, BagPicture):
        return pipeline.hear(sample.sound, sample.rate_hz, sample.stamp_s)
    return []


def model_of(pipeline: Pipeline) -> tuple[str, str]:
    """Names of model and face detector."""
    if isinstance(pipeline, AudiovisualPipeline):
        return pipeline.model, pipeline.facial.detector.name
    return pipeline.classifier.card.name, pipeline.detector.name
