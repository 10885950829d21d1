"""Datasets by the names that the command line uses."""

from __future__ import annotations

from pathlib import Path

from emotion_core.data.dataset import FaceDataset
from emotion_core.errors import EmotionError

DATASETS = ("ferplus", "fer2013", "affectnet", "folder")
SPLITS = ("train", "valid", "test")


def open_dataset(name: str, root: str | Path, split: str = "train", dimensional: bool = False) -> FaceDataset:
    """Open one split of a dataset.

    Args:
        name: 'ferplus', 'fer2013', 'affectnet' (the folders that `emotion prepare affectnet` writes) or 'folder'
            (``root/SPLIT/CLASS/picture``, or ``root/CLASS/picture`` for a set without splits).
        root: where it lies.
        split: 'train', 'valid' or 'test'.
        dimensional: valence and arousal in place of classes; AffectNet has them.

    Raises:
        EmotionError: there is no such dataset or split, or its files are missing or malformed.
    """
    if name not in DATASETS:
        raise EmotionError(f"unknown dataset {name!r}: use one of {', '.join(DATASETS)}")
    if split not in SPLITS:
        raise EmotionError(f"unknown split {split!r}: use one of {', '.join(SPLITS)}")
    if dimensional and name != "affectnet":
        raise EmotionError(f"{name} has no annotated valence and arousal: only affectnet does")
    if name == "ferplus":
        from emotion_core.data.ferplus import load_ferplus

        return load_ferplus(root, split)
    if name == "fer2013":
        from emotion_core.data.fer2013 import load_fer2013

        return load_fer2013(root, split)
    if name == "folder":
        from emotion_core.data.folder import load_folder

        inside = Path(root) / split
        return load_folder(inside if inside.is_dir() else root)
    from emotion_core.data.affectnet import AffectNetCategorical, AffectNetDimensional

    if split == "test":
        raise EmotionError("AffectNet has no public test split: use train or valid")
    kind = AffectNetDimensional if dimensional else AffectNetCategorical
    return kind(idx_set=1 if split == "train" else 2, base_path_to_affectnet=str(root))
