"""RAVDESS with picture and sound, prepared once: faces cut out, features computed, actors split.

    Livingstone, Russo: The Ryerson Audio-Visual Database of Emotional Speech and Song. PLoS ONE 13(5), 2018.

What is prepared lies below the dataset: ``prepared/<settings>/`` holds ``settings.json``, ``split.json`` (which actor
is in which split), ``skipped.csv`` and a file of two arrays for each clip, ``01-01-….npz``: ``sound`` and ``clip``.
"""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import threading
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_core.cores import bound_opencv
from emotion_core.data.clip_files import ClipSpec, load_clip
from emotion_core.data.clips import ClipDataset
from emotion_core.data.voices import RAVDESS, RAVDESS_TEST, RAVDESS_VALID, SOUND_SUFFIXES, SPLITS
from emotion_core.errors import EmotionError
from emotion_core.store.files import atomic_write, cannot_write, user_path
from emotion_core.vision.detect import create_detector

PREPARED = "prepared"
_LOG = logging.getLogger(__name__)
VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v")
_SPEECH = "01"
_FULL, _PICTURE, _SOUND = "01", "02", "03"
_SHARE = 6  # one actor of six validates, one tests: 4 and 4 of 24


@dataclass(frozen=True)
class Take:
    """One sentence: its code without the modality, and its files. A video may carry the sound itself."""

    code: str
    video: Path | None
    sound: Path | None

    @property
    def label(self) -> int:
        """Index in RAVDESS."""
        return int(self.code.split("-")[1]) - 1

    @property
    def actor(self) -> str:
        """Two digits; men are odd, women even."""
        return self.code.split("-")[5]


@dataclass(frozen=True)
class RavdessReport:
    """What a preparation did.

    Attributes:
        folder: where the clips lie.
        written, already_there: clips of this run, and of earlier ones.
        skipped: reason for each take that gave no clip, by its code.
        actors: of each split.
    """

    folder: str
    written: int
    already_there: int
    skipped: dict[str, str]
    actors: dict[str, tuple[str, ...]] = field(default_factory=dict)


