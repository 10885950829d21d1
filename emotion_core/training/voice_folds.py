"""How well voices of people are judged who were not learned from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from emotion_core.data.voices import Voices, speaker_folds
from emotion_core.errors import EmotionError
from emotion_core.models.voice import VoiceNetwork
from emotion_core.training.events import OnEvent
from emotion_core.training.loop import Loop
from emotion_core.training.voice import VoiceTask
from emotion_core.training.voice_config import VoiceTrainingConfig


@dataclass(frozen=True)
class FoldResult:
    """Of one fold: who was tested, and percent of the ``n`` utterances judged right, by utterances heard before."""

    speakers: tuple[str, ...]
    accuracies: dict[int, float]
    n: int


def cross_validate(
    config: VoiceTrainingConfig,
    voices: Voices,
    k: int,
    out: str | Path,
    encoder: str | Path | None = None,
    init: str | Path | None = None,
    device: str = "cpu",
    sexes: Callable[[str], str] = lambda speaker: "",
    on_event: OnEvent | None = None,
) -> list[FoldResult]:
    """Train k times, each time without the speakers that are tested; the last weights count: nothing is chosen by them.

    Args:
        config, encoder, init, device: see ``VoiceTask`` and ``Loop``.
        voices: of all speakers.
        k: number of folds.
        out: folder for the results, one below it for each fold; a run that was stopped goes on.
        sexes: see ``speaker_folds``.
        on_event: called with what happens in each fold.

    Raises:
        EmotionError: see ``speaker_folds`` and ``VoiceTask``; or the settings choose weights by the tested speakers.
    """
    if config.keep_best or config.patience:
        raise EmotionError("folds measure people whom nothing was chosen by: set keep_best to false and patience to 0")
    results = []
    for i, (train, test) in enumerate(speaker_folds(voices, k, sexes), 1):
        task = VoiceTask(config, train, test, encoder, init)
        loop = Loop(task, Path(out) / f"fold_{i}", device)
        loop.run(on_event)
        assert isinstance(loop.model, VoiceNetwork)
        judged = task.evaluate(loop.model)
        accuracies = {count: round(result.accuracy, 2) for count, result in judged.items()}
        results.append(FoldResult(tuple(sorted(set(test.speakers))), accuracies, len(test)))
    return results
