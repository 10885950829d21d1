"""Voices with an emotion each: RAVDESS, CREMA-D, TESS, a folder of classes, a table.

    Livingstone, Russo: The Ryerson Audio-Visual Database of Emotional Speech and Song. PLoS ONE 13(5), 2018.
    Cao, Cooper, Keutmann, Gur, Nenkova, Verma: CREMA-D. IEEE Transactions on Affective Computing 5(4), 2014.
    Pichora-Fuller, Dupuis: Toronto emotional speech set (TESS). 2020. https://doi.org/10.5683/SP2/E8H2MF

The first three tell class and speaker by the names of their files, wherever below the folder these lie. Files are
listed when a set is opened and read when somebody asks for one.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.labels import canonical
from emotion_core.store.files import user_path

RAVDESS = ("neutral", "calm", "happy", "sad", "anger", "fear", "disgust", "surprise")
"""The classes of RAVDESS in the order of its codes 01 to 08."""
RAVDESS_VALID, RAVDESS_TEST = ("11", "13", "18", "22"), ("05", "10", "16", "19")
"""Actors of the published split; all others are learned from."""
SOUND_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".aac", ".opus")
SPLITS = ("train", "valid", "test")

_CREMAD = {"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
_TESS = {
    "angry": "anger", "disgust": "disgust", "fear": "fear", "happy": "happy", "neutral": "neutral", "ps": "surprise",
    "sad": "sad",
}  # fmt: skip


class Voice(NamedTuple):
    """What a file's name tells: its class, and who speaks."""

    label: str
    speaker: str


@dataclass(frozen=True)
class Voices:
    """Recordings of single utterances.

    Attributes:
        root: the folder that the names are relative to.
        names: path of each file.
        classes: (N,) int64, index of each one's label.
        speakers: who speaks; "" where nobody knows.
        labels: names of the classes.
    """

    root: Path
    names: tuple[str, ...]
    classes: NDArray[np.int64]
    speakers: tuple[str, ...]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def targets(self) -> NDArray[np.int64]:
        """The classes."""
        return self.classes

    def path(self, index: int) -> Path:
        """Where an utterance lies."""
        return self.root / self.names[index]

    def stored(self, index: int) -> bytes:
        """The file's bytes, which tell it from others; raises EmotionError when it cannot be read."""
        path = self.path(index)
        try:
            return path.read_bytes()
        except OSError as error:
            raise EmotionError(f"cannot read {path}: {error.strerror}") from None

    def at(self, indices: Sequence[int] | NDArray[Any]) -> Voices:
        """Some of them, in this order."""
        chosen = [int(i) for i in indices]
        return replace(
            self,
            names=tuple(self.names[i] for i in chosen),
            classes=self.classes[chosen],
            speakers=tuple(self.speakers[i] for i in chosen),
        )

    def spoken_by(self, speakers: Sequence[str], others: bool = False) -> Voices:
        """The utterances of these speakers, or of all others."""
        return self.at([i for i, who in enumerate(self.speakers) if (who in speakers) != others])


def ravdess_voice(stem: str) -> Voice | None:
    """From ``03-01-06-01-02-01-05``; None for what is no audio-only speech of RAVDESS, such as songs and videos."""
    codes = stem.split("-")
    if len(codes) != 7 or not all(len(code) == 2 and code.isdigit() for code in codes) or codes[:2] != ["03", "01"]:
        return None
    emotion = int(codes[2])
    return Voice(RAVDESS[emotion - 1], codes[6]) if 1 <= emotion <= len(RAVDESS) else None


def cremad_voice(stem: str) -> Voice | None:
    """From ``1001_DFA_ANG_XX``; None for another name."""
    parts = stem.split("_")
    if len(parts) != 4 or not parts[0].isdigit() or parts[2] not in _CREMAD:
        return None
    return Voice(_CREMAD[parts[2]], parts[0])


def tess_voice(stem: str) -> Voice | None:
    """From ``OAF_back_angry`` (and ``OA_bite_neutral``, which lacks a letter in the published set); else None."""
    parts = stem.split("_")
    if len(parts) != 3 or parts[0] not in ("OAF", "YAF", "OA", "YA") or parts[2].lower() not in _TESS:
        return None
    return Voice(_TESS[parts[2].lower()], parts[0][:2] + "F")


