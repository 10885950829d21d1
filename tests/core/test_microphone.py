"""A sound card, with a sounddevice that is none."""

from __future__ import annotations

import builtins
import itertools
import sys
import threading
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from emotion_core.errors import EmotionError
from emotion_core.media import microphone as module
from emotion_core.media.microphone import Microphone

DEVICES = [
    {"name": "Loudspeaker", "max_input_channels": 0, "default_samplerate": 48000.0},
    {"name": "USB Array", "max_input_channels": 4, "default_samplerate": 44100.0},
]


class Stream:
    """What ``sounddevice.InputStream`` is given; the test says when it records."""

    def __init__(self, **options: Any) -> None:
        if options["channels"] > 4:
            raise sys.modules["sounddevice"].PortAudioError("Invalid number of channels [PaErrorCode -9998]")
        self.options, self.started, self.closed = options, False, False

    def start(self) -> None:
        self.started = True

    def close(self) -> None:
        self.closed = True

    def record(self, samples: np.ndarray, age_s: float = 0.0, overflow: bool = False) -> None:
        buffer = samples.astype(self.options["dtype"])
        time = SimpleNamespace(currentTime=50.0, inputBufferAdcTime=50.0 - age_s, outputBufferDacTime=0.0)
        self.options["callback"](buffer, len(buffer), time, SimpleNamespace(input_overflow=overflow))
        buffer[:] = -1  # PortAudio uses it again


@pytest.fixture
def sounddevice(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    fake = ModuleType("sounddevice")

    def query_devices(device: Any = None, kind: str | None = None) -> Any:
        if kind is None:
            return fake.devices
        if isinstance(device, str):
            found = [item for item in fake.devices if device.lower() in item["name"].lower()]
            if not found:
                raise ValueError(f"No {kind} device matching {device!r}")
            return found[0]
        if not fake.devices or (device or 0) >= len(fake.devices):
            raise fake.PortAudioError(f"Error querying device {-1 if device is None else device}")
        return fake.devices[1 if device is None else device]

    fake.devices, fake.query_devices, fake.InputStream = DEVICES, query_devices, Stream
    fake.PortAudioError = type("PortAudioError", (Exception,), {})
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    return fake


def opened(device: str = "default", rate_hz: int = 16000, channels: int = 1, chunk_s: float = 0.01) -> Microphone:
    return Microphone(device, rate_hz, channels, chunk_s, clock=lambda: 1000.0)


@pytest.mark.parametrize(("device", "chosen"), [("default", None), ("1", 1), ("usb", "usb")])
def test_it_is_opened_as_asked(sounddevice, device, chosen):
    microphone = opened(device, rate_hz=0, channels=2)
    options = microphone._stream.options
    assert microphone._stream.started
    assert (microphone.name, microphone.rate_hz) == ("USB Array", 44100)
    assert (options["device"], options["samplerate"], options["channels"]) == (chosen, 44100, 2)
    assert (options["dtype"], options["blocksize"]) == ("int16", 441)


def test_chunks_carry_when_their_first_sample_was_recorded(sounddevice):
    microphone = opened()
    samples = np.arange(160)[:, None]
    microphone._stream.record(samples, age_s=0.03)
    microphone._stream.record(samples + 160)  # a system that does not tell
    microphone._stream.record(samples, age_s=-7)
    microphone._stream.record(samples, age_s=1e6)
    chunks = list(itertools.islice(microphone, 4))
    assert [chunk.stamp_s for chunk in chunks] == pytest.approx([999.97, 999.99, 999.99, 999.99])
    assert {chunk.rate_hz for chunk in chunks} == {16000}
    np.testing.assert_array_equal(chunks[0].sound, samples)
    np.testing.assert_array_equal(chunks[1].sound, samples + 160)
    assert microphone.lost == 0


def test_what_is_lost_is_counted_and_nothing_grows(sounddevice):
    microphone = opened(chunk_s=0.5)
    for k in range(7):
        microphone._stream.record(np.full((8000, 1), k), overflow=k == 1)
    assert microphone.lost == 3 + 1
    assert [chunk.sound[0, 0] for chunk in itertools.islice(microphone, 4)] == [0, 1, 2, 3]


def test_closing_ends_the_iteration(sounddevice, monkeypatch):
    monkeypatch.setattr(module, "SILENCE_S", 100.0)
    microphone = opened()
    microphone._stream.record(np.zeros((160, 1)))
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.extend(microphone))
    thread.start()
    microphone.close()
    thread.join(timeout=20)
    assert not thread.is_alive() and microphone._stream.closed and len(found) <= 1


def test_one_that_was_unplugged(sounddevice, monkeypatch):
    monkeypatch.setattr(module, "SILENCE_S", 0.05)
    with pytest.raises(EmotionError, match="USB Array sends no more sound: was it unplugged"):
        list(opened())


@pytest.mark.parametrize(
    ("device", "channels", "said"),
    [
        ("Piano", 1, r"No input device matching 'Piano'.*there are the inputs 1 \(USB Array\)"),
        ("9", 1, "Error querying device 9"),
        ("usb", 5, "5 channels at 16000 Hz, got: Invalid number of channels"),
    ],
)
def test_there_is_no_such_microphone(sounddevice, device, channels, said):
    with pytest.raises(EmotionError, match=said):
        opened(device, channels=channels)


def test_there_is_none_at_all(sounddevice):
    sounddevice.devices = []
    with pytest.raises(EmotionError, match="Error querying device -1; there are no inputs"):
        opened()


@pytest.mark.parametrize(
    "error", [ImportError("No module named 'sounddevice'"), OSError("PortAudio library not found")]
)
def test_without_sounddevice_or_portaudio(monkeypatch, error):
    real = builtins.__import__

    def importing(name: str, *rest: Any) -> Any:
        if name == "sounddevice":
            raise error
        return real(name, *rest)

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(builtins, "__import__", importing)
    with pytest.raises(EmotionError, match=f"pip install sounddevice.*libportaudio2.*{error}"):
        opened()
