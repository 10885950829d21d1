"""What AudiovisualEmotionLearner learns from and judges, under the names that OpenDR documents."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.data.clip_files import ClipSpec, Recorded, as_recorded, load_clip, load_picture, load_sound
from emotion_core.data.ravdess_clips import RavdessClips, RavdessReport, prepare_ravdess, prepared_folder
from emotion_core.data.voices import SPLITS
from emotion_core.errors import EmotionError
from emotion_core.learners.engine import Timeseries, Video
from emotion_core.vision.detect import create_detector

WHOLE = "whole"
"""In place of a detector: the pictures show nothing but the face."""

_LOG = logging.getLogger(__name__)


def get_audiovisual_emotion_dataset(
    path: str | Path,
    sr: int = 22050,
    n_mfcc: int = 10,
    preprocess: bool = False,
    target_time: float = 3.6,
    input_fps: float = 30,
    save_frames: int = 15,
    target_im_size: int = 224,
    device: str = "cpu",
    *,
    seed: int = 0,
    detector: str = "auto",
    workers: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
    **other: Any,
) -> tuple[RavdessClips, RavdessClips, RavdessClips]:
    """RAVDESS with picture and sound: what to learn from, to validate on and to test on, nobody in two of them.

    Args:
        path: folder of the dataset, see ``data.ravdess_clips.prepare_ravdess``.
        sr: rate in Hz at which the features of the sound are computed.
        n_mfcc: coefficients a step of the sound; ``n-mfcc`` is a documented name of it.
        preprocess: prepare what is not prepared yet; what is, stays. Each choice of the other settings is prepared for
            itself, in a folder below the dataset.
        target_time: length of sound and picture in seconds.
        input_fps: frames a second of the grid on which frames are chosen. Files keep their own times: of one with other
            frames a second, or with a varying rate, the frames nearest to those moments are taken.
        save_frames: frames of a clip.
        target_im_size: side of the faces in pixels.
        device: 'cpu' or 'cuda'; faces are searched on the CPU either way.
        seed: see ``prepare_ravdess``.
        detector: 'auto', 'yunet' or 'haar'.
        workers: threads of the preparation; 0 for one for each usable core.
        on_progress: called with (clips done, clips to do).

    Returns:
        Training, validation and test set; items are (sound (n_mfcc, steps) float32, clip (3, save_frames, size, size)
        uint8 BGR, class), classes in the order of ``data.voices.RAVDESS``.

    Raises:
        EmotionError: a setting is out of range, the dataset is missing or holds fewer than three actors, a split has no
            clip, or nothing was prepared with these settings and ``preprocess`` is False.
    """
    n_mfcc = other.pop("n-mfcc", n_mfcc)
    if other:
        raise EmotionError(f"get_audiovisual_emotion_dataset() has no argument {', '.join(other)}")
    if device not in ("cpu", "cuda"):
        raise EmotionError(f"unknown device {device!r}: use cpu or cuda")
    spec = ClipSpec(sr, n_mfcc, target_time, input_fps, save_frames, target_im_size)
    if preprocess:
        tell_skipped(
            prepare_ravdess(path, spec, seed=seed, detector=detector, workers=workers, on_progress=on_progress)
        )
    folder = prepared_folder(path, spec)
    if not folder.is_dir():
        raise EmotionError(f"{path} was not prepared with these settings: pass preprocess=True once")
    train, valid, test = (RavdessClips(folder, split) for split in SPLITS)
    return train, valid, test


def tell_skipped(report: RavdessReport) -> None:
    """Log how many sentences gave no clip, and why."""
    if report.skipped:
        code, reason = next(iter(report.skipped.items()))
        _LOG.warning(
            "%d clips are left out, such as %s: %s; all of them are in %s/skipped.csv",
            len(report.skipped), code, reason, report.folder,
        )  # fmt: skip


def load_inference_data(
    audio: str | Path | NDArray[Any] | None,
    video: str | Path | NDArray[Any] | None,
    sr: int = 22050,
    n_mfcc: int = 10,
    target_time: float = 3.6,
    input_fps: float = 30,
    save_frames: int = 15,
    target_im_size: int = 224,
    device: str = "cpu",
    *,
    sample_rate_hz: int | None = None,
    detector: str = "auto",
) -> tuple[Timeseries | None, Video | None]:
    """Sound and picture of one window, for ``AudiovisualEmotionLearner.infer``.

    The window is the middle of the recording; see ``data.clip_files``.

    Args:
        audio: a file, or samples (n,) or (n, channels) that begin with the picture; None for the video's own sound.
        video: a file, or (frames, height, width, 3) uint8 BGR at ``input_fps``; None where nothing is seen.
        sr, n_mfcc, target_time, input_fps, save_frames, target_im_size, device: see
            ``get_audiovisual_emotion_dataset``; they must be those of the network.
        sample_rate_hz: of samples that are given as an array, by default ``sr``.
        detector: 'auto', 'yunet' or 'haar'; 'whole' where the pictures show nothing but the face.

    Returns:
        Sound and picture; None for what is not there.

    Raises:
        EmotionError: both are missing, a file cannot be read or has no sound, no face is found, or a setting is out of
            range. To judge the picture of a video without sound, see ``load_inference_video``.
    """
    if device not in ("cpu", "cuda"):
        raise EmotionError(f"unknown device {device!r}: use cpu or cuda")
    spec = ClipSpec(sr, n_mfcc, target_time, input_fps, save_frames, target_im_size)
    return load_inputs(audio, video, spec, sample_rate_hz or sr, detector)


def load_inputs(
    audio: str | Path | NDArray[Any] | None,
    video: str | Path | NDArray[Any] | None,
    spec: ClipSpec,
    sample_rate_hz: int,
    detector: str,
) -> tuple[Timeseries | None, Video | None]:
    """``load_inference_data`` for what a network takes."""
    sound: str | Path | Recorded | None
    sound = as_recorded(audio, sample_rate_hz) if isinstance(audio, np.ndarray | list) else audio
    if video is None:
        if sound is None:
            raise EmotionError("expected audio, video or both, got neither")
        return Timeseries(load_sound(sound, spec)), None
    faces = None if detector == WHOLE else create_detector(detector, detection_size=640)
    features, clip = load_clip(sound, video, spec, faces)
    return Timeseries(features), Video(clip)


def load_inference_video(
    video: str | Path | NDArray[Any], spec: ClipSpec | None = None, detector: str = "auto"
) -> Video:
    """The picture alone: the middle of a video, whether it has sound or not; see ``load_inference_data``."""
    faces = None if detector == WHOLE else create_detector(detector, detection_size=640)
    return Video(load_picture(video, spec or ClipSpec(), faces))
