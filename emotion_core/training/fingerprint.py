"""What decides the result of a training, in a few hashes, and how two of them differ in words.

A checkpoint holds the fingerprint of its training; one whose settings, data, starting weights or teachers are others is
refused, rather than gone on with. Contents are hashed, not names and dates of files: a file that was moved is the
same, a changed one is not. This takes a tenth of a second for the 28,000 faces of FER+ in memory, and one reading of
every file of a dataset on a disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from emotion_core.data.dataset import FaceSet

_BYTES = 16  # of a hash: for telling apart, not for secrecy


def of_data(data: Any, targets: NDArray[Any] | None = None) -> dict[str, Any]:
    """The fingerprint of a dataset.

    Args:
        data: a FaceDataset, or anything with ``labels``, ``targets``, a length, and either ``stored`` as a FaceDataset
            has it, or items (array, target).
        targets: what is learned, when not ``data.targets``: (N,) int64 classes, (N, K) float32 label distributions in
            the order of the labels, or (N, 2) float32 valence and arousal.

    Returns:
        {"n", "labels", and hashes: "contents" of the samples whatever their order, "pairs" of samples with targets
        whatever their order, "order" of the samples}. Targets are hashed by the names of their classes.
    """
    values = np.asarray(data.targets if targets is None else targets)
    samples = _sample_hashes(data)
    pairs = [sample + target for sample, target in zip(samples, _target_bytes(values, data.labels), strict=True)]
    return {
        "n": len(samples),
        "labels": list(data.labels),
        "contents": _hash(sorted(samples)).hex(),
        "pairs": _hash(sorted(pairs)).hex(),
        "order": _hash(samples).hex(),
    }


def of_array(values: NDArray[Any]) -> str:
    """The hash of an array with its type and shape, for data that no dataset holds."""
    values = np.ascontiguousarray(values)
    return _hash([f"{values.dtype} {values.shape}".encode(), values.tobytes()]).hex()


def of_weights(state: Mapping[str, torch.Tensor]) -> str:
    """The hash of a network's weights with their names."""
    parts = []
    for name in sorted(state):
        values = np.ascontiguousarray(state[name].detach().cpu().numpy())
        parts.append(_hash([f"{name} {values.dtype} {values.shape}".encode(), values.tobytes()]))
    return _hash(parts).hex()


TEACHERS = "teachers"
"""Entry with the hash of each file, None for one that is gone: what is not known is not compared."""


def differences(saved: Any, present: Any, name: str = "") -> list[str]:
    """What is different between two fingerprints, a short sentence each; empty when nothing is.

    Of two mappings the entries that both have are compared: an old checkpoint does not speak of settings that it could
    not know. None is a value like others, but among the teachers.
    """
    if name == TEACHERS and (saved is None or present is None):
        return []
    if isinstance(saved, list) and isinstance(present, list) and len(saved) == len(present):
        return list(
            dict.fromkeys(text for a, b in zip(saved, present, strict=True) for text in differences(a, b, name))
        )
    if not (isinstance(saved, Mapping) and isinstance(present, Mapping)):
        if saved == present:
            return []
        is_short = not any(map(_is_hash, (saved, present, *_items(saved), *_items(present))))
        return [f"{name} {_in_short(saved)} -> {_in_short(present)}" if is_short else f"other {name}"]
    if "pairs" in saved and "pairs" in present:
        return _data_differences(saved, present, name)
    found: list[str] = []
    for key in saved:
        if key in present:
            found += differences(saved[key], present[key], f"{name}.{key}".lstrip(".") if name else key)
    return found


def _in_short(value: Any) -> str:
    return "{...}" if isinstance(value, Mapping) else str(value)


def _data_differences(saved: Mapping[str, Any], present: Mapping[str, Any], name: str) -> list[str]:
    if saved["labels"] != present["labels"]:
        return [f"the labels of the {name} are others: {', '.join(saved['labels'])} -> {', '.join(present['labels'])}"]
    if saved["contents"] != present["contents"]:
        counts = "" if saved["n"] == present["n"] else f" ({saved['n']} -> {present['n']})"
        return [f"the {name} are others{counts}"]
    if saved["pairs"] != present["pairs"]:
        return [f"the {name} have other targets"]
    if saved["order"] != present["order"]:
        return [f"the {name} are in another order"]
    return [f"the {name} have other {key}" for key in saved if key in present and saved[key] != present[key]]


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 2 * _BYTES and set(value) <= set("0123456789abcdef")


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _sample_hashes(data: Any) -> list[bytes]:
    if isinstance(data, FaceSet):
        return [_hash([data.stored(i)]) for i in range(len(data))]
    if hasattr(data, "stored"):
        with ThreadPoolExecutor(4) as pool:  # waiting for a disk, and hashing, let other threads run
            return list(pool.map(lambda i: _hash([data.stored(i)]), range(len(data)), chunksize=256))
    return [_hash([np.ascontiguousarray(data[i][0]).tobytes()]) for i in range(len(data))]


def _target_bytes(targets: NDArray[Any], labels: Sequence[str]) -> Iterable[bytes]:
    if targets.ndim == 1:
        return (labels[target].encode() for target in targets)
    if targets.shape[1] == len(labels):
        targets = targets[:, np.argsort(labels)]
    return (row.tobytes() for row in np.ascontiguousarray(targets, np.float32))


def _hash(parts: Iterable[Any]) -> bytes:
    digest = hashlib.blake2b(digest_size=_BYTES)
    for part in parts:
        digest.update(part)
    return digest.digest()
