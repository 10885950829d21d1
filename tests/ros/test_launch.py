"""The launch files: what they make of their arguments.

With stand-ins for launch and launch_ros that record what they are asked for, since the logic is all in the files;
test_launch_processes.py runs them where launch_ros is installed.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

LAUNCH = Path(__file__).resolve().parents[2] / "launch"
NODES = ("facial", "audiovisual")


def load(path: str | Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("launch_file", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Record(SimpleNamespace):
    """An action or event, as it was asked for."""

    def __init__(self, kind: str, given: tuple[Any, ...], options: dict[str, Any]) -> None:
        super().__init__(kind=kind, given=given, **options)


class Configuration:
    def __init__(self, name: str) -> None:
        self.name = name

    def perform(self, context: Any) -> str:
        return str(context.launch_configurations[self.name])


STAND_INS = {
    "launch": "LaunchDescription",
    "launch.actions": "DeclareLaunchArgument EmitEvent ExecuteProcess IncludeLaunchDescription OpaqueFunction "
    "RegisterEventHandler Shutdown",
    "launch.event_handlers": "OnProcessExit OnProcessStart",
    "launch.events": "matches_action",
    "launch.launch_description_sources": "PythonLaunchDescriptionSource",
    "launch_ros": "",
    "launch_ros.actions": "LifecycleNode Node",
    "launch_ros.event_handlers": "OnStateTransition",
    "launch_ros.events": "",
    "launch_ros.parameter_descriptions": "ParameterValue",
}


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """launch and launch_ros, their actions replaced by records of their arguments."""

    def recorder(kind: str) -> Callable[..., Record]:
        return lambda *arguments, **options: Record(kind, arguments, options)

    change_state = recorder("ChangeState")
    change_state.valid_transitions = {1: "TRANSITION_CONFIGURE", 3: "TRANSITION_ACTIVATE"}  # type: ignore[attr-defined]
    members: dict[str, dict[str, Any]] = {
        module: {name: recorder(name) for name in names.split()} for module, names in STAND_INS.items()
    }
    members["launch.launch_description_sources"]["load_python_launch_file_as_module"] = load
    members["launch.substitutions"] = {"LaunchConfiguration": Configuration}
    members["launch_ros.events.lifecycle"] = {"ChangeState": change_state}
    for name, contents in members.items():
        module = ModuleType(name)
        module.__dict__.update(contents)
        monkeypatch.setitem(sys.modules, name, module)


Start = Callable[..., list[Record]]


@pytest.fixture
def started(stand_ins: None, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Call with a launch file's name and arguments to get what is started with them."""

    def start(file: str, **arguments: str) -> list[Record]:
        given = [f"{name}:={value}" for name, value in arguments.items()]
        path = LAUNCH / f"{file}.launch.py"
        monkeypatch.setattr(sys, "argv", ["ros2", "launch", "emotion_perception", path.name, *given])
        (entities,) = load(path).generate_launch_description().given
        *declared, function = entities
        values = dict(arguments)
        for entity in declared:
            (name,) = entity.given
            value = values.setdefault(name, entity.default_value)
            assert entity.description.endswith(".")
            assert entity.choices is None or {entity.default_value, value} <= set(entity.choices)
        return function.function(SimpleNamespace(launch_configurations=values))  # type: ignore[no-any-return]

    return start


def share() -> Path:
    from ament_index_python.packages import get_package_share_directory

    return Path(get_package_share_directory("emotion_perception"))


# ---- nodes that estimate -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NODES)
def test_what_is_left_at_its_default_overrides_nothing(started: Start, name: str) -> None:
    (node,) = started(name)
    assert node.kind == "LifecycleNode"
    assert node.parameters == [str(share() / "config" / f"{name}.yaml")]
    topics = {"facial": ["image"], "audiovisual": ["image", "audio"]}[name]  # camera_info follows the image by itself
    assert node.remappings == [(topic, topic) for topic in topics]
    assert (node.package, node.executable, node.name, node.namespace) == ("emotion_perception", name, name, "")
    assert node.respawn is False and node.ros_arguments == ["--log-level", "info"]


