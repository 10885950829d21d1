"""What the launch files share; they load it with launch's own function, since they are no modules of a package."""

import os
import sys
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, EmitEvent, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessStart
from launch.events import matches_action
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode
from launch_ros.event_handlers import OnStateTransition
from launch_ros.events.lifecycle import ChangeState

from launch import LaunchDescription

SHARE = Path(get_package_share_directory("emotion_perception"))
# Arguments are written as (default, description), and (…, choices) where they can be listed.
COMMON = {
    "node_name": ("", "Name of the node; by default that of its executable."),
    "namespace": ("", "Namespace of the node."),
    "remap": ("", "Further names to change, as FROM:=TO, with blanks between them."),
    "params_file": ("", "Parameters of the node, in place of config/{node}.yaml."),
    "use_sim_time": ("", "true takes the time from /clock. By default what params_file says."),
    "autostart": (
        "",
        "Configure and activate at start; false leaves that to a lifecycle manager. By default what params_file says.",
    ),
    "lifecycle": (
        "",
        "State that launch brings the node to, by lifecycle events, again after each respawn; the node then does not "
        "start by itself. By default launch leaves that alone.",
        ("", "inactive", "active"),
    ),
    "respawn": ("false", "Start the node again when it has ended by itself."),
    "log_level": ("info", "Least severity that is logged.", ("debug", "info", "warn", "error", "fatal")),
    "shared_memory": ("true", "Give Fast DDS enough shared memory for images, see config/fastdds_shm.xml."),
}
RESPAWN_DELAY_S = 2.0
TRANSITIONS = {name: number for number, name in ChangeState.valid_transitions.items()}


def describe(path, node, topics, parameters):
    """The launch description of one estimating node.

    Args:
        path: of the launch file, to tell its arguments on the command line from those of others.
        node: name of the executable.
        topics, parameters: arguments besides COMMON. What is not empty remaps a topic or sets a parameter; the rest is
            left to params_file.
    """
    common = {name: (entry[0], entry[1].format(node=node), *entry[2:]) for name, entry in COMMON.items()}
    arguments = {**topics, **parameters, **common}
    refuse_unknown(path, arguments)
    start = OpaqueFunction(function=lambda context: _start(context, node, arguments, topics, parameters))
    return LaunchDescription([*declared(arguments), start])


def declared(arguments):
    """The actions that declare arguments."""
    return [
        DeclareLaunchArgument(name, default_value=default, description=text, choices=list(*choices) or None)
        for name, (default, text, *choices) in arguments.items()
    ]


def values(context, arguments):
    """What the arguments are, by their names."""
    return {name: LaunchConfiguration(name).perform(context) for name in arguments}


def boolean(name, text):
    """True or False, written in any of the ways that launch knows."""
    word = text.strip().lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off"):
        return False
    raise RuntimeError(f"argument {name}: expected true or false, got {text!r}")


def refuse_unknown(path, arguments):
    """Raise for an argument on the command line that a launch file does not know; launch itself would ignore it.

    Other launch files that include this one have arguments of their own, so only the words behind this file's name
    are looked at.
    """
    words = sys.argv
    behind = next((words[i + 1 :] for i, word in enumerate(words) if Path(word).name == Path(path).name), [])
    unknown = [word.partition(":=")[0] for word in behind if ":=" in word]
    # ros2 launch itself knows launch-prefix and launch-prefix-filter.
    unknown = [name for name in unknown if name not in arguments and not name.startswith("launch-prefix")]
    if unknown:
        raise RuntimeError(f"unknown argument {', '.join(unknown)}: expected any of {', '.join(arguments)}")


def environment(shared_memory):
    """For the processes of nodes: what is set already counts."""
    # Fast DDS 2 (Humble, Jazzy) reads the first, Fast DDS 3 (Kilted) the second.
    names = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE") if shared_memory else ()
    return {name: str(SHARE / "config" / "fastdds_shm.xml") for name in names if name not in os.environ}


def _start(context, executable, arguments, topics, parameters):
    """The node, and what brings it to a state, with all arguments known."""
    value = values(context, arguments)
    chosen = {name: value[name] for name in parameters if value[name]}
    for name in ("autostart", "use_sim_time"):
        if value[name]:
            chosen[name] = boolean(name, value[name])
    if value["lifecycle"]:
        if chosen.get("autostart"):
            raise RuntimeError("argument lifecycle: expected autostart to be false with it, got true")
        chosen["autostart"] = False
    params_file = value["params_file"] or str(SHARE / "config" / f"{executable}.yaml")
    node = LifecycleNode(
        package="emotion_perception",
        executable=executable,
        name=value["node_name"] or executable,
        namespace=value["namespace"],
        output="screen",
        additional_env=environment(boolean("shared_memory", value["shared_memory"])),
        parameters=[params_file, *([chosen] if chosen else [])],
        remappings=[*((name, value[name]) for name in topics if value[name]), *_rules(value["remap"])],
        ros_arguments=["--log-level", value["log_level"]],
        respawn=boolean("respawn", value["respawn"]),
        respawn_delay=RESPAWN_DELAY_S,
    )
    return [*_transitions(node, value["lifecycle"]), node]


def _rules(text):
    rules = [tuple(word.split(":=")) for word in text.split()]
    if any(len(rule) != 2 or not all(rule) for rule in rules):
        raise RuntimeError(f"argument remap: expected FROM:=TO with blanks between several, got {text!r}")
    return rules


def _transitions(node, state):
    """Configure the node whenever its process has started, and activate it when that is done, as far as is wanted."""

    def change(name):
        return EmitEvent(
            event=ChangeState(lifecycle_node_matcher=matches_action(node), transition_id=TRANSITIONS[name])
        )

    started = OnProcessStart(target_action=node, on_start=[change("TRANSITION_CONFIGURE")])
    configured = OnStateTransition(
        target_lifecycle_node=node,
        start_state="configuring",
        goal_state="inactive",
        entities=[change("TRANSITION_ACTIVATE")],
    )
    handlers = {"": [], "inactive": [started], "active": [started, configured]}[state]
    return [RegisterEventHandler(handler) for handler in handlers]
