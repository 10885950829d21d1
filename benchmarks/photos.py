"""Share of photos in which a face is found, and agreement with the photos' labels.

Reads a folder of photos with a labels.csv (columns file, emotion). The largest face of a photo counts; faces are
searched as `emotion infer` does. With --confusion the confusion matrices of all models are drawn side by side; a model
of an earlier version is in the history: `git show COMMIT:emotion_core/weights/esr_compact.onnx > earlier.onnx`.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np

from emotion_core.evaluation.evaluate import run_network
from emotion_core.evaluation.metrics import Classification, classification
from emotion_core.evaluation.photos import load_photos
from emotion_core.pipeline.still_config import StillConfig
from emotion_core.plots.confusion import plot_confusions
from emotion_core.runtime.classifier import Classifier
from emotion_core.store.finding import DEFAULT_MODEL
from emotion_core.vision.detect import DETECTORS, create_detector


def main() -> int:
    """Measure and print a JSON line for each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", nargs="+", default=[DEFAULT_MODEL])
    parser.add_argument("--detector", default="auto", choices=DETECTORS)
    parser.add_argument("--confusion", metavar="FILE", help="draw the confusion matrices: .png, .pdf or .svg")
    args = parser.parse_args()
    config = StillConfig()
    detector = create_detector(args.detector, config.detection_size, config.min_score)
    photos = load_photos(args.folder, detector)
    count = len(photos) + photos.without_face
    drawn: dict[str, Classification] = {}
    for name in args.model:
        model = Classifier.load(name)
        said = run_network(model, photos, model.card.inputs).probabilities
        chosen = said.argmax(1)
        labels = model.card.labels
        result = classification(photos.classes(labels), chosen, said[np.arange(len(said)), chosen], labels)
        drawn[f"{Path(name).stem}: {result.accuracy:.1f} % of {len(photos)} photos"] = result
        print(
            json.dumps(
                {
                    "model": model.card.name,
                    "detector": detector.name,
                    "photos": count,
                    "with_face_percent": round(100 * len(photos) / count, 2),
                    "agreement_percent": round(result.accuracy, 2),
                    "macro_f1": round(result.macro_f1, 2),
                    "recall": {k: None if np.isnan(v) else round(v, 1) for k, v in result.recall.items()},
                    "labels": Counter(photos.emotions),
                }
            )
        )
    if args.confusion:
        plot_confusions({title: r.confusion for title, r in drawn.items()}, labels, args.confusion, "photos")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
