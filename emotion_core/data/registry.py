"""Datasets by the names that the command line uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from emotion_core.data.dataset import FaceDataset, FaceSet
from emotion_core.errors import EmotionError
from emotion_core.plugins import source_of
from emotion_core.store.files import user_path

SPLITS = ("train", "valid", "test")

Open = Callable[[Path, str], FaceDataset]
"""Takes the folder (or file) and one of SPLITS."""
OpenFresh = Callable[[Path], FaceSet]
OpenFold = Callable[[Path, int], tuple[FaceSet, FaceSet]]
"""Takes the folder and a fold, counted from 1; gives the faces to learn from, and those of the fold."""


@dataclass(frozen=True)
class DatasetKind:
    """One dataset that can be trained on and measured with.

    Attributes:
        name: on the command line.
        title: as papers call it.
        open: reads one split with its classes; the labels come with the faces.
        open_affect: reads one split with valence and arousal, where somebody has annotated them.
        splits: what the publishers call their splits, by ours; one that is missing does not exist.
        open_fold: parts what may be learned from and chosen by into folds, where such are fixed.
        open_fresh: the validation faces that show nothing that the training faces show.
    """

    name: str
    title: str
    open: Open
    open_affect: Open | None = None
    splits: Mapping[str, str] = field(default_factory=lambda: {split: split for split in SPLITS})
    open_fold: OpenFold | None = None
    open_fresh: OpenFresh | None = None


def _ferplus(root: Path, split: str) -> FaceDataset:
    from emotion_core.data.ferplus import load_ferplus

    return load_ferplus(root, split)


def _ferplus_fold(root: Path, fold: int) -> tuple[FaceSet, FaceSet]:
    from emotion_core.data.ferplus_folds import load_fold

    return load_fold(root, fold)


def _ferplus_fresh(root: Path) -> FaceSet:
    from emotion_core.data.ferplus_folds import load_fresh

    return load_fresh(root)


def _fer2013(root: Path, split: str) -> FaceDataset:
    from emotion_core.data.fer2013 import load_fer2013

    return load_fer2013(root, split)


def _folder(root: Path, split: str) -> FaceDataset:
    from emotion_core.data.folder import class_names, load_folder

    here = [name for name in SPLITS if (root / name).is_dir()]
    if not here:
        return load_folder(root)
    if split not in here:
        raise EmotionError(f"{root} has no folder {split}: it holds {' and '.join(here)}, add {split} beside it")
    if split == "train":
        return load_folder(root / split)
    # A rare class may have no picture in a small split: the classes are those that are learned.
    split_of_labels = here[:1] if "train" in here else here
    labels = sorted({name for part in split_of_labels for name in class_names(root / part)})
    return load_folder(root / split, labels)


def _imagenet(root: Path, split: str) -> FaceDataset:
    from emotion_core.data.imagenet import load_imagenet

    return load_imagenet(root, split)


def _affectnet(root: Path, split: str) -> FaceDataset:
    from emotion_core.data.affectnet import AffectNetCategorical

    return AffectNetCategorical(idx_set=1 if split == "train" else 2, base_path_to_affectnet=str(root))


def _affectnet_affect(root: Path, split: str) -> FaceDataset:
    from emotion_core.data.affectnet import AffectNetDimensional

    return AffectNetDimensional(idx_set=1 if split == "train" else 2, base_path_to_affectnet=str(root))


def _rafdb(root: Path, split: str) -> FaceDataset:
    from emotion_core.data.rafdb import load_rafdb

    return load_rafdb(root, split)


def _expw(root: Path, split: str) -> FaceDataset:
    from emotion_core.data.expw import load_expw

    return load_expw(root, split)


_USAGES = {"train": "Training", "valid": "PublicTest", "test": "PrivateTest"}

DATASETS: dict[str, DatasetKind] = {
    kind.name: kind
    for kind in (
        DatasetKind("ferplus", "FER+", _ferplus, splits=_USAGES, open_fold=_ferplus_fold, open_fresh=_ferplus_fresh),
        DatasetKind("fer2013", "FER2013", _fer2013, splits=_USAGES),
        DatasetKind(
            "affectnet", "AffectNet", _affectnet, _affectnet_affect, {"train": "Training", "valid": "Validation"}
        ),
        DatasetKind("rafdb", "RAF-DB", _rafdb),
        DatasetKind("expw", "ExpW", _expw),
        DatasetKind("imagenet", "ImageNet", _imagenet, splits={"train": "train", "valid": "val"}),
        DatasetKind("folder", "folder of classes", _folder),
    )
}
"""All datasets by name: FER+, FER2013, AffectNet (the folders that `emotion prepare affectnet` writes), RAF-DB, ExpW,
ImageNet (to start from), and 'folder' (``root/SPLIT/CLASS/picture``, or ``root/CLASS/picture`` for a set without
splits)."""


def open_fold(name: str, root: str | Path, fold: int) -> tuple[FaceSet, FaceSet]:
    """Faces to learn from, and those of one fold, counted from 1; see ``open_dataset``.

    Raises:
        EmotionError: the dataset has no fixed folds, or not so many; or see ``open_dataset``.
    """
    kind = DATASETS.get(name)
    if kind is None or kind.open_fold is None:
        having = ", ".join(other.name for other in DATASETS.values() if other.open_fold is not None)
        raise EmotionError(f"{name} has no fixed folds: only {having} does")
    return kind.open_fold(user_path(root), fold)


def open_fresh(name: str, root: str | Path) -> FaceSet:
    """The validation faces of a dataset with fixed folds that show nothing that the training faces show.

    Raises:
        EmotionError: nobody has looked which these are, or see ``open_dataset``.
    """
    kind = DATASETS.get(name)
    if kind is None or kind.open_fresh is None:
        having = ", ".join(other.name for other in DATASETS.values() if other.open_fresh is not None)
        raise EmotionError(f"{name} has no list of photos that two splits show: only {having} does")
    return kind.open_fresh(Path(root))


def register_dataset(kind: DatasetKind) -> DatasetKind:
    """Add a dataset, from anywhere; raises EmotionError when the name is taken by another one."""
    known = DATASETS.get(kind.name)
    # A module that is imported twice (a script beside a plug-in) registers equal things.
    if known is not None and source_of(known.open) != source_of(kind.open):
        raise EmotionError(f"there is a dataset {kind.name!r} already: give yours another name")
    DATASETS[kind.name] = kind
    return kind


def open_dataset(name: str, root: str | Path, split: str = "train", dimensional: bool = False) -> FaceDataset:
    """Open one split of a dataset.

    Args:
        name: one of DATASETS.
        root: where it lies.
        split: 'train', 'valid' or 'test'.
        dimensional: valence and arousal in place of classes; AffectNet has them.

    Raises:
        EmotionError: there is no such dataset or split, or its files are missing or malformed.
    """
    if not isinstance(name, str) or name not in DATASETS:
        shown = repr(name) if isinstance(name, str) else type(name).__name__
        raise EmotionError(f"unknown dataset {shown}: use one of {', '.join(DATASETS)}")
    if split not in SPLITS:
        raise EmotionError(f"unknown split {split!r}: use one of {', '.join(SPLITS)}")
    kind = DATASETS[name]
    if split not in kind.splits:
        raise EmotionError(f"{kind.title} has no public {split} split: use {' or '.join(kind.splits)}")
    reader = kind.open_affect if dimensional else kind.open
    if reader is None:
        having = ", ".join(other.name for other in DATASETS.values() if other.open_affect is not None)
        raise EmotionError(f"{name} has no annotated valence and arousal: only {having} does")
    return reader(user_path(root), split)
