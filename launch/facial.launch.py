"""Start the facial node.

ros2 launch emotion_perception facial.launch.py image:=/camera/image_raw
"""

import os
import sys
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode

from launch import LaunchDescription

SHARE = Path(get_package_share_directory("emotion_perception"))
ARGUMENTS = {
    "image": ("image", "Topic of the camera's images; with the transport compressed, its /compressed is used."),
    "camera_info": ("", "Topic of the camera's calibration, for the markers in RViz; by default beside the image."),
    "namespace": ("", "Namespace of the node."),
    "params_file": (str(SHARE / "config" / "facial.yaml"), "Parameters of the node."),
    "model": ("", "Name or path of a model; by default what params_file says."),
    "detector": ("", "Face detector: auto, yunet or haar; by default what params_file says."),
    "image_transport": ("", "raw or compressed; by default what params_file says."),
    "autostart": (
        "",
        "Configure and activate at start; false leaves that to a lifecycle manager. By default what params_file says.",
    ),
    "respawn": ("false", "Start the node again when it has ended by itself."),
    "log_level": ("info", "debug, info, warn, error or fatal."),
    "shared_memory": ("true", "Give Fast DDS enough shared memory for images, see config/fastdds_shm.xml."),
}
LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")


def boolean(name, text):
    """True or False, written in any of the ways that launch knows."""
    word = text.strip().lower()
    if word in ("true", "1", "yes", "on"):
        return True
    if word in ("false", "0", "no", "off"):
        return False
    raise RuntimeError(f"argument {name}: expected true or false, got {text!r}")


def refuse_unknown(words):
    """Raise for an argument on the command line that this file does not know; launch itself would ignore it.

    Other launch files that include this one have arguments of their own, so only the words behind this file's name
    are looked at.
    """
    behind = next((words[i + 1 :] for i, word in enumerate(words) if Path(word).name == Path(__file__).name), [])
    unknown = [word.partition(":=")[0] for word in behind if ":=" in word]
    unknown = [name for name in unknown if name not in ARGUMENTS]
    if unknown:
        raise RuntimeError(f"unknown argument {', '.join(unknown)}: expected any of {', '.join(ARGUMENTS)}")


def start(context):
    """The node, with all arguments known."""
    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    if value["log_level"] not in LOG_LEVELS:
        raise RuntimeError(f"argument log_level: expected one of {', '.join(LOG_LEVELS)}, got {value['log_level']!r}")
    environment = {}
    if boolean("shared_memory", value["shared_memory"]):
        # Fast DDS 2 (Humble, Jazzy) reads the first, Fast DDS 3 (Kilted) the second; what is set already counts.
        for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
            if name not in os.environ:
                environment[name] = str(SHARE / "config" / "fastdds_shm.xml")
    # Only what was given: the rest is for params_file to say.
    chosen = {name: value[name] for name in ("model", "detector", "image_transport") if value[name]}
    if value["autostart"]:
        chosen["autostart"] = boolean("autostart", value["autostart"])
    names = {name: value[name] for name in ("image", "camera_info") if value[name]}
    node = LifecycleNode(
        package="emotion_perception",
        executable="facial",
        name="facial",
        namespace=value["namespace"],
        output="screen",
        additional_env=environment,
        parameters=[value["params_file"], *([chosen] if chosen else [])],
        remappings=list(names.items()),
        ros_arguments=["--log-level", value["log_level"]],
        respawn=boolean("respawn", value["respawn"]),
        respawn_delay=2.0,
    )
    return [node]


def generate_launch_description():
    """All arguments and the node."""
    refuse_unknown(sys.argv)
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=start)])
