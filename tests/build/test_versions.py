"""What is stated in more than one place agrees."""

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ElementTree.parse(ROOT / "package.xml").getroot()
try:
    import tomllib

    PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
except ModuleNotFoundError:  # Python 3.10
    PYPROJECT = {}

needs_toml = pytest.mark.skipif(not PYPROJECT, reason="tomllib came with Python 3.11")


@needs_toml
def test_versions_agree():
    version = PYPROJECT["project"]["version"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)  # what both pip and ROS take for a release
    assert PACKAGE.findtext("version") == version
    newest = re.search(r"^## \[?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest, "CHANGELOG.md has no heading such as '## 0.1.0'"
    assert newest[1] == version


@needs_toml
def test_licences_agree():
    assert PACKAGE.findtext("license") == PYPROJECT["project"]["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text().splitlines()[1]


@needs_toml
def test_running_needs_no_training_package():
    names = {re.match(r"[\w-]+", requirement)[0] for requirement in PYPROJECT["project"]["dependencies"]}
    assert {"numpy", "onnxruntime", "opencv-python-headless"} <= names
    extras = PYPROJECT["project"]["optional-dependencies"]
    training = {re.match(r"[\w-]+", requirement)[0] for requirement in extras["train"]}
    assert "torch" in training
    assert not names & training


def test_package_xml_names_what_the_nodes_import():
    named = {element.text for element in PACKAGE if element.tag.endswith("depend")}
    # what DESIGN and the message definitions rely on; python3-* are rosdep keys
    assert {"rclpy", "sensor_msgs", "std_msgs", "visualization_msgs", "diagnostic_msgs", "cv_bridge"} <= named
    statement = re.compile(r"^\s*(?:from|import) (\w+_msgs|\w+_srvs|rclpy|cv_bridge|launch\w*)\b", re.MULTILINE)
    imported = set()
    for path in (ROOT / "emotion_ros").rglob("*.py"):
        imported |= set(statement.findall(path.read_text()))
    assert imported, "nothing of ROS is imported by emotion_ros: has this test lost its subject?"
    # rcl_interfaces and builtin_interfaces come with rclpy
    assert imported <= named