def load_ravdess(root: str | Path, split: str | None = None) -> Voices:
    """RAVDESS speech, eight classes, split by actor as published: 16 to learn from, RAVDESS_VALID, RAVDESS_TEST.

    Args:
        root: holds ``Actor_01/03-01-….wav`` and so on; other formats of sound do as well.
        split: 'train', 'valid' or 'test'; None gives all.

    Raises:
        EmotionError: there is no such folder, or no such file in it.
    """
    voices = _named(root, ravdess_voice, RAVDESS, "RAVDESS speech (03-01-06-01-02-01-05.wav)")
    chosen = {
        "train": lambda: voices.spoken_by(RAVDESS_VALID + RAVDESS_TEST, others=True),
        "valid": lambda: voices.spoken_by(RAVDESS_VALID),
        "test": lambda: voices.spoken_by(RAVDESS_TEST),
        None: lambda: voices,
    }[split]()
    if not len(chosen):
        raise EmotionError(f"{root} holds no actor of the {split} split: it has {', '.join(_unique(voices.speakers))}")
    return chosen


def load_cremad(root: str | Path, split: str | None = None) -> Voices:
    """CREMA-D, six classes; see ``load_ravdess``. There is no published split: see ``split_by_speaker``."""
    return split_by_speaker(_named(root, cremad_voice, tuple(_CREMAD.values()), "CREMA-D (1001_DFA_ANG_XX.wav)"), split)


def load_tess(root: str | Path, split: str | None = None) -> Voices:
    """TESS, seven classes, two speakers; see ``load_cremad``."""
    return split_by_speaker(_named(root, tess_voice, tuple(_TESS.values()), "TESS (OAF_back_angry.wav)"), split)


def load_voice_folder(root: str | Path, split: str | None = None) -> Voices:
    """``root/SPLIT/CLASS/*.wav``, or ``root/CLASS/*.wav`` for a set without splits.

    Speakers are known where the files are named as in RAVDESS, CREMA-D or TESS. Words that mean the same are one class.

    Raises:
        EmotionError: there is no such folder, no class in it, or a class without sound.
    """
    root = user_path(root)
    _need_folder(root, "one that holds a folder of sounds for each class")
    inside = root if split is None else root / split
    if inside.is_dir() and inside != root:
        return _folder(inside)
    if split is not None and any((root / name).is_dir() for name in SPLITS):
        raise EmotionError(f"{root} has no folder {split}: expected {', '.join(SPLITS)}")
    return split_by_speaker(_folder(root), split)


