"""Share of photos in which a face is found, and agreement with the photos' labels.

Reads a folder of photos with a labels.csv (columns file, emotion). The largest face of a photo counts.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np

from emotion_core.evaluation.metrics import classification
from emotion_core.labels import canonical
from emotion_core.media.pictures import read_picture
from emotion_core.pipeline.still import StillPipeline
from emotion_core.store.finding import DEFAULT_MODEL
from emotion_core.vision.detect import DETECTORS


def main() -> None:
    """Measure and print a JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--detector", default="auto", choices=DETECTORS)
    args = parser.parse_args()
    pipeline = StillPipeline(args.model, args.detector)
    labels = pipeline.classifier.card.labels
    truth, predicted, confidence = [], [], []
    with (args.folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        estimates = pipeline.process(read_picture(args.folder / row["file"]).image)
        if estimates:
            truth.append(labels.index(canonical(row["emotion"])))
            predicted.append(labels.index(estimates[0].label))
            confidence.append(estimates[0].confidence)
    result = classification(np.array(truth), np.array(predicted), np.array(confidence), labels)
    print(
        json.dumps(
            {
                "model": pipeline.classifier.card.name,
                "detector": pipeline.detector.name,
                "photos": len(rows),
                "with_face_percent": round(100 * len(truth) / len(rows), 2),
                "agreement_percent": round(result.accuracy, 2),
                "macro_f1": round(result.macro_f1, 2),
                "recall": {k: None if np.isnan(v) else round(v, 1) for k, v in result.recall.items()},
                "labels": Counter(row["emotion"] for row in rows),
            }
        )
    )


if __name__ == "__main__":
    main()
