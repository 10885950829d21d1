"""Speed of the exported network against the same network in eager PyTorch, in one run.

Protocol: one face at a time, 50 calls to warm up, then blocks of 100 calls of either, alternating, five each; the
figure is the median over all calls of a backend. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from emotion_core.models.esr import Esr, EsrConfig
from emotion_core.runtime.classifier import Classifier
from emotion_core.store.finding import DEFAULT_MODEL


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    for threads in args.threads:
        result = compare(args.model, threads)
        print(json.dumps(result) if args.json else "  ".join(f"{k} {v}" for k, v in result.items()))


def compare(model: str, threads: int) -> dict[str, object]:
    """Evaluations a second of both backends."""
    torch.set_num_threads(threads)
    classifier = Classifier.load(model, threads)
    card = classifier.card
    architecture = {k: v for k, v in card.architecture.items() if k != "type"}
    eager = Esr(EsrConfig.from_dict(architecture)).eval()  # speed does not depend on the weights
    faces = np.random.default_rng(0).random((1, card.channels, card.input_size, card.input_size), np.float32)
    tensor = torch.from_numpy(faces)
    with torch.no_grad():
        seconds = measure({"eager": lambda: eager(tensor), "onnx": lambda: classifier(faces)})
    rates = {name: 1 / statistics.median(values) for name, values in seconds.items()}
    return {
        "model": card.name,
        "threads": threads,
        **{f"{name}_per_s": round(rate, 1) for name, rate in rates.items()},
        "ratio": round(rates["onnx"] / rates["eager"], 2),
    }


def measure(calls: dict[str, Callable[[], object]], blocks: int = 5, count: int = 100) -> dict[str, list[float]]:
    """Seconds of each call, in alternating blocks, so that a change of the clock rate hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for call in calls.values():
        for _ in range(50):
            call()
    for _ in range(blocks):
        for name, call in calls.items():
            for _ in range(count):
                start = time.perf_counter()
                call()
                seconds[name].append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    main()
