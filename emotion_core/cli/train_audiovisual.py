"""``emotion train audiovisual``: train the network that sees and hears."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from emotion_core.cli.train_options import (
    add_machine,
    add_numbers,
    begin,
    command,
    given,
    read_recipe,
    train,
)
from emotion_core.errors import EmotionError

if TYPE_CHECKING:
    from emotion_core.data.clips import ClipDataset
    from emotion_core.models.audiovisual import AudiovisualConfig

NUMBERS = ("epochs", "batch_size", "lr", "weight_decay", "workers", "ema_decay", "clip_norm", "patience", "seed")
CLIP_SETS = ("ravdess", "pairs")
"""What ``--dataset`` may be, here and where it is measured."""
TITLES = {"ravdess": "RAVDESS", "pairs": "pairs of FER+ and RAVDESS speech"}
"""What cards call them."""
SPLITS = {
    ("ravdess", "train"): "training",
    ("ravdess", "valid"): "validation",
    ("pairs", "train"): "Training and training actors",
    ("pairs", "valid"): "PublicTest and validation actors",
}
"""What cards call their splits; others by their own names."""
STRANGERS = "Learned from faces and voices of one class that do not belong together: no data here has both at once."


def add_audiovisual(learners: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = learners.add_parser(
        "audiovisual",
        help="the published network that sees a face and hears a voice for 3.6 seconds",
        description="Train the audiovisual network on the clips that `emotion prepare ravdess` cuts out, or on random "
        "pairs of a still face (FER+) and a voice (RAVDESS) of one class, with modality dropout. May be stopped at any "
        "time: the same command goes on from the last finished epoch. Writes checkpoint.pt, history.csv, history.png, "
        "tensorboard/ and at the end model.safetensors with its card, which tells the accuracy in all five modes.",
    )
    parser.add_argument(
        "--config", metavar="FILE.yaml", help="a recipe such as recipes/av_ia_pairs.yaml; options below go before it"
    )
    add_clip_data(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for the results")
    parser.add_argument(
        "--frame-network", dest="init", metavar="FILE",
        help="start what looks at single frames from this EfficientFace: a model.safetensors, or its authors' file",
    )  # fmt: skip
    add_numbers(parser, NUMBERS)
    parser.add_argument("--dropout", choices=("nodrop", "noisedrop", "zerodrop"), help="default: zerodrop")
    add_machine(parser)
    parser.add_argument("--half", action="store_true", help="store the weights as float16, in half the space")
    parser.add_argument("--name", default="audiovisual", help="name of the model in its card (default: %(default)s)")
    parser.set_defaults(run=run_audiovisual, teachers=[], model=None)


def add_clip_data(parser: argparse.ArgumentParser, datasets: tuple[str, ...] = CLIP_SETS) -> None:
    """Options for where clips come from."""
    parser.add_argument("--dataset", choices=datasets, default=datasets[0], help="default: %(default)s")
    parser.add_argument("--data", required=True, metavar="DIR", help="folder with RAVDESS")
    add_pairs(parser, per_voice=2)


def add_pairs(parser: argparse.ArgumentParser, per_voice: int) -> None:
    """Options for pairs, with the default of faces to each voice."""
    parser.add_argument("--faces", metavar="DIR", help="FER+, for --dataset pairs")
    parser.add_argument(
        "--per-voice",
        type=int,
        default=per_voice,
        metavar="N",
        help="faces to each voice, for pairs (default: %(default)s)",
    )


def open_clips(
    dataset: str, data: str, faces: str | None, split: str, model: AudiovisualConfig, per_voice: int, seed: int = 0
) -> ClipDataset:
    """One split of the clips for a network; raises EmotionError where something is missing."""
    from emotion_core.data.clip_files import ClipSpec
    from emotion_core.data.ravdess_clips import RavdessClips, prepared_folder

    spec = ClipSpec(
        model.sample_rate_hz, model.coefficients, model.window_s, frames=model.frames, size=model.image_size
    )
    if dataset == "ravdess":
        folder = prepared_folder(data, spec)
        if not folder.is_dir():
            raise EmotionError(
                f"{data} was not prepared for this network: emotion prepare ravdess --data {data} --size {spec.size} "
                f"--frames {spec.frames}"
            )
        return RavdessClips(folder, split)
    from emotion_core.data.ferplus import load_ferplus
    from emotion_core.data.pairs import PairClips, draw_pairs
    from emotion_core.data.voices import load_ravdess

    if faces is None:
        raise EmotionError("--dataset pairs needs --faces, a folder with FER+, beside the voices in --data")
    if per_voice < 1:
        raise EmotionError(f"--per-voice must be at least 1, got {per_voice}")
    people, voices = load_ferplus(faces, split), load_ravdess(data, split)
    return PairClips(people, voices, draw_pairs(people, voices, per_voice, seed), spec, seed=seed)


def run_audiovisual(args: argparse.Namespace) -> int:
    """Train, then write the network and its card."""
    import torch

    from emotion_core.export.audiovisual_files import start_from_efficientface
    from emotion_core.models.audiovisual import Audiovisual
    from emotion_core.training.audiovisual import AudiovisualTask, write_result
    from emotion_core.training.audiovisual_config import AudiovisualTrainingConfig

    begin(args)
    config = AudiovisualTrainingConfig.from_dict(read_recipe(args.config) if args.config else {})
    config = replace(config, **given(args, (*NUMBERS, "amp", "dropout")))

    def clips(split: str) -> ClipDataset:
        return open_clips(args.dataset, args.data, args.faces, split, config.model, args.per_voice)

    learned, valid = clips("train"), clips("valid")
    config = replace(config, model=replace(config.model, num_classes=len(learned.labels)))
    torch.manual_seed(config.seed)
    start = Audiovisual(config.model)
    if args.init is not None:
        start_from_efficientface(start, args.init)
    elif config.freeze_frames:
        raise EmotionError("freeze_frames keeps what looks at frames as it is: give --frame-network FILE to start from")
    words = ["audiovisual", "--dataset", args.dataset, "--data", "ravdess", "--out", "run"]
    words += ["--faces", "ferplus", "--per-voice", str(args.per_voice)] if args.dataset == "pairs" else []
    words += ["--config", f"recipes/{Path(args.config).name}"] if args.config else []
    said = command(words, args, (*NUMBERS, "dropout")).replace("--init", "--frame-network")
    learned_from = TITLES[args.dataset].replace("FER+", "FER+ Training")
    about = {"data": f"{learned_from}, {len(learned)} clips", "command": said}
    measured_on = (valid, TITLES[args.dataset], SPLITS[args.dataset, "valid"])
    notes = STRANGERS if args.dataset == "pairs" else ""
    task = AudiovisualTask(config, learned, valid, start)
    licence = "CC BY-NC-SA 4.0, as RAVDESS"
    return train(
        args, task, lambda loop: write_result(loop, args.name, about, licence, measured_on, args.half, notes), "clips"
    )
