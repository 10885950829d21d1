"""A node on the base of estimating nodes that echoes, and what a test needs to talk with it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from builtin_interfaces.msg import Time
from emotion_perception.msg import EmotionEstimates
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import GetParameters, SetParametersAtomically
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from emotion_core.errors import EmotionError
from emotion_core.parameters import CheckedConfig, parameter
from emotion_ros.base import qos
from emotion_ros.base.estimator import EstimatorNode

FAST = {"diagnostics_period_s": 0.1}


@dataclass(frozen=True)
class EchoConfig(CheckedConfig):
    """Of a pipeline that repeats a word."""

    model: str = parameter("echo", "What repeats it.")
    times: float = parameter(1.0, "How often it is repeated.", low=0.0, high=9.0, read_only=False)
    word: str = parameter("yes", "What is repeated.", read_only=False)
    voice: str = parameter("deep", "In which it is repeated; each is loaded.", read_only=False)


class Echo:
    """What a core's pipeline is to a node."""

    def __init__(self, config: EchoConfig, next_id: int) -> None:
        if config.model == "nobody":
            raise EmotionError("unknown model 'nobody'")
        if config.model == "broken":
            raise ZeroDivisionError("a defect")
        self.config, self.next_id, self.resets = config, next_id, 0

    def check(self, config: EchoConfig) -> bool:
        return config.voice != self.config.voice

    def prepare(self, config: EchoConfig) -> Callable[[], None]:
        if config.word == "no":
            raise EmotionError("the word no cannot be repeated")
        if config.voice != self.config.voice:
            self.load(config.voice)
        return lambda: setattr(self, "config", config)

    def load(self, voice: str) -> None:
        """Takes as long as a test wants."""

    def reset(self) -> None:
        self.resets += 1


class EchoNode(EstimatorNode[Echo]):
    """Images and sound in; the frame_id of what is published tells what the pipeline was set to."""

    config_class = EchoConfig
    work: Callable[[Image], None] = staticmethod(lambda message: None)  # type: ignore[assignment]
    hear: Callable[[CompressedImage], None] = staticmethod(lambda message: None)  # type: ignore[assignment]
    listen: Callable[[], None] = staticmethod(lambda: None)  # type: ignore[assignment]

    def make_pipeline(self, config: EchoConfig, first_id: int) -> Echo:
        """Nothing is loaded."""
        return Echo(config, first_id)

    def describe(self, pipeline: Echo) -> Mapping[str, str]:
        """Its name."""
        return {"model": pipeline.config.model}

    def advertise(self) -> None:
        """The estimates."""
        self.estimates = self.output(EmotionEstimates, "~/estimates", qos.ESTIMATES)

    def subscribe(self) -> None:
        """Images, of which the newest counts, and sound, of which all does."""
        self.newest("image", Image, "image", qos.LATEST_IMAGE)
        self.every("sound", CompressedImage, "sound", lambda message: self.hear(message), qos.ESTIMATES)
        self.listen()

    def estimate(self, pipeline: Echo, message: Image) -> None:
        """What the test wants, and an answer."""
        self.work(message)
        message.header.frame_id = f"{pipeline.config.word} {pipeline.config.times}"
        self.estimates.publish(EmotionEstimates(header=message.header))


class Bench:
    """A node, and what a test needs to talk with it."""

    def __init__(self, ros_node: Any, spin_until: Any, node: EchoNode, health: Any) -> None:
        self.ros, self.spin, self.node, self.health = ros_node, spin_until, node, health
        self.answers: list[EmotionEstimates] = []
        name = node.get_name()
        self.images = ros_node.create_publisher(Image, "image", qos.IMAGE_OUT)
        self.sound = ros_node.create_publisher(CompressedImage, "sound", qos.ESTIMATES)
        ros_node.create_subscription(EmotionEstimates, f"{name}/estimates", self.answers.append, qos.ESTIMATES)

    def connect(self) -> None:
        """Wait until the node is active and both sides have found each other."""
        estimates = f"{self.node.get_name()}/estimates"
        assert self.spin(lambda: self.images.get_subscription_count() > 0 and self.ros.count_publishers(estimates) > 0)
        assert self.spin(lambda: self.node.estimates.get_subscription_count() > 0)

    def image(self, second: int = 1, frame_id: str = "lens") -> Image:
        return Image(header=Header(stamp=Time(sec=second), frame_id=frame_id))

    def ask(self, second: int = 1) -> str:
        """Send an image; returns the frame_id of the answer."""
        count = len(self.answers)
        self.images.publish(self.image(second))
        assert self.spin(lambda: len(self.answers) > count)
        return str(self.answers[-1].header.frame_id)

    def call(self, kind: Any, service: str, request: Any) -> Any:
        client = self.ros.create_client(kind, f"{self.node.get_name()}/{service}")
        assert self.spin(client.service_is_ready)
        self.spin(lambda: False, timeout_s=0.3)  # until the service sees the client too, its answer would be dropped
        future = client.call_async(request)
        assert self.spin(future.done)
        self.ros.destroy_client(client)
        return future.result()

    def change(self, transition: int = 0, label: str = "") -> bool:
        request = ChangeState.Request(transition=Transition(id=transition, label=label))
        return bool(self.call(ChangeState, "change_state", request).success)

    @property
    def workers(self) -> int:
        """Threads of workers in this process."""
        return sum(thread.name == "latest" for thread in threading.enumerate())

    @property
    def state(self) -> int:
        return int(self.call(GetState, "get_state", GetState.Request()).current_state.id)

    def set(self, **values: Any) -> tuple[bool, str]:
        parameters = [Parameter(name, value=value).to_parameter_msg() for name, value in values.items()]
        request = SetParametersAtomically.Request(parameters=parameters)
        result = self.call(SetParametersAtomically, "set_parameters_atomically", request).result
        return result.successful, result.reason

    def get(self, name: str) -> Any:
        (value,) = self.call(GetParameters, "get_parameters", GetParameters.Request(names=[name])).values
        return value

    def publishers(self) -> list[str]:
        """The topics of its own and /diagnostics on which the node is a publisher."""
        names = ("/diagnostics", f"/{self.node.get_name()}/estimates")
        return [name for name in names if self.ros.count_publishers(name)]
