"""Options about what a command reads."""

from __future__ import annotations

import argparse

PICTURES_HELP = (
    "a folder of pictures; - for a picture on standard input, @list.txt for the files that its lines name, or the "
    "http(s) address of a picture"
)


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--recursive`` and ``--allow-private``."""
    parser.add_argument("--recursive", action="store_true", help="also the pictures of the folders in a folder")
    parser.add_argument(
        "--allow-private",
        action="store_true",
        help="addresses may lead to this machine and its private network, where most cameras are",
    )
