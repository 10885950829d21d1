"""Where a checkout may lie: blanks in its path, a link to it, and what ROS cannot be built with."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = ("env.sh", "run", "setup")
built = pytest.mark.skipif(not (ROOT / ".venv" / "emotion_perception" / "overlay").exists(), reason="needs make setup")


def copy_scripts(folder: Path) -> Path:
    """A checkout of nothing but its scripts."""
    (folder / "scripts").mkdir(parents=True)
    for name in SCRIPTS:
        shutil.copy(ROOT / "scripts" / name, folder / "scripts" / name)
    shutil.copy(ROOT / "Makefile", folder)
    return folder


def clean(command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", **variables}
    return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", ["Prüfung", "a:b", "a;b", "a,b", "a'b", 'a"b', "a$b", "a`b", "a(b)", "a{b}", "a\nb"])
def test_a_path_that_ros_cannot_be_built_in_is_refused_at_once(tmp_path, name):
    root = copy_scripts(tmp_path / name)
    result = clean([str(root / "scripts" / "setup")])
    letters = "".join(letter for letter in name if letter not in "abPrfung").replace("\n", "?")
    assert result.returncode == 1
    assert result.stderr.startswith("setup: the path ")
    assert result.stderr.endswith("can be in its path\n")
    assert f" holds {letters}, with which ROS packages cannot be built; move the checkout: " in result.stderr
    assert result.stderr.count("\n") == 1 + name.count("\n")
    assert not (root / ".venv").exists()


def test_a_linked_checkout_is_the_one_it_links_to(tmp_path):
    """By the physical path: another one would make .venv anew at every change between the two."""
    copy_scripts(tmp_path / "real,comma")
    (tmp_path / "link").symlink_to(tmp_path / "real,comma")
    result = clean([str(tmp_path / "link" / "scripts" / "setup")], CDPATH=str(tmp_path))
    assert result.stderr.startswith(f"setup: the path {tmp_path}/real,comma holds ,, with which")
    result = clean([str(tmp_path / "link" / "scripts" / "run"), "true"])
    assert result.stderr == (
        f"scripts/run: there is no finished build in {tmp_path}/real,comma; run 'make setup' first\n"
    )


@pytest.mark.parametrize(("path", "refused"), [("/ws/a b+c/src", False), ("/ws/Prüfung/src", True)])
def test_cmake_refuses_what_rosidl_cannot_read(tmp_path, path, refused):
    """The condition of CMakeLists.txt, for those who build in a workspace over an installed ROS 2."""
    cmake = shutil.which("cmake") or ROOT / ".venv" / "bin" / "cmake"
    if not Path(cmake).exists():
        pytest.skip("needs CMake")
    (check,) = re.findall(r"^if\(.*MATCHES \"\[.*?^endif\(\)\n", (ROOT / "CMakeLists.txt").read_text(), re.M | re.S)
    script = tmp_path / "check.cmake"
    script.write_text(f'set(CMAKE_CURRENT_SOURCE_DIR "{path}")\nset(CMAKE_CURRENT_BINARY_DIR "/ws/build")\n{check}')
    result = clean([str(cmake), "-P", str(script)])
    assert (result.returncode != 0) == refused
    assert ("move the workspace" in " ".join(result.stderr.split())) == refused


@built
@pytest.mark.ros
def test_a_checkout_below_a_folder_with_a_blank_runs(tmp_path):
    """The environment of scripts/run, every path in it with a blank: libraries, packages and messages are found."""
    root = copy_scripts(tmp_path / "with space" / "re po")
    for name in (".venv", "install", "config"):
        (root / name).symlink_to(ROOT / name)
    code = "import os, rclpy, emotion_perception.msg; print(os.environ['LD_LIBRARY_PATH'])"
    result = clean([str(root / "scripts" / "run"), "python", "-c", code])
    assert result.returncode == 0, result.stderr
    libraries = [path for path in result.stdout.strip().split(":") if ".libs" in path]
    assert libraries
    assert all(path.startswith(f"{root}/.venv/lib/python3") for path in libraries)


def test_a_node_is_started_by_an_interpreter_below_a_folder_with_a_blank(tmp_path):
    folder = tmp_path / "with space"
    (folder / "emotion_ros").mkdir(parents=True)
    (folder / "emotion_ros" / "__init__.py").touch()
    (folder / "emotion_ros" / "__main__.py").write_text("def main(words):\n    print(words)\n    return 5\n")
    interpreter = folder / "python"
    interpreter.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    interpreter.chmod(0o755)
    node = folder / "facial"
    template = (ROOT / "scripts" / "node.in").read_text()
    node.write_text(template.replace("@Python3_EXECUTABLE@", str(interpreter)).replace("@node@", "facial"))
    node.chmod(0o755)
    result = clean([str(node), "a b", "--ros-args"], PYTHONPATH=str(folder))
    assert (result.returncode, result.stdout) == (5, "['facial', 'a b', '--ros-args']\n"), result.stderr


@built
def test_what_colcon_leaves_unquoted_is_quoted():
    for name in ("local_setup.bash", "local_setup.sh", "local_setup.zsh", "setup.sh"):
        text = (ROOT / "install" / name).read_text()
        assert not re.search(r"\$\(\$|^_colcon_prefix_chain_sh_COLCON_CURRENT_PREFIX=[^\"]", text, re.MULTILINE), name
        if name.endswith(("bash", ".sh")):
            subprocess.run(["bash", "-n", ROOT / "install" / name], check=True)


@built
def test_no_home_is_needed_to_source_the_build():
    script = f"source '{ROOT}/install/setup.bash'; python -c 'import emotion_core.cli'"
    result = clean(["bash", "-ec", script])
    assert (result.returncode, result.stderr) == (0, "")
