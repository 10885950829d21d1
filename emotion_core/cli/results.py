"""What ``emotion infer`` tells about a file, for JSON and for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emotion_core.media.pictures import StoredPicture
    from emotion_core.pipeline.stages import Stages
    from emotion_core.types import EmotionEstimate


def of_picture(name: str, stored: StoredPicture, estimates: list[EmotionEstimate]) -> dict[str, Any]:
    """What is told of a picture, with boxes in pixels of the file."""
    faces = []
    for estimate in estimates:
        assert estimate.face is not None
        faces.append(
            {
                "box": list(estimate.face.box.scaled(stored.scale).clamped(stored.width, stored.height)),
                "score": round(estimate.face.score, 4),
                "label": estimate.label,
                "confidence": round(estimate.confidence, 4),
                "probabilities": {k: round(p, 4) for k, p in zip(estimate.labels, estimate.probabilities, strict=True)},
                "valence": _number(estimate.valence),
                "arousal": _number(estimate.arousal),
            }
        )
    return {"source": name, "width": stored.width, "height": stored.height, "faces": faces}


def of_voice(path: Path, model: Any, stages: Stages) -> dict[str, Any]:
    """A recording as one utterance; "voice" is None where nobody speaks."""
    from emotion_core.audio.activity import RATE_HZ
    from emotion_core.media.sound import read_sound
    from emotion_core.pipeline.voice import hear_whole

    with stages.time("read"):
        sound = read_sound(path, RATE_HZ)
    with stages.time("voice"):
        heard = hear_whole(model, sound.samples, sound.duration_s)
    result: dict[str, Any] = {"source": str(path), "seconds": round(sound.duration_s, 3), "voice": None}
    if heard is not None:
        said = dict(zip(model.card.labels, heard.probabilities.tolist(), strict=True))
        label = max(said, key=lambda name: said[name])
        result["voice"] = {
            "label": label,
            "confidence": round(said[label], 4),
            "probabilities": {name: round(p, 4) for name, p in said.items()},
            "speech_s": round(heard.speech_s, 3),
            "snr_db": _number(heard.snr_db),
        }
    return result


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if value != value else round(value, 4)


def sentence(result: dict[str, Any]) -> str:
    """The same for people."""
    timings = ", ".join(f"{name} {ms:.1f} ms" for name, ms in result.get("timings_ms", {}).items())
    return _seen_or_heard(result) + (f" ({timings})" if timings else "")


def _seen_or_heard(result: dict[str, Any]) -> str:
    if "voice" in result:
        voice = result["voice"]
        if voice is None:
            return f"{result['source']}: no voice"
        noise = "" if voice["snr_db"] is None else f", {voice['snr_db']:.0f} dB above the noise"
        return (
            f"{result['source']}: {voice['label']} {voice['confidence']:.0%} ({voice['speech_s']:.1f} s spoken{noise})"
        )
    if not result["faces"]:
        return f"{result['source']}: no face"
    parts = [
        f"{face['label']} {face['confidence']:.0%} at {','.join(map(str, face['box']))}" for face in result["faces"]
    ]
    return f"{result['source']}: {'; '.join(parts)}"
