"""The sound of ``emotion video --audio``."""

from __future__ import annotations

import argparse
import contextlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from emotion_core.errors import EmotionError
from emotion_core.media.in_step import SoundInStep

if TYPE_CHECKING:
    from emotion_core.plots.observer import Observer


class PlayedSound:
    """A file's sound, heard in step with the frames."""

    def __init__(self, path: str) -> None:
        self._sound = SoundInStep(path)

    def play(self, observer: Observer, until_s: float) -> None:
        """Hear all that has begun at a time; a chunk that is none is counted."""
        for chunk in self._sound.until(until_s):
            with contextlib.suppress(EmotionError):
                observer.hear(chunk.sound, chunk.rate_hz, chunk.stamp_s)

    def report(self, observer: Observer) -> dict[str, Any]:
        """What was wrong with it."""
        counts = observer.sound_counts
        return {"sound": {**(asdict(counts) if counts else {}), "skipped": self._sound.skipped}}


def open_sound(args: argparse.Namespace, no_video: bool) -> PlayedSound | None:
    """What --audio asks for, None without it; raises EmotionError where there is no video or no sound."""
    if args.audio is None:
        return None
    if no_video:
        raise EmotionError(f"--audio goes with a video file, and {args.source} is none")
    return PlayedSound(args.audio if isinstance(args.audio, str) else args.source)
