"""Show in RViz what an estimating node publishes.

ros2 launch emotion_perception rviz.launch.py node:=facial namespace:=front
"""

import re
from pathlib import Path

from launch.actions import OpaqueFunction
from launch.launch_description_sources import load_python_launch_file_as_module
from launch_ros.actions import Node

from launch import LaunchDescription

estimating = load_python_launch_file_as_module(str(Path(__file__).parent / "common" / "estimating.py"))
ARGUMENTS = {
    "node": ("facial", "The executable whose topics are shown.", ("facial", "audiovisual")),
    "node_name": ("", "Name of the node; by default that of its executable."),
    "namespace": ("", "Namespace of the node."),
    "config": ("", "Layout of RViz; by default rviz/NODE.rviz."),
    "frame": ("", "Fixed frame, such as the camera's; by default what the layout says."),
    "use_sim_time": ("false", "true takes the time from /clock, as when a bag is played."),
}


def start(context):
    """RViz, with all arguments known."""
    value = estimating.values(context, ARGUMENTS)
    node = value["node"]
    config = value["config"] or str(estimating.SHARE / "rviz" / f"{node}.rviz")
    fixed = ["-f", value["frame"]] if value["frame"] else []
    # A layout holds whole names, those of a node that is neither renamed nor in a namespace.
    name = value["node_name"] or node
    there = f"/{value['namespace'].strip('/')}/{name}".replace("//", "/")
    topics = sorted(set(re.findall(rf"(?<=: )/{node}/\S+", Path(config).read_text())))
    rviz = Node(
        package="rviz2",
        executable="rviz2",
        name=f"rviz_{name}",
        arguments=["-d", config, *fixed],
        parameters=[{"use_sim_time": estimating.boolean("use_sim_time", value["use_sim_time"])}],
        remappings=[(topic, topic.replace(f"/{node}", there, 1)) for topic in topics],
    )
    return [rviz]


def generate_launch_description():
    """All arguments and RViz."""
    estimating.refuse_unknown(__file__, ARGUMENTS)
    return LaunchDescription([*estimating.declared(ARGUMENTS), OpaqueFunction(function=start)])
