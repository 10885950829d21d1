"""ROS parameters from the core's configuration dataclasses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from emotion_core.errors import EmotionError
from emotion_core.parameters import Parameter, parameter_of

Config = TypeVar("Config")


def descriptor(declared: Parameter, default: Any) -> ParameterDescriptor:
    """The ROS descriptor of one declared parameter."""
    # Whoever writes 1 or 0 for a float or a text means 1.0 or '0': the configuration converts and checks it, and ROS,
    # which would refuse it for its type, need not.
    loose = isinstance(default, float | str)
    result = ParameterDescriptor(description=declared.description, read_only=declared.read_only, dynamic_typing=loose)
    if declared.choices:
        result.additional_constraints = "one of " + ", ".join(declared.choices)
    if declared.low is not None and declared.high is not None:
        if isinstance(default, float):
            result.floating_point_range = [FloatingPointRange(from_value=declared.low, to_value=declared.high)]
        elif isinstance(default, int) and not isinstance(default, bool):
            result.integer_range = [IntegerRange(from_value=int(declared.low), to_value=int(declared.high), step=1)]
    return result


def declare(node: Node, config_class: type[Config], on_change: Callable[[Config], None] | None = None) -> None:
    """Declare every parameter of a configuration dataclass on the node, and check what is set later.

    A value that the dataclass would refuse is refused when it is set, with the same message.

    Args:
        node: the node.
        config_class: a dataclass whose fields were made with ``emotion_core.parameters.parameter``.
        on_change: called with the whole configuration that an accepted change leads to, before it is stored.
    """
    names = set()
    for item in fields(config_class):  # type: ignore[arg-type]
        if (entry := parameter_of(item)) is not None:
            node.declare_parameter(item.name, item.default, descriptor(entry, item.default))
            names.add(item.name)

    def check(changes: Sequence[RosParameter]) -> SetParametersResult:
        ours = {change.name: change.value for change in changes if change.name in names}
        if ours:
            try:
                config = config_class(**{name: node.get_parameter(name).value for name in names} | ours)
            except EmotionError as error:
                return SetParametersResult(successful=False, reason=str(error))
            if on_change is not None:
                on_change(config)
        return SetParametersResult(successful=True)

    node.add_on_set_parameters_callback(check)


def read(node: Node, config_class: type[Config]) -> Config:
    """The configuration as the node's parameters have it now; raises EmotionError for a bad combination."""
    names = [item.name for item in fields(config_class) if parameter_of(item) is not None]  # type: ignore[arg-type]
    return config_class(**{name: node.get_parameter(name).value for name in names})
