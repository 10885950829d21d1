"""The authors' experiment on CK+: ESR-4, ten folds of people.

Siqueira, Magg, Wermter: Efficient Facial Feature Learning with Wide Ensemble-Based Convolutional Neural
Networks. AAAI 2020: 89.4 % with a standard deviation of 2.2 over the folds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from emotion_core.data.ckplus import CkPlus
from emotion_core.data.subset import Subset
from emotion_core.errors import EmotionError
from emotion_core.learners.facial import FacialEmotionLearner
from emotion_core.models.esr import PRESETS, EsrConfig


@dataclass(frozen=True)
class FoldResult:
    """Percent of a fold's ``n`` test faces that the branches' vote labels correctly."""

    accuracy: float
    n: int


def cross_validate(
    data: CkPlus, out: str | Path, k: int = 10, architecture: EsrConfig = PRESETS["esr4_ckplus"], **settings: Any
) -> list[FoldResult]:
    """Train and test once for each fold.

    The people of one fold are tested, those of the next one choose the best epoch, all others are learned from:
    nobody is in two of these parts. The first branch trains with the base, which is then frozen. A run that was
    stopped goes on from the last finished epoch.

    Args:
        data: the faces of CK+.
        out: folder for the results, one below it for each fold.
        k: number of folds, at least 3.
        architecture: the network; its ``branches`` are the size of the ensemble.
        **settings: more arguments of ``FacialEmotionLearner``.

    Raises:
        EmotionError: k is below 3 or above the number of people, or a fold's training part lacks a class.
    """
    if k < 3:
        raise EmotionError(f"a fold to test, one to validate and one to learn from make 3 at least, got {k}")
    folds = data.folds(k)
    results = []
    for i in range(k):
        test, valid = folds[i][1], folds[(i + 1) % k][1]
        train = np.setdiff1d(folds[i][0], valid)
        learner = FacialEmotionLearner(
            architecture=architecture,
            ensemble_size=architecture.branches,
            freeze_older_branches=True,
            categorical_train=True,
            dimensional_finetune=False,
            base_path_experiment=str(out),
            name_experiment=f"fold_{i + 1}",
            labels=data.labels,
            **settings,
        )
        learner.fit(Subset(data, train), Subset(data, valid))
        result = learner.eval(dataset=Subset(data, test))
        results.append(FoldResult(result["accuracy"], result["n"]))
    return results
