"""``emotion train voice``: train a voice network."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from emotion_core.cli.train_options import (
    add_machine,
    add_numbers,
    begin,
    claim,
    command,
    files_read,
    given,
    is_first_process,
    read_recipe,
)
from emotion_core.data.voices import VOICE_SETS, Voices

if TYPE_CHECKING:
    from emotion_core.training.voice_config import VoiceTrainingConfig

NUMBERS = ("epochs", "batch_size", "lr", "label_smoothing", "ema_decay", "clip_norm", "patience", "seed")


def add_voice(learners: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    voice = learners.add_parser(
        "voice",
        help="the emotion of a voice, from a speaker encoder",
        description="Train a classifier on a pretrained speaker encoder, which is tuned before with --epochs. "
        "May be stopped at any time: the same command goes on from the last finished epoch. Writes checkpoint.pt, "
        "history.csv, history.png, tensorboard/ and at the end model.safetensors with its card, ready for `emotion "
        "export`. With --folds it tells how well speakers are judged that were not learned from, and writes no model.",
    )
    voice.add_argument(
        "--config", metavar="FILE.yaml", help="a recipe such as recipes/voice_ravdess.yaml; options below go before it"
    )
    voice.add_argument(
        "--dataset",
        choices=VOICE_SETS,
        default="folder",
        help="what --data is: a published set by the names of its files, a folder CLASS/*.wav or SPLIT/CLASS/*.wav, "
        "or a table (CSV with path, label and, where known, speaker and split) (default: %(default)s)",
    )
    voice.add_argument("--data", required=True, metavar="PATH", help="folder or table with the voices")
    voice.add_argument("--out", required=True, metavar="DIR", help="folder for the results")
    start = voice.add_mutually_exclusive_group(required=True)
    start.add_argument("--encoder", metavar="FILE", help="start from this GE2E encoder: Resemblyzer's pretrained.pt")
    start.add_argument("--init", metavar="FILE", help="start from the weights of this voice model's model.safetensors")
    add_numbers(voice, NUMBERS)
    voice.add_argument("--folds", type=int, default=0, metavar="N", help="only measure, in so many folds of speakers")
    add_machine(voice)
    voice.add_argument("--half", action="store_true", help="store the weights as float16, in half the space")
    voice.add_argument("--name", default="voice", help="name of the model in its card (default: %(default)s)")
    voice.add_argument("--licence", help="of the weights (default: that of a published set, else that of the data)")
    voice.set_defaults(run=run_voice, teachers=[])


def run_voice(args: argparse.Namespace) -> int:
    """Train, then write the network and its card; or measure in folds."""
    from emotion_core.cli.progress import training_progress
    from emotion_core.training.loop import Loop
    from emotion_core.training.voice import VoiceTask, write_result
    from emotion_core.training.voice_config import VoiceTrainingConfig

    begin(args)
    config = VoiceTrainingConfig.from_dict(read_recipe(args.config)) if args.config else VoiceTrainingConfig()
    config = replace(config, **given(args, (*NUMBERS, "amp")))
    kind = VOICE_SETS[args.dataset]
    if args.folds:
        return _folds(args, config)
    claim(args.out, files_read(args), ("model.safetensors", "model.json"))
    train, valid = kind.read(args.data, "train"), kind.read(args.data, "valid")
    loop = Loop(VoiceTask(config, train, valid, args.encoder, args.init), args.out, args.device)
    with training_progress() as show:
        loop.run(show)
    if is_first_process():
        about = {"data": f"{kind.title}, {_described(train)}", "command": _command(args)}
        path, card = write_result(loop, args.name, about, args.licence or kind.licence, kind.title, args.half)
        print(f"{path}: {card.results[0]['accuracy']:.2f} % of {_described(valid)}, nothing heard before")
        for result in card.results[1:]:
            print(f"{path}: {result['accuracy']:.2f} %, {result['protocol']}")
    return 0


def _folds(args: argparse.Namespace, config: VoiceTrainingConfig) -> int:
    from emotion_core.cli.progress import training_progress
    from emotion_core.training.voice_folds import cross_validate

    kind = VOICE_SETS[args.dataset]
    with training_progress() as show:
        folds = cross_validate(
            config,
            kind.read(args.data, None),
            args.folds,
            args.out,
            args.encoder,
            args.init,
            args.device,
            kind.sexes,
            show,
        )
    if not is_first_process():
        return 0
    for count in folds[0].accuracies:
        values = [fold.accuracies[count] for fold in folds]
        print(
            f"{kind.title}, {count} utterances heard before: {np.mean(values):.2f} % +- {np.std(values):.2f} over "
            f"{len(folds)} folds of speakers ({', '.join(f'{value:.2f}' for value in values)})"
        )
    return 0


def _described(voices: Voices) -> str:
    speakers = len(set(voices.speakers) - {""})
    return f"{len(voices)} utterances" + (f" of {speakers} speakers" if speakers else "")


def _command(args: argparse.Namespace) -> str:
    words = ["voice", "--dataset", args.dataset, "--data", args.dataset, "--out", "run"]
    words += ["--config", f"recipes/{Path(args.config).name}"] if args.config else []
    words += ["--encoder", Path(args.encoder).name] if args.encoder else []
    return command(words, args, NUMBERS)
