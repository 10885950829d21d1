"""Speeds of what sees and hears, as ratios in one run.

    python benchmarks/audiovisual.py [--threads 1]

Clips: the published network (random weights, on which the speed does not depend) in ONNX Runtime against the same in
eager PyTorch; an update of its stream against such a clip. Sound: 3.6 s of 48 kHz to features. Stream: how much of one
core the pipeline takes for 30 pictures a second of 640x480 with one face, and a voice at 48 kHz.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from emotion_core.audio.features import sound_features
from emotion_core.data.voices import RAVDESS
from emotion_core.export.onnx_export import export_onnx
from emotion_core.media.clip import sample_photo, window
from emotion_core.models.audiovisual_stream import as_stream
from emotion_core.models.registry import build, describe, entry_of
from emotion_core.pipeline.audiovisual import AudiovisualConfig, AudiovisualPipeline
from emotion_core.runtime.classifier import Classifier
from emotion_core.runtime.processor import describe_cpu

ROUNDS = 5
SECONDS = 20


def seconds(call: Callable[[], object], count: int) -> float:
    """Median of a call's time, after two to warm up."""
    for _ in range(2):
        call()
    times = []
    for _ in range(count):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def clips(size: int, threads: int, folder: Path) -> dict[str, float]:
    """Milliseconds of a clip in both, and of a stream's update, in turns."""
    torch.set_num_threads(threads)
    model = build({"type": "audiovisual", "image_size": size}, seed=0)
    card = describe(entry_of(model), "av", RAVDESS, "none")
    export_onnx(model, card, folder / f"{size}.onnx")
    export_onnx(*as_stream(model, card), folder / f"{size}s.onnx")
    whole, stream = (Classifier(folder / f"{size}{kind}.onnx", threads) for kind in ("", "s"))
    rng = np.random.default_rng(0)
    clip = rng.random((1, 3, 15, size, size), np.float32)
    sound = rng.standard_normal((1, 10, 156)).astype(np.float32)
    face, features = clip[:, :, 0], rng.random((1, 15, 1024), np.float32)
    tensors = torch.from_numpy(clip), torch.from_numpy(sound)
    times: dict[str, list[float]] = {"eager": [], "onnx": [], "update": []}
    for _ in range(ROUNDS):
        with torch.inference_mode():
            times["eager"].append(seconds(lambda: model(*tensors), 5))
        times["onnx"].append(seconds(lambda: whole(clip, sound), 5))
        times["update"].append(seconds(lambda: stream.run({"faces": face, "features": features, "sound": sound}), 20))
    return {name: 1e3 * statistics.median(values) for name, values in times.items()}


def features_ms() -> float:
    """3.6 s of 48 kHz to MFCC."""
    model = build({"type": "audiovisual"}, seed=0)
    item = describe(entry_of(model), "av", RAVDESS, "none").inputs[1]
    sound = np.random.default_rng(0).standard_normal(172800).astype(np.float32) / 10
    return 1e3 * seconds(lambda: sound_features(sound, 48000, item), 30)


def pipeline_share(detector: str) -> dict[str, float]:
    """Processor time of the whole stream as a share of its length, and of the voice's part."""
    torch.set_num_threads(1)
    pipeline = AudiovisualPipeline(AudiovisualConfig(detector=detector))
    photo = sample_photo()
    pictures = [window(photo, i / 30) for i in range(240)]
    rng = np.random.default_rng(0)
    spoken = rng.standard_normal(48000 * SECONDS) * (1 + np.sin(np.arange(48000 * SECONDS) / 2400)) * 0.02
    # No noise is a voice; for the time that it takes everything counts as one.
    pipeline.voice.activity._silero = _Talkative(pipeline.voice.activity._silero)
    sound, chunk = spoken.astype(np.float32), 480
    hearing, start = 0.0, time.process_time()
    for i in range(30 * SECONDS):
        begin = time.process_time()
        for at in range(i * 1600, (i + 1) * 1600, chunk):
            pipeline.hear(sound[at : min(at + chunk, (i + 1) * 1600)], 48000, at / 48000)
        hearing += time.process_time() - begin
        pipeline.see(pictures[i % 240], i / 30)
    return {"all": 100 * (time.process_time() - start) / SECONDS, "voice": 100 * hearing / SECONDS}


class _Talkative:
    def __init__(self, silero: object) -> None:
        self._silero = silero

    def process_samples(self, samples: list[float]) -> float:
        self._silero.process_samples(samples)  # type: ignore[attr-defined]
        return 0.9

    def reset(self) -> None:
        self._silero.reset()  # type: ignore[attr-defined]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="of the networks (default: 1)")
    parser.add_argument("--detector", default="yunet", help="for the stream (default: yunet)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    report: dict[str, object] = {"cpu": describe_cpu(), "threads": args.threads}
    with tempfile.TemporaryDirectory() as folder:
        for size in (224, 64):
            times = clips(size, args.threads, Path(folder))
            report[f"clip_{size}"] = times | {
                "onnx_ratio": times["eager"] / times["onnx"], "update_ratio": times["eager"] / times["update"]
            }  # fmt: skip
    report["features_ms"] = features_ms()
    report["stream_percent_of_a_core"] = pipeline_share(args.detector)
    if args.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        figures = value if not isinstance(value, dict) else ", ".join(f"{k} {v:.2f}" for k, v in value.items())
        print(f"{name}: {figures}")


if __name__ == "__main__":
    main()