class RavdessClips(ClipDataset):
    """One split of what was prepared, read clip by clip.

    Args:
        folder: see the module.
        split: 'train', 'valid' or 'test'.

    Attributes:
        names: code of each clip, such as 01-06-01-02-01-05: speech, emotion, intensity, statement, repetition, actor.

    Raises:
        EmotionError: nothing was prepared there, or the split has no clip.
    """

    labels = RAVDESS

    def __init__(self, folder: str | Path, split: str) -> None:
        self.folder = user_path(folder)
        actors = _read_split(self.folder)
        if not actors:
            raise EmotionError(f"{self.folder} holds no prepared clips: prepare them first")
        if not _read_settings(self.folder).get("complete", True):
            _LOG.warning("%s was not prepared to its end: only a part of the clips is there", self.folder)
        chosen = {actor for actor, name in actors.items() if name == split}
        found = sorted(path.stem for path in self.folder.glob("*.npz") if not path.name.startswith("."))
        self.names = tuple(name for name in found if name.split("-")[-1] in chosen)
        if not self.names:
            raise EmotionError(f"{self.folder} holds no clip of the {split} split")
        self._targets = np.array([int(name.split("-")[1]) - 1 for name in self.names], np.int64)

    @property
    def targets(self) -> NDArray[np.int64]:
        """(N,) int64."""
        return self._targets

    def sound(self, index: int) -> NDArray[np.float32]:
        """Of one."""
        return np.asarray(self._read(index)["sound"], np.float32)

    def clip(self, index: int) -> NDArray[np.uint8]:
        """Of one."""
        return np.asarray(self._read(index)["clip"], np.uint8)

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[Any], int]:
        """Both from one reading."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"clip {index} of {len(self)}")
        arrays = self._read(index % len(self))
        return arrays["sound"], arrays["clip"], int(self._targets[index])

    def _read(self, index: int) -> dict[str, NDArray[Any]]:
        path = self.folder / f"{self.names[index]}.npz"
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in ("sound", "clip")}
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise EmotionError(f"{path} is damaged ({error}): delete it and prepare again") from None


def find_takes(root: str | Path) -> list[Take]:
    """The speech of RAVDESS below a folder, by the names of its files, in order of their codes.

    Of a sentence with several videos the one with sound is taken, 01-…, before the one without, 02-….
    """
    videos: dict[str, dict[str, Path]] = {}
    sounds: dict[str, Path] = {}
    for path in sorted(Path(root).rglob("*")):
        modality, _, code = path.stem.partition("-")
        if PREPARED in path.relative_to(root).parts or not _is_speech(code) or not path.is_file():
            continue
        suffix = path.suffix.lower()
        if suffix in VIDEO_SUFFIXES and modality in (_FULL, _PICTURE):
            videos.setdefault(code, {}).setdefault(modality, path)
        elif suffix in SOUND_SUFFIXES and modality == _SOUND:
            sounds.setdefault(code, path)
    takes = []
    for code in sorted({*videos, *sounds}):
        found = videos.get(code, {})
        takes.append(Take(code, found.get(_FULL, found.get(_PICTURE)), sounds.get(code)))
    return takes


def prepare_ravdess(
    root: str | Path,
    spec: ClipSpec | None = None,
    *,
    seed: int = 0,
    detector: str = "auto",
    workers: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> RavdessReport:
    """Cut the faces out and compute the features of every sentence that has picture and sound.

    A run that was stopped goes on where it stopped; clips that are there already stay. An actor who was given to a
    split stays in it, also when other actors come later.

    Args:
        root: holds ``ACTOR01/01-01-….mp4`` and ``03-01-….wav`` and so on, in any folders. Without a wav the video's own
            sound is taken.
        spec: what a clip holds.
        seed: decides which actors validate and test; where all eight actors of the authors' split are there, it is
            theirs, whatever the seed.
        detector: see ``create_detector``; it must be the same until everything is prepared.
        workers: threads; 0 for one for each core that this process may use.
        on_progress: called with (clips done, clips to do).

    Raises:
        EmotionError: there is no such folder, it holds no sentence, fewer than three actors, or nothing can be written.
    """
    root, spec = user_path(root), spec or ClipSpec()
    if not root.is_dir():
        raise EmotionError(f"{root} is not a folder: expected one with RAVDESS, ACTOR01/01-01-06-01-02-01-01.mp4")
    takes = find_takes(root)
    if not takes:
        raise EmotionError(f"{root} holds no speech of RAVDESS: expected 01-01-….mp4 and 03-01-….wav in it")
    usable = [take for take in takes if take.video is not None]
    if not usable:
        raise EmotionError(f"{root} holds only the sound of RAVDESS: add its videos, 01-01-….mp4")
    if workers < 0:
        raise EmotionError(f"workers must be at least 0, got {workers}")
    folder, finder = prepared_folder(root, spec), create_detector(detector).name
    earlier = _read_settings(folder).get("detector", finder)
    if earlier != finder:
        raise EmotionError(
            f"{folder} was begun with the detector {earlier}, whose boxes differ from those of {finder}: take the same "
            "one, or delete the folder"
        )
    settings = {**spec.to_dict(), "detector": finder}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_json(folder / "settings.json", {**settings, "complete": False})
        actors = split_actors(sorted({take.actor for take in usable}), _read_split(folder), seed)
        _write_json(folder / "split.json", actors)
        worker = _Worker(folder, spec, detector)
        results: dict[str, str | None] = {
            take.code: f"no video beside {take.sound.name}" for take in takes if take.video is None and take.sound
        }
        todo = [take for take in usable if not (folder / f"{take.code}.npz").is_file()]
        threads = workers or bound_opencv()
        with ThreadPoolExecutor(threads) as pool:
            for done, (take, reason) in enumerate(zip(todo, pool.map(worker, todo), strict=True), 1):
                results[take.code] = reason
                if on_progress is not None:
                    on_progress(done, len(todo))
        skipped = {code: reason for code, reason in sorted(results.items()) if reason}
        _write_skipped(folder / "skipped.csv", skipped)
        _write_json(folder / "settings.json", {**settings, "complete": True})
    except OSError as error:
        raise EmotionError(cannot_write(folder, error)) from None
    by_split = {name: tuple(sorted(a for a, split in actors.items() if split == name)) for name in SPLITS}
    written = sum(reason is None for reason in results.values())
    return RavdessReport(str(folder), written, len(usable) - len(todo), skipped, by_split)


def prepared_folder(root: str | Path, spec: ClipSpec) -> Path:
    """Where clips of these settings lie: other settings are other clips, in a folder of their own."""
    key = hashlib.sha256(json.dumps(spec.to_dict(), sort_keys=True).encode()).hexdigest()[:8]
    return user_path(root) / PREPARED / f"{spec.frames}x{spec.size}-{spec.n_mfcc}mfcc-{key}"


def split_actors(actors: Sequence[str], known: Mapping[str, str], seed: int = 0) -> dict[str, str]:
    """Who learns, validates and tests: one of six each for the last two, men and women in turn.

    Args:
        actors: two digits each.
        known: who is given to a split already, and stays there.
        seed: decides who else.

    Returns:
        The split of each actor.

    Raises:
        EmotionError: there are fewer than three actors.
    """
    everybody = sorted({*actors, *known})
    if len(everybody) < len(SPLITS):
        raise EmotionError(
            f"expected at least {len(SPLITS)} actors, so that nobody is in two splits, got {', '.join(everybody)}"
        )
    if not known and {*RAVDESS_VALID, *RAVDESS_TEST} <= {*everybody}:
        return {a: "valid" if a in RAVDESS_VALID else "test" if a in RAVDESS_TEST else "train" for a in everybody}
    result = dict(known)
    rng = np.random.default_rng(seed)
    free = [str(a) for a in rng.permutation([a for a in everybody if a not in known])]
    wanted = max(1, round(len(everybody) / _SHARE))
    for split in ("valid", "test"):
        while list(result.values()).count(split) < wanted and free:
            women = [_is_woman(a) for a, name in result.items() if name == split]
            # Who is rarer here comes first; at the beginning, who is more frequent among those that are left.
            left = [_is_woman(a) for a in free]
            woman = sum(women) * 2 < len(women) if women and sum(women) * 2 != len(women) else sum(left) * 2 > len(left)
            chosen = next((a for a in free if _is_woman(a) == woman), free[0])
            result[chosen] = split
            free.remove(chosen)
    return dict(sorted({**dict.fromkeys(free, "train"), **result}.items()))


class _Worker:
    """Prepares one take; a detector for each thread, for they keep a state."""

    def __init__(self, folder: Path, spec: ClipSpec, detector: str) -> None:
        self.folder, self.spec, self.kind = folder, spec, detector
        self._own = threading.local()

    def __call__(self, take: Take) -> str | None:
        """Why there is no clip, None for success."""
        if not hasattr(self._own, "detector"):
            self._own.detector = create_detector(self.kind, detection_size=640)
        assert take.video is not None
        try:
            sound, clip = load_clip(take.sound, take.video, self.spec, self._own.detector)
        except EmotionError as error:
            return str(error)
        with (
            atomic_write(self.folder / f"{take.code}.npz", durable=False) as temporary,
            temporary.open("wb") as file,
        ):
            np.savez(file, sound=sound, clip=clip)
        return None


def _is_speech(code: str) -> bool:
    parts = code.split("-")
    return (
        len(parts) == 6
        and all(len(part) == 2 and part.isdigit() for part in parts)
        and parts[0] == _SPEECH
        and 1 <= int(parts[1]) <= len(RAVDESS)
    )


def _is_woman(actor: str) -> bool:
    return int(actor) % 2 == 0


def _read_split(folder: Path) -> dict[str, str]:
    path = folder / "split.json"
    if not path.is_file():
        return {}
    try:
        actors = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(actors, dict) or not set(actors.values()) <= set(SPLITS):
            raise ValueError("expected the split of each actor")
        return actors
    except (OSError, ValueError) as error:
        raise EmotionError(f"{path} is damaged ({error}): delete the folder and prepare again") from None


def _read_settings(folder: Path) -> dict[str, Any]:
    try:
        content = json.loads((folder / "settings.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_json(path: Path, content: Any) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _write_skipped(path: Path, skipped: Mapping[str, str]) -> None:
    with atomic_write(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("clip", "reason"))
        writer.writerows(skipped.items())
