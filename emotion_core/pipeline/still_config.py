"""Everything that can be set about estimating in single pictures."""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field
from typing import Any

from emotion_core.parameters import CheckedConfig, parameter
from emotion_core.pipeline.facial import FacialConfig

DETECT, WHOLE = "detect", "whole"


def as_in_streams(name: str, default: Any = MISSING) -> Any:
    """A parameter of FacialConfig, of its name, description, range and, unless another one is given, default."""
    item = FacialConfig.__dataclass_fields__[name]
    return field(default=item.default if default is MISSING else default, metadata=item.metadata)


@dataclass(frozen=True)
class StillConfig(CheckedConfig):
    """The parameters of the nodes that single pictures have, under the same names; raises EmotionError for a bad value.

    Where a default differs, it is because a photo has no next frame in which a face could still be found, may show a
    crowd, and because nothing else runs meanwhile. The detection size was measured, see docs/pictures.md.
    """

    model: str = as_in_streams("model")
    provider: str = as_in_streams("provider")
    prior: str = as_in_streams("prior")
    detector: str = as_in_streams("detector")
    detection_size: int = as_in_streams("detection_size", 480)
    min_score: float = as_in_streams("min_score")
    min_face_px: int = as_in_streams("min_face_px")
    max_faces: int = as_in_streams("max_faces", 256)
    threads: int = as_in_streams("threads", 0)
    faces: str = parameter(
        DETECT, "Where the faces are: detect searches, whole takes the picture for a cropped face.",
        choices=(DETECT, WHOLE),
    )  # fmt: skip
    upright: bool = parameter(False, "Where no face is found, search in the picture turned by quarters, too.")
