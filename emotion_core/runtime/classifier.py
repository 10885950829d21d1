"""Running exported networks with ONNX Runtime."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.runtime.ensemble import EnsembleOutput
from emotion_core.session import CPU, open_session
from emotion_core.store.calibration import Calibration
from emotion_core.store.card import FACE, Input, ModelCard, Output
from emotion_core.store.ensemble import EnsembleCard
from emotion_core.store.files import prepare_folder
from emotion_core.store.finding import ENSEMBLE_SUFFIX, find_model, model_dir
from emotion_core.store.metadata import read_card

PROVIDERS = {
    "auto": ("CUDAExecutionProvider", *CPU),
    "cpu": CPU,
    "cuda": ("CUDAExecutionProvider", *CPU),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", *CPU),
}
"""What runs a network, in order of preference: what one cannot, the next does. TensorRT builds its engines for minutes,
and keeps them in the model store: only when asked for."""

ENGINES = "engines"
"""Folder of the model store with what TensorRT has built."""


RANGE_SLACK = 0.1
"""How far the values of faces may leave their input's range, as a share of it: more is another scale."""


class Classifier:
    """An exported network with its card: whatever the card names goes in, probabilities come out.

    Args:
        path: the ONNX file.
        threads: CPU threads; 0 takes all cores that this process may use.
        provider: what runs it: auto, cpu, cuda or tensorrt; auto is CUDA where it is there and starts, else the CPU.
        prior: how frequent each class is where the faces come from, see ``parse_prior``; empty: as the card has it.

    Raises:
        EmotionError: the file is missing or damaged, has no card, the card does not fit the network, or the provider
            that was asked for is not there or does not start.
    """

    def __init__(self, path: str | Path, threads: int = 1, provider: str = "auto", prior: str = "") -> None:
        path = Path(path)
        self.card = read_card(path)
        chosen = _providers(provider)
        try:
            self._session = open_session(_source(path), threads, chosen)
        except EmotionError as error:
            raise EmotionError(f"{path} is not a readable ONNX model ({error}): get the file again") from None
        if provider != "auto" and self.provider != PROVIDERS[provider][0]:
            raise EmotionError(
                f"provider {provider}: {PROVIDERS[provider][0]} does not start here, {self.provider} would run: look "
                "for the reason in ONNX Runtime's messages, or use provider auto"
            )
        _check_fit(path, self.card, self._session)
        calibration = Calibration.from_dict(self.card.calibration)
        self._temperature, self._offsets = calibration.temperature, calibration.offsets(prior, self.card.labels)
        self._is_calibrated = calibration.temperature != 1 or bool(self._offsets.any())
        self._names = [output.name for output in self.card.outputs]

    @classmethod
    def load(cls, model: str | Path, threads: int = 1, provider: str = "auto", prior: str = "") -> Classifier:
        """Load a model, or an ensemble as one, by its name or path; see ``find_model``."""
        path = find_model(model)
        if path.suffix == ENSEMBLE_SUFFIX:
            from emotion_core.runtime.model_ensemble import ModelEnsemble  # which is built of classifiers

            return ModelEnsemble(EnsembleCard.load(path), path, threads, provider, prior)
        return cls(path, threads, provider, prior)

    @property
    def provider(self) -> str:
        """Name of the execution provider in use."""
        return str(self._session.get_providers()[0])

    def __call__(self, *inputs: NDArray[np.float32]) -> EnsembleOutput:
        """Run a batch; the probabilities are calibrated as the card says.

        Args:
            inputs: one array (N, *shape) for each of the card's inputs, in their order and value range, N >= 1.

        Raises:
            EmotionError: a batch has another shape, holds NaN or, of faces, values outside of the input's range, or
                there is another number of them.
        """
        said = self.uncalibrated(*inputs)
        return said.calibrated(self._temperature, self._offsets) if self._is_calibrated else said

    def uncalibrated(self, *inputs: NDArray[np.float32]) -> EnsembleOutput:
        """The same with the probabilities as the network itself gives them."""
        specs = self.card.inputs
        if len(inputs) != len(specs):
            names = ", ".join(spec.name for spec in specs)
            raise EmotionError(f"{self.card.name} takes {len(specs)} inputs ({names}), got {len(inputs)}")
        outputs = self.run(dict(zip((s.name for s in specs), inputs, strict=True)))
        return EnsembleOutput.from_outputs(self.card, outputs)

    def run(self, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
        """The network's own outputs by name, (N, *shape) float32 each; see ``__call__``."""
        feed, count = {}, None
        for spec in self.card.inputs:
            if spec.name not in inputs:
                raise EmotionError(
                    f"{self.card.name} needs the input {spec.name}, got {', '.join(inputs) or 'nothing'}"
                )
            batch = inputs[spec.name]
            if not isinstance(batch, np.ndarray):
                raise EmotionError(
                    f"{self.card.name} takes {spec.name} as an array (N, {', '.join(map(str, spec.shape))}), "
                    f"got {type(batch).__name__}"
                )
            count = len(batch) if count is None and batch.ndim else count
            if batch.ndim != 1 + len(spec.shape) or batch.shape != (count, *spec.shape) or not count:
                raise EmotionError(
                    f"{self.card.name} takes {spec.name} of shape (N, {', '.join(map(str, spec.shape))}), "
                    f"got {batch.shape}"
                )
            _check_values(self.card.name, spec, batch)
            feed[spec.name] = np.ascontiguousarray(batch, np.float32)
        return dict(zip(self._names, self._session.run(self._names, feed), strict=True))


def _check_values(model: str, spec: Input, batch: NDArray[Any]) -> None:
    """Raise EmotionError for values that a network would take and answer with nonsense: an integer network makes a
    confident answer of NaN."""
    if batch.dtype.kind != "f":
        raise EmotionError(f"{model} takes {spec.name} as floats, got {batch.dtype}: fit_faces makes them of pixels")
    least, most = float(batch.min()), float(batch.max())  # both NaN as soon as one value is
    if not (math.isfinite(least) and math.isfinite(most)):
        raise EmotionError(f"{model} takes {spec.name} as finite numbers, got NaN or infinity: was the sample read?")
    low, high = spec.value_range
    slack = RANGE_SLACK * (high - low)
    if spec.kind == FACE and not (low - slack <= least and most <= high + slack):
        raise EmotionError(
            f"{model} takes {spec.name} in [{low:g}, {high:g}], got values from {least:g} to {most:g}: fit_faces "
            "brings pixels into this range"
        )


def _providers(name: str) -> list[str | tuple[str, dict[str, str]]]:
    """What ONNX Runtime is to try, in this order, with its options."""
    if name not in PROVIDERS:
        raise EmotionError(f"unknown provider {name!r}: use one of {', '.join(PROVIDERS)}")
    available = onnxruntime.get_available_providers()
    if name != "auto" and PROVIDERS[name][0] not in available:
        raise EmotionError(
            f"provider {name}: this ONNX Runtime {onnxruntime.__version__} has only {', '.join(available)}; "
            "onnxruntime-gpu has more"
        )
    chosen: list[str | tuple[str, dict[str, str]]] = [p for p in PROVIDERS[name] if p in available]
    if name == "tensorrt":
        folder = prepare_folder(model_dir() / ENGINES)
        chosen[0] = (
            PROVIDERS[name][0],
            {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(folder), "trt_fp16_enable": "1"},
        )
    return chosen


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
