"""Clips from files: sound and picture of one window, as the audiovisual network takes them.

The window is the middle of the recording, which begins with the first picture, or with the sound where that comes
first, and ends with the sound. A shorter recording begins the window: zeros stand where there is no sound, black frames
where there is no picture.

Chumachenko, Iosifidis, Gabbouj: Self-attention fusion for audiovisual emotion recognition with incomplete data. ICPR
2022. https://arxiv.org/abs/2201.11095
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.audio.formats import to_mono
from emotion_core.audio.mfcc import LIBROSA, fitted, mfcc
from emotion_core.audio.resample import check_rate, resample
from emotion_core.audio.spectrum import Samples
from emotion_core.errors import EmotionError
from emotion_core.media.frames import open_frames
from emotion_core.media.sound import read_sound
from emotion_core.store.card import Input
from emotion_core.types import Box, Face, Picture
from emotion_core.vision.crop import crop_face
from emotion_core.vision.detect import FaceDetector
from emotion_core.vision.face_clip import BOX, cut_clip, follow_face, frame_offsets, pick_frames

Timed = tuple[Picture, float]


@dataclass(frozen=True)
class ClipSpec:
    """What a clip holds; the defaults are the published ones.

    Attributes:
        sample_rate_hz: at which the features of the sound are computed.
        n_mfcc: coefficients a step of the sound.
        window_s: length of sound and picture in seconds.
        rate_hz: frames a second of the grid on which the frames are chosen.
        frames: how many, spread evenly over the window.
        size: side of each frame in pixels.

    Raises:
        EmotionError: a value is out of range.
    """

    sample_rate_hz: int = 22050
    n_mfcc: int = 10
    window_s: float = 3.6
    rate_hz: float = 30.0
    frames: int = 15
    size: int = 224

    def __post_init__(self) -> None:
        check_rate(self.sample_rate_hz)
        for name, low, high in (("n_mfcc", 1, 128), ("frames", 1, 1000), ("size", 8, 1024)):
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise EmotionError(f"{name} must be a whole number from {low} to {high}, got {value!r}")
        for name, least, most in (("window_s", 0.1, 60.0), ("rate_hz", 1.0, 240.0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
                raise EmotionError(f"{name} must be from {least:g} to {most:g}, got {value!r}")
        if self.frames > round(self.window_s * self.rate_hz):
            raise EmotionError(
                f"{self.frames} frames cannot be taken from {self.window_s:g} s at {self.rate_hz:g} frames a second"
            )

    @classmethod
    def of_inputs(cls, seen: Input, heard: Input) -> ClipSpec:
        """What a network takes, see ``data.clips.check_inputs``."""
        features = heard.features
        return cls(heard.sample_rate_hz, heard.shape[0], features["window_s"], frames=seen.shape[1], size=seen.size[0])

    @property
    def offsets_s(self) -> NDArray[np.float64]:
        """(frames,) seconds of the frames from the beginning of the window."""
        return frame_offsets(self.window_s, self.frames, self.rate_hz)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


@dataclass(frozen=True)
class Recorded:
    """A sound on the clock of the pictures.

    Attributes:
        samples: (n,) float32 in [-1, 1].
        rate_hz: samples a second.
        start_s: time of the first sample after the first picture.
    """

    samples: Samples
    rate_hz: int
    start_s: float = 0.0


def read_recorded(path: str | Path) -> Recorded:
    """The sound of a file, or of a video; raises EmotionError where there is none."""
    sound = read_sound(path)
    return Recorded(sound.samples, sound.rate_hz, sound.start_s)


def as_recorded(sound: NDArray[Any], rate_hz: int) -> Recorded:
    """Samples as a sound that begins with the picture.

    Args:
        sound: (n,) or (n, channels) int16, int32, uint8 or floats in [-1, 1].
        rate_hz: samples a second.

    Raises:
        EmotionError: it is empty or of another type or shape, there is no such rate, or samples are no numbers.
    """
    check_rate(rate_hz)
    mono = to_mono(sound)
    if not len(mono.samples):
        raise EmotionError("expected at least one sample of sound, got none")
    if mono.nonfinite:
        raise EmotionError(f"expected finite samples, {mono.nonfinite} of {len(mono.samples)} are NaN or infinite")
    return Recorded(mono.samples, rate_hz)


def window_start_s(sound: Recorded | None, picture_s: float, window_s: float) -> float:
    """When the window begins, in seconds after the first picture.

    Args:
        sound: what is heard; without it the pictures decide.
        picture_s: length of the pictures in seconds.
        window_s: length of the window.
    """
    if sound is None:
        begin_s, end_s = 0.0, picture_s
    else:
        begin_s, end_s = min(0.0, sound.start_s), sound.start_s + len(sound.samples) / sound.rate_hz
    return begin_s + max(0.0, (end_s - begin_s - window_s) / 2)


def sound_of_window(sound: Recorded, start_s: float, spec: ClipSpec) -> NDArray[np.float32]:
    """MFCC of a window, (n_mfcc, steps) float32; zeros stand where nothing was recorded."""
    at_rate = resample(sound.samples, sound.rate_hz, spec.sample_rate_hz)
    length = round(spec.window_s * spec.sample_rate_hz)
    # Half a sample is cut off at the end, as `fitted` does.
    surplus = math.floor((start_s - sound.start_s) * spec.sample_rate_hz + 1e-3)
    heard = at_rate[surplus:] if surplus >= 0 else np.pad(at_rate, (-surplus, 0))
    return mfcc(fitted(heard[:length], length), replace(LIBROSA, rate_hz=spec.sample_rate_hz), spec.n_mfcc)


def picture_of_window(
    timed: Iterator[Timed], start_s: float, spec: ClipSpec, detector: FaceDetector | None, name: str
) -> NDArray[np.uint8]:
    """The face in the frames of a window.

    Args:
        timed: pictures and their times.
        start_s: when the window begins.
        spec: which frames.
        detector: finds the face; None where the pictures show nothing but the face.
        name: of the video, for messages.

    Returns:
        (3, frames, size, size) uint8 BGR.

    Raises:
        EmotionError: none of these frames shows a face, or there is none.
    """
    images = pick_frames(timed, start_s + spec.offsets_s, 1.0 / spec.rate_hz)
    if all(image is None for image in images):
        raise EmotionError(f"{name}: expected pictures in the {spec.window_s:g} s from {start_s:.2f} s on, got none")
    if detector is None:
        return np.stack([_whole(image, spec.size) for image in images], 1)
    faces = follow_face(images, detector)
    if all(face is None for face in faces):
        raise EmotionError(
            f"{name}: expected a face, but {detector.name} finds none in its {spec.frames} frames from "
            f"{start_s:.2f} s on"
        )
    return cut_clip(images, faces, spec.size, detector.framing)


def timed_frames(video: str | Path | NDArray[Any], rate_hz: float) -> Iterator[Timed]:
    """Pictures and their times in seconds, of a file, or of an array of frames at a rate.

    Args:
        video: a path; or (frames, height, width, 3) uint8 BGR.
        rate_hz: of an array; a file has its own times.

    Raises:
        EmotionError: the file cannot be read, or the array has another shape or type.
    """
    if isinstance(video, str | Path):
        with open_frames(str(video)) as source:
            yield from source
        return
    frames = np.asarray(video)
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or not frames.size:
        raise EmotionError(
            f"expected a video as a path or as (frames, height, width, 3) uint8 BGR, got {frames.dtype} of shape "
            f"{frames.shape}"
        )
    yield from ((np.asarray(frame, np.uint8), i / rate_hz) for i, frame in enumerate(frames))


def picture_length_s(video: str | Path | NDArray[Any], rate_hz: float) -> float:
    """Seconds of a video, by the times of its frames; raises as ``timed_frames``."""
    return max((time_s for _, time_s in timed_frames(video, rate_hz)), default=0.0) + 1.0 / rate_hz


def load_clip(
    audio: str | Path | Recorded | None,
    video: str | Path | NDArray[Any],
    spec: ClipSpec,
    detector: FaceDetector | None,
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Sound and picture of one window.

    Args:
        audio: a file, or a sound; None for the sound track of the video.
        video: see ``timed_frames``.
        spec: what is wanted.
        detector: see ``picture_of_window``.

    Returns:
        (n_mfcc, steps) float32, and (3, frames, size, size) uint8 BGR.

    Raises:
        EmotionError: a file cannot be read, there is no sound, or no face is found.
    """
    if audio is None and not isinstance(video, str | Path):
        raise EmotionError("expected the sound of a video that is given as an array, got none")
    try:
        sound = audio if isinstance(audio, Recorded) else read_recorded(str(video) if audio is None else audio)
    except EmotionError as error:
        if audio is not None:
            raise
        raise EmotionError(
            f"{error}: give a file with its sound, or take the picture alone (load_inference_video)"
        ) from None
    start_s = window_start_s(sound, 0.0, spec.window_s)
    name = str(video) if isinstance(video, str | Path) else "the video"
    clip = picture_of_window(timed_frames(video, spec.rate_hz), start_s, spec, detector, name)
    return sound_of_window(sound, start_s, spec), clip


def load_sound(audio: str | Path | Recorded, spec: ClipSpec) -> NDArray[np.float32]:
    """The sound alone, (n_mfcc, steps) float32; see ``load_clip``."""
    sound = replace(audio if isinstance(audio, Recorded) else read_recorded(audio), start_s=0.0)
    return sound_of_window(sound, window_start_s(sound, 0.0, spec.window_s), spec)


def load_picture(video: str | Path | NDArray[Any], spec: ClipSpec, detector: FaceDetector | None) -> NDArray[np.uint8]:
    """The picture alone: the middle of a video, (3, frames, size, size) uint8 BGR; see ``load_clip``."""
    start_s = window_start_s(None, picture_length_s(video, spec.rate_hz), spec.window_s)
    name = str(video) if isinstance(video, str | Path) else "the video"
    return picture_of_window(timed_frames(video, spec.rate_hz), start_s, spec, detector, name)


def _whole(image: Picture | None, size: int) -> NDArray[np.uint8]:
    """(3, size, size), the whole picture, black for none."""
    if image is None:
        return np.zeros((3, size, size), np.uint8)
    whole = Face(Box(0, 0, image.shape[1], image.shape[0]))
    return crop_face(image, whole, size, 1.0, BOX).transpose(2, 0, 1)