def test_what_is_given_comes_after_the_file(started: Start) -> None:
    (node,) = started(
        "facial",
        params_file="/etc/robot.yaml",
        image="/cam/image_raw",
        camera_info="/cam/info",
        remap="~/estimates:=/emotions ~/overlay:=seen",
        image_transport="compressed",
        model="other",
        detector="haar",
        autostart="False",
        use_sim_time="true",
        namespace="lab",
        node_name="mood",
        respawn="1",
        log_level="debug",
    )
    chosen = {"model": "other", "detector": "haar", "image_transport": "compressed", "autostart": False}
    assert node.parameters == ["/etc/robot.yaml", chosen | {"use_sim_time": True}]
    renamed = [("~/estimates", "/emotions"), ("~/overlay", "seen")]
    assert node.remappings == [("image", "/cam/image_raw"), ("camera_info", "/cam/info"), *renamed]
    assert (node.executable, node.name, node.namespace) == ("facial", "mood", "lab")
    assert (node.respawn, node.ros_arguments) == (True, ["--log-level", "debug"])


def test_the_microphone_of_the_audiovisual_node(started: Start) -> None:
    (node,) = started("audiovisual", audio="/mic/audio", audio_rate_hz="48000", voice_model="other")
    assert node.remappings == [("image", "image"), ("audio", "/mic/audio")]
    assert node.parameters[1:] == [{"voice_model": "other", "audio_rate_hz": "48000"}]  # launch reads them as YAML


@pytest.mark.parametrize("name", NODES)
def test_its_arguments_are_parameters_of_the_node(started: Start, name: str) -> None:
    """And those that are chosen from a list have the choices of the node."""
    node_module = pytest.importorskip(f"emotion_ros.{name}_node", reason=f"there is no node {name}")
    from dataclasses import fields

    from emotion_core.parameters import parameter_of

    known = {item.name: parameter_of(item) for config in node_module.CONFIGS for item in fields(config)}
    for argument, (_, _, *choices) in load(LAUNCH / f"{name}.launch.py").PARAMETERS.items():
        assert known[argument].choices == tuple(choice for those in choices for choice in those if choice), argument


def test_launch_brings_the_node_to_a_state(started: Start) -> None:
    def sent(entities: list[Record]) -> list[int]:
        assert all(entity.event.lifecycle_node_matcher.given == (node,) for entity in entities)
        return [entity.event.transition_id for entity in entities]

    *handlers, node = started("facial", lifecycle="active")
    begun, configured = (handler.given[0] for handler in handlers)
    assert node.parameters[1:] == [{"autostart": False}]
    assert (begun.kind, begun.target_action, sent(begun.on_start)) == ("OnProcessStart", node, [1])
    assert (configured.kind, configured.target_lifecycle_node) == ("OnStateTransition", node)
    assert (configured.start_state, configured.goal_state) == ("configuring", "inactive")
    assert sent(configured.entities) == [3]
    *handlers, node = started("facial", lifecycle="inactive")
    assert [handler.given[0].kind for handler in handlers] == ["OnProcessStart"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((text, True) for text in ("true", "True", "1", "yes", "on", " TRUE ")),
        *((text, False) for text in ("false", "False", "0", "no", "Off")),
    ],
)
def test_booleans_as_launch_reads_them(started: Start, text: str, value: bool) -> None:
    (node,) = started("facial", autostart=text, respawn=text)
    assert node.parameters[-1] == {"autostart": value} and node.respawn is value


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"autostart": "maybe"}, "argument autostart: expected true or false, got 'maybe'"),
        ({"respawn": "2"}, "argument respawn: expected true or false, got '2'"),
        ({"remap": "~/estimates"}, "argument remap: expected FROM:=TO with blanks between several, got '~/estimates'"),
        ({"remap": "a:=b :=c"}, "argument remap: expected FROM:=TO"),
        ({"lifecycle": "active", "autostart": "yes"}, "argument lifecycle: expected autostart to be false with it"),
        ({"detektor": "haar"}, "unknown argument detektor: expected any of image, camera_info, "),
    ],
)
def test_what_it_does_not_know_is_an_error(started: Start, arguments: dict[str, str], said: str) -> None:
    with pytest.raises(RuntimeError, match=said):
        started("facial", **arguments)


@pytest.mark.parametrize("path", sorted(LAUNCH.glob("*.launch.py")), ids=lambda path: path.name)
def test_arguments_of_a_launch_file_that_includes_it_are_not_its_business(
    stand_ins: None, monkeypatch: pytest.MonkeyPatch, path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["ros2", "launch", "robot", "everything.launch.py", "arm:=left"])
    assert load(path).generate_launch_description().given
    monkeypatch.setattr(sys, "argv", ["ros2", "launch", "emotion_perception", path.name, "arm:=left"])
    with pytest.raises(RuntimeError, match="unknown argument arm: expected any of "):
        load(path).generate_launch_description()


