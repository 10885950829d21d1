"""What all learners have in common: device, settings, saving, loading, export, batches."""

from __future__ import annotations

import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from emotion_core.errors import EmotionError
from emotion_core.evaluation.evaluate import Network
from emotion_core.export.torch_network import TorchNetwork
from emotion_core.export.weights import load_network, save_network
from emotion_core.runtime.ensemble import EnsembleOutput
from emotion_core.store.card import ModelCard
from emotion_core.store.files import prepare_folder, user_path
from emotion_core.training.distributed import DEVICES
from emotion_core.training.settings import check_choices, refuse_unknown

log = logging.getLogger(__name__)

BATCH = 64
"""Most samples that ``infer`` gives the network at a time."""

_Config = TypeVar("_Config", bound="LearnerConfig")


@dataclass(frozen=True)
class LearnerConfig:
    """The settings of every learner; those of a method extend it, with the names and defaults that OpenDR documents.

    Attributes:
        temp_path: folder of the exported networks.
        device: 'cuda' or 'cpu'.
        device_ind: CUDA devices. One process uses the first; several GPUs take ``torchrun``.

    Raises:
        EmotionError: a value is out of range.
    """

    temp_path: str = "temp"
    device: str = "cuda"
    device_ind: tuple[int, ...] = (0,)

    OTHER_NAMES: ClassVar[Mapping[str, str]] = {}
    """Second documented names of settings."""
    PRESETS: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Settings by the name of what they repeat."""

    def __post_init__(self) -> None:
        check_choices(self, device=DEVICES)
        if not self.device_ind or any(not isinstance(i, int) or i < 0 for i in self.device_ind):
            raise EmotionError(f"device_ind must list CUDA devices such as [0], got {list(self.device_ind)}")

    @classmethod
    def from_arguments(
        cls: type[_Config], arguments: Mapping[str, Any], owner: str, preset: str | None = None
    ) -> _Config:
        """From the arguments of a learner's constructor.

        Args:
            owner: name of the learner, for messages.
            preset: one of PRESETS, over which the arguments go.

        Raises:
            EmotionError: an argument is unknown, out of range, or contradicts another; the message says what to do.
        """
        if preset is not None and preset not in cls.PRESETS:
            raise EmotionError(f"unknown preset {preset!r}: use one of {', '.join(cls.PRESETS)}")
        refuse_unknown(arguments, [*(item.name for item in fields(cls)), *cls.OTHER_NAMES], f"argument of {owner}")
        given = dict(arguments)
        for other, name in cls.OTHER_NAMES.items():
            if other in given:
                value = given.pop(other)
                if given.setdefault(name, value) != value:
                    raise EmotionError(f"{name} and {other} are two names of one setting and differ: give one of them")
        if "device_ind" in given:
            indices = given["device_ind"]
            given["device_ind"] = (indices,) if isinstance(indices, int) else tuple(indices)
        return cls(**{**(cls.PRESETS[preset] if preset else {}), **given})

    @classmethod
    def signature(cls, **more: Any) -> inspect.Signature:
        """What ``help`` shows of a constructor: every setting with its default, which is written here only."""
        kind = inspect.Parameter.KEYWORD_ONLY
        shown = {item.name: item.default for item in fields(cls)} | more
        return inspect.Signature([inspect.Parameter(name, kind, default=value) for name, value in shown.items()])


class Learner(ABC):
    """A method that can be trained, measured, applied, stored and made faster.

    The names are those of OpenDR's ``engine.learners.Learner``, so that code written for its learners finds them.

    Args:
        config: the settings.
        name: of the network, in files and cards, when none is given.

    Attributes:
        device: where torch computes.
        labels: names of the classes, in the order of the network's output.
        model: the network in torch.
        classifier: the exported network that ``infer`` and ``eval`` use after ``optimize``; None before.
    """

    DOWNLOADS: ClassVar[Mapping[str, str]] = {}
    """What the modes of ``download`` stand for among the known artifacts."""
    FLAT_DOWNLOADS: ClassVar[bool] = False
    """Files go into the folder itself, not into one of their own below it."""

    labels: tuple[str, ...]
    model: nn.Module

    def __init__(self, config: LearnerConfig, name: str) -> None:
        if config.device == "cuda":
            count = torch.cuda.device_count() if torch.cuda.is_available() else 0
            if not count:
                raise EmotionError("device 'cuda' is the default, but torch finds no CUDA device: pass device='cpu'")
            if config.device_ind[0] >= count:
                raise EmotionError(f"device_ind names CUDA device {config.device_ind[0]}, torch finds {count} of them")
        self.device = torch.device(f"cuda:{config.device_ind[0]}" if config.device == "cuda" else "cpu")
        self.temp_path = config.temp_path
        self.name = name
        self.classifier: Any = None
        self._exported: Path | None = None

    @abstractmethod
    def fit(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Train; returns the history."""

    @abstractmethod
    def eval(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Measure on a dataset; returns the figures."""

    @abstractmethod
    def infer(self, *args: Any, **kwargs: Any) -> Any:
        """Apply to one input or to a batch."""

    @abstractmethod
    def save(self, *args: Any, **kwargs: Any) -> Path:
        """Write the model to a folder; returns the folder."""

    @abstractmethod
    def load(self, *args: Any, **kwargs: Any) -> None:
        """Read a model from a folder."""

    @abstractmethod
    def reset(self) -> None:
        """Forget what was learned."""

    def optimize(
        self,
        do_constant_folding: bool = False,
        precision: str = "float32",
        calibration: Any = None,
        measure_on: Any = None,
    ) -> dict[str, Any]:
        """Export to ONNX, compare with torch by value, and let ``infer`` and ``eval`` use the result.

        Args:
            do_constant_folding: compute what does not depend on the input now rather than at every start.
            precision: 'float32', 'float16' (for GPUs) or 'int8' (for CPUs; needs ``calibration``).
            calibration: some hundred samples of the training data, of all classes.
            measure_on: samples with classes; the result then tells the accuracy before and after.

        Returns:
            {"path", "precision", "size_mb"} and, with ``measure_on``, "accuracy", "accuracy_torch", "loss" in points.

        Raises:
            EmotionError: another precision, no calibration samples, or the export differs from torch.
        """
        from emotion_core.export.quantize import export_as
        from emotion_core.runtime.classifier import Classifier

        if calibration is not None and not len(calibration):
            raise EmotionError("there is no sample to calibrate with: the dataset is empty")
        chosen = prepare_folder(self.temp_path) / (
            f"{self.name}.onnx" if precision == "float32" else f"{self.name}_{precision}.onnx"
        )
        samples = None if calibration is None else self._calibration(calibration)
        try:
            export_as(
                precision, self.model.cpu(), self._card(self.name, self.model), chosen, samples, do_constant_folding
            )
        finally:
            self.model.to(self.device)
        result: dict[str, Any] = {"path": str(chosen), "precision": precision}
        result["size_mb"] = round(chosen.stat().st_size / 1e6, 2)
        before = None if measure_on is None else self._accuracy(TorchNetwork(self.model), measure_on)
        self._exported, self.classifier = chosen, Classifier(chosen, threads=0)
        if before is not None:
            after = self._accuracy(self.classifier, measure_on)
            result |= {
                "accuracy": round(after, 2),
                "accuracy_torch": round(before, 2),
                "loss": round(before - after, 2),
            }
        return result

    @classmethod
    def download(cls, path: str | Path = "temp", mode: str = "data", url: str | None = None) -> Path:
        """Get published files; they are checked where a hash is known, and never unpacked.

        Args:
            path: folder to write to.
            mode: one of DOWNLOADS, such as 'data' (a few samples), 'image' and 'video' (demo media), or 'pretrained'
                (weights by the authors, to ``load`` from the returned folder; **those of ESR-9 are not for commercial
                use**). The licence of each file is told in the log.
            url: folder to get the files from, in place of their publisher.

        Returns:
            The file, or where there are several, their folder.

        Raises:
            EmotionError: another mode, or a file is not there, is another one, or cannot be written.
        """
        from emotion_core.store.artifacts import ARTIFACTS, fetch

        if mode not in cls.DOWNLOADS:
            raise EmotionError(f"unknown mode {mode!r}: use one of {', '.join(cls.DOWNLOADS)}")
        artifacts = ARTIFACTS[cls.DOWNLOADS[mode]]
        if url is not None:
            artifacts = tuple(replace(item, urls=(f"{url.rstrip('/')}/{item.remote_name}",)) for item in artifacts)
        if cls.FLAT_DOWNLOADS:
            artifacts = tuple(replace(item, folder="") for item in artifacts)
        for artifact in artifacts:
            log.warning("getting %s from %s (licence: %s)", artifact.name, artifact.urls[0], artifact.licence)
        files = [fetch(artifact, path) for artifact in artifacts]
        return files[0] if len(files) == 1 else files[0].parent

    @abstractmethod
    def _card(self, name: str, model: nn.Module) -> ModelCard:
        """The card of a network of this learner."""

    @abstractmethod
    def _accuracy(self, network: Network, data: Any) -> float:
        """In percent."""

    def _calibration(self, data: Any) -> Any:
        """What ``export_as`` measures ranges on: the faces themselves, or samples for each input of the network."""
        return data

    def _network(self, has_affect: bool = True) -> Any:
        """What ``infer`` and ``eval`` run: the exported network after ``optimize``, else that in torch."""
        return self.classifier or TorchNetwork(self.model, has_affect=has_affect)

    def _use(self, model: nn.Module) -> None:
        """Take another network, in the place of the exported one too."""
        self.model = model.to(self.device).eval()
        self.classifier, self._exported = None, None

    def _run(self, network: Network, *inputs: NDArray[np.float32]) -> EnsembleOutput:
        """One array (N, *shape) for each input of the network, a few samples at a time."""
        chunks = zip(*(np.split(batch, range(BATCH, len(batch), BATCH)) for batch in inputs), strict=True)
        return EnsembleOutput.concatenate([network(*chunk) for chunk in chunks])

    def _save_network(self, model: nn.Module, folder: Path, name: str) -> None:
        """Write ``<name>.safetensors`` with its card, and the exported network where that is the same one."""
        save_network(model, self._card(name, model), folder / f"{name}.safetensors")
        if self._exported is None:
            return
        from emotion_core.export.onnx_file import copy_model

        if _same_weights(model, self.model):
            copy_model(self._exported, folder / f"{name}.onnx")
        else:
            log.warning(
                "%s holds another network than the one that optimize() exported: no ONNX file was written; "
                "load it and call optimize()",
                folder,
            )

    def _load_network(self, folder: Path) -> tuple[nn.Module, ModelCard] | None:
        """What ``_save_network`` wrote, by the learner's name where there are several; None where nothing is."""
        found = sorted(folder.glob("*.safetensors"))
        own = folder / f"{self.name}.safetensors"
        if not found:
            return None
        if own not in found and len(found) > 1:
            names = ", ".join(path.stem for path in found)
            raise EmotionError(f"{folder} holds several networks, and none is called {self.name}: {names}")
        return load_network(own if own in found else found[0])


def _same_weights(a: nn.Module, b: nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[k].cpu(), second[k].cpu()) for k in first)


def check_folder(path: str | Path, holds: Sequence[str]) -> Path:
    """The folder to load from; raises EmotionError when it is not there, naming what should be in it."""
    folder = user_path(path)
    if not folder.is_dir():
        raise EmotionError(f"there is no folder {folder}: give {' or '.join(holds)}")
    return folder
