"""Messages from node to node within a process: handed over as they are, without DDS.

rclpy sends everything through the middleware, also to a neighbour in the same process: an image is written, copied and
read again. What an Outlet publishes goes to the Inlets of its topic directly, and through DDS only while somebody else
subscribes. Either end also works with any publisher or subscription that is not one of these.

A message that was handed over belongs to all who got it, and is not to be changed.
"""

from __future__ import annotations

import copy
import inspect
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSCompatibility, QoSProfile, qos_check_compatible
from rclpy.subscription import Subscription

ECHOES = 64
"""So many messages that DDS also carries are remembered, until they come back."""

_LOCK = threading.Lock()
_INLETS: dict[tuple[Any, str, Any], list[Inlet]] = {}  # by context, topic and type


class Inlet:
    """A subscription that also gets what Outlets of this process publish; its node's executor calls the callback.

    As with any subscription, ``profile.depth`` messages wait at most, and the oldest gives way.

    Args:
        node, kind, topic, profile: as ``create_subscription``.
        callback: with one argument; with two it also gets what is known about the message, as in rclpy.
        options: of ``create_subscription``.

    Attributes:
        subscription: that of rclpy.
    """

    def __init__(
        self, node: Node, kind: type, topic: str, callback: Callable[..., None], profile: QoSProfile, **options: Any
    ) -> None:
        self.profile = profile
        self._node, self._callback = node, callback
        self._informed = _takes(callback, 2) and not _takes(callback, 1)
        self._echoes: deque[tuple[int, int]] = deque(maxlen=ECHOES)
        self._closed = False
        self._lock = threading.Lock()
        told = hasattr(Subscription, "CallbackType")  # on Humble, nothing is told about a message
        arrived: Callable[..., None] = self._arrived if told else lambda message: self._arrived(message, {})
        with _LOCK:
            self.subscription = node.create_subscription(kind, topic, arrived, profile, **options)
            self._guard = node.create_guard_condition(self._take)
            # Only now, for rclpy has written into the profile what qos_overrides say.
            self._waiting: deque[tuple[Any, int]] = deque(maxlen=max(1, profile.depth))
            self._key = (node.context, self.subscription.topic_name, kind)
            _INLETS.setdefault(self._key, []).append(self)

    def destroy(self) -> None:
        """Get nothing any more; what waits is dropped."""
        with _LOCK, self._lock:
            if self._closed:
                return
            self._closed = True
            self._waiting.clear()
            _INLETS[self._key].remove(self)
            if not _INLETS[self._key]:
                del _INLETS[self._key]
            self._node.destroy_subscription(self.subscription)
            self._node.destroy_guard_condition(self._guard)

    def offer(self, message: Any, number: int, stamp: tuple[int, int] | None) -> None:
        """Take a message, in the publisher's thread; with a stamp, DDS will bring it once more."""
        with self._lock:
            if self._closed:
                return
            if stamp is not None:
                self._echoes.append(stamp)
            self._waiting.append((message, number))
            self._guard.trigger()

    def _take(self) -> None:
        """Work on what waits, in the executor's thread."""
        for _ in range(len(self._waiting)):
            try:
                message, number = self._waiting.popleft()
            except IndexError:  # it has given way meanwhile
                return
            self._call(message, {"publication_sequence_number": number})

    def _arrived(self, message: Any, info: Mapping[str, Any]) -> None:
        """From DDS: another process's, or one of ours that was handed over before."""
        stamp = _stamp(message)
        with self._lock:
            if stamp in self._echoes:
                self._echoes.remove(stamp)
                return
        self._call(message, info)

    def _call(self, message: Any, info: Mapping[str, Any]) -> None:
        if self._informed:
            self._callback(message, info)
        else:
            self._callback(message)


class Outlet:
    """A publisher whose messages Inlets of this process get as they are; otherwise used like the publisher itself.

    Attributes:
        publisher: that of rclpy.
        handed: how many messages were handed over.
        sent: how many went through DDS.
    """

    def __init__(self, node: Node, publisher: Publisher) -> None:
        self.publisher = publisher
        self.handed = self.sent = 0
        self._key = (node.context, publisher.topic_name, publisher.msg_type)
        self._latched = publisher.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL

    def __getattr__(self, name: str) -> Any:
        return getattr(self.publisher, name)

    def publish(self, message: Any) -> None:
        """Hand a message over, and publish it where somebody outside subscribes; nothing where nobody does at all."""
        if not getattr(self.publisher, "is_activated", True):
            return
        with _LOCK:
            inlets = list(_INLETS.get(self._key, ()))
            count = self.publisher.get_subscription_count()
        inlets = [inlet for inlet in inlets if _compatible(self.publisher.qos_profile, inlet.profile)]
        # Each of them is a subscription of DDS as well, and what is latched is for those who come later, too.
        outside = self._latched or count > len(inlets)
        if inlets:
            self.handed += 1
            shared = _shared(message)
            stamp = _stamp(message) if outside else None
            for inlet in inlets:
                inlet.offer(shared, self.handed, stamp)
        if outside:
            self.sent += 1
            self.publisher.publish(message)


def _shared(message: Any) -> Any:
    """A message of the same contents, so that the publisher may use its own again with another header."""
    shared = copy.copy(message)
    if hasattr(message, "header"):
        shared.header = copy.deepcopy(message.header)
    return shared


def _stamp(message: Any) -> tuple[int, int]:
    header = getattr(message, "header", None)
    return (0, 0) if header is None else (header.stamp.sec, header.stamp.nanosec)


def _compatible(offered: QoSProfile, asked: QoSProfile) -> bool:
    return qos_check_compatible(offered, asked)[0] != QoSCompatibility.ERROR


def _takes(callback: Callable[..., None], count: int) -> bool:
    try:
        inspect.signature(callback).bind(*range(count))
    except TypeError:
        return False
    return True
