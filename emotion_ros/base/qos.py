"""Quality of service of the topics, in one place."""

from __future__ import annotations

import copy

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions

LATEST_IMAGE = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
"""For subscribing to images: matches every publisher, and only the newest frame matters."""

IMAGE_OUT = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.RELIABLE)
"""For publishing images: reliable, so that every subscriber matches (RViz asks for reliable by default)."""

SOUND = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)
"""For subscribing to sound: matches every publisher, and holds a second or more, of which nothing should be missed."""

SOUND_OUT = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE)
"""For publishing sound: small messages that nobody must miss."""

ESTIMATES = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)
"""For estimates: small messages that a recorder must not miss."""

LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""For what was sent once before anybody listened: a camera's calibration, of some drivers."""


def overridable(profile: QoSProfile) -> tuple[QoSProfile, QoSOverridingOptions]:
    """A profile of which a user may set parts at the start, and the option of publishers and subscriptions for that.

    rclpy declares read-only parameters ``qos_overrides.<topic>.<publisher or subscription>.<reliability, history or
    depth>`` and writes their values into the profile: hence a copy.
    """
    return copy.copy(profile), QoSOverridingOptions.with_default_policies()