def test_shared_memory_is_given_unless_a_profile_is_set(started: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    (node,) = started("facial")
    assert set(node.additional_env) == set(names)
    (node,) = started("facial", shared_memory="no")
    assert node.additional_env == {}
    monkeypatch.setenv(names[0], "/my/profile.xml")
    (node,) = started("facial")
    assert set(node.additional_env) == {names[1]}


# ---- the document --------------------------------------------------------------------------------------------------


def test_the_document_lists_every_argument(stand_ins: None) -> None:
    text = (LAUNCH.parent / "docs" / "launch.md").read_text()

    def check(heading: str, arguments: dict[str, Any]) -> None:
        part = text.partition(heading)[2].partition("\n## ")[0].partition("\n### ")[0]
        rows = re.findall(r"^\| `(\w+)` \|(.*?)\|(.*?)\| (.*) \|$", part, re.MULTILINE)
        expected = []
        for name, (default, said, *choices) in arguments.items():
            listed = ", ".join(choice for those in choices for choice in those if choice)
            expected.append((name, f"`{default}`" if default else "", listed, said.format(node="NODE")))
        assert [(name, default.strip(), listed.strip(), said) for name, default, listed, said in rows] == expected

    check("share these:", load(LAUNCH / "common" / "estimating.py").COMMON)
    for name in NODES:
        file = load(LAUNCH / f"{name}.launch.py")
        check(f"### {name}.launch.py", {**file.TOPICS, **file.PARAMETERS})
    for name in ("replay", "rviz"):
        check(f"### {name}.launch.py", load(LAUNCH / f"{name}.launch.py").ARGUMENTS)


# ---- RViz ----------------------------------------------------------------------------------------------------------


def test_rviz_shows_the_node_where_it_is(started: Start) -> None:
    (rviz,) = started("rviz", namespace="/front/", frame="lens", use_sim_time="true")
    layout = share() / "rviz" / "facial.rviz"
    assert (rviz.package, rviz.executable) == ("rviz2", "rviz2")
    assert rviz.arguments == ["-d", str(layout), "-f", "lens"]
    assert rviz.parameters == [{"use_sim_time": True}]
    assert {("/facial/overlay", "/front/facial/overlay"), ("/facial/markers", "/front/facial/markers")} <= set(
        rviz.remappings
    )
    (rviz,) = started("rviz", node_name="mood")
    assert ("/facial/overlay", "/mood/overlay") in rviz.remappings
    (rviz,) = started("rviz")
    assert all(whole == there for whole, there in rviz.remappings)


# ---- bags ----------------------------------------------------------------------------------------------------------


def test_a_bag_is_played_into_a_node_on_the_bag_s_time(started: Start) -> None:
    included, player = started("replay", bag="2026-01-01", rate="2", image="/cam/image_raw", namespace="lab")
    assert included.kind == "IncludeLaunchDescription"
    assert included.given[0].given == (str(LAUNCH / "facial.launch.py"),)
    assert included.launch_arguments == [("use_sim_time", "true")]
    assert (player.package, player.executable) == ("emotion_perception", "bag_player")
    texts, others = player.parameters
    assert {name: value.given for name, value in texts.items()} == {
        "bag": ("2026-01-01",),
        "topics": ("",),
        "wait_for": ("/lab/facial/estimates",),
    }
    assert all(value.value_type is str for value in texts.values())
    assert others == {"rate": 2.0, "clock": True, "wait_for_subscriber": True}
    assert player.on_exit[0].kind == "Shutdown"


def test_a_bag_is_shown_and_played_by_the_time(started: Start) -> None:
    *included, player = started(
        "replay", bag="b", node="audiovisual", node_name="mood", rviz="yes", wait="no", shutdown="no"
    )
    assert [Path(entity.given[0].given[0]).name for entity in included] == ["audiovisual.launch.py", "rviz.launch.py"]
    assert player.parameters[0]["wait_for"].given == ("",) and player.on_exit == []
    *_, player = started("replay", bag="b", node="audiovisual", node_name="mood")
    assert player.parameters[0]["wait_for"].given == ("/mood/estimates",)


def test_the_player_takes_what_it_is_given() -> None:
    from dataclasses import fields

    from emotion_ros.bag_player_node import CONFIGS

    given = {"bag", "topics", "wait_for", "rate", "clock", "wait_for_subscriber"}
    assert given <= {item.name for config in CONFIGS for item in fields(config)}
