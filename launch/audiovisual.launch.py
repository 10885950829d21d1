"""Start the audiovisual node.

ros2 launch emotion_perception audiovisual.launch.py image:=/camera/image_raw audio:=/microphone/audio
"""

from pathlib import Path

from launch.launch_description_sources import load_python_launch_file_as_module

estimating = load_python_launch_file_as_module(str(Path(__file__).parent / "common" / "estimating.py"))
TOPICS = {
    "image": ("image", "Topic of the camera's images; with the transport compressed, its /compressed is used."),
    "audio": ("audio", "Topic of the microphone's sound."),
    "audio_info": ("", "Topic of the AudioInfo that tells about the sound; by default beside it."),
    "camera_info": ("", "Topic of the camera's calibration, for the markers in RViz; by default beside the image."),
}
PARAMETERS = {
    "model": ("", "Name or path of a model for faces; by default what params_file says."),
    "voice_model": ("", "Name or path of a model for voices; by default what params_file says."),
    "detector": ("", "Face detector; by default what params_file says.", ("", "auto", "yunet", "haar")),
    "provider": (
        "",
        "What the network runs on; by default what params_file says.",
        ("", "auto", "cpu", "cuda", "tensorrt"),
    ),
    "image_transport": ("", "Kind of images; by default what params_file says.", ("", "raw", "compressed")),
    "audio_type": (
        "",
        "Kind of messages with sound; by default what params_file says.",
        ("", "chunk", "audio_common", "audio_common_stamped", "mgonzs13", "audio_utils"),
    ),
    "audio_rate_hz": ("", "Samples a second, where messages do not tell; by default what params_file says."),
    "audio_channels": ("", "Channels of the sound, where messages do not tell; by default what params_file says."),
    "audio_format": ("", "Format of the samples, where messages do not tell; by default what params_file says."),
}


def generate_launch_description():
    """All arguments and the node."""
    return estimating.describe(__file__, "audiovisual", TOPICS, PARAMETERS)
