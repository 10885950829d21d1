"""What the core writes into bags without ROS is what ROS reads: the definitions are those of msg/."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("rosbags", reason="rosbags comes with the extra [bags]")

from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from emotion_core.media.bag_types import DEFINITIONS, make_typestore

MSG = Path(__file__).parents[2] / "msg"


@pytest.mark.parametrize("name", sorted(DEFINITIONS))
def test_a_definition_is_that_of_the_package(name: str) -> None:
    """By the hash (REP-2016) by which ROS tells types apart."""
    store = get_typestore(Stores.ROS2_JAZZY)
    types = {}
    for path in sorted(MSG.glob("*.msg")):
        types |= get_types_from_msg(path.read_text(), f"emotion_perception/msg/{path.stem}")
    store.register(types)
    assert make_typestore().hash_rihs01(name) == store.hash_rihs01(name)
