"""FacialEmotionLearner: ESR and diversified ESR behind the interface that OpenDR documents.

Siqueira, Magg, Wermter: Efficient Facial Feature Learning with Wide Ensemble-Based Convolutional Neural
Networks. AAAI 2020. https://arxiv.org/abs/2001.06338
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from emotion_core.data.dataset import FaceDataset
from emotion_core.data.relabel import order_of, relabelled
from emotion_core.errors import EmotionError
from emotion_core.evaluation.evaluate import Network, evaluate_affect, evaluate_categories, run_network
from emotion_core.export.esr_files import BASE_FILE, BRANCH_FILE, load_original
from emotion_core.labels import AFFECTNET
from emotion_core.learners.base import Learner, check_folder
from emotion_core.learners.engine import Category, as_faces
from emotion_core.learners.facial_config import FacialLearnerConfig
from emotion_core.learners.facial_files import count_branches, network_of, save_original
from emotion_core.models.esr import Esr, EsrConfig
from emotion_core.models.registry import describe, entry_of, inputs_of
from emotion_core.store.card import ModelCard
from emotion_core.store.files import prepare_folder
from emotion_core.training import checkpoint
from emotion_core.training.esr_branchwise import EsrBranchwiseTask
from emotion_core.training.esr_branchwise_config import CATEGORICAL, DIMENSIONAL
from emotion_core.training.events import OnEvent
from emotion_core.training.loop import Loop
from emotion_core.training.pictures import draw_confusion
from emotion_core.vision.crop import resize_faces

TUNING = "tuning"
"""Folder of a tuning alone, below that of the training whose branches it tunes."""


class FacialEmotionLearner(Learner):
    """Trains, measures and applies an ensemble with shared representations (ESR).

    Args:
        **arguments: see FacialLearnerConfig; ``diversity`` is another name of ``diversify``.
        preset: 'affectnet' or 'ferplus': trains as the authors do, ``arguments`` go before it.
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

    DOWNLOADS: ClassVar = {
        "data": "opendr-data",
        "image": "opendr-image",
        "video": "opendr-video",
        "pretrained": "esr9",
    }

    model: Esr

    def __init__(
        self,
        *,
        preset: str | None = None,
        architecture: EsrConfig | None = None,
        labels: Sequence[str] = AFFECTNET,
        **arguments: Any,
    ) -> None:
        given = {name: value for name, value in arguments.items() if not (name == "diversity" and value is None)}
        self.config = FacialLearnerConfig.from_arguments(given, type(self).__name__, preset)
        super().__init__(self.config, self.config.name_experiment)
        self.labels = tuple(labels)
        self._architecture = replace(
            architecture or EsrConfig(), num_classes=len(self.labels), attention=self.config.diversify
        )
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

    def init_model(self, num_branches: int) -> None:
        """Make a new network with random weights, decided by the seed."""
        torch.manual_seed(self.config.seed)
        try:
            config = replace(self._architecture, branches=num_branches)
        except ValueError as error:
            raise EmotionError(str(error)) from None
        self._use(Esr(config))
        self._start: Esr | None = None  # what was loaded, from which fit() starts
        self._start_training: dict[str, Any] = {}
        self._training: dict[str, Any] = {}
        self._affect = ""  # where valence and arousal come from; empty while nothing has taught them

    def reset(self) -> None:
        """Forget what was learned."""
        self.init_model(self.config.ensemble_size)

    def fit(
        self,
        dataset: FaceDataset | None = None,
        val_dataset: FaceDataset | None = None,
        affect_dataset: FaceDataset | None = None,
        affect_val_dataset: FaceDataset | None = None,
        on_event: OnEvent | None = None,
    ) -> dict[str, Any]:
        """Train branch by branch, then tune valence and arousal, as the settings say.

        A network that was loaded is the start: each stage takes over the base and the branches that it has. The tuning
        alone needs one. A call that was interrupted goes on from the last finished epoch when it is made again; one
        that was finished trains nothing, and says so.

        Args:
            dataset, val_dataset: faces with classes; by default those of AffectNet in ``base_path_to_dataset``. Labels
                in another order than the network's are put into its order.
            affect_dataset, affect_val_dataset: faces with valence and arousal; the same default.
            on_event: called with what happens, see ``emotion_core.training.events``.

        Returns:
            {"history": one dictionary an epoch, "folder": where checkpoint, tables and plots lie}

        Raises:
            EmotionError: data is missing or does not fit, or the folder holds the checkpoint of another training.
        """
        settings = self.config
        learn, tune = settings.categorical_train, settings.dimensional_finetune
        train = self._default(dataset, CATEGORICAL, 1) if learn else None
        valid = self._default(val_dataset, CATEGORICAL, 2) if learn else None
        affect_train = self._default(affect_dataset, DIMENSIONAL, 1) if tune else None
        affect_valid = self._default(affect_val_dataset, DIMENSIONAL, 2) if tune else None
        names = [type(item).__name__ for item in (train, valid, affect_train, affect_valid) if item is not None]
        if train is not None and valid is not None:
            train = relabelled(train, self.labels, "the training faces", "the network (argument labels)")
            valid = relabelled(valid, self.labels, "the validation faces", "the network (argument labels)")
        if not learn and self._start is None:
            raise EmotionError(
                "tuning valence and arousal needs trained branches: load a network, or set categorical_train=True"
            )
        branches = settings.ensemble_size if learn else self._trained_branches()
        config = settings.training(replace(self._architecture, branches=branches))
        task = EsrBranchwiseTask(config, train, valid, affect_train, affect_valid, self._start)
        loop = Loop(task, self._folder(), self.device)
        history = loop.run(on_event)
        trained = loop.model
        assert isinstance(trained, Esr)
        self._use(trained)
        if learn:
            self._affect = ""  # new branches have new heads, and those of loaded ones belong to what they said before
        if affect_train is not None:
            self._affect = f"annotated, tuned on {type(affect_train).__name__}"
        before = {"init": self._start_training} if self._start is not None else {}
        self._training = {"data": ", ".join(names), "method": "branch by branch", "seed": settings.seed, **before}
        return {"history": history.to_list(), "folder": str(loop.out)}

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
        data = self._default(dataset, eval_type, 2)
        # Heads for valence and arousal that nothing has taught are measured too.
        output = run_network(self._network(), data, inputs_of(self.model)[0])
        if eval_type == DIMENSIONAL:
            return evaluate_affect(output, data).to_dict()
        result = evaluate_categories(output, data, self.labels, "vote")
        if confusion_picture is not None:
            draw_confusion(result.ensemble.confusion, result.labels, confusion_picture)
        current = result.branch_accuracy[current_branch_on_training]
        return {**result.to_dict(), "current_branch_accuracy": round(current, 2)}

    def infer(self, input_batch: Any) -> tuple[Any, Any]:
        """What one face or a batch of faces shows.

        Args:
            input_batch: an ``Image``, an array, a tensor, or a list of these; see ``engine.as_faces``. The face
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
        output = self._run(self._network(bool(self._affect)), batch)
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
        ``<model_name>.safetensors`` with its card, and after ``optimize`` the exported network ``<model_name>.onnx``,
        unless what is saved is another network. ``<model_name>.json`` is a copy of the card for people.

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
        states = list(state_dicts if state_dicts is not None else self.model.to_state_dict())
        if current_branch_save is not None:
            if current_branch_save < 0:
                raise EmotionError(f"current_branch_save counts branches from 0, got {current_branch_save}")
            states = states[: current_branch_save + 2]
        model = network_of(states, self.model.config)
        chosen = base_path_to_save_model if path is None else path
        assert chosen is not None
        folder = prepare_folder(chosen)
        save_original(states, folder)
        self._save_network(model, folder, model_name or self.name)
        return folder

    def load(
        self,
        ensemble_size: int | None = 9,
        path_to_saved_network: str | Path = "./trained_models/esr_9",
        file_name_base_network: str = BASE_FILE,
        file_name_conv_branch: str = BRANCH_FILE,
        fix_backbone: bool = False,
    ) -> None:
        """Read a network from a folder; ``fit`` then starts from it.

        What ``save`` wrote is rebuilt from the one file with its card. A folder without one is taken for the authors'
        files, of the architecture of this learner; their classes are those of AffectNet, and so are ``labels`` then.

        Args:
            ensemble_size: number of branches to take, at most as many as there are; None takes all.
            path_to_saved_network: the folder.
            file_name_base_network, file_name_conv_branch: names of the authors' files, ``{}`` for the branch's number.
            fix_backbone: freeze everything but the heads for valence and arousal.

        Raises:
            EmotionError: a file is missing, damaged, of another network, there are fewer branches, or the authors'
                files meet a learner of other classes.
        """
        folder = check_folder(path_to_saved_network, ("the one that save() wrote", "the authors' files"))
        saved = self._load_network(folder)
        if saved is not None:
            model, card = saved
            if not isinstance(model, Esr):
                raise EmotionError(f"{folder} holds a network of type {card.architecture['type']}, expected an ESR")
            count = ensemble_size or model.config.branches
            if model.config.branches < count:
                raise EmotionError(
                    f"{folder} holds {model.config.branches} branches, ensemble_size asks for {count}: "
                    f"load it with ensemble_size={model.config.branches}"
                )
            model.keep_branches(count)
            self.labels = tuple(card.labels)
            self._training, self._affect = card.training or {"data": "unknown"}, card.affect
        else:
            # These files do not name their classes: they are AffectNet's, in the authors' order.
            order_of(AFFECTNET, self.labels, f"the authors' files in {folder}", "the learner (argument labels)")
            self.labels = AFFECTNET
            count = ensemble_size or count_branches(folder, file_name_conv_branch)
            config = replace(self._architecture, branches=count)
            model = load_original(folder, config, file_name_base_network, file_name_conv_branch)
            self._training, self._affect = {"data": "unknown"}, "as in the files of its authors"
        self._use(model)
        self._architecture = model.config
        self._start, self._start_training = self.model, self._training
        if fix_backbone:
            for parameter_name, parameter in self.model.named_parameters():
                parameter.requires_grad = "fc_dimensional" in parameter_name

    def _accuracy(self, network: Network, data: FaceDataset) -> float:
        output = run_network(network, data, inputs_of(self.model)[0])
        return evaluate_categories(output, data, self.labels, "vote").ensemble.accuracy

    def _card(self, name: str, model: nn.Module) -> ModelCard:
        return describe(
            entry_of(model),
            name,
            self.labels,
            licence="that of the data it was trained on",
            affect=self._affect,
            training=self._training,
        )

    def _default(self, data: FaceDataset | None, kind: str, split: int) -> FaceDataset:
        """What was given, or AffectNet when nothing was: an empty dataset is not nothing."""
        return self._affectnet(kind, split) if data is None else data

    def _affectnet(self, kind: str, split: int) -> FaceDataset:
        from emotion_core.data.affectnet import AffectNetCategorical, AffectNetDimensional

        reader = AffectNetCategorical if kind == CATEGORICAL else AffectNetDimensional
        return reader(idx_set=split, base_path_to_affectnet=self.config.base_path_to_dataset)

    def _folder(self) -> Path:
        """Where the training's files lie. A tuning alone gets a folder of its own below that of the branches."""
        folder = Path(self.config.base_path_experiment) / self.config.name_experiment
        path = folder / checkpoint.CHECKPOINT
        if self.config.categorical_train or not path.is_file():
            return folder
        other = checkpoint.load(path, "cpu", memory_map=True)["fingerprint"]
        return folder / TUNING if other.get("settings", {}).get("categorical") else folder

    def _trained_branches(self) -> int:
        assert self._start is not None
        return len(self._start.branches())


FacialEmotionLearner.__signature__ = FacialLearnerConfig.signature(  # type: ignore[attr-defined]
    diversity=None, preset=None, architecture=None, labels=AFFECTNET
)
