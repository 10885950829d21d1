"""Start the facial node.

ros2 launch emotion_perception facial.launch.py image:=/camera/image_raw
"""

from pathlib import Path

from launch.launch_description_sources import load_python_launch_file_as_module

estimating = load_python_launch_file_as_module(str(Path(__file__).parent / "common" / "estimating.py"))
TOPICS = {
    "image": ("image", "Topic of the camera's images; with the transport compressed, its /compressed is used."),
    "camera_info": ("", "Topic of the camera's calibration, for the markers in RViz; by default beside the image."),
}
PARAMETERS = {
    "model": ("", "Name or path of a model; by default what params_file says."),
    "detector": ("", "Face detector; by default what params_file says.", ("", "auto", "yunet", "haar")),
    "provider": (
        "",
        "What the network runs on; by default what params_file says.",
        ("", "auto", "cpu", "cuda", "tensorrt"),
    ),
    "image_transport": ("", "Kind of images; by default what params_file says.", ("", "raw", "compressed")),
}


def generate_launch_description():
    """All arguments and the node."""
    return estimating.describe(__file__, "facial", TOPICS, PARAMETERS)
