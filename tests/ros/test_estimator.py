"""The base of estimating nodes, with one that echoes: what every node on it has, without a camera or a network."""

from __future__ import annotations

import re
import threading
import time
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from builtin_interfaces.msg import Time
from emotion_perception.msg import EmotionEstimates
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import GetParameters, SetParametersAtomically
from rclpy.parameter import Parameter
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from emotion_core.errors import EmotionError
from emotion_core.parameters import CheckedConfig, parameter
from emotion_ros import qos
from emotion_ros.diagnostics import ERROR, OK, STALE, WARN
from emotion_ros.estimator import EstimatorNode
from emotion_ros.latest import LatestWorker

pytestmark = pytest.mark.ros
FAST = {"diagnostics_period_s": 0.1}


@dataclass(frozen=True)
class EchoConfig(CheckedConfig):
    """Of a pipeline that repeats a word."""

    model: str = parameter("echo", "What repeats it.")
    times: float = parameter(1.0, "How often it is repeated.", low=0.0, high=9.0, read_only=False)
    word: str = parameter("yes", "What is repeated.", read_only=False)


class Echo:
    """What a core's pipeline is to a node."""

    def __init__(self, config: EchoConfig, next_id: int) -> None:
        if config.model == "nobody":
            raise EmotionError("unknown model 'nobody'")
        if config.model == "broken":
            raise ZeroDivisionError("a defect")
        self.config, self.next_id, self.resets = config, next_id, 0

    def reconfigure(self, config: EchoConfig) -> None:
        if config.word == "no":
            raise EmotionError("the word no cannot be repeated")
        self.config = config

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
        future = client.call_async(request)
        assert self.spin(future.done)
        self.ros.destroy_client(client)
        return future.result()

    def change(self, transition: int = 0, label: str = "") -> bool:
        request = ChangeState.Request(transition=Transition(id=transition, label=label))
        return bool(self.call(ChangeState, "change_state", request).success)

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


@pytest.fixture
def bench(ros_node: Any, spin_until: Any, spin_with: Any, health_of: Any) -> Callable[..., Bench]:
    """Make a node of the name echo, not yet configured."""

    def make(name: str = "echo", **parameters: Any) -> Bench:
        health = health_of(name)
        return Bench(ros_node, spin_until, spin_with(EchoNode, name, **FAST | parameters), health)

    return make


def workers() -> int:
    return sum(thread.name == "latest" for thread in threading.enumerate())


# ---- life ----------------------------------------------------------------------------------------------------------


