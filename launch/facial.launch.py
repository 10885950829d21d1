"""Start the facial node.

ros2 launch emotion_perception facial.launch.py image:=/camera/image_raw
"""

import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import LifecycleNode

from launch import LaunchDescription

SHARE = Path(get_package_share_directory("emotion_perception"))
ARGUMENTS = {
    "image": (
        "image",
        "Topic of the camera's images; with image_transport:=compressed its /compressed is used.",
    ),
    "camera_info": ("camera_info", "Topic of the camera's calibration, for the markers in RViz."),
    "namespace": ("", "Namespace of the node."),
    "params_file": (str(SHARE / "config" / "facial.yaml"), "Parameters of the node."),
    "image_transport": ("raw", "raw or compressed."),
    "autostart": ("true", "Configure and activate at start; false leaves that to a lifecycle manager."),
    "shared_memory": ("true", "Give Fast DDS enough shared memory for images, see config/fastdds_shm.xml."),
}


def start(context):
    """The node, with all arguments known."""
    value = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    environment = {}
    if value["shared_memory"] == "true":
        # Fast DDS 2 (Humble, Jazzy) reads the first, Fast DDS 3 (Kilted) the second; what is set already counts.
        for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
            if name not in os.environ:
                environment[name] = str(SHARE / "config" / "fastdds_shm.xml")
    node = LifecycleNode(
        package="emotion_perception",
        executable="facial_node",
        name="facial",
        namespace=value["namespace"],
        output="screen",
        additional_env=environment,
        parameters=[
            value["params_file"],
            {"image_transport": value["image_transport"], "autostart": value["autostart"] == "true"},
        ],
        remappings=[
            ("image", value["image"]),
            ("image/compressed", value["image"] + "/compressed"),
            ("camera_info", value["camera_info"]),
        ],
    )
    return [node]


def generate_launch_description():
    """All arguments and the node."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (default, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=start)])
