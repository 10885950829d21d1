"""Running exported networks with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.runtime.ensemble import EnsembleOutput, softmax
from emotion_core.store.card import METADATA_KEY, ModelCard, card_path
from emotion_core.store.files import sha256
from emotion_core.store.finding import find_model

PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
"""In order of preference, of those that are there. TensorRT builds its engines for minutes: only when asked for."""


class FaceClassifier:
    """An exported network with its card.

    Inputs: ``faces`` (N, channels, S, S) float32 in [0, 1]. Outputs: ``logits`` (N, branches, classes) and ``affect``
    (N, branches, 2).

    Args:
        path: the ONNX file.
        threads: CPU threads; 0 lets ONNX Runtime use all cores.
        providers: ONNX Runtime execution providers in order of preference; by default CUDA when it is there, then CPU.

    Raises:
        EmotionError: the file is missing or damaged, has no card, or the card does not fit the network.
    """

    def __init__(self, path: str | Path, threads: int = 1, providers: tuple[str, ...] | None = None) -> None:
        path = Path(path)
        if not path.is_file():
            raise EmotionError(f"no model file {path}")
        beside = card_path(path)
        if beside.is_file():
            expected = ModelCard.from_json(beside.read_text(), beside).sha256
            if expected and expected != sha256(path):
                raise EmotionError(f"{path} is damaged: its sha256 is not the one in {beside.name}; get the file again")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Waiting threads would otherwise spin and take the cores from detection and drawing.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        available = onnxruntime.get_available_providers()
        chosen = [p for p in providers or PROVIDERS if p in available]
        if not chosen:
            raise EmotionError(f"none of the providers {providers} is available, this ONNX Runtime has {available}")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=chosen)
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            reason = str(error).strip().splitlines()[0][:160]
            raise EmotionError(f"{path} is not a readable ONNX model ({reason}): get the file again") from None
        text = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if text is None:
            raise EmotionError(
                f"{path} carries no model card (metadata {METADATA_KEY!r}): export it with `emotion export`"
            )
        self.card = ModelCard.from_json(text, path)
        self._check_fit(path)

    @classmethod
    def load(cls, model: str | Path, threads: int = 1) -> FaceClassifier:
        """Load a model by its name or path; see ``find_model``."""
        return cls(find_model(model), threads)

    @property
    def provider(self) -> str:
        """Name of the execution provider in use."""
        return str(self._session.get_providers()[0])

    def __call__(self, faces: NDArray[np.float32]) -> EnsembleOutput:
        """Run a batch.

        Args:
            faces: (N, channels, S, S) float32 in [0, 1], N >= 1.

        Raises:
            EmotionError: the batch has another shape.
        """
        expected = (self.card.channels, self.card.input_size, self.card.input_size)
        if faces.ndim != 4 or faces.shape[1:] != expected or len(faces) < 1:
            raise EmotionError(
                f"{self.card.name} takes faces of shape (N, {', '.join(map(str, expected))}), got {faces.shape}"
            )
        logits, affect = self._session.run(("logits", "affect"), {"faces": np.ascontiguousarray(faces, np.float32)})
        if not self.card.affect:
            affect = np.full_like(affect, np.nan)
        return EnsembleOutput(softmax(logits), affect.astype(np.float64))

    def _check_fit(self, path: Path) -> None:
        shapes = {node.name: list(node.shape) for node in (*self._session.get_inputs(), *self._session.get_outputs())}
        card, side = self.card, self.card.input_size
        for name, tail, wanted in (
            ("faces", slice(1, None), [card.channels, side, side]),
            ("logits", slice(2, None), [len(card.labels)]),
            ("affect", slice(2, None), [2]),
        ):
            if name not in shapes:
                raise EmotionError(
                    f"{path} does not fit its card: it has no input or output {name!r}, only {sorted(shapes)}"
                )
            if shapes[name][tail] != wanted:
                raise EmotionError(
                    f"{path} does not fit its card: {name} ends in {shapes[name][tail]}, the card says {wanted}"
                )