def test_what_is_not_allowed_is_answered_with_no(bench: Any, capfd: Any) -> None:
    echo = bench()
    echo.node.start()
    echo.connect()
    assert not echo.change(Transition.TRANSITION_ACTIVATE)
    assert not echo.change(Transition.TRANSITION_CLEANUP)
    assert not echo.change(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert not echo.change(99)
    assert not echo.change(label="fly")
    assert echo.state == State.PRIMARY_STATE_ACTIVE
    assert echo.ask() == "yes 1.0"
    assert "no transition 3 from the state active" in capfd.readouterr().err


def test_every_transition_by_service(bench: Any) -> None:
    echo = bench()
    for _ in range(2):
        assert echo.change(Transition.TRANSITION_CONFIGURE)
        assert echo.spin(lambda: len(echo.publishers()) == 2)
        assert echo.change(Transition.TRANSITION_ACTIVATE)
        echo.connect()
        assert echo.ask() == "yes 1.0"
        assert workers() == 1
        assert echo.change(Transition.TRANSITION_DEACTIVATE)
        assert workers() == 0 and echo.spin(lambda: not echo.images.get_subscription_count())
        assert echo.change(Transition.TRANSITION_CLEANUP)
        assert echo.spin(lambda: echo.publishers() == [])
    assert echo.change(Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert echo.state == State.PRIMARY_STATE_FINALIZED


@pytest.mark.parametrize("activated", [True, False])
def test_nothing_is_published_after_shutdown(bench: Any, activated: bool) -> None:
    echo = bench()
    echo.node.trigger_configure()
    if activated:
        echo.node.trigger_activate()
        echo.connect()
    assert echo.spin(lambda: len(echo.health.statuses) >= 2)
    echo.node.trigger_shutdown()
    assert echo.spin(lambda: echo.publishers() == [])
    assert workers() == 0
    heard = len(echo.health.statuses)
    assert not echo.spin(lambda: len(echo.health.statuses) > heard, timeout_s=0.5)
    assert list(echo.node.timers) == []


def test_a_failed_configuration_leaves_nothing_and_says_why(bench: Any, capfd: Any) -> None:
    echo = bench(model="nobody")
    assert not echo.change(Transition.TRANSITION_CONFIGURE)
    assert echo.state == State.PRIMARY_STATE_UNCONFIGURED
    assert echo.publishers() == [] and list(echo.node.timers) == []
    assert "could not be configured: unknown model 'nobody'" in capfd.readouterr().err
    with pytest.raises(EmotionError, match=r"^could not be configured: unknown model 'nobody'$"):
        echo.node.start()
    assert echo.set(model="somebody") == (True, "")
    echo.node.start()
    assert echo.state == State.PRIMARY_STATE_ACTIVE


def test_a_defect_in_a_transition_is_told_with_its_traceback(bench: Any, capfd: Any) -> None:
    echo = bench(model="broken")
    with pytest.raises(ZeroDivisionError, match="a defect"):
        echo.node.start()
    said = capfd.readouterr().err
    assert "Traceback" in said and "in make_pipeline" in said
    assert echo.state == State.PRIMARY_STATE_UNCONFIGURED


def test_a_failed_activation_is_undone(bench: Any) -> None:
    echo = bench()

    def fail() -> None:
        raise EmotionError("no such topic")

    echo.node.listen = fail
    with pytest.raises(EmotionError, match="could not be activated: no such topic"):
        echo.node.start()
    assert echo.state == State.PRIMARY_STATE_INACTIVE
    assert workers() == 0
    assert list(echo.node.subscriptions) == []
    assert echo.node.pipeline.resets == 1
    echo.node.listen = lambda: None
    assert echo.change(Transition.TRANSITION_ACTIVATE)
    echo.connect()
    assert echo.ask() == "yes 1.0"


def test_deactivation_waits_for_the_message_at_work(bench: Any) -> None:
    echo = bench()
    echo.node.start()
    echo.connect()
    begun, go_on = threading.Event(), threading.Event()

    def work(_: Image) -> None:
        begun.set()
        assert go_on.wait(20)

    echo.node.work = work
    echo.images.publish(echo.image(7))
    assert echo.spin(begun.is_set)
    echo.images.publish(echo.image(8))  # waits, and is dropped
    assert echo.spin(lambda: echo.node._worker.counts().received == 2)
    threading.Timer(0.3, go_on.set).start()
    before_s = time.monotonic()
    echo.node.trigger_deactivate()
    assert time.monotonic() - before_s > 0.2 and workers() == 0
    assert echo.spin(lambda: echo.health.message == "inactive")
    assert [answer.header.stamp.sec for answer in echo.answers] == [7]
    assert [echo.health.count(name) for name in ("received", "processed", "dropped", "rejected")] == [2, 1, 1, 0]


def test_work_that_does_not_end_is_an_error_and_leaves_nothing(
    bench: Any, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    echo = bench()
    echo.node.start()
    echo.connect()
    begun, go_on = threading.Event(), threading.Event()

    def work(_: Image) -> None:
        begun.set()
        assert go_on.wait(20)

    echo.node.work = work
    echo.images.publish(echo.image())
    assert echo.spin(begun.is_set)
    stop = LatestWorker.stop
    monkeypatch.setattr(LatestWorker, "stop", lambda worker: stop(worker, 0.1))
    assert not echo.change(Transition.TRANSITION_DEACTIVATE)
    assert echo.state == State.PRIMARY_STATE_UNCONFIGURED
    assert echo.publishers() == [] and list(echo.node.timers) == []
    go_on.set()  # what it then publishes goes nowhere, and is no news
    assert echo.spin(lambda: workers() == 0)
    said = capfd.readouterr().err
    assert "could not be deactivated: the message at work has not been finished" in said
    assert "Traceback" not in said and echo.answers == []


# ---- work ----------------------------------------------------------------------------------------------------------


def test_a_defect_in_the_work_is_counted_and_told_and_ends_nothing(bench: Any, capfd: Any) -> None:
    echo = bench()
    echo.node.start()
    echo.connect()
    echo.node.work = lambda message: 1 // 0
    echo.images.publish(echo.image())
    assert echo.spin(lambda: echo.health.count("rejected") == 1)
    assert echo.health.values["last_rejection"].startswith("ZeroDivisionError")
    said = capfd.readouterr().err
    assert "could not process the image on /image" in said and "Traceback" in said
    echo.node.work = lambda message: None
    assert echo.ask() == "yes 1.0"


def test_an_exception_of_a_callback_ends_nothing(bench: Any, capfd: Any) -> None:
    echo = bench()
    echo.node.start()
    echo.connect()
    heard: list[CompressedImage] = []

    def hear(message: CompressedImage) -> None:
        heard.append(message)
        raise KeyError("no such channel")

    echo.node.hear = hear
    for _ in range(3):
        echo.sound.publish(CompressedImage())
    assert echo.spin(lambda: len(heard) == 3)  # of sound, none is left out
    said = capfd.readouterr().err
    assert said.count("a callback failed") == 1 and said.count("in hear") == 1
    assert echo.ask() == "yes 1.0"


def test_two_nodes_in_one_process(bench: Any) -> None:
    left, right = bench("left", word="l"), bench("right", word="r")
    for echo in (left, right):
        echo.node.start()
        echo.connect()
    assert workers() == 2
    assert left.ask(1) == "l 1.0"
    assert right.spin(lambda: len(right.answers) == 1) and right.answers[0].header.frame_id == "r 1.0"
    left.node.trigger_shutdown()
    assert workers() == 1
    assert right.ask(2) == "r 1.0"
    assert len(left.answers) == 1


def test_frames_that_were_overwritten_on_their_way_are_counted(bench: Any) -> None:
    echo = bench()
    echo.node.start()
    echo.connect()
    assert echo.ask(1) == "yes 1.0"
    other = LatestWorker(lambda _: True, lambda _: None)  # keeps the interpreter busy no more than a camera would
    try:
        for second in range(2, 10):  # nobody spins meanwhile: depth 1 keeps the last
            echo.images.publish(Image(header=Header(stamp=Time(sec=second)), data=array("B", bytes(10))))
        time.sleep(0.2)
        assert echo.spin(lambda: echo.answers[-1].header.stamp.sec == 9)
    finally:
        other.stop()
    assert echo.spin(lambda: echo.health.count("lost") + echo.health.count("received") == 9)
    assert echo.health.count("lost") > 0


# ---- stamps and clocks ---------------------------------------------------------------------------------------------


def test_an_unset_stamp_is_that_of_the_arrival(bench: Any, capfd: Any) -> None:
    echo = bench()
    echo.node.start()
    echo.connect()
    before_s = time.time()
    for _ in range(3):
        echo.ask(0)
    stamps = [answer.header.stamp.sec + answer.header.stamp.nanosec / 1e9 for answer in echo.answers]
    assert before_s <= stamps[0] < stamps[1] < stamps[2] <= time.time()
    assert echo.ask(5) == "yes 1.0" and echo.answers[-1].header.stamp == Time(sec=5)
    assert echo.spin(lambda: echo.health.count("unstamped") == 3 and echo.health.count("processed") == 4)
    assert capfd.readouterr().err.count("the image on /image has no stamp") == 1


def test_a_simulated_clock_that_stands_still_silences_no_diagnostics(bench: Any) -> None:
    echo = bench(use_sim_time=True)
    echo.node.start()
    echo.connect()
    assert echo.spin(lambda: len(echo.health.statuses) >= 3, timeout_s=10)
    assert echo.health.stamps[-1] == Time()
    assert echo.ask(3) == "yes 1.0" and echo.answers[-1].header.stamp == Time(sec=3)
    clock = echo.ros.create_publisher(Clock, "/clock", 10)
    assert echo.spin(lambda: clock.get_subscription_count() > 0)

    def simulated() -> bool:
        clock.publish(Clock(clock=Time(sec=1000)))
        return bool(echo.health.stamps[-1] == Time(sec=1000))

    assert echo.spin(simulated)
    echo.ask(0)  # without a stamp: that of the arrival, by the same clock
    assert echo.answers[-1].header.stamp == Time(sec=1000)


# ---- parameters ----------------------------------------------------------------------------------------------------


def test_what_needs_a_reload_is_refused_while_configured_and_counts_after(bench: Any) -> None:
    echo = bench()
    assert echo.set(model="first") == (True, "")
    echo.node.trigger_configure()
    assert echo.spin(lambda: echo.health.values.get("model") == "first")
    accepted, reason = echo.set(model="second")
    assert not accepted and reason == "parameter model: cannot change while the node is configured, clean it up first"
    assert echo.set(model="first") == (True, "")  # as a whole file of parameters does
    echo.node.trigger_cleanup()
    assert echo.set(model="second") == (True, "")
    echo.node.trigger_configure()
    assert echo.spin(lambda: echo.health.values.get("model") == "second")


def test_a_live_parameter_counts_from_the_next_message_on(bench: Any) -> None:
    echo = bench()
    echo.node.start()
    echo.connect()
    assert echo.ask() == "yes 1.0"
    assert echo.set(times=2.5) == (True, "")
    assert echo.ask() == "yes 2.5"
    echo.node.trigger_deactivate()
    assert echo.set(times=3.5, word="ja") == (True, "")  # nobody works, and it is not lost
    echo.node.trigger_activate()
    echo.connect()
    assert echo.ask() == "ja 3.5"


def test_whole_numbers_leave_a_parameter_what_it_is(bench: Any) -> None:
    echo = bench(times=2, word=1, autostart="no")  # as YAML reads them
    assert echo.node.settings.autostart is False
    echo.node.start()
    echo.connect()
    assert echo.ask() == "1 2.0"
    assert echo.set(times=3) == (True, "")
    assert echo.ask() == "1 3.0"
    value = echo.get("times")
    assert (value.type, value.double_value) == (3, 3.0)  # PARAMETER_DOUBLE
    assert not echo.set(times="four")[0]
    assert echo.ask() == "1 3.0"


def test_what_is_refused_changes_nothing(bench: Any) -> None:
    echo = bench()
    echo.node.start()
    echo.connect()
    assert not echo.set(times=5.0, model="second")[0]  # all or nothing
    assert not echo.set(times=10.0)[0]
    assert echo.ask() == "yes 1.0"
    echo.node.trigger_deactivate()
    assert echo.set(word="no") == (False, "the word no cannot be repeated")
    assert echo.get("word").string_value == "yes"


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"times": 10.0}, r"parameter times: expected a number in \[0, 9\], got 10.0"),
        ({"times": "many"}, "parameter times: expected float, got 'many'"),
        ({"autostart": "maybe"}, "parameter autostart: expected bool, got 'maybe'"),
        ({"stale_warn_s": float("nan")}, "parameter stale_warn_s"),
    ],
)
def test_a_bad_value_at_the_start(spin_with: Any, values: dict[str, Any], reason: str) -> None:
    with pytest.raises(EmotionError, match=reason):
        spin_with(EchoNode, "echo", **values)


