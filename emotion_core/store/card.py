"""Model cards: everything that code and people need to know about a weights file.

The card travels inside the file, in the metadata of the ONNX or safetensors format, and that one counts. The JSON
beside a file is a copy for people and may be missing. Code reads the card and infers nothing from a file's name.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from emotion_core.errors import EmotionError
from emotion_core.store.calibration import Calibration

METADATA_KEY = "emotion_model_card"
PRECISIONS = ("float32", "float16", "int8")

FACE, FACE_CLIP, SOUND, STATE = "face", "face_clip", "sound", "state"
"""Kinds of input: one face (channels, height, width), the same face in successive frames (channels, frames, height,
width), sound: features (coefficients, steps) or samples (steps,), and what a stream remembers between two calls, zeros
at its beginning."""
INPUT_DIMENSIONS = {FACE: (3,), FACE_CLIP: (4,), SOUND: (1, 2), STATE: (1, 2)}
COLOURS = {"grey": 1, "bgr": 3, "rgb": 3}
"""Colour orders, with their numbers of channels."""

LOGITS, AFFECT, EMBEDDING = "logits", "affect", "embedding"
"""Kinds of output: scores before softmax (classes,) or of each member of an ensemble (members, classes); valence and
arousal (2,) or (members, 2); features (n,). An output may also be a STATE."""

FRAMINGS = ("fer2013", "mean_side", "box")


@dataclass(frozen=True)
class Framing:
    """How a face is cut out of a picture, given the detector's box.

    Attributes:
        rule: 'fer2013': the square that FER2013 shows around a face, turned so that the eyes are level; 'mean_side':
            an upright square whose side is the mean of the box's sides, as the Residual Masking Network has it; 'box':
            the upright box itself, squeezed into the input's shape, as the audiovisual network has it.
        factor: multiplies the sides that the rule gives.
    """

    rule: str = "fer2013"
    factor: float = 1.0

    def __post_init__(self) -> None:
        if self.rule not in FRAMINGS:
            raise ValueError(f"framing rule {self.rule!r}, expected one of {', '.join(FRAMINGS)}")
        if not 0.1 <= self.factor <= 10.0:
            raise ValueError(f"framing factor {self.factor}, expected 0.1 to 10")


@dataclass(frozen=True)
class Input:
    """One input of a network.

    Attributes:
        name: of the ONNX input.
        kind: FACE, FACE_CLIP or SOUND.
        shape: of one sample, without the batch; see the kinds.
        colour: order of a picture's channels, one of COLOURS.
        value_range: what pixel values 0 and 255 become; nothing else is done to them outside the network.
        framing: how the face is cut out.
        sample_rate_hz: of the sound.
        features: what is computed from the sound and with which settings, such as {"type": "mfcc", "n_mfcc": 10};
            empty where the network takes the samples themselves.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    colour: str = ""
    value_range: tuple[float, float] = (0.0, 1.0)
    framing: Framing | None = None
    sample_rate_hz: int = 0
    features: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for ok, problem in (
            (bool(self.name), "an input has no name"),
            (self.kind in INPUT_DIMENSIONS, f"kind {self.kind!r}, expected one of {', '.join(INPUT_DIMENSIONS)}"),
            (all(type(n) is int and n > 0 for n in self.shape), f"shape {self.shape}, expected positive whole numbers"),
        ):
            if not ok:
                raise ValueError(f"input {self.name!r}: {problem}")
        low, high = self.value_range
        for ok, problem in (
            (
                len(self.shape) in INPUT_DIMENSIONS[self.kind],
                f"shape {self.shape} has {len(self.shape)} dimensions, {self.kind} takes {INPUT_DIMENSIONS[self.kind]}",
            ),
            (
                not self.shows_faces or COLOURS.get(self.colour) == self.shape[0],
                f"{self.shape[0]} channels do not go with colour {self.colour!r}",
            ),
            (not self.shows_faces or min(self.shape[-2:]) >= 8, f"faces of {self.shape[-2:]} px, expected at least 8"),
            (not self.shows_faces or self.framing is not None, "faces need a framing"),
            (self.kind != SOUND or self.sample_rate_hz > 0, "sound needs a sample_rate_hz"),
            (math.isfinite(low) and math.isfinite(high) and low < high, f"value_range {self.value_range}"),
        ):
            if not ok:
                raise ValueError(f"input {self.name!r}: {problem}")

    @property
    def shows_faces(self) -> bool:
        """Whether it takes pictures of a face."""
        return self.kind in (FACE, FACE_CLIP)

    @property
    def channels(self) -> int:
        """Of a picture."""
        return self.shape[0]

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of a picture in pixels."""
        return self.shape[-2], self.shape[-1]


@dataclass(frozen=True)
class Output:
    """One output of a network: its name in the ONNX file, its kind (LOGITS, AFFECT, EMBEDDING or STATE), and its shape
    without the batch."""

    name: str
    kind: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.name or self.kind not in (LOGITS, AFFECT, EMBEDDING, STATE):
            raise ValueError(f"output {self.name!r} of kind {self.kind!r}, expected logits, affect, embedding or state")
        allowed = (1,) if self.kind == EMBEDDING else (1, 2)
        if len(self.shape) not in allowed or not all(type(n) is int and n > 0 for n in self.shape):
            raise ValueError(f"output {self.name!r} of shape {self.shape}")
        if self.kind == AFFECT and self.shape[-1] != 2:
            raise ValueError(f"output {self.name!r}: valence and arousal are two numbers, not {self.shape[-1]}")


@dataclass(frozen=True)
class ModelCard:
    """One model.

    Attributes:
        name: unique name, as in messages.
        architecture: {"type": a name in the registry of architectures, ...the network's configuration}.
        labels: classes in the order of the logits.
        licence: of the weights.
        inputs, outputs: what the network takes and gives, in the order of its arguments and results.
        affect: where valence and arousal come from, empty when nothing has taught them.
        training: data, licence of the data, command, seed and whatever else repeats the training.
        results: measured accuracies, each with dataset, split, protocol, n and values in percent.
        precision: of the computation, 'float32', 'float16' or 'int8'.
        notes: limits a user should know.
        calibration: what makes its probabilities ones to believe, see ``Calibration``; empty for a model that nobody
            has calibrated.
        sha256: of the file; only in the JSON beside it.

    Raises:
        EmotionError: an entry is missing, out of range, or contradicts another.
    """

    name: str
    architecture: dict[str, Any]
    labels: tuple[str, ...]
    licence: str
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    affect: str = ""
    training: dict[str, Any] = field(default_factory=dict)
    results: tuple[dict[str, Any], ...] = ()
    precision: str = "float32"
    notes: str = ""
    calibration: dict[str, Any] = field(default_factory=dict)
    sha256: str = ""

    def __post_init__(self) -> None:
        names = [item.name for item in self.inputs] + [item.name for item in self.outputs]
        classes = [output.shape[-1] for output in self.outputs if output.kind == LOGITS]
        for ok, problem in (
            (bool(self.name), "name is empty"),
            (len(self.inputs) > 0 and len(self.outputs) > 0, "it names no inputs or no outputs"),
            (len(set(names)) == len(names), f"its inputs and outputs {', '.join(names)} share a name"),
            (self.precision in PRECISIONS, f"precision is {self.precision!r}, expected one of {', '.join(PRECISIONS)}"),
            (
                len(set(self.labels)) == len(self.labels) > 1 and all(isinstance(x, str) and x for x in self.labels),
                f"labels are {self.labels}, expected distinct names",
            ),
            (len(classes) == 1, f"it has {len(classes)} outputs of kind logits, expected one"),
            (classes in ([], [len(self.labels)]), f"{len(self.labels)} labels, but logits of {classes} classes"),
        ):
            if not ok:
                raise EmotionError(f"bad model card {self.name!r}: {problem}")
        try:
            learned = Calibration.from_dict(self.calibration).learned
        except (ValueError, TypeError) as error:
            raise EmotionError(f"bad model card {self.name!r}: {error}") from None
        if learned and len(learned) != len(self.labels):
            raise EmotionError(
                f"bad model card {self.name!r}: calibration of {len(learned)} classes, it has {len(self.labels)} labels"
            )

    @property
    def face(self) -> Input:
        """The input that takes one face; raises EmotionError for a model that needs anything else."""
        if len(self.inputs) != 1 or self.inputs[0].kind != FACE:
            kinds = ", ".join(item.kind for item in self.inputs)
            raise EmotionError(f"the model {self.name} takes {kinds}, expected one that takes single faces")
        return self.inputs[0]

    @property
    def faces(self) -> tuple[Input, ...]:
        """The inputs that take one face, the same in each; an ensemble has several. Raises EmotionError for a model
        that needs anything else."""
        return self.inputs if all(item.kind == FACE for item in self.inputs) else (self.face,)

    @property
    def input_size(self) -> int:
        """Longer side in pixels of the face that the network takes."""
        return max(self.face.size)

    @property
    def channels(self) -> int:
        """1 for grey faces, 3 for colour."""
        return self.face.channels

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; entries that do not apply to an input are left out."""
        data = asdict(self)
        if not self.calibration:
            del data["calibration"]
        data["inputs"] = [{k: v for k, v in item.items() if v or k == "shape"} for item in data["inputs"]]
        return json.loads(json.dumps(data))

    def to_json(self) -> str:
        """The card as indented JSON."""
        return json.dumps(self.to_dict(), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, source: str | Path = "model card") -> ModelCard:
        """Parse a card, of today's form or of the first release's; raises EmotionError naming ``source`` otherwise."""
        try:
            data = json.loads(text)
            if not isinstance(data, dict):
                raise ValueError("expected an object")
            if "inputs" not in data:
                data = _from_first_release(data)
            names = {item.name for item in fields(cls)}
            unknown = set(data) - names
            if unknown:
                raise ValueError(f"unknown entries {', '.join(sorted(unknown))}")
            data["inputs"] = tuple(_input(item) for item in data["inputs"])
            data["outputs"] = tuple(Output(**{**item, "shape": tuple(item["shape"])}) for item in data["outputs"])
            for name in ("labels", "results"):
                if name in data:
                    data[name] = tuple(data[name])
            return cls(**data)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            reason = f"no entry {error}" if isinstance(error, KeyError) else error
            raise EmotionError(f"{source} holds no valid model card ({reason})") from None


def _input(data: dict[str, Any]) -> Input:
    settings = {**data, "shape": tuple(data["shape"])}
    if "value_range" in settings:
        settings["value_range"] = tuple(settings["value_range"])
    if settings.get("framing"):
        settings["framing"] = Framing(**settings["framing"])
    return Input(**settings)


def _from_first_release(data: dict[str, Any]) -> dict[str, Any]:
    """The entries of a card that could describe one square face and an ESR only."""
    data = dict(data)
    architecture, channels, size = data["architecture"], data.pop("channels"), data.pop("input_size")
    face = {
        "name": "faces",
        "kind": FACE,
        "shape": (channels, size, size),
        "colour": data.pop("colour", "grey"),
        "value_range": data.pop("value_range", (0.0, 1.0)),
        "framing": {"rule": data.pop("framing", "fer2013")},
    }
    branches = architecture.get("branches", 9)
    outputs = [
        {"name": "logits", "kind": LOGITS, "shape": (branches, len(data["labels"]))},
        {"name": "affect", "kind": AFFECT, "shape": (branches, 2)},
    ]
    return {**data, "inputs": [face], "outputs": outputs}


def card_path(model: str | Path) -> Path:
    """The JSON beside a model file."""
    return Path(model).with_suffix(".json")
