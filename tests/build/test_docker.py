"""The container files for Jetson, which no test can build: what they name exists, and both do the same."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = {"jetpack6": ("humble", "jammy"), "jetpack7": ("jazzy", "noble")}


def instructions(name):
    """(instruction, its text in one line) for each."""
    text = (ROOT / "docker" / f"Dockerfile.{name}").read_text()
    lines = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [(word, re.sub(r"\s+", " ", rest)) for word, _, rest in (line.partition(" ") for line in lines) if word]


def last_stage(name):
    found = instructions(name)
    return found[max(i for i, (word, _) in enumerate(found) if word == "FROM") :]


@pytest.mark.parametrize("name", FILES)
def test_what_it_names_exists(name):
    found = instructions(name)
    assert {word for word, _ in found} <= {"ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "FROM", "RUN", "SHELL", "WORKDIR"}
    distro, ubuntu = FILES[name]
    assert ("ARG", f"ROS_DISTRO={distro}") in found
    assert any(f"packages.ros.org/ros2/ubuntu {ubuntu} main" in text for _, text in found)
    for _, text in found:
        for path in re.findall(r"src/emotion_perception/(\S+)", text):
            assert (ROOT / path).is_file()
    (command,) = (text for word, text in found if word == "CMD")
    (launched,) = re.findall(r'"(\w+\.launch\.py)"', command)
    assert (ROOT / "launch" / launched).is_file()


def test_both_build_the_workspace_alike():
    def workspace(name):
        stage = last_stage(name)
        return stage[next(i for i, (word, text) in enumerate(stage) if text.startswith(". /ws/src")) :]

    six, seven = ([text for word, text in workspace(name) if "pip install" not in text] for name in FILES)
    assert [text for text in seven if not text.startswith("--from=")] == six


def test_nothing_of_a_developer_s_build_gets_in():
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv", "build", "install", "log"} <= set(ignored)
