"""Sound of a sound card, as it comes; takes sounddevice, and PortAudio, which it brings on some systems."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from emotion_core.errors import EmotionError
from emotion_core.media.sound import Chunk

SILENCE_S = 3.0
"""A sound card that sends nothing for so long is gone."""

_WAITING_S = 2.0  # of sound may wait for whoever iterates
_INSTALL = "a microphone takes sounddevice: pip install sounddevice, and apt install libportaudio2 on Linux"


class Microphone:
    """Iterates the ``Chunk``s that an input of a sound card records, from now on, until it is closed.

    Args:
        device: index or part of the name of an input, or "default".
        rate_hz: samples a second; 0 takes the rate that the device names.
        channels: how many of its channels.
        chunk_s: seconds of sound in a chunk.
        clock: tells the time in seconds; a chunk's stamp is the time at which its first sample was recorded.

    Attributes:
        name: of the device.
        rate_hz: samples a second.
        lost: chunks that came while too many waited, and times at which the sound card reported a loss.

    Raises:
        EmotionError: sounddevice or PortAudio is missing, there is no such device, or it cannot record so.
    """

    def __init__(self, device: str, rate_hz: int, channels: int, chunk_s: float, clock: Callable[[], float]) -> None:
        self._sounddevice = _sounddevice()
        self._clock = clock
        self.lost = 0
        self._closed = False
        chosen = None if device == "default" else int(device) if device.isdecimal() else device
        try:
            found = self._sounddevice.query_devices(chosen, "input")
            self.name = str(found["name"])
            self.rate_hz = rate_hz or round(found["default_samplerate"])
            self._queue: queue.Queue[Chunk | None] = queue.Queue(max(2, round(_WAITING_S / chunk_s)))
            self._stream = self._sounddevice.InputStream(
                device=chosen,
                samplerate=self.rate_hz,
                channels=channels,
                dtype="int16",
                blocksize=max(1, round(chunk_s * self.rate_hz)),
                callback=self._record,
            )
            self._stream.start()
        except (ValueError, self._sounddevice.PortAudioError) as error:
            rate = f"{rate_hz} Hz" if rate_hz else "its own rate"
            raise EmotionError(
                f"microphone {device}: expected an input of a sound card with {channels} channels at {rate}, got: "
                f"{_said(error)}; there are {self._inputs()}"
            ) from error

    def __iter__(self) -> Iterator[Chunk]:
        while not self._closed:
            try:
                chunk = self._queue.get(timeout=SILENCE_S)
            except queue.Empty:
                raise EmotionError(f"the microphone {self.name} sends no more sound: was it unplugged?") from None
            if chunk is not None:
                yield chunk

    def close(self) -> None:
        """Stop recording, and end an iteration under way."""
        self._closed = True
        self._stream.close()
        with contextlib.suppress(queue.Full):  # then it does not wait
            self._queue.put_nowait(None)

    def _record(self, samples: Any, count: int, time: Any, status: Any) -> None:
        """Called in a thread of PortAudio's; it may not wait."""
        now_s = self._clock()
        age_s = time.currentTime - time.inputBufferAdcTime
        length_s = count / self.rate_hz
        if not length_s <= age_s <= length_s + _WAITING_S:  # some systems do not tell
            age_s = length_s
        try:
            self._queue.put_nowait(Chunk(np.array(samples), self.rate_hz, now_s - age_s))
        except queue.Full:
            self.lost += 1
        self.lost += bool(status.input_overflow)

    def _inputs(self) -> str:
        devices = self._sounddevice.query_devices()
        names = [f"{i} ({found['name']})" for i, found in enumerate(devices) if found["max_input_channels"] > 0]
        return "the inputs " + ", ".join(names) if names else "no inputs"


def _sounddevice() -> Any:
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: the library below it is missing
        raise EmotionError(f"{_INSTALL} ({_said(error)})") from error
    return sounddevice


def _said(error: Exception) -> str:
    return " ".join(str(error).split())
