"""What the node ``source`` publishes, as its parameters say it."""

from __future__ import annotations

from dataclasses import dataclass

from emotion_core.parameters import CheckedConfig, parameter


@dataclass(frozen=True)
class SourceConfig(CheckedConfig):
    """Pictures; raises EmotionError for a bad value."""

    source: str = parameter(
        "0",
        "Index of a camera, address of a stream (rtsp, http) or a picture, or path of a video, a picture, a folder of "
        "pictures, `@` and a list of them, or a sound; empty for a microphone alone.",
    )
    recursive: bool = parameter(False, "Also the pictures of the folders in a folder.")
    allow_private: bool = parameter(
        False, "Addresses may lead to this machine and its private network, where most cameras are."
    )
    rate_hz: float = parameter(
        0.0,
        "Images a second; 0 keeps the rate of the video or camera and is 30 for pictures.",
        low=0,
        high=240,
    )
    loop: bool = parameter(False, "Begin again at the end; a single picture is then published for ever.")
    frame_id: str = parameter("camera", "Frame of reference in the header of the images.")
    encoding: str = parameter("bgr8", "Encoding of the images.", choices=("bgr8", "rgb8", "mono8"))
    width: int = parameter(
        0, "Width in pixels to resize to, with the height in proportion; 0 keeps the size.", low=0, high=16384
    )
    wait_for_subscriber: bool = parameter(
        False,
        "Wait for the first subscriber to `image`, or to `audio` where there are no pictures, so that it misses "
        "nothing of a short recording.",
    )


@dataclass(frozen=True)
class SourceSoundConfig(CheckedConfig):
    """Sound; raises EmotionError for a bad value."""

    audio: bool = parameter(True, "Publish the sound of a file on `audio`, where it has any.")
    audio_chunk_s: float = parameter(0.04, "Seconds of sound in a message.", low=0.01, high=1)
    audio_frame_id: str = parameter("microphone", "Frame of reference in the header of the sound.")
    microphone: str = parameter(
        "",
        "Name or index of a sound card's input, or default, to be published on `audio` in place of the file's sound; "
        "empty for none. Takes sounddevice.",
    )
    microphone_rate_hz: int = parameter(
        0, "Samples a second of the microphone; 0 takes the rate that is its own.", low=0, high=384000
    )
    microphone_channels: int = parameter(1, "Channels of the microphone.", low=1, high=64)
