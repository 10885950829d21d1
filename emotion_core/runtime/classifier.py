"""Running exported networks with ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from emotion_core.cores import bound_opencv
from emotion_core.errors import EmotionError
from emotion_core.runtime.ensemble import EnsembleOutput
from emotion_core.store.card import Input, ModelCard, Output
from emotion_core.store.finding import find_model
from emotion_core.store.metadata import read_card

PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
"""In order of preference, of those that are there. TensorRT builds its engines for minutes: only when asked for."""


class Classifier:
    """An exported network with its card: whatever the card names goes in, probabilities come out.

    Args:
        path: the ONNX file.
        threads: CPU threads; 0 takes all cores that this process may use.
        providers: ONNX Runtime execution providers in order of preference; by default CUDA when it is there, then CPU.

    Raises:
        EmotionError: the file is missing or damaged, has no card, or the card does not fit the network.
    """

    def __init__(self, path: str | Path, threads: int = 1, providers: tuple[str, ...] | None = None) -> None:
        path = Path(path)
        self.card = read_card(path)
        options = onnxruntime.SessionOptions()
        cores = bound_opencv()  # here, for every process that estimates passes here
        options.intra_op_num_threads = threads or cores
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Waiting threads would otherwise spin and take the cores from detection and drawing.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        available = onnxruntime.get_available_providers()
        chosen = [p for p in providers or PROVIDERS if p in available]
        if not chosen:
            raise EmotionError(f"none of the providers {providers} is available, this ONNX Runtime has {available}")
        try:
            self._session = onnxruntime.InferenceSession(_source(path), options, providers=chosen)
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
            raise EmotionError(f"{path} is not a readable ONNX model ({reason}): get the file again") from None
        _check_fit(path, self.card, self._session)
        self._names = [output.name for output in self.card.outputs]

    @classmethod
    def load(cls, model: str | Path, threads: int = 1) -> Classifier:
        """Load a model by its name or path; see ``find_model``."""
        return cls(find_model(model), threads)

    @property
    def provider(self) -> str:
        """Name of the execution provider in use."""
        return str(self._session.get_providers()[0])

    def __call__(self, *inputs: NDArray[np.float32]) -> EnsembleOutput:
        """Run a batch.

        Args:
            inputs: one array (N, *shape) for each of the card's inputs, in their order and value range, N >= 1.

        Raises:
            EmotionError: a batch has another shape, or there is another number of them.
        """
        specs = self.card.inputs
        if len(inputs) != len(specs):
            names = ", ".join(spec.name for spec in specs)
            raise EmotionError(f"{self.card.name} takes {len(specs)} inputs ({names}), got {len(inputs)}")
        return EnsembleOutput.from_outputs(self.card, self.run(dict(zip((s.name for s in specs), inputs, strict=True))))

    def run(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """The network's own outputs by name, (N, *shape) float32 each; see ``__call__``."""
        feed, count = {}, None
        for spec in self.card.inputs:
            if spec.name not in inputs:
                raise EmotionError(
                    f"{self.card.name} needs the input {spec.name}, got {', '.join(inputs) or 'nothing'}"
                )
            batch = inputs[spec.name]
            count = len(batch) if count is None and batch.ndim else count
            if batch.ndim != 1 + len(spec.shape) or batch.shape != (count, *spec.shape) or not count:
                raise EmotionError(
                    f"{self.card.name} takes {spec.name} of shape (N, {', '.join(map(str, spec.shape))}), "
                    f"got {batch.shape}"
                )
            feed[spec.name] = np.ascontiguousarray(batch, np.float32)
        return dict(zip(self._names, self._session.run(self._names, feed), strict=True))


def _source(path: Path) -> str | bytes:
    """The path as ONNX Runtime takes it, or the file's content where its name is no UTF-8."""
    try:
        os.fsencode(path).decode()
    except UnicodeDecodeError:
        return path.read_bytes()
    return str(path)


def _check_fit(path: Path, card: ModelCard, session: Any) -> None:
    shapes = {node.name: list(node.shape) for node in (*session.get_inputs(), *session.get_outputs())}
    items: tuple[Input | Output, ...] = (*card.inputs, *card.outputs)
    for item in items:
        if item.name not in shapes:
            raise EmotionError(
                f"{path} does not fit its card: it has no input or output {item.name!r}, only {sorted(shapes)}"
            )
        found = shapes[item.name][1:]
        # A dimension without a number is one that the exporter could not tell.
        fits = len(found) == len(item.shape) and all(
            not isinstance(n, int) or n == wanted for n, wanted in zip(found, item.shape, strict=False)
        )
        if not fits:
            raise EmotionError(
                f"{path} does not fit its card: {item.name} has the shape (N, {', '.join(map(str, found))}), "
                f"the card says (N, {', '.join(map(str, item.shape))})"
            )
