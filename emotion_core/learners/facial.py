"""FacialEmotionLearner: ESR and diversified ESR behind the interface that OpenDR documents.

Siqueira, Magg, Wermter: Efficient Facial Feature Learning with Wide Ensemble-Based Convolutional Neural
Networks. AAAI 2020. https://arxiv.org/abs/2001.06338
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from emotion_core.cli.progress import training_progress
from emotion_core.data.dataset import FaceDataset
from emotion_core.errors import EmotionError
from emotion_core.evaluation.evaluate import Network, evaluate_affect, evaluate_categories, run_network
from emotion_core.export.torch_network import TorchNetwork
from emotion_core.export.weights import (
    BASE_FILE,
    BRANCH_FILE,
    architecture_of,
    load_network,
    load_original,
    save_network,
    save_tensors,
)
from emotion_core.labels import AFFECTNET
from emotion_core.learners.base import Learner
from emotion_core.learners.engine import Category, as_faces
from emotion_core.learners.facial_config import FacialLearnerConfig
from emotion_core.models.esr import Esr, EsrConfig
from emotion_core.runtime.ensemble import EnsembleOutput
from emotion_core.store.card import COLOURS, ModelCard
from emotion_core.training.esr_branchwise import BranchwiseTrainer, Progress
from emotion_core.training.esr_branchwise_config import CATEGORICAL, DIMENSIONAL
from emotion_core.vision.crop import resize_faces

log = logging.getLogger(__name__)

DOWNLOADS = {"data": "opendr-data", "image": "opendr-image", "video": "opendr-video", "pretrained": "esr9"}
"""What the modes of ``download`` stand for among the known artifacts."""

BATCH = 64
"""Most faces that ``infer`` gives the network at a time."""


class FacialEmotionLearner(Learner):
    """Trains, measures and applies an ensemble with shared representations (ESR).

    Args:
        **arguments: see FacialLearnerConfig; ``diversity`` is another name of ``diversify``.
        architecture: another network of the family than the published one; the number of branches and the attention
            come from ``ensemble_size`` and ``diversify``.
        labels: names of the classes, in the order of the network's output.

    Attributes:
        config: the settings.
        model: the network in torch.
        classifier: the exported network that ``infer`` and ``eval`` use after ``optimize``; None before.

    Raises:
        EmotionError: an argument is unknown, out of range or contradicts another; the device is not there.
    """

    def __init__(
        self,
        *,
        diversity: bool | None = None,
        architecture: EsrConfig | None = None,
        labels: Sequence[str] = AFFECTNET,
        **arguments: Any,
    ) -> None:
        self.config = FacialLearnerConfig.from_arguments(arguments, diversity)
        if self.config.device == "cuda" and not torch.cuda.is_available():
            raise EmotionError("device 'cuda' is the default, but torch finds no CUDA device: pass device='cpu'")
        first = f"cuda:{self.config.device_ind[0]}" if self.config.device == "cuda" else "cpu"
        self.device = torch.device(first)
        self.labels = tuple(labels)
        self._architecture = replace(
            architecture or EsrConfig(), num_classes=len(self.labels), attention=self.config.diversify
        )
        self.classifier: Any = None
        self._training: dict[str, Any] = {}
        self._affect = ""  # where valence and arousal come from; empty while nothing has taught them
        self.init_model(self.config.ensemble_size)

    # What OpenDR's users read from a learner.
    @property
    def ensemble_size(self) -> int:
        """Number of branches."""
        return len(self.model.branches())

    @property
    def base_path_experiment(self) -> str:
        """Folder of the experiments."""
        return self.config.base_path_experiment

    @property
    def temp_path(self) -> str:
        """Folder of the exported networks."""
        return self.config.temp_path

    def init_model(self, num_branches: int) -> None:
        """Make a new network with random weights, decided by the seed."""
        torch.manual_seed(self.config.seed)
        try:
            config = replace(self._architecture, branches=num_branches)
        except ValueError as error:
            raise EmotionError(str(error)) from None
        self.model = Esr(config).to(self.device).eval()
        self.classifier, self._training, self._affect = None, {}, ""

    def reset(self) -> None:
        """Forget what was learned."""
        self.init_model(self.config.ensemble_size)

    def fit(
        self,
        dataset: FaceDataset | None = None,
        val_dataset: FaceDataset | None = None,
        affect_dataset: FaceDataset | None = None,
        affect_val_dataset: FaceDataset | None = None,
        on_step: Progress | None = None,
    ) -> dict[str, Any]:
        """Train branch by branch, then tune valence and arousal, as the settings say.

        A call that was interrupted goes on from the last finished epoch when it is made again. With
        ``categorical_train=False`` the network that was loaded is tuned. On a terminal a bar shows how far it is.

        Args:
            dataset, val_dataset: faces with classes; by default those of AffectNet in ``base_path_to_dataset``.
            affect_dataset, affect_val_dataset: faces with valence and arousal; the same default.
            on_step: called after each step in place of the bar, see ``emotion_core.training.esr_branchwise.Progress``.

        Returns:
            {"history": one dictionary an epoch, "folder": where checkpoint, tables and plots lie}

        Raises:
            EmotionError: data is missing or does not fit, or the folder holds the checkpoint of another run.
        """
        settings = self.config
        learn, tune = settings.categorical_train, settings.dimensional_finetune
        train = (dataset or self._affectnet(CATEGORICAL, 1)) if learn else None
        valid = (val_dataset or self._affectnet(CATEGORICAL, 2)) if learn else None
        affect_train = (affect_dataset or self._affectnet(DIMENSIONAL, 1)) if tune else None
        affect_valid = (affect_val_dataset or self._affectnet(DIMENSIONAL, 2)) if tune else None
        config = settings.training(replace(self._architecture, branches=settings.ensemble_size))
        folder = Path(settings.base_path_experiment) / settings.name_experiment
        start = None if settings.categorical_train else self.model
        if start is not None and not self._training:
            raise EmotionError(
                "tuning valence and arousal needs trained branches: load a network, or set categorical_train=True"
            )
        data = (train, valid, affect_train, affect_valid)
        trainer = BranchwiseTrainer(config, folder, *data, start, self.device)
        if on_step is not None:
            history = trainer.run(on_step)
        else:
            with training_progress() as show:
                history = trainer.run(
                    lambda stage, epoch, share, loss: show(
                        share, f"{stage.kind}, {stage.branches} branches, epoch {epoch}/{stage.epochs}, loss {loss:.3f}"
                    )
                )
        self.model, self.classifier = trainer.model, None
        names = [type(item).__name__ for item in data if item is not None]
        if learn:
            self._affect = ""  # fresh branches have fresh heads
        if affect_train is not None:
            self._affect = f"annotated, tuned on {type(affect_train).__name__}"
        self._training = {"data": ", ".join(names), "method": "branch by branch", "seed": settings.seed}
        return {"history": history.to_list(), "folder": str(folder)}

    def eval(
        self,
        eval_type: str = CATEGORICAL,
        current_branch_on_training: int = 0,
        dataset: FaceDataset | None = None,
        confusion_picture: str | Path | None = None,
    ) -> dict[str, Any]:
        """Measure the ensemble and each branch.

        Args:
            eval_type: 'categorical' or 'dimensional'.
            current_branch_on_training: index from 0 of the branch to report under 'current_branch_accuracy'.
            dataset: what to measure on; by default the validation part of AffectNet in ``base_path_to_dataset``.
            confusion_picture: where to write the confusion matrix as PNG.

        Returns:
            categorical: accuracy of the branches' vote, macro F1, recall, confusion, calibration error (percent),
            ``branch_accuracy``, ``current_branch_accuracy``. dimensional: RMSE, CCC and Pearson of valence and
            arousal, and each branch's RMSE.

        Raises:
            EmotionError: another type, no such branch, or data that does not fit.
        """
        if eval_type not in (CATEGORICAL, DIMENSIONAL):
            raise EmotionError(f"unknown eval_type {eval_type!r}: use '{CATEGORICAL}' or '{DIMENSIONAL}'")
        if not 0 <= current_branch_on_training < self.ensemble_size:
            raise EmotionError(
                f"current_branch_on_training must be in 0..{self.ensemble_size - 1}, got {current_branch_on_training}"
            )
        data = dataset or self._affectnet(eval_type, 2)
        size = self.model.config
        network = self.classifier or TorchNetwork(self.model)  # heads that nothing has taught are measured too
        output = run_network(network, data, size.input_size, size.in_channels)
        if eval_type == DIMENSIONAL:
            return evaluate_affect(output, data).to_dict()
        result = evaluate_categories(output, data, self.labels, "vote")
        if confusion_picture is not None:
            from emotion_core.plots.confusion import plot_confusion

            plot_confusion(result.ensemble.confusion, data.labels, confusion_picture)
        current = result.branch_accuracy[current_branch_on_training]
        return {**result.to_dict(), "current_branch_accuracy": round(current, 2)}

    def infer(self, input_batch: Any) -> tuple[Any, Any]:
        """What one face or a batch of faces shows.

        Args:
            input_batch: an ``Image``, an array, a tensor, or a list of these; see ``category.as_faces``. The face
                fills the picture; another size than the network's is resized.

        Returns:
            For one face a ``Category`` (the class of the branches' vote, its mean probability) and (2,) float64
            valence and arousal in [-1, 1], NaN while nothing has taught them; for a batch a list of N categories and
            (N, 2).

        Raises:
            EmotionError: the input has another type, shape or range, or holds NaN.
        """
        faces, is_batch = as_faces(input_batch)
        size = self.model.config
        # Resizing works on the scale of pixels, whatever they are stored as.
        pixels: Iterator[Any] = (face if face.dtype == np.uint8 else face * np.float32(255) for face in faces)
        batch = np.concatenate([resize_faces(face[None], size.input_size, size.in_channels) for face in pixels])
        chunks = np.split(batch, range(BATCH, len(batch), BATCH))
        network = self.classifier or TorchNetwork(self.model, has_affect=bool(self._affect))
        output = EnsembleOutput.concatenate([network(chunk) for chunk in chunks])
        probabilities, votes, affect = output.probabilities, output.votes, output.affect
        categories = [Category(int(v), self.labels[v], float(p[v])) for v, p in zip(votes, probabilities, strict=True)]
        return (categories, affect) if is_batch else (categories[0], affect[0])

    def save(
        self,
        state_dicts: Sequence[Mapping[str, torch.Tensor]] | None = None,
        base_path_to_save_model: str | Path | None = None,
        current_branch_save: int | None = None,
        *,
        path: str | Path | None = None,
        model_name: str | None = None,
    ) -> Path:
        """Write the network to a folder.

        The authors' files (``Net-Base-Shared_Representations.pt``, ``Net-Branch_1.pt``, ...), the same in one file
        ``<model_name>.safetensors`` with its card ``<model_name>.json``, and after ``optimize`` the exported network
        ``<model_name>.onnx`` with the card beside it.

        Args:
            state_dicts: weights as ``model.to_state_dict()`` gives them; by default the network's.
            base_path_to_save_model, path: the folder, made when missing; two documented names of one argument.
            current_branch_save: index from 0 of the last branch to write; by default, and beyond the last, all.
            model_name: by default ``name_experiment``.

        Returns:
            The folder.

        Raises:
            EmotionError: no folder or two are given, the weights do not fit, or the disk is full.
        """
        if (path is None) == (base_path_to_save_model is None):
            raise EmotionError("say where to save: base_path_to_save_model or path, one of them")
        folder = Path(str(path if path is not None else base_path_to_save_model))
        name = model_name or self.config.name_experiment
        states = list(state_dicts if state_dicts is not None else self.model.to_state_dict())
        if current_branch_save is not None:
            if current_branch_save < 0:
                raise EmotionError(f"current_branch_save counts branches from 0, got {current_branch_save}")
            states = states[: current_branch_save + 2]
        model = self._from_states(states)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EmotionError(f"the folder {folder} cannot be made: {error.strerror}") from None
        for file, state in zip([BASE_FILE, *map(BRANCH_FILE.format, range(1, len(states)))], states, strict=True):
            save_tensors({key: tensor.cpu() for key, tensor in state.items()}, folder / file)
        save_network(model, self._card(name, model), folder / f"{name}.safetensors")
        if self.classifier is not None:
            from emotion_core.export.onnx_file import copy_model

            copy_model(self._exported, folder / f"{name}.onnx")
        return folder

    def load(
        self,
        ensemble_size: int = 9,
        path_to_saved_network: str | Path = "./trained_models/esr_9",
        file_name_base_network: str = BASE_FILE,
        file_name_conv_branch: str = BRANCH_FILE,
        fix_backbone: bool = False,
    ) -> None:
        """Read a network from a folder.

        What ``save`` wrote is rebuilt from the one file with its card. A folder without one is taken for the authors'
        files, of the architecture of this learner.

        Args:
            ensemble_size: number of branches to take, at most as many as there are.
            path_to_saved_network: the folder.
            file_name_base_network, file_name_conv_branch: names of the authors' files, ``{}`` for the branch's number.
            fix_backbone: freeze everything but the heads for valence and arousal.

        Raises:
            EmotionError: a file is missing, damaged, of another network, or there are fewer branches.
        """
        folder = Path(path_to_saved_network)
        if not folder.is_dir():
            raise EmotionError(f"there is no folder {folder}: give the one that save() wrote, or the authors' files")
        if cards := sorted(folder.glob("*.safetensors")):
            own = folder / f"{self.config.name_experiment}.safetensors"
            if own not in cards and len(cards) > 1:
                raise EmotionError(f"{folder} holds several networks: name one with name_experiment")
            model, card = load_network(own if own in cards else cards[0])
            if model.config.branches < ensemble_size:
                raise EmotionError(
                    f"{folder} holds {model.config.branches} branches, ensemble_size asks for {ensemble_size}: "
                    f"load it with ensemble_size={model.config.branches}"
                )
            model.keep_branches(ensemble_size)
            self.labels, self._training = tuple(card.labels), card.training or {"data": "unknown"}
            self._affect = card.affect
        else:
            config = replace(self._architecture, branches=ensemble_size)
            model = load_original(folder, config, file_name_base_network, file_name_conv_branch)
            self._training, self._affect = {"data": "unknown"}, "as in the files of its authors"
        self.model, self._architecture = model.to(self.device), model.config
        self.classifier = None
        if fix_backbone:
            for parameter_name, parameter in self.model.named_parameters():
                parameter.requires_grad = "fc_dimensional" in parameter_name

    def optimize(
        self,
        do_constant_folding: bool = False,
        precision: str = "float32",
        calibration: FaceDataset | None = None,
        measure_on: FaceDataset | None = None,
    ) -> dict[str, Any]:
        """Export to ONNX, compare with torch by value, and let ``infer`` and ``eval`` use the result.

        Args:
            do_constant_folding: compute what does not depend on the input now rather than at every start.
            precision: 'float32', 'float16' (for GPUs) or 'int8' (for CPUs; needs ``calibration``).
            calibration: some hundred faces of the training data, of all classes.
            measure_on: faces with classes; the result then tells the accuracy before and after.

        Returns:
            {"path", "precision", "size_mb"} and, with ``measure_on``, "accuracy", "accuracy_torch", "loss" in points.

        Raises:
            EmotionError: another precision, no calibration faces, or the export differs from torch.
        """
        from emotion_core.export.quantize import export_as
        from emotion_core.runtime.session import FaceClassifier

        folder, name = Path(self.config.temp_path), self.config.name_experiment
        folder.mkdir(parents=True, exist_ok=True)
        chosen = folder / (f"{name}.onnx" if precision == "float32" else f"{name}_{precision}.onnx")
        try:
            card = self._card(name, self.model)
            export_as(precision, self.model.cpu(), card, chosen, calibration, do_constant_folding)
        finally:
            self.model.to(self.device)
        result: dict[str, Any] = {"path": str(chosen), "precision": precision}
        result["size_mb"] = round(chosen.stat().st_size / 1e6, 2)
        before = None if measure_on is None else self._accuracy(TorchNetwork(self.model), measure_on)
        self._exported, self.classifier = chosen, FaceClassifier(chosen, threads=0)
        if before is not None:
            assert measure_on is not None
            after = self._accuracy(self.classifier, measure_on)
            result |= {
                "accuracy": round(after, 2),
                "accuracy_torch": round(before, 2),
                "loss": round(before - after, 2),
            }
        return result

    @staticmethod
    def download(path: str | Path = "temp", mode: str = "data", url: str | None = None) -> Path:
        """Get published files; they are checked where a hash is known, and never unpacked.

        Args:
            path: folder to write to.
            mode: 'data' (OpenDR's few faces of AffectNet, a zip), 'image' and 'video' (its demo media), or
                'pretrained' (ESR-9 by its authors, **not for commercial use**, to ``load`` from the returned folder).
            url: folder to get the files from, in place of their publisher.

        Returns:
            The file, or for 'pretrained' the folder of files.

        Raises:
            EmotionError: another mode, or a file is not there, is another one, or cannot be written.
        """
        from emotion_core.store.artifacts import ARTIFACTS, fetch

        if mode not in DOWNLOADS:
            raise EmotionError(f"unknown mode {mode!r}: use one of {', '.join(DOWNLOADS)}")
        artifacts = ARTIFACTS[DOWNLOADS[mode]]
        if url is not None:
            artifacts = tuple(replace(item, urls=(f"{url.rstrip('/')}/{item.name}",)) for item in artifacts)
        for artifact in artifacts:
            log.warning("getting %s from %s (licence: %s)", artifact.name, artifact.urls[0], artifact.licence)
        files = [fetch(artifact, path) for artifact in artifacts]
        return files[0] if len(files) == 1 else files[0].parent

    def _accuracy(self, network: Network, data: FaceDataset) -> float:
        size = self.model.config
        output = run_network(network, data, size.input_size, size.in_channels)
        return evaluate_categories(output, data, self.labels, "vote").ensemble.accuracy

    def _affectnet(self, kind: str, split: int) -> FaceDataset:
        from emotion_core.data.affectnet import AffectNetCategorical, AffectNetDimensional

        reader = AffectNetCategorical if kind == CATEGORICAL else AffectNetDimensional
        return reader(idx_set=split, base_path_to_affectnet=self.config.base_path_to_dataset)

    def _from_states(self, states: Sequence[Mapping[str, torch.Tensor]]) -> Esr:
        if len(states) < 2:
            raise EmotionError(f"state_dicts must list the base and at least one branch, got {len(states)} entries")
        model = Esr(replace(self.model.config, branches=len(states) - 1))
        try:
            for part, state in zip((model.base, *model.branches()), states, strict=True):
                part.load_state_dict(state)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:160]
            raise EmotionError(f"the weights in state_dicts do not fit the network ({reason})") from None
        return model.eval()

    def _card(self, name: str, model: Esr) -> ModelCard:
        config = model.config
        return ModelCard(
            name=name,
            architecture=architecture_of(model),
            input_size=config.input_size,
            channels=config.in_channels,
            colour=COLOURS[config.in_channels],
            labels=self.labels,
            licence="that of the data it was trained on",
            affect=self._affect,
            training=self._training,
        )


def _signature() -> inspect.Signature:
    """What ``help`` shows: every setting with its default, which is written down in FacialLearnerConfig only."""
    kind = inspect.Parameter.KEYWORD_ONLY
    settings = [inspect.Parameter(f.name, kind, default=f.default) for f in fields(FacialLearnerConfig)]
    more = [("diversity", None), ("architecture", None), ("labels", AFFECTNET)]
    return inspect.Signature(settings + [inspect.Parameter(name, kind, default=value) for name, value in more])


FacialEmotionLearner.__signature__ = _signature()  # type: ignore[attr-defined]
