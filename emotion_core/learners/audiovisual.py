"""AudiovisualEmotionLearner: the audiovisual network behind the interface that OpenDR documents.

Chumachenko, Iosifidis, Gabbouj: Self-attention fusion for audiovisual emotion recognition with incomplete data. ICPR
2022. https://arxiv.org/abs/2201.11095
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from emotion_core.data.clip_files import ClipSpec
from emotion_core.data.clips import ClipDataset, as_clips, check_inputs, fit_clip, fit_sound, relabelled_clips
from emotion_core.data.subset import balanced_indices
from emotion_core.data.voices import RAVDESS
from emotion_core.errors import EmotionError
from emotion_core.evaluation.modes import AUDIOVISUAL, check_mode, evaluate_mode
from emotion_core.export.audiovisual_files import start_from_efficientface
from emotion_core.export.weights import save_network
from emotion_core.learners.audiovisual_config import AudiovisualLearnerConfig
from emotion_core.learners.audiovisual_data import (
    get_audiovisual_emotion_dataset,
    load_inference_data,
    load_inputs,
)
from emotion_core.learners.audiovisual_files import load_folder, save_folder
from emotion_core.learners.base import Learner, check_folder
from emotion_core.learners.engine import Category, Timeseries, Video
from emotion_core.models.audiovisual import Audiovisual, AudiovisualConfig
from emotion_core.models.registry import describe, entry_of, inputs_of
from emotion_core.store.card import ModelCard
from emotion_core.store.files import atomic_write, prepare_folder, user_path
from emotion_core.training.audiovisual import AudiovisualTask
from emotion_core.training.events import EpochDone, Event, OnEvent
from emotion_core.training.history import in_words
from emotion_core.training.loop import CHECKPOINT, Loop

__all__ = ["AudiovisualEmotionLearner", "get_audiovisual_emotion_dataset", "load_inference_data"]

NAME = "audiovisual"
QUIET_INTERVAL = 10
"""Epochs between two lines of a training that is not verbose."""
_CALIBRATION = 64  # clips


class AudiovisualEmotionLearner(Learner):
    """Trains, measures and applies the audiovisual network.

    Args:
        **arguments: see AudiovisualLearnerConfig; ``mod_dropout``, ``batch-size`` and ``checkpoint_after_ietr`` are
            documented names of ``mod_drop``, ``batch_size`` and ``checkpoint_after_iter``.
        architecture: another network of the family than the published one; classes, frames, fusion and heads come from
            ``num_class``, ``seq_length``, ``fusion`` and ``num_heads``.
        labels: names of the classes, in the order of the network's output; by default those of RAVDESS, or those of the
            data that is learned from.

    Attributes:
        config: the settings.
        model: the network in torch.
        classifier: the exported network that ``infer`` and ``eval`` use after ``optimize``; None before.

    Raises:
        EmotionError: an argument is unknown, out of range or contradicts another; the device is not there; the file
            ``pretr_ef`` holds no EfficientFace.
    """

    DOWNLOADS: ClassVar = {"pretrained": "opendr-av"}
    FLAT_DOWNLOADS: ClassVar = True

    model: Audiovisual

    def __init__(
        self,
        *,
        architecture: AudiovisualConfig | None = None,
        labels: Sequence[str] | None = None,
        **arguments: Any,
    ) -> None:
        self.config = AudiovisualLearnerConfig.from_arguments(arguments, type(self).__name__)
        super().__init__(self.config, NAME)
        settings = self.config
        if labels is not None and len(labels) != settings.num_class:
            raise EmotionError(f"num_class is {settings.num_class}, but there are {len(labels)} labels")
        self._given_labels = labels
        try:
            self._own_architecture = replace(
                architecture or AudiovisualConfig(),
                num_classes=settings.num_class,
                frames=settings.seq_length,
                fusion=settings.fusion,
                heads=settings.num_heads,
            )
        except ValueError as error:
            raise EmotionError(str(error)) from None
        self.reset()

    def reset(self) -> None:
        """Forget what was learned or loaded: random weights, decided by the seed, or those of ``pretr_ef``."""
        self._architecture = self._own_architecture
        self.labels = tuple(self._given_labels or _default_labels(self._architecture.num_classes))
        torch.manual_seed(self.config.seed)
        model = Audiovisual(self._architecture)
        # What fit() starts from, where its own random weights would be others.
        self._start: Audiovisual | None = None
        self._loaded = False
        self._training: dict[str, Any] = {}
        if self.config.pretr_ef is not None:
            start_from_efficientface(model, self.config.pretr_ef)
            self._start = model
        self._use(model)

    def fit(
        self,
        dataset: Any,
        val_dataset: Any = None,
        logging_path: str | Path = "logs/",
        silent: bool = False,
        verbose: bool = True,
        eval_mode: str = AUDIOVISUAL,
        restore_best: bool = False,
        on_event: OnEvent | None = None,
    ) -> dict[str, list[float]]:
        """Train for ``iters`` epochs.

        A network that was loaded is the start. A call that was interrupted goes on from the last finished epoch when it
        is made again; one that was finished trains nothing, and says so. The folder then holds ``last.safetensors``,
        and ``best.safetensors`` where something chose the best: the accuracy on ``val_dataset``, or, with
        ``restore_best`` and no such data, that on ``dataset``, measured after each epoch.

        Args:
            dataset, val_dataset: clips with classes, see ``data.clips``; or anything whose items are (audio, video,
                class) of the network's shapes.
            logging_path: folder of the checkpoint, the tables, plots and TensorBoard events.
            silent: print nothing; otherwise a line every tenth epoch.
            verbose: unless silent, print a line every epoch.
            eval_mode: the mode of the validation, see ``evaluation.modes``.
            restore_best: end with the best weights, otherwise with those of the last epoch.
            on_event: called with what happens, see ``emotion_core.training.events``.

        Returns:
            {"train_loss", "train_acc", "val_loss", "val_acc"}, one value an epoch, accuracies in percent. Those of the
            training are taken while learning, over complete and incomplete clips. Without ``val_dataset`` its lists are
            empty.

        Raises:
            EmotionError: data is missing or does not fit, or the folder holds the checkpoint of another training.
        """
        check_mode(eval_mode)
        train = self._clips(dataset, "the training clips")
        valid = None if val_dataset is None else self._clips(val_dataset, "the validation clips", train.labels)
        keep_best = valid is not None or restore_best
        config = self.config.training(self._architecture, eval_mode, keep_best)
        task = AudiovisualTask(config, train, valid, self._start)
        self._go_back(user_path(logging_path))
        loop = Loop(task, logging_path, self.device)
        history = loop.run(lambda event: self._tell(event, loop.out, silent, verbose, on_event))
        self.labels = train.labels
        self._training = {
            "data": type(dataset).__name__,
            "n": len(train),
            "method": f"fusion {config.model.fusion}, {config.dropout}",
            "epochs": config.epochs,
            "seed": config.seed,
            **({"init": self._training} if self._loaded else {}),
            **({"init": "EfficientFace"} if self._start is not None and not self._loaded else {}),
        }
        last = Audiovisual(config.model).to(loop.device)
        last.load_state_dict(task.last)
        loop.processes.align(last)  # statistics of batches differ where each saw its own clips
        if loop.processes.first:
            networks = {"last": last, "best": loop.model} if keep_best else {"last": last}
            for name, model in networks.items():
                save_network(model, self._card(name, model), loop.out / f"{name}.safetensors")
        self._use(loop.model if restore_best else last)
        names = {"train_loss": "train_loss", "train_acc": "train_accuracy"}
        names |= {"val_loss": "valid_loss", "val_acc": "valid_accuracy"} if valid is not None else {}
        found = {key: [float(row[column]) for row in history] for key, column in names.items()}
        return {"val_loss": [], "val_acc": [], **found}

    def eval(
        self, dataset: Any, silent: bool = False, verbose: bool = True, mode: str = AUDIOVISUAL
    ) -> dict[str, float]:
        """Measure on a dataset; see ``fit`` for what it may be.

        Args:
            silent: print nothing.
            verbose: unless silent, print the figures.
            mode: one of ``evaluation.modes.MODES``.

        Returns:
            {"cross_entropy": in nats, "acc": in percent}

        Raises:
            EmotionError: an unknown mode, or data that does not fit.
        """
        check_mode(mode)
        result = evaluate_mode(
            self._network(),
            as_clips(dataset, self.labels),
            inputs_of(self.model),
            self.labels,
            mode,
            self.config.batch_size,
        )
        found = {"cross_entropy": result.cross_entropy, "acc": result.categories.ensemble.accuracy}
        if verbose and not silent:
            print(f"{mode}: cross-entropy {found['cross_entropy']:.4f}, accuracy {found['acc']:.2f} %")
        return found

    def infer(self, audio: Any = None, video: Any = None) -> Category:
        """What a face and a voice show.

        Args:
            audio: MFCC (coefficients, steps): a ``Timeseries``, an array or a tensor; None where nothing was heard.
            video: (3, frames, height, width) BGR, uint8 or floats in [0, 1]: a ``Video``, an array or a tensor; None
                where nothing was seen.

        Returns:
            The most probable class.

        Raises:
            EmotionError: both are missing, or one has another shape, range, or NaN.
        """
        if audio is None and video is None:
            raise EmotionError("expected audio, video or both, got neither")
        seen, heard = check_inputs(inputs_of(self.model))
        clip = np.zeros(seen.shape, np.float32) if video is None else fit_clip(video, seen)
        sound = np.zeros(heard.shape, np.float32) if audio is None else fit_sound(audio, heard)
        said = self._network()(clip[None], sound[None]).probabilities[0]
        chosen = int(said.argmax())
        return Category(chosen, self.labels[chosen], float(said[chosen]))

    def load_inference_data(
        self,
        audio: str | Path | NDArray[Any] | None,
        video: str | Path | NDArray[Any] | None = None,
        sample_rate_hz: int = 22050,
        detector: str = "auto",
    ) -> tuple[Timeseries | None, Video | None]:
        """Sound and picture of one window as this network takes them; see ``audiovisual_data.load_inference_data``."""
        spec = ClipSpec.of_inputs(*check_inputs(inputs_of(self.model)))
        return load_inputs(audio, video, spec, sample_rate_hz, detector)

    def save(self, path: str | Path, verbose: bool = True) -> Path:
        """Write the network to a folder.

        ``model_weights.pt`` and ``metadata.json`` as documented, the same in one file ``audiovisual.safetensors`` with
        its card, and after ``optimize`` the exported network ``audiovisual.onnx``.

        Args:
            path: the folder, made when missing.
            verbose: print where it lies.

        Returns:
            The folder.

        Raises:
            EmotionError: the folder cannot be written, or the disk is full.
        """
        folder = prepare_folder(path)
        self._save_network(self.model, folder, NAME)
        exported = None if self._exported is None else f"{NAME}.onnx"
        save_folder(self.model, self._card(NAME, self.model), folder, exported)
        if verbose:
            print(f"saved to {folder}")
        return folder

    def load(self, path: str | Path, verbose: bool = True) -> None:
        """Read a network from a folder; ``fit`` then starts from it.

        What ``save`` wrote is rebuilt whatever the learner's settings. OpenDR's metadata tells nothing of the network:
        then fusion and classes come from the weights, frames and heads from the settings.

        Args:
            path: holds ``metadata.json`` and ``model_weights.pt``.
            verbose: print that it was loaded.

        Raises:
            EmotionError: a file is missing, damaged, or of another network.
        """
        folder = check_folder(path, ("the one that save() wrote", "what download() got"))
        model, card = load_folder(folder, self._architecture)
        self._architecture = model.config
        self.labels = tuple(card.labels if card is not None else _default_labels(model.config.num_classes))
        self._training = card.training if card is not None and card.training else {"data": "unknown"}
        self._start, self._loaded = model, True
        self._use(model)
        if verbose:
            print(f"loaded {folder}")

    @classmethod
    def download(cls, path: str | Path = "temp", mode: str = "pretrained", url: str | None = None) -> Path:
        """Get OpenDR's weights, of fusion 'ia' with 'zerodrop', trained on RAVDESS (**CC BY-NC-SA 4.0**).

        Args:
            path: folder to write ``metadata.json`` and ``model_weights.pt`` to, for ``load``.
            mode: 'pretrained'.
            url: folder to get the files from, in place of their publisher.

        Returns:
            The folder.

        Raises:
            EmotionError: another mode, or a file is not there or cannot be written.
        """
        return super().download(path, mode, url)

    def _clips(self, data: Any, who: str, wanted: Sequence[str] | None = None) -> ClipDataset:
        """A dataset as clips, in the order of the network's classes where that is settled already."""
        clips = as_clips(data, self.labels)
        settled = wanted or (self.labels if self._loaded or self._given_labels is not None else None)
        return clips if settled is None else relabelled_clips(clips, settled, who, "the network")

    def _tell(self, event: Event, folder: Path, silent: bool, verbose: bool, on_event: OnEvent | None) -> None:
        if isinstance(event, EpochDone):
            epoch, settings = event.row["epoch"], self.config
            if not silent and (verbose or epoch % QUIET_INTERVAL == 0):
                print(in_words(event.row, settings.iters))
            if settings.checkpoint_after_iter and epoch % settings.checkpoint_after_iter == 0:
                _copy(folder / CHECKPOINT, folder / f"checkpoint_{epoch}.pt")
        if on_event is not None:
            on_event(event)

    def _go_back(self, folder: Path) -> None:
        """Put the state after the epoch ``checkpoint_load_iter`` in the place of the last one."""
        epoch = self.config.checkpoint_load_iter
        kept = folder / f"checkpoint_{epoch}.pt"
        if epoch and not kept.is_file():
            raise EmotionError(f"{kept} is missing: checkpoint_load_iter goes back to what checkpoint_after_iter kept")
        if epoch:
            _copy(kept, folder / CHECKPOINT)

    def _accuracy(self, network: Any, data: Any) -> float:
        clips = as_clips(data, self.labels)
        result = evaluate_mode(network, clips, inputs_of(self.model), self.labels, batch_size=self.config.batch_size)
        return result.categories.ensemble.accuracy

    def _calibration(self, data: Any) -> Mapping[str, NDArray[np.float32]]:
        clips, inputs = as_clips(data, self.labels), inputs_of(self.model)
        per_class = -(-_CALIBRATION // len(self.labels))
        chosen = balanced_indices(clips.targets, per_class, np.random.default_rng(0))
        batches = zip(*(clips.sample(int(i), inputs) for i in chosen), strict=True)
        return {item.name: np.stack(batch) for item, batch in zip(inputs, batches, strict=True)}

    def _card(self, name: str, model: nn.Module) -> ModelCard:
        return describe(
            entry_of(model), name, self.labels, licence="that of the data it was trained on", training=self._training
        )


def _default_labels(count: int) -> tuple[str, ...]:
    return RAVDESS if count == len(RAVDESS) else tuple(f"class {i}" for i in range(count))


def _copy(source: Path, target: Path) -> None:
    with atomic_write(target) as temporary:
        shutil.copyfile(source, temporary)


AudiovisualEmotionLearner.__signature__ = AudiovisualLearnerConfig.signature(  # type: ignore[attr-defined]
    architecture=None, labels=None
)
