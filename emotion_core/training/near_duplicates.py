"""Pictures of a dataset that show the same photo, and folds that keep them together.

A photo that was collected twice, cut or compressed another way, tells the answer when one copy is learned and the other
one tested.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

SHRUNK_PX = 16
SAME_SHRUNK = 0.94
"""Correlation of two faces shrunk to 16 x 16 from which they are one photo, or a photo and its mirror image."""
SAME_EMBEDDED, ALIKE_SHRUNK = 0.985, 0.5
"""Cosine of two embeddings from which they are one photo cut in two ways, when the shrunk faces correlate, too."""
_AT_ONCE = 2048


def near_duplicates(faces: NDArray[np.uint8], embeddings: NDArray[np.floating] | None = None) -> NDArray[np.int64]:
    """Which faces show the same photo, or are linked by others that do.

    The limits were set by looking at pairs of FER2013: in the shrunk ones nearly all above their limit are one photo;
    of those that only the embedding finds, most.

    Args:
        faces: (N, H, W) uint8 grey.
        embeddings: (N, D), what a network of faces sees in each.

    Returns:
        (N,) int64: number of each face's group, counted in the order of the first faces.
    """
    shrunk = [cv2.resize(face, (SHRUNK_PX, SHRUNK_PX), interpolation=cv2.INTER_AREA) for face in faces]
    small = np.stack(shrunk).astype(np.float32) if len(faces) else np.empty((0, SHRUNK_PX, SHRUNK_PX), np.float32)
    plain = _directions(small, axis=(1, 2))
    mirrored = np.ascontiguousarray(plain[:, :, ::-1])
    plain, mirrored = (array.reshape(len(faces), -1) for array in (plain, mirrored))
    embedded = None if embeddings is None else _directions(embeddings.astype(np.float32) - embeddings.mean(0), 1, False)
    first, second = [], []
    for start in range(0, len(faces), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        alike = plain[part] @ plain.T
        same = (alike >= SAME_SHRUNK) | (mirrored[part] @ plain.T >= SAME_SHRUNK)
        if embedded is not None:
            same |= (embedded[part] @ embedded.T >= SAME_EMBEDDED) & (alike >= ALIKE_SHRUNK)
        rows, columns = np.nonzero(same)
        first.append(rows + start)
        second.append(columns)
    if not first:
        return np.empty(0, np.int64)
    pairs = np.concatenate(first), np.concatenate(second)
    linked = coo_matrix((np.ones(len(pairs[0]), np.int8), pairs), (len(faces), len(faces)))
    return _by_first(connected_components(linked, directed=False)[1])


def folds_of(groups: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """The fold in 0..count - 1 of each face: groups are dealt out in turn, whole."""
    return groups % count


def _by_first(labels: NDArray[np.integer]) -> NDArray[np.int64]:
    first = np.unique(labels, return_index=True)[1]
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[labels]


def _directions(values: NDArray[np.float32], axis: int | tuple[int, ...], centred: bool = True) -> NDArray[np.float32]:
    """Of length 1, so that products are correlations."""
    if centred:
        values = values - values.mean(axis=axis, keepdims=True)
    length = np.sqrt(np.square(values).sum(axis=axis, keepdims=True))
    return values / np.maximum(length, np.float32(1e-6))
