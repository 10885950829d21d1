"""Model cards: everything that code and people need to know about a weights file.

The card travels in the ONNX metadata and as JSON beside the file, there with the file's sha256. Code reads it and
infers nothing from a file's name.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from emotion_core.errors import EmotionError

METADATA_KEY = "emotion_model_card"
COLOURS = {1: "grey", 3: "bgr"}
PRECISIONS = ("float32", "float16", "int8")


@dataclass(frozen=True)
class ModelCard:
    """One model for faces.

    Attributes:
        name: unique name, as in messages.
        architecture: {"type": "esr", ...the network's configuration}.
        input_size: side of the square input in pixels.
        channels: 1 or 3.
        colour: 'grey' or 'bgr', the order of the channels.
        value_range: the network expects pixels in this range; nothing else is done to them outside the network.
        framing: how faces are framed, 'fer2013': the square that FER2013 shows, level eyes, face centred.
        labels: classes in the order of the output.
        affect: where valence and arousal come from, empty when the model has none.
        training: data, licence of the data, command, seed and whatever else repeats the training.
        results: measured accuracies, each with dataset, split, protocol, n and values in percent.
        licence: of the weights.
        precision: of the computation, 'float32', 'float16' or 'int8'.
        notes: limits a user should know.
        sha256: of the ONNX file; only in the JSON beside it.
    """

    name: str
    architecture: dict[str, Any]
    input_size: int
    channels: int
    labels: tuple[str, ...]
    licence: str
    colour: str = "grey"
    value_range: tuple[float, float] = (0.0, 1.0)
    framing: str = "fer2013"
    affect: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    results: tuple[dict[str, Any], ...] = ()
    precision: str = "float32"
    notes: str = ""
    sha256: str = ""

    def __post_init__(self) -> None:
        for ok, problem in (
            (bool(self.name), "name is empty"),
            (self.input_size >= 8, f"input_size is {self.input_size}, expected at least 8"),
            (self.channels in COLOURS, f"channels is {self.channels}, expected 1 or 3"),
            (
                self.colour == COLOURS.get(self.channels),
                f"{self.channels} channels do not go with {self.colour!r}",
            ),
            (tuple(self.value_range) == (0.0, 1.0), f"value_range is {self.value_range}, expected [0, 1]"),
            (self.precision in PRECISIONS, f"precision is {self.precision!r}, expected one of {', '.join(PRECISIONS)}"),
            (self.framing == "fer2013", f"framing is {self.framing!r}, expected 'fer2013'"),
            (
                len(set(self.labels)) == len(self.labels) > 1,
                f"labels are {self.labels}, expected distinct names",
            ),
        ):
            if not ok:
                raise EmotionError(f"bad model card {self.name!r}: {problem}")

    def to_json(self) -> str:
        """The card as indented JSON."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str | Path = "model card") -> ModelCard:
        """Parse a card; raises EmotionError naming ``source`` when it is not one."""
        try:
            data = json.loads(text)
            names = {item.name for item in fields(cls)}
            unknown = set(data) - names
            if unknown:
                raise ValueError(f"unknown entries {', '.join(sorted(unknown))}")
            for name in ("labels", "value_range", "results"):
                if name in data:
                    data[name] = tuple(data[name])
            return cls(**data)
        except (ValueError, TypeError) as error:
            raise EmotionError(f"{source} holds no valid model card ({error})") from None


def card_path(model: str | Path) -> Path:
    """The JSON beside a model file."""
    return Path(model).with_suffix(".json")
