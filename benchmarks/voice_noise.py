"""What a steady noise does to the voice model, and what taking it off gives back.

    python benchmarks/voice_noise.py RAVDESS

The validation actors of RAVDESS speech, each recording judged as one utterance, its eight classes with calm as neutral;
a fan is mixed in at a ratio to the louder half of the recording (seed 0).
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from emotion_core.audio.activity import RATE_HZ
from emotion_core.audio.mel import mel_frames
from emotion_core.data.voices import load_ravdess
from emotion_core.labels import meaning
from emotion_core.media.sound import read_sound
from emotion_core.pipeline.voice import hear_whole
from emotion_core.runtime.voice import VoiceModel
from emotion_core.training.fusion import with_fan

SNRS_DB = (None, 30, 20, 15, 10, 5, 0)


def main() -> None:
    """Measure and print a row for each ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="folder with RAVDESS speech")
    parser.add_argument("--model", default="voice_ravdess")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    model, voices = VoiceModel.load(args.model), load_ravdess(args.data, "valid")
    sounds = [read_sound(voices.path(i), RATE_HZ).samples for i in range(len(voices))]
    words = [meaning(label) for label in model.card.labels]
    truths = [meaning(voices.labels[k]) for k in voices.targets]

    def right(probabilities: np.ndarray | None, truth: str) -> bool:
        if probabilities is None:
            return False
        shares = {word: sum(p for w, p in zip(words, probabilities, strict=True) if w == word) for word in words}
        return max(shares, key=lambda word: shares[word]) == truth

    for snr in SNRS_DB:
        plain = clean = 0
        for index, (sound, truth) in enumerate(zip(sounds, truths, strict=True)):
            noisy = sound if snr is None else with_fan(sound, snr, np.random.default_rng([0, index]))
            plain += right(model.utterance(mel_frames(noisy, RATE_HZ)).probabilities, truth)
            heard = hear_whole(model, noisy, 0.0)
            clean += right(None if heard is None else heard.probabilities, truth)
        row = {"snr_db": snr, "n": len(sounds)}
        row |= {"as_it_is": round(100 * plain / len(sounds), 1), "noise_taken_off": round(100 * clean / len(sounds), 1)}
        print(json.dumps(row) if args.json else "  ".join(f"{k} {v}" for k, v in row.items()), flush=True)


if __name__ == "__main__":
    main()
