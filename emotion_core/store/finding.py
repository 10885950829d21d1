"""Where model files live, and which of them are known.

Bundled models lie in the package, others in the model store: ``$EMOTION_MODEL_DIR``, by default
``$XDG_CACHE_HOME/emotion_perception`` (``~/.cache/emotion_perception``); for a user without a home folder
``/var/cache/emotion_perception``. A store that is not there or may not be read is an empty one. Nothing here downloads
anything.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from emotion_core.errors import EmotionError
from emotion_core.store.files import is_file, sha256, user_path

BUNDLED = Path(__file__).resolve().parent.parent / "weights"
DEFAULT_MODEL = "esr_compact"
DEFAULT_VOICE = "voice_ravdess"

ENSEMBLE_SUFFIX = ".json"
ENSEMBLE_KIND = "emotion_ensemble"
"""What the entry ``kind`` of an ensemble's card says; see ``emotion_core.store.ensemble``."""


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
    """The ONNX file of a model, or the card of an ensemble.

    Args:
        model: a path ending in .onnx or, of an ensemble, .json; or the name of a bundled model or of one in the store.

    Raises:
        EmotionError: there is no such model; the message lists those that exist.
    """
    if not isinstance(model, str | os.PathLike):
        raise EmotionError(f"expected the name or path of a model, got {type(model).__name__}")
    if str(model).endswith((".onnx", ENSEMBLE_SUFFIX)):
        path = user_path(model)
        if not is_file(path):
            raise EmotionError(f"no model file {model}: check the path, or name one of {', '.join(model_names())}")
        if path.suffix == ENSEMBLE_SUFFIX and not is_ensemble(path):
            raise EmotionError(f"{model} is no ensemble's card: name an .onnx file, or what `emotion ensemble` wrote")
        return path
    for folder in (BUNDLED, model_dir()):
        if is_file(path := folder / f"{model}.onnx") or is_ensemble(path := folder / f"{model}{ENSEMBLE_SUFFIX}"):
            return path
    raise EmotionError(
        f"unknown model {str(model)!r}: use the path of an ONNX file or one of {', '.join(model_names())}"
    )


def is_ensemble(path: str | Path) -> bool:
    """Whether a file is the card of an ensemble, by its content."""
    path = user_path(path)
    if path.suffix != ENSEMBLE_SUFFIX or not is_file(path):
        return False
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("kind") == ENSEMBLE_KIND


def model_names() -> list[str]:
    """Names of the bundled models and of those in the store, without detectors; their files may be damaged."""
    files = [*_model_files(BUNDLED), *_model_files(model_dir())]
    return list(dict.fromkeys(path.stem for path in files if path.name not in KNOWN_FILES))


def known_files_here() -> list[str]:
    """Names of the known files that the store holds."""
    return [name for name in KNOWN_FILES if is_file(model_dir() / name)]


def _model_files(folder: Path) -> list[Path]:
    try:
        paths = sorted(folder.iterdir())
        return [path for path in paths if (path.suffix == ".onnx" and is_file(path)) or is_ensemble(path)]
    except OSError:
        return []
