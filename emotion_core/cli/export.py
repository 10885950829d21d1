"""``emotion export``: from a trained network to an ONNX file with its card."""

from __future__ import annotations

import argparse
from pathlib import Path


def add(commands: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = commands.add_parser(
        "export",
        help="write a trained network as ONNX",
        description="Write a trained network (model.safetensors with its card, or the folder of a published ESR) as "
        "ONNX, and compare both by value.",
    )
    parser.add_argument(
        "network",
        metavar="NETWORK",
        help="a .safetensors file, or a folder with Net-Base-*.pt and Net-Branch_*.pt",
    )
    parser.add_argument(
        "--out",
        required=True,
        metavar="FILE.onnx",
        help="the file to write; its card goes beside it as .json",
    )
    parser.add_argument("--name", help="name of the model in its card (default: the card's, or the name of FILE)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export and say where to."""
    from dataclasses import replace

    from emotion_core.labels import AFFECTNET
    from emotion_core.models.files import architecture_of, load_network, load_original
    from emotion_core.runtime.card import COLOURS, ModelCard
    from emotion_core.runtime.export import export_onnx

    source = Path(args.network)
    if source.is_dir():
        model = load_original(source)
        card = ModelCard(
            name=args.name or Path(args.out).stem,
            architecture=architecture_of(model),
            input_size=model.config.input_size,
            channels=model.config.in_channels,
            colour=COLOURS[model.config.in_channels],
            labels=AFFECTNET,
            licence="the authors' weights are not for commercial use",
            affect="annotated in AffectNet",
            notes="Weights published by the authors of ESR (Siqueira et al., AAAI 2020).",
        )
    else:
        model, card = load_network(source)
        card = replace(card, name=args.name or card.name)
    card = export_onnx(model, card, args.out)
    size = Path(args.out).stat().st_size / 1e6
    print(f"{args.out}: {card.name}, {size:.2f} MB, equal to torch within tolerance; card beside it")
    return 0
