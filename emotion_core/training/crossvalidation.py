"""The authors' experiment on CK+: ESR-4, ten folds of people.

Siqueira, Magg, Wermter: Efficient Facial Feature Learning with Wide Ensemble-Based Convolutional Neural
Networks. AAAI 2020: 89.4 % with a standard deviation of 2.2 over the folds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from emotion_core.data.ckplus import CkPlus
from emotion_core.data.subset import Subset
from emotion_core.errors import EmotionError
from emotion_core.evaluation.evaluate import evaluate_categories, run_network
from emotion_core.export.torch_network import TorchNetwork
from emotion_core.models.esr import PRESETS
from emotion_core.models.registry import inputs_of
from emotion_core.training.esr_branchwise import EsrBranchwiseTask
from emotion_core.training.esr_branchwise_config import BranchwiseConfig
from emotion_core.training.events import OnEvent
from emotion_core.training.loop import Loop

AUTHORS = BranchwiseConfig(
    model=PRESETS["esr4_ckplus"], first_epochs=50, later_epochs=50, older_lr=0.0, dimensional=False
)
"""The narrow ESR-4; the first branch trains with the base, which is then frozen."""


@dataclass(frozen=True)
class FoldResult:
    """Percent of a fold's ``n`` test faces that the branches' vote labels correctly."""

    accuracy: float
    n: int


def cross_validate(
    data: CkPlus,
    out: str | Path,
    k: int = 10,
    config: BranchwiseConfig = AUTHORS,
    device: str = "cpu",
    on_event: OnEvent | None = None,
) -> list[FoldResult]:
    """Train and test once for each fold.

    The people of one fold are tested, those of the next one choose the best epoch, all others are learned from:
    nobody is in two of these parts. A run that was stopped goes on from the last finished epoch.

    Args:
        data: the faces of CK+.
        out: folder for the results, one below it for each fold.
        k: number of folds, at least 3.
        config: how each fold is trained.
        device: 'cpu' or 'cuda'.
        on_event: called with what happens in each fold.

    Raises:
        EmotionError: k is below 3 or above the number of people, or a fold's training part lacks a class.
    """
    if k < 3:
        raise EmotionError(f"a fold to test, one to validate and one to learn from make 3 at least, got {k}")
    config = replace(config, model=replace(config.model, num_classes=len(data.labels)))
    folds = data.folds(k)
    results = []
    for i in range(k):
        test, valid = folds[i][1], folds[(i + 1) % k][1]
        train = np.setdiff1d(folds[i][0], valid)
        task = EsrBranchwiseTask(config, Subset(data, train), Subset(data, valid))
        loop = Loop(task, Path(out) / f"fold_{i + 1}", device)
        loop.run(on_event)
        tested = Subset(data, test)
        output = run_network(TorchNetwork(loop.model), tested, inputs_of(loop.model)[0])
        result = evaluate_categories(output, tested, data.labels, "vote").ensemble
        results.append(FoldResult(round(result.accuracy, 2), result.n))
    return results
