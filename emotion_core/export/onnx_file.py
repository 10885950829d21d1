"""Writing ONNX files with their cards inside."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from emotion_core.errors import EmotionError
from emotion_core.export.weights import card_copy_path, write_card_copy
from emotion_core.runtime.classifier import Classifier
from emotion_core.store.card import METADATA_KEY, ModelCard
from emotion_core.store.files import atomic_write
from emotion_core.store.metadata import SEAL_KEY, UNSEALED, read_card, seal


def check_target(path: str | Path) -> Path:
    """The path of a file to write; raises EmotionError when it does not end in .onnx or its folder is not there."""
    path = Path(path)
    if path.suffix != ".onnx":
        raise EmotionError(f"the output {path} must end in .onnx")
    if not path.parent.is_dir():
        raise EmotionError(f"the output {path} cannot be written: there is no folder {path.parent}")
    return path


def save_onnx(
    network: onnx.ModelProto,
    card: ModelCard,
    path: str | Path,
    check: Callable[[Classifier], object] | None = None,
) -> ModelCard:
    """Write ``path`` with the card in its metadata, whole or not at all, and then a copy of the card beside it.

    Args:
        network: what to write.
        card: its description.
        path: ending in .onnx; an older file is replaced only when everything went well.
        check: called with the written network before it takes its place; may raise.

    Returns:
        The card with the sha256 of the file.

    Raises:
        EmotionError: the path does not end in .onnx, its folder is not there, it or the copy of the card cannot be
            written, or the card does not fit the network.
    """
    path = check_target(path)
    copy = card_copy_path(path)
    del network.metadata_props[:]
    for key, value in ((METADATA_KEY, replace(card, sha256="").to_json()), (SEAL_KEY, UNSEALED)):
        entry = network.metadata_props.add()
        entry.key, entry.value = key, value
    data = seal(network.SerializeToString())
    with atomic_write(path) as temporary:
        temporary.write_bytes(data)
        classifier = Classifier(temporary)
        if check is not None:
            check(classifier)
    return write_card_copy(card, path, copy)


def add_results(path: str | Path, results: list[dict[str, object]]) -> ModelCard:
    """Note measurements in the card of a written file; each replaces an older one of the same kind."""
    return change_card(path, results)


def change_card(path: str | Path, results: Sequence[Mapping[str, object]] = (), **entries: Any) -> ModelCard:
    """Change the card of a written file.

    Args:
        results: measurements to add; each replaces an older one of the same kind.
        entries: of the card, in place of the old ones.
    """

    def key(result: Mapping[str, object]) -> tuple[object, ...]:
        return tuple(result.get(name) for name in ("dataset", "split", "protocol"))

    card = read_card(path)
    new = {key(result) for result in results}
    kept = [result for result in card.results if key(result) not in new]
    changed = replace(card, results=(*map(dict, results), *kept), **entries)
    return save_onnx(onnx.load(str(path)), changed, path)


def copy_model(source: str | Path, target: str | Path) -> None:
    """Copy an ONNX file, whole or not at all, and write a copy of its card beside it."""
    copy = card_copy_path(target)
    with atomic_write(target) as model:
        shutil.copyfile(source, model)
    write_card_copy(read_card(target), target, copy)
