"""Play a bag into an estimating node, with the time in the bag.

ros2 launch emotion_perception replay.launch.py bag:=recording.mcap image:=/camera/image_raw

All arguments of facial.launch.py or audiovisual.launch.py count as well.
"""

from pathlib import Path

from launch.actions import IncludeLaunchDescription, OpaqueFunction, Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource, load_python_launch_file_as_module
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchDescription

HERE = Path(__file__).parent
estimating = load_python_launch_file_as_module(str(HERE / "common" / "estimating.py"))
ARGUMENTS = {
    "bag": (None, "Folder of a bag, or one of its files."),
    "node": ("facial", "The executable that gets what is played.", ("facial", "audiovisual")),
    "topics": ("", "Topics to play, with blanks between them; by default all."),
    "rate": ("1.0", "How many times as fast as it was recorded."),
    "wait": ("true", "Each picture waits for the estimates of the last, so that none is dropped."),
    "rviz": ("false", "Show it in RViz, too."),
    "shutdown": ("true", "End everything when the bag ends."),
}
NODES = {node: load_python_launch_file_as_module(str(HERE / f"{node}.launch.py")) for node in ("facial", "audiovisual")}


def start(context):
    """The player and the files of the others, with all arguments known."""
    value = estimating.values(context, ARGUMENTS)
    place = {name: context.launch_configurations.get(name, "") for name in ("namespace", "node_name")}
    estimates = f"/{place['namespace'].strip('/')}/{place['node_name'] or value['node']}/estimates".replace("//", "/")
    wait = estimating.boolean("wait", value["wait"])
    texts = {"bag": value["bag"], "topics": value["topics"], "wait_for": estimates if wait else ""}
    player = Node(
        package="emotion_perception",
        executable="bag_player",
        name="bag_player",
        output="screen",
        additional_env=estimating.environment(shared_memory=True),
        parameters=[
            {name: ParameterValue(text, value_type=str) for name, text in texts.items()},
            {"rate": float(value["rate"]), "clock": True, "wait_for_subscriber": True},
        ],
        on_exit=[Shutdown(reason="the bag has ended")] if estimating.boolean("shutdown", value["shutdown"]) else [],
    )
    others = [value["node"], *(["rviz"] if estimating.boolean("rviz", value["rviz"]) else [])]
    return [*(_included(name) for name in others), player]


def _included(name):
    source = PythonLaunchDescriptionSource(str(HERE / f"{name}.launch.py"))
    return IncludeLaunchDescription(source, launch_arguments=[("use_sim_time", "true")])


def generate_launch_description():
    """All arguments, the player and what gets its messages."""
    known = [*ARGUMENTS, *estimating.COMMON, "config", "frame"]
    estimating.refuse_unknown(
        __file__, [*known, *(n for node in NODES.values() for n in (*node.TOPICS, *node.PARAMETERS))]
    )
    return LaunchDescription([*estimating.declared(ARGUMENTS), OpaqueFunction(function=start)])