def load_voice_table(table: str | Path, split: str | None = None) -> Voices:
    """A CSV with the columns ``path`` (relative to the table) and ``label``, and where known ``speaker`` and ``split``.

    Raises:
        EmotionError: the table or one of its columns is missing, a row is incomplete or names a file that is not there.
    """
    table = user_path(table)
    try:
        with table.open(newline="", encoding="utf-8") as file:
            rows = csv.DictReader(file)
            columns = rows.fieldnames or ()
            if missing := [name for name in ("path", "label") if name not in columns]:
                raise EmotionError(f"{table} lacks the column {missing[0]}: expected path,label[,speaker][,split]")
            found = [
                (number, {k: (v or "").strip() for k, v in row.items() if k}) for number, row in enumerate(rows, 2)
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise EmotionError(f"{table} cannot be read as a table ({error})") from None
    for number, row in found:
        if not row["path"] or not row["label"]:
            raise EmotionError(f"{table}, line {number}: path or label is empty")
        if not (table.parent / row["path"]).is_file():
            raise EmotionError(f"{table}, line {number}: there is no file {row['path']} beside the table")
        if row.get("split", "") not in (*SPLITS, ""):
            raise EmotionError(
                f"{table}, line {number}: split {row['split']!r}, expected {', '.join(SPLITS)} or nothing"
            )
    entries = [(row["path"], Voice(canonical(row["label"]), row.get("speaker", ""))) for _, row in found]
    voices = _voices(
        table.parent, entries, tuple(sorted({voice.label for _, voice in entries})), f"{table} lists no sound"
    )
    splits = [row.get("split", "") for _, row in found]
    if split is None or not any(splits):
        return split_by_speaker(voices, split)
    chosen = voices.at([i for i, name in enumerate(splits) if name == split])
    if not len(chosen):
        raise EmotionError(f"{table} lists no sound of the split {split}")
    return chosen


@dataclass(frozen=True)
class VoiceSet:
    """One kind of set.

    Attributes:
        title: as papers call it.
        read: takes where it lies, and one of SPLITS, or None for all.
        licence: of weights that were trained on it, as far as the set decides.
        sexes: tells men from women by the speaker's name, for folds that balance them; "" where the name does not tell.
    """

    title: str
    read: Callable[[str | Path, str | None], Voices]
    licence: str = "that of the data it was trained on"
    sexes: Callable[[str], str] = lambda speaker: ""


VOICE_SETS: dict[str, VoiceSet] = {
    "ravdess": VoiceSet(
        "RAVDESS speech", load_ravdess, "CC BY-NC-SA 4.0, as RAVDESS", lambda actor: "fm"[int(actor) % 2]
    ),
    "cremad": VoiceSet("CREMA-D", load_cremad, "ODbL 1.0, as CREMA-D"),
    "tess": VoiceSet("TESS", load_tess, "CC BY-NC-ND 4.0, as TESS"),
    "folder": VoiceSet("folder of classes", load_voice_folder),
    "table": VoiceSet("table", load_voice_table),
}
"""Sets of voices by the names that the command line uses."""


def split_by_speaker(voices: Voices, split: str | None) -> Voices:
    """Every fifth speaker validates, for sets that publish no split; every fifth utterance where no speaker is known.

    Raises:
        EmotionError: the test split is asked for, or there are too few speakers for a validation.
    """
    if split is None:
        return voices
    if split not in ("train", "valid"):
        raise EmotionError(f"{voices.root} has no {split} split of its own: use train or valid")
    speakers = _unique(voices.speakers)
    if len(speakers) > 1:
        return voices.spoken_by(speakers[::5], others=split == "train")
    held = np.arange(len(voices)) % 5 == 0
    if held.all():
        raise EmotionError(f"{voices.root} holds {len(voices)} sound: too few to learn from and to validate on")
    return voices.at(np.flatnonzero(held == (split == "valid")))


def speaker_folds(
    voices: Voices, k: int, sexes: Callable[[str], str] = lambda speaker: ""
) -> list[tuple[Voices, Voices]]:
    """k pairs of (to learn from, to test on), nobody in both: speakers are dealt out in their order, by their sex.

    Raises:
        EmotionError: k is below 2, or above the number of speakers.
    """
    speakers = sorted(_unique(voices.speakers), key=lambda who: (sexes(who), who))
    if not 2 <= k <= len(speakers):
        raise EmotionError(f"folds of speakers: expected 2 to {len(speakers)}, as many as speakers are known, got {k}")
    return [(voices.spoken_by(speakers[i::k], others=True), voices.spoken_by(speakers[i::k])) for i in range(k)]


def _named(root: str | Path, read: Callable[[str], Voice | None], labels: Sequence[str], what: str) -> Voices:
    root = user_path(root)
    _need_folder(root, f"one with {what}")
    entries = [(name, voice) for name in _sounds(root) if (voice := read(Path(name).stem)) is not None]
    return _voices(root, entries, labels, f"{root} holds no {what}")


def _folder(root: Path) -> Voices:
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise EmotionError(f"{root} holds no class: expected a folder of sounds for each class in it")
    entries = []
    for folder in folders:
        found = [f"{folder.name}/{name}" for name in _sounds(folder)]
        if not found:
            raise EmotionError(f"the class {folder} holds no sound ({' '.join(SOUND_SUFFIXES)}): add some or remove it")
        entries += [(name, Voice(canonical(folder.name), _speaker(Path(name).stem))) for name in found]
    return _voices(root, entries, tuple(sorted({voice.label for _, voice in entries})), f"{root} holds no sound")


def _voices(root: Path, entries: list[tuple[str, Voice]], labels: Sequence[str], empty: str) -> Voices:
    if not entries:
        raise EmotionError(empty)
    classes = np.array([tuple(labels).index(voice.label) for _, voice in entries], np.int64)
    return Voices(
        root, tuple(name for name, _ in entries), classes, tuple(voice.speaker for _, voice in entries), tuple(labels)
    )


def _speaker(stem: str) -> str:
    voices = (read(stem) for read in (ravdess_voice, cremad_voice, tess_voice))
    return next((voice.speaker for voice in voices if voice is not None), "")


def _sounds(root: Path) -> list[str]:
    return sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.suffix.lower() in SOUND_SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _need_folder(root: Path, expected: str) -> None:
    if not root.is_dir():
        raise EmotionError(f"{root} is not a folder: expected {expected}")


def _unique(speakers: Sequence[str]) -> list[str]:
    return sorted({who for who in speakers if who})
