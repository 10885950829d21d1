"""Messages from node to node within a process: as they are, once each, whoever else subscribes or publishes."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Int32

from emotion_ros.base import handover, qos
from emotion_ros.base.handover import Inlet, Outlet

pytestmark = pytest.mark.ros
RELIABLE, BEST_EFFORT = QoSProfile(depth=50), QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)


@pytest.fixture
def neighbour(ros_node: Any) -> Iterator[LifecycleNode]:
    """Another node in the process, spun together with ``ros_node``."""
    node = LifecycleNode("neighbour", context=ros_node.context)
    ros_node.executor.add_node(node)
    yield node
    ros_node.executor.remove_node(node)
    node.destroy_node()


@pytest.fixture
def outlet(neighbour: LifecycleNode) -> Outlet:
    return Outlet(neighbour, neighbour.create_publisher(Image, "image", RELIABLE))


@pytest.fixture
def inlet_of(ros_node: Any) -> Iterator[Callable[..., Inlet]]:
    """Call with a callback to have one, gone with the test."""
    inlets: list[Inlet] = []

    def make(callback: Callable[..., None], profile: QoSProfile = RELIABLE, kind: type = Image) -> Inlet:
        inlets.append(Inlet(ros_node, kind, "image", callback, profile))
        return inlets[-1]

    yield make
    for inlet in inlets:
        inlet.destroy()
    assert not handover._INLETS


def image(sec: int = 0) -> Image:
    message = Image(height=2, width=3, encoding="mono8", step=3, data=array("B", range(6)))
    message.header.stamp.sec = sec
    return message


def test_it_is_the_very_same_data_and_dds_has_no_part(outlet: Outlet, inlet_of: Any, spin_until: Any) -> None:
    first: list[Image] = []
    second: list[tuple[Image, Any]] = []
    inlet_of(first.append)
    inlet_of(lambda message, info: second.append((message, info)))
    sent = [image(i) for i in range(5)]
    for message in sent:
        outlet.publish(message)
    assert spin_until(lambda: len(first) == len(second) == 5)
    assert all(got.data is message.data for got, message in zip(first, sent, strict=True))
    assert first == [message for message, _ in second] == sent
    assert [info["publication_sequence_number"] for _, info in second] == [1, 2, 3, 4, 5]
    assert (outlet.handed, outlet.sent) == (5, 0)
    assert outlet.topic_name == "/image" and outlet.get_subscription_count() == 2  # as the publisher itself


def test_a_publisher_may_use_its_message_again(outlet: Outlet, inlet_of: Any, spin_until: Any) -> None:
    got: list[Image] = []
    inlet_of(got.append)
    message = image(1)
    for sec in (1, 2, 3):
        message.header.stamp.sec = sec
        outlet.publish(message)
    assert spin_until(lambda: len(got) == 3)
    assert [m.header.stamp.sec for m in got] == [1, 2, 3]


@pytest.mark.parametrize("stamped", [True, False])
def test_with_somebody_outside_everybody_gets_it_once(
    outlet: Outlet, inlet_of: Any, ros_node: Any, spin_until: Any, stamped: bool
) -> None:
    """What DDS brings to an inlet as well is known by its stamp; where stamps are all the same, by their number."""
    inside: list[Image] = []
    outside: list[Image] = []
    inlet = inlet_of(inside.append)
    ros_node.create_subscription(Image, "image", outside.append, RELIABLE)
    assert spin_until(lambda: outlet.get_subscription_count() == 2)
    sent = [image(i + 1 if stamped else 0) for i in range(20)]
    for message in sent:
        outlet.publish(message)
    assert spin_until(lambda: len(outside) == 20 and not inlet._echoes)
    assert inside == outside == sent
    assert all(got.data is message.data for got, message in zip(inside, sent, strict=True))
    assert (outlet.handed, outlet.sent) == (20, 20)


def test_what_others_publish_comes_as_ever(outlet: Outlet, inlet_of: Any, ros_node: Any, spin_until: Any) -> None:
    """Two publishers on one topic, one of them outside; and a subscription that is there before and after the inlet."""
    got: list[int] = []
    inlet_of(lambda message: got.append(message.header.stamp.sec))
    other = ros_node.create_publisher(Image, "image", RELIABLE)
    assert spin_until(lambda: other.get_subscription_count() == 1)
    for sec in range(10):
        outlet.publish(image(sec))
        other.publish(image(100 + sec))
    assert spin_until(lambda: len(got) == 20)
    assert sorted(got) == [*range(10), *range(100, 110)]


def test_only_the_newest_wait(outlet: Outlet, inlet_of: Any, spin_until: Any) -> None:
    got: list[tuple[int, int]] = []
    inlet_of(
        lambda message, info: got.append((message.header.stamp.sec, info["publication_sequence_number"])),
        QoSProfile(depth=2),
    )
    for sec in range(5):
        outlet.publish(image(sec))
    assert spin_until(lambda: len(got) == 2)
    assert got == [(3, 4), (4, 5)]  # two of five have been lost on the way, as their numbers tell


def test_what_dds_would_not_bring_is_not_handed_over(
    neighbour: LifecycleNode, inlet_of: Any, ros_node: Any, spin_until: Any
) -> None:
    """A best-effort publisher and a reliable subscription; nor is anything of another type."""
    got: list[Image] = []
    outside: list[Image] = []
    inlet_of(got.append)
    outlet = Outlet(neighbour, neighbour.create_publisher(Image, "image", BEST_EFFORT))
    outlet.publish(image())
    assert (outlet.handed, outlet.sent) == (0, 0)
    ros_node.create_subscription(Image, "image", outside.append, BEST_EFFORT)
    assert spin_until(lambda: outlet.get_subscription_count() == 1)
    outlet.publish(image())
    assert spin_until(lambda: len(outside) == 1)
    assert not got and (outlet.handed, outlet.sent) == (0, 1)


def test_who_comes_late_gets_what_was_latched(
    neighbour: LifecycleNode, ros_node: Any, inlet_of: Any, spin_until: Any
) -> None:
    outlet = Outlet(neighbour, neighbour.create_publisher(Image, "image", qos.LATCHED))
    outlet.publish(image(1))
    got: list[int] = []
    inlet = inlet_of(lambda message: got.append(message.header.stamp.sec), qos.LATCHED)
    assert spin_until(lambda: got == [1])
    outlet.publish(image(2))
    assert spin_until(lambda: len(got) == 2 and not inlet._echoes)
    assert got == [1, 2]


def test_nothing_comes_after_the_end(outlet: Outlet, inlet_of: Any, neighbour: LifecycleNode, spin_until: Any) -> None:
    gone: list[Image] = []
    got: list[Image] = []
    inlet = inlet_of(gone.append)
    inlet_of(got.append)
    outlet.publish(image())
    inlet.destroy()  # what waits is dropped
    inlet.destroy()
    inlet.offer(image(), 7, None)  # a publisher that had seen it before
    outlet.publish(image())
    assert spin_until(lambda: len(got) == 2)
    assert not gone and outlet.get_subscription_count() == 1


def test_an_inactive_node_hands_nothing_over(neighbour: LifecycleNode, inlet_of: Any, spin_until: Any) -> None:
    got: list[int] = []
    outlet = Outlet(neighbour, neighbour.create_lifecycle_publisher(Int32, "image", RELIABLE))
    inlet_of(lambda message: got.append(message.data), kind=Int32)
    outlet.publish(Int32(data=1))
    neighbour.trigger_configure()
    neighbour.trigger_activate()
    outlet.publish(Int32(data=2))
    neighbour.trigger_deactivate()
    outlet.publish(Int32(data=3))
    assert spin_until(lambda: got == [2])
    assert outlet.handed == 1