# ---- health --------------------------------------------------------------------------------------------------------


def test_a_camera_that_is_gone_is_no_health(bench: Any) -> None:
    echo = bench(stale_warn_s=1.0, stale_error_s=1.5)
    echo.node.start()
    echo.connect()
    assert echo.spin(lambda: echo.health.level is not None)
    assert (echo.health.level, echo.health.message) == (STALE, "no image yet; no sound yet")
    assert echo.spin(lambda: echo.health.level == ERROR)
    assert echo.health.message.startswith("no image on /image for ")
    assert echo.health.statuses[-1].hardware_id == "echo"

    def both() -> bool:
        echo.ask()
        echo.sound.publish(CompressedImage())
        return bool(echo.health.level == OK)

    assert echo.spin(both)
    assert echo.health.message == "estimating"
    status = echo.health.statuses[-1]
    assert (status.hardware_id, status.name) == ("lens", "echo")
    assert float(echo.health.values["age_s"]) < 1 and float(echo.health.values["sound_age_s"]) < 1
    assert float(echo.health.values["rate_hz"]) > 0 and float(echo.health.values["latency_p95_ms"]) > 0

    assert echo.spin(lambda: echo.health.level == WARN)
    both_gone = "no image on /image for .* s; no sound on /sound for .* s"
    assert echo.spin(lambda: echo.health.level == ERROR and re.fullmatch(both_gone, echo.health.message))
    assert echo.spin(both)


def test_a_node_that_drops_most_of_its_frames_warns(bench: Any) -> None:
    echo = bench()
    echo.node.start()
    echo.connect()
    echo.node.work = lambda message: time.sleep(0.1)
    second = 0

    def flood() -> bool:
        nonlocal second
        second += 1
        echo.images.publish(echo.image(second))
        echo.sound.publish(CompressedImage())
        return "images dropped: they come too fast" in echo.health.message

    assert echo.spin(flood)
    assert echo.health.level == WARN
    assert echo.health.count("dropped") + echo.health.count("lost") > echo.health.count("processed")
