"""Where model files live, and which of them are known.

Bundled models lie in the package, others in the model store: ``$EMOTION_MODEL_DIR``, by default
``$XDG_CACHE_HOME/emotion_perception`` (``~/.cache/emotion_perception``); for a user without a home folder
``/var/cache/emotion_perception``. A store that is not there or may not be read is an empty one. Nothing here downloads
anything.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from emotion_core.errors import EmotionError
from emotion_core.store.files import is_file, sha256, user_path

BUNDLED = Path(__file__).resolve().parent.parent / "weights"
DEFAULT_MODEL = "esr_compact"
DEFAULT_VOICE = "voice_ravdess"


@dataclass(frozen=True)
class KnownFile:
    """A published file that the store may hold."""

    kind: str
    sha256: str
    licence: str


KNOWN_FILES = {
    "face_detection_yunet_2026may.onnx": KnownFile(
        "yunet", "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0", "MIT"
    ),
    "face_detection_yunet_2023mar.onnx": KnownFile(
        "yunet", "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4", "MIT"
    ),
}


def model_dir() -> Path:
    """The folder of the model store; it need not exist."""
    if chosen := os.environ.get("EMOTION_MODEL_DIR"):
        return user_path(chosen)
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():  # also when it is not set; the specification ignores relative ones
        try:
            cache = Path.home() / ".cache"
        except RuntimeError:  # a container's user without a name: no shared /tmp, where anybody could place models
            cache = Path("/var/cache")
    return cache / "emotion_perception"


def find_file(name: str) -> Path | None:
    """A file of the model store by its name, checked by hash where one is known; None when it is not there.

    Raises:
        EmotionError: the file is not the one that was published under its name, or cannot be read.
    """
    path = model_dir() / name
    if not is_file(path):
        return None
    known = KNOWN_FILES.get(name)
    try:
        whole = known is None or sha256(path) == known.sha256
    except OSError as error:
        raise EmotionError(f"{path} cannot be read: {error.strerror}, allow it or delete the file") from None
    if not whole:
        raise EmotionError(f"{path} is damaged or not the published file (wrong sha256): delete it and get it again")
    return path


def find_model(model: str | Path) -> Path:
    """The ONNX file of a model.

    Args:
        model: a path ending in .onnx, or the name of a bundled model or of one in the store.

    Raises:
        EmotionError: there is no such model; the message lists those that exist.
    """
    if str(model).endswith(".onnx"):
        if is_file(path := user_path(model)):
            return path
        raise EmotionError(f"no model file {model}: check the path, or name one of {', '.join(model_names())}")
    for folder in (BUNDLED, model_dir()):
        if is_file(path := folder / f"{model}.onnx"):
            return path
    raise EmotionError(
        f"unknown model {str(model)!r}: use the path of an ONNX file or one of {', '.join(model_names())}"
    )


def model_names() -> list[str]:
    """Names of the bundled models and of those in the store, without detectors; their files may be damaged."""
    files = [*_onnx_files(BUNDLED), *_onnx_files(model_dir())]
    return list(dict.fromkeys(path.stem for path in files if path.name not in KNOWN_FILES))


def known_files_here() -> list[str]:
    """Names of the known files that the store holds."""
    return [name for name in KNOWN_FILES if is_file(model_dir() / name)]


def _onnx_files(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".onnx" and is_file(path))
    except OSError:
        return []
