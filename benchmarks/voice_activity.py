"""Voice activity detectors on real voices, and on what a robot hears when nobody speaks.

Protocol: of every second actor of RAVDESS speech (``Actor_NN/03-01-*.flac`` or ``.wav``) one recording an emotion.
Spoken is what lies less than 35 dB below the loudest frame of the clean recording, silent what lies more than 50 dB
below. A fan (pink noise and a blade's tones) is added at some ratio to the mean power of what is spoken. WebRTC's
detector is measured where webrtcvad is installed (pip install webrtcvad-wheels).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from emotion_core.audio.activity import RATE_HZ, SPEECH, VoiceActivity
from emotion_core.media.sound import read_sound

FRAME = 480  # 30 ms: webrtcvad's longest; truth is taken in the same frames
T = np.arange(20 * RATE_HZ) / RATE_HZ
Detector = Callable[[np.ndarray], np.ndarray]  # samples -> whether each of them lies in speech


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="with Actor_01, Actor_02, ...")
    args = parser.parse_args()
    voices = [read_sound(path, RATE_HZ).samples for path in chosen(args.folder)]
    if not voices:
        parser.error(f"{args.folder} holds no RAVDESS speech: expected Actor_NN/03-01-*")
    noises = made_noises()
    print(f"{len(voices)} recordings, {sum(map(len, voices)) / RATE_HZ:.0f} s")
    for name, detect in detectors():
        start = time.process_time()
        print(f"\n{name}\n  voices: {rates(detect, voices, voices)}")
        for snr_db in (20, 10, 5, 0):
            noisy = [mixed(voice, noises["fan"], snr_db) for voice in voices]
            print(f"  with a fan at {snr_db} dB: {rates(detect, noisy, voices)}")
        print("  taken for speech:", ", ".join(f"{k} {100 * detect(v).mean():.0f} %" for k, v in noises.items()))
        seconds = 5 * sum(map(len, voices)) / RATE_HZ + len(noises) * T[-1]
        print(f"  {1000 * (time.process_time() - start) / seconds:.2f} ms of CPU a second of sound, mixing included")


def chosen(folder: Path) -> Iterator[Path]:
    """One recording an emotion of every second actor."""
    for actor in sorted(folder.glob("Actor_*"))[::2]:
        for emotion in range(1, 9):
            yield from sorted(actor.glob(f"03-01-0{emotion}-01-01-01-*"))[:1]


def detectors() -> Iterator[tuple[str, Detector]]:
    """Ours, and WebRTC's where it is installed."""
    silero = VoiceActivity()

    def ours(samples: np.ndarray) -> np.ndarray:
        silero.reset()
        found = np.repeat(silero.push(samples) >= SPEECH, 512)
        return np.pad(found, (0, len(samples) - len(found)))

    yield "Silero", ours
    try:
        import webrtcvad
    except ImportError:
        return
    for mode in (1, 2, 3):

        def theirs(samples: np.ndarray, mode: int = mode) -> np.ndarray:
            detector, pcm = webrtcvad.Vad(mode), (samples * 32767).astype("<i2")
            starts = range(0, len(pcm) - FRAME + 1, FRAME)
            found = [detector.is_speech(pcm[i : i + FRAME].tobytes(), RATE_HZ) for i in starts]
            return np.pad(np.repeat(found, FRAME), (0, len(samples) % FRAME))

        yield f"WebRTC, mode {mode}", theirs


def rates(detect: Detector, heard: list[np.ndarray], clean: list[np.ndarray]) -> str:
    """Of what is spoken and of what is silent in the clean recordings, how much counts as speech."""
    hits, falses = [], []
    for samples, voice in zip(heard, clean, strict=True):
        found, level = detect(samples), decibels(voice)
        hits.append(found[: len(level)][level > level.max() - 35])
        falses.append(found[: len(level)][level < level.max() - 50])
    return f"{100 * np.concatenate(hits).mean():.1f} % found, {100 * np.concatenate(falses).mean():.1f} % false"


def decibels(voice: np.ndarray) -> np.ndarray:
    """Level around each sample, of its frame."""
    count = len(voice) // FRAME
    powers = np.square(voice[: count * FRAME].reshape(count, FRAME)).mean(1)
    return np.repeat(10 * np.log10(powers + 1e-12), FRAME)


def mixed(voice: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    """The voice with noise that far below its mean power while it speaks."""
    level = decibels(voice)
    power = np.square(voice[: len(level)][level > level.max() - 35]).mean()
    noise = np.resize(noise, len(voice))
    return np.clip(voice + noise * np.sqrt(power / np.square(noise).mean() / 10 ** (snr_db / 10)), -1, 1)


def made_noises() -> dict[str, np.ndarray]:
    """20 s each, at -25 dBFS."""
    white = np.random.default_rng(0).standard_normal(len(T))
    spectrum = np.fft.rfft(white)
    pink = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 400)), len(T))
    fan = pink / pink.std() + 0.5 * tones(87 * T, 6) * (1 + 0.2 * np.sin(2 * np.pi * 1.3 * T))
    sounds = {
        "white noise": white,
        "fan": fan,
        "hum": tones(50 * T, 8),
        "motor": tones(140 * T, 30),
        "motor that speeds up": tones(100 * T + 6 * T**2, 15),
        "beeps": tones(1000 * T, 1) * (np.sin(2 * np.pi * T) > 0),
    }
    made = {k: (v * 10 ** (-25 / 20) / np.sqrt(np.square(v).mean())).astype(np.float32) for k, v in sounds.items()}
    return {"digital silence": np.zeros(len(T), np.float32), **made}


def tones(turns: np.ndarray, count: int) -> np.ndarray:
    """A fundamental and its multiples, of falling strength."""
    return np.asarray(sum(np.sin(2 * np.pi * i * turns + i) / i for i in range(1, count + 1)))


if __name__ == "__main__":
    main()
