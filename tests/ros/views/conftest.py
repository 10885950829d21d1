"""Views of what was seen, on a node that sees what the test says: without a camera, a detector or a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from emotion_core.labels import AFFECTNET
from emotion_core.types import VOICE, Box, EmotionEstimate, Face

BOX = Box(200, 120, 120, 160)


def made(
    box: Box | None = BOX,
    label: str = "happy",
    stamp_s: float = 1.0,
    track: str = "1",
    valence: float = 0.5,
) -> EmotionEstimate:
    rest = 0.2 / (len(AFFECTNET) - 1)
    affect = {"valence": valence, "arousal": 0.25} if box is not None else {}
    return EmotionEstimate(
        stamp_s,
        AFFECTNET,
        tuple(0.8 if name == label else rest for name in AFFECTNET),
        face=None if box is None else Face(box),
        track_id=track if box is not None else "",
        modalities=VOICE if box is None else 1,
        **affect,
    )


@pytest.fixture
def estimate() -> Callable[..., EmotionEstimate]:
    """Call for the estimate of a face in a box, or of a voice with None for the box."""
    return made


@pytest.fixture
def grey() -> np.ndarray:
    """(480, 640, 3)."""
    return np.full((480, 640, 3), 128, np.uint8)


@pytest.fixture
def stage(spin_with: Any) -> Callable[..., Any]:
    """Call with what makes a view of a node to have it on an active node; ``node.see`` shows it something."""
    from builtin_interfaces.msg import Time
    from std_msgs.msg import Header

    from emotion_ros.base.managed import ManagedNode
    from emotion_ros.messages.conversions import to_messages
    from emotion_ros.views.view import Seen

    class Stage(ManagedNode):
        make: Callable[[Any], Any]

        def configure(self) -> None:
            self.view = self.make(self)

        def activate(self) -> None:
            self.view.listen()

        def deactivate(self) -> None:
            if hasattr(self, "view"):
                self.view.end()

        def forget(self) -> None:
            """Nothing."""

        def see(
            self, picture: Any, estimates: Sequence[EmotionEstimate], stamp_s: float = 1.0, frame_id: str = "lens"
        ) -> None:
            stamp = Time(sec=int(stamp_s), nanosec=round(stamp_s % 1 * 1e9))
            header = Header(stamp=stamp, frame_id=frame_id)
            message = to_messages(estimates, header, 640, 480)
            self.view.show(Seen(header, picture, estimates, message, AFFECTNET))

    def make(view: Callable[[Any], Any]) -> Any:
        node = spin_with(type("Stage", (Stage,), {"make": staticmethod(view)}), "stage")
        node.start()
        return node

    return make
