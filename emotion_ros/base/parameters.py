"""ROS parameters from the core's configuration dataclasses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    ParameterType,
    SetParametersResult,
)
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from emotion_core.errors import EmotionError
from emotion_core.parameters import Parameter, parameter_of

Config = TypeVar("Config")

_TYPES = {
    bool: ParameterType.PARAMETER_BOOL,
    int: ParameterType.PARAMETER_INTEGER,
    float: ParameterType.PARAMETER_DOUBLE,
    str: ParameterType.PARAMETER_STRING,
}
_WORDS = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def convert(value: Any, kind: type) -> Any:
    """What somebody means who writes 2 for a number with a fraction, 0 for a text, or 1 or yes for true.

    Anything else is returned as it is, for the configuration to refuse.
    """
    if type(value) is int and kind in (float, str):
        return kind(value)
    if kind is bool and type(value) in (int, str):
        return _WORDS.get(str(value).lower(), value)
    return value


def descriptor(declared: Parameter, default: Any, read_only: bool = False) -> ParameterDescriptor:
    """The ROS descriptor of one declared parameter, of the type of its default for ever."""
    result = ParameterDescriptor(description=declared.description, read_only=read_only, type=_TYPES[type(default)])
    if declared.choices:
        result.additional_constraints = "one of " + ", ".join(declared.choices)
    if declared.low is not None and declared.high is not None:
        if isinstance(default, float):
            result.floating_point_range = [FloatingPointRange(from_value=declared.low, to_value=declared.high)]
        elif isinstance(default, int) and not isinstance(default, bool):
            result.integer_range = [IntegerRange(from_value=int(declared.low), to_value=int(declared.high), step=1)]
    return result


def declare(
    node: Node,
    *config_classes: type[Any],
    locked: Callable[[], bool] | None = None,
    on_change: Callable[[Any], None] | None = None,
) -> None:
    """Declare every parameter of configuration dataclasses on the node, and check what is set later.

    A value that the dataclass would refuse is refused when it is set, with the same message.

    Args:
        node: the node.
        config_classes: dataclasses whose fields were made with ``emotion_core.parameters.parameter``.
        locked: whether a field with ``read_only`` must not change at the moment; without it, it never may.
        on_change: called with each whole configuration that an accepted change leads to, before it is stored; it may
            still refuse with EmotionError.

    Raises:
        EmotionError: what the node was started with is refused.
    """
    declared = {config_class: _declare_all(node, config_class, locked is None) for config_class in config_classes}
    entries = {name: entry for those in declared.values() for name, entry in those.items()}

    def check(changes: Sequence[RosParameter]) -> SetParametersResult:
        ours = {change.name: change.value for change in changes if change.name in entries}
        for name, value in ours.items():
            if entries[name].read_only and locked is not None and locked() and value != node.get_parameter(name).value:
                return _refused(f"parameter {name}: cannot change while the node is configured, clean it up first")
        try:
            configs = [
                config_class(**_values(node, names) | {name: ours[name] for name in names if name in ours})
                for config_class, names in declared.items()
                if not ours.keys().isdisjoint(names)
            ]
            if on_change is not None:
                for config in configs:
                    on_change(config)
        except EmotionError as error:
            return _refused(str(error))
        return SetParametersResult(successful=True)

    kinds = {name: type(node.get_parameter(name).value) for name in entries}

    def convert_all(changes: list[RosParameter]) -> list[RosParameter]:
        return [
            RosParameter(change.name, value=convert(change.value, kinds[change.name]))
            if change.name in kinds and change.value is not None
            else change
            for change in changes
        ]

    if hasattr(node, "add_pre_set_parameters_callback"):  # Humble lacks it, and says which type is wrong
        node.add_pre_set_parameters_callback(convert_all)
    node.add_on_set_parameters_callback(check)


def read(node: Node, config_class: type[Config]) -> Config:
    """The configuration as the node's parameters have it now; raises EmotionError for a bad combination."""
    names = [item.name for item in fields(config_class) if parameter_of(item) is not None]  # type: ignore[arg-type]
    return config_class(**_values(node, names))


def _declare_all(node: Node, config_class: type[Any], fixed: bool) -> dict[str, Parameter]:
    items = {item: entry for item in fields(config_class) if (entry := parameter_of(item)) is not None}
    for item in items:
        # Of any type at first: only then what was given at the start can be converted as what is set later.
        node.declare_parameter(item.name, item.default, ParameterDescriptor(dynamic_typing=True))
    given = {item.name: convert(node.get_parameter(item.name).value, type(item.default)) for item in items}
    config_class(**given)
    for item, entry in items.items():
        node.set_parameters([RosParameter(item.name, value=given[item.name])])
        node.set_descriptor(item.name, descriptor(entry, item.default, entry.read_only and fixed))
    return {item.name: entry for item, entry in items.items()}


def _values(node: Node, names: Any) -> dict[str, Any]:
    return {name: node.get_parameter(name).value for name in names}


def _refused(reason: str) -> SetParametersResult:
    return SetParametersResult(successful=False, reason=reason)
