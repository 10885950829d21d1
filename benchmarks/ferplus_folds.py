"""The folds of FER+: which faces show one photo, and the table that keeps them together.

Protocol: Training and PublicTest; two faces are one photo when their 16 x 16 shrinks correlate, mirrored or not, or
when the bundled network of the first release sees nearly the same in both; see
emotion_core.training.near_duplicates.py. Groups are dealt out to five folds in the order of FER2013. Printed: how many
faces have such a relative, and how many of PublicTest have one in Training. The table in the package was made by this
from `esr_compact` of that release (bfloat16).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from emotion_core.data.ferplus import load_ferplus
from emotion_core.data.ferplus_folds import COUNT, TABLE, write_table
from emotion_core.export.weights import load_network
from emotion_core.training.cpu import channels_last, in_layout
from emotion_core.training.near_duplicates import folds_of, near_duplicates

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """Write the table and print a JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", metavar="DIR", help="FER+")
    parser.add_argument("--weights", default=ROOT / "emotion_core" / "weights" / "esr_compact.safetensors")
    parser.add_argument("--out", default=TABLE, help="default: %(default)s")
    args = parser.parse_args()
    train, valid = (load_ferplus(args.data, split) for split in ("train", "valid"))
    faces = train.joined(valid)
    groups = near_duplicates(faces.faces, embed(args.weights, faces.faces))
    folds = folds_of(groups, COUNT) + 1
    learned = np.isin(groups[len(train) :], groups[: len(train)])
    write_table(args.out, faces.names, folds, np.concatenate([np.zeros(len(train), bool), learned]))
    sizes = np.bincount(groups)
    print(
        json.dumps(
            {
                "faces": len(faces),
                "photos": len(sizes),
                "with_a_relative": int(sizes[sizes > 1].sum()),
                "most_of_one_photo": int(sizes.max()),
                "public_test_with_a_relative_in_training": int(learned.sum()),
                "of_public_test": len(valid),
                "folds": np.bincount(folds)[1:].tolist(),
            }
        )
    )
    return 0


@torch.no_grad()
def embed(weights: str | Path, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, D): what the layers that tell the classes see of each face."""
    network, _ = load_network(weights)
    channels_last(network.eval())
    seen: list[Tensor] = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear) and name.endswith("fc"):
            module.register_forward_pre_hook(lambda _, given: seen.append(given[0].float()))
    parts = []
    with torch.autocast("cpu", torch.bfloat16):
        for batch in torch.from_numpy(faces)[:, None].split(256):
            seen.clear()
            network(in_layout(batch.float() / 255))
            parts.append(torch.cat(seen, 1))
    return torch.cat(parts).numpy()


if __name__ == "__main__":
    raise SystemExit(main())
