"""The launch file: what it makes of its arguments. With launch_ros where it is installed, else with a stand-in that
records what it is asked for, since the logic is all in the file."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATH = ROOT / "launch" / "facial.launch.py"
HERE = importlib.util.find_spec("launch_ros") is not None


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("facial_launch", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def facial(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The launch file, its actions replaced by records of their arguments."""

    class Configuration:
        def __init__(self, name: str) -> None:
            self.name = name

        def perform(self, context: dict[str, str]) -> str:
            return context[self.name]

    def record(*arguments: Any, **options: Any) -> SimpleNamespace:
        return SimpleNamespace(arguments=arguments, **options)

    modules = {
        "launch": {"LaunchDescription": lambda entities: SimpleNamespace(entities=entities)},
        "launch.actions": {"DeclareLaunchArgument": record, "OpaqueFunction": record},
        "launch.substitutions": {"LaunchConfiguration": Configuration},
        "launch_ros": {},
        "launch_ros.actions": {"LifecycleNode": record},
    }
    for name, members in modules.items():
        module = ModuleType(name)
        module.__dict__.update(members)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(sys, "argv", ["ros2", "launch", "emotion_perception", PATH.name])
    return load()


@pytest.fixture
def started(facial: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., SimpleNamespace]:
    """Call with arguments to get the node that is started with them."""

    def start(**arguments: str) -> SimpleNamespace:
        given = [f"{name}:={value}" for name, value in arguments.items()]
        monkeypatch.setattr(sys, "argv", ["ros2", "launch", "emotion_perception", PATH.name, *given])
        entities = facial.generate_launch_description().entities
        *declared, function = entities
        defaults = {entity.arguments[0]: entity.default_value for entity in declared}
        assert set(defaults) == set(facial.ARGUMENTS) and all(entity.description for entity in declared)
        (node,) = function.function({**defaults, **arguments})
        return node

    return start


def test_what_is_left_at_its_default_overrides_nothing(started: Any, facial: ModuleType) -> None:
    node = started()
    assert node.parameters == [str(facial.SHARE / "config" / "facial.yaml")]
    assert node.remappings == [("image", "image")]  # camera_info follows the image by itself
    assert (node.package, node.executable, node.name, node.namespace) == ("emotion_perception", "facial", "facial", "")
    assert node.respawn is False and node.ros_arguments == ["--log-level", "info"]


def test_what_is_given_comes_after_the_file(started: Any) -> None:
    node = started(
        params_file="/etc/robot.yaml",
        image="/cam/image_raw",
        camera_info="/cam/info",
        image_transport="compressed",
        model="other",
        detector="haar",
        autostart="False",
        namespace="lab",
        respawn="1",
        log_level="debug",
    )
    chosen = {"model": "other", "detector": "haar", "image_transport": "compressed", "autostart": False}
    assert node.parameters == ["/etc/robot.yaml", chosen]
    assert node.remappings == [("image", "/cam/image_raw"), ("camera_info", "/cam/info")]
    assert (node.namespace, node.respawn, node.ros_arguments) == ("lab", True, ["--log-level", "debug"])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, True) for text in ("true", "True", "1", "yes", "on", " TRUE ")),
        *((text, False) for text in ("false", "False", "0", "no", "Off")),
    ],
)
def test_booleans_as_launch_reads_them(started: Any, text: str, value: bool) -> None:
    assert started(autostart=text).parameters[-1] == {"autostart": value}
    assert started(respawn=text).respawn is value


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"autostart": "maybe"}, "argument autostart: expected true or false, got 'maybe'"),
        ({"respawn": "2"}, "argument respawn: expected true or false, got '2'"),
        ({"log_level": "loud"}, "argument log_level: expected one of debug, info, warn, error, fatal, got 'loud'"),
        ({"detektor": "haar"}, "unknown argument detektor: expected any of image, camera_info, "),
    ],
)
def test_what_it_does_not_know_is_an_error(started: Any, arguments: dict[str, str], said: str) -> None:
    with pytest.raises(RuntimeError, match=said):
        started(**arguments)


def test_arguments_of_a_launch_file_that_includes_it_are_not_its_business(
    facial: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["ros2", "launch", "robot", "everything.launch.py", "arm:=left"])
    assert facial.generate_launch_description().entities


def test_shared_memory_is_given_unless_a_profile_is_set(started: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    assert set(started().additional_env) == set(names)
    assert started(shared_memory="no").additional_env == {}
    monkeypatch.setenv(names[0], "/my/profile.xml")
    assert set(started().additional_env) == {names[1]}


@pytest.mark.skipif(not HERE, reason="launch_ros is not installed: there is none among the wheels")
def test_launch_itself_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from launch.actions import DeclareLaunchArgument, OpaqueFunction

    from launch import LaunchContext

    monkeypatch.setattr(sys, "argv", ["ros2", "launch", "emotion_perception", PATH.name])
    entities = load().generate_launch_description().entities
    context = LaunchContext()
    for argument in (entity for entity in entities if isinstance(entity, DeclareLaunchArgument)):
        argument.visit(context)
    (function,) = (entity for entity in entities if isinstance(entity, OpaqueFunction))
    (node,) = function.visit(context)
    assert node.node_executable == "facial"
