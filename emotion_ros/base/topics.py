"""Names of topics that follow from another topic's, as image_transport and image_geometry derive them."""

from __future__ import annotations

from rclpy.node import Node


def image_topic(node: Node, name: str, transport: str) -> str:
    """Where images of a transport come, with ``name`` as the base topic.

    The base is remapped first: with ``image:=/camera/image_raw``, the transport compressed is found at
    ``/camera/image_raw/compressed``. A remapping of ``image/compressed`` itself counts too.
    """
    if transport == "raw":
        return node.resolve_topic_name(name)
    return _remapped(node, f"{name}/{transport}") or f"{node.resolve_topic_name(name)}/{transport}"


def info_topic(node: Node, topic: str, info: str) -> str:
    """Where it is told what comes on a topic, as ``camera_info`` does for images: beside it, unless it is remapped."""
    beside = node.resolve_topic_name(topic).rpartition("/")[0] + f"/{info}"
    return _remapped(node, info) or beside


def camera_info_topic(node: Node, image: str) -> str:
    """Where the calibration comes that belongs to an image topic."""
    return info_topic(node, image, "camera_info")


def _remapped(node: Node, name: str) -> str | None:
    """The topic to which a name is remapped; None where it is not."""
    resolved = node.resolve_topic_name(name)
    return None if resolved == node.resolve_topic_name(name, only_expand=True) else resolved
