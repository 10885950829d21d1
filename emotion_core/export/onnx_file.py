"""Writing ONNX files together with their cards."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import onnx

from emotion_core.errors import EmotionError
from emotion_core.runtime.session import FaceClassifier
from emotion_core.store.card import METADATA_KEY, ModelCard, card_path
from emotion_core.store.files import atomic_write, sha256


def save_onnx(
    network: onnx.ModelProto,
    card: ModelCard,
    path: str | Path,
    check: Callable[[FaceClassifier], object] | None = None,
) -> ModelCard:
    """Write ``path`` with the card in its metadata, and the card beside it; whole or not at all.

    Args:
        network: what to write.
        card: its description; the hash is filled in.
        path: ending in .onnx; an older file is replaced only when everything went well.
        check: called with the written network before it takes its place; may raise.

    Returns:
        The card with the sha256 of the file.

    Raises:
        EmotionError: the path does not end in .onnx, its folder is not there, or the card does not fit the network.
    """
    path = Path(path)
    if path.suffix != ".onnx":
        raise EmotionError(f"the output {path} must end in .onnx")
    if not path.parent.is_dir():
        raise EmotionError(f"the output {path} cannot be written: there is no folder {path.parent}")
    del network.metadata_props[:]
    entry = network.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, replace(card, sha256="").to_json()
    with atomic_write(path) as temporary:
        onnx.save(network, str(temporary))
        classifier = FaceClassifier(temporary)
        if check is not None:
            check(classifier)
        card = replace(card, sha256=sha256(temporary))
        with atomic_write(card_path(path)) as card_file:
            card_file.write_text(card.to_json())
    return card


def add_result(path: str | Path, result: dict[str, object]) -> ModelCard:
    """Note a measurement in the card of a written file; it replaces an older one of the same dataset and split."""
    card = FaceClassifier(path).card
    kept = [r for r in card.results if (r["dataset"], r["split"]) != (result["dataset"], result["split"])]
    return save_onnx(onnx.load(str(path)), replace(card, results=(*kept, result)), path)


def copy_model(source: str | Path, target: str | Path) -> None:
    """Copy an ONNX file and the card beside it, both whole or not at all."""
    with atomic_write(target) as model, atomic_write(card_path(target)) as card:
        shutil.copyfile(source, model)
        shutil.copyfile(card_path(source), card)
