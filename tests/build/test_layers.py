"""The core knows nothing of ROS, and a running node nothing of training."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Every top-level module that only exists where ROS does, and the packages built on it.
ROS = {
    "action_msgs", "ament_index_python", "audio_common_msgs", "audio_utils_msgs", "builtin_interfaces", "cv_bridge",
    "diagnostic_msgs", "diagnostic_updater", "emotion_perception", "emotion_ros", "geometry_msgs", "hri_msgs", "launch",
    "launch_ros", "lifecycle_msgs", "message_filters", "rcl_interfaces", "rclpy", "rosbag2_py", "rosgraph_msgs",
    "rosidl_runtime_py",
    "sensor_msgs", "std_msgs", "std_srvs", "tf2_ros", "vision_msgs", "visualization_msgs",
}  # fmt: skip
# What only the extras install: a module that needs one at its top is not part of a running node.
EXTRAS = {
    "av", "backports", "librosa", "lz4", "matplotlib", "onnx", "onnxscript", "pyarrow", "pytorchcv", "ray", "rosbags",
    "ruamel", "safetensors", "sklearn", "sounddevice", "tensorboard", "torch", "yaml",
}  # fmt: skip
# Where such modules may lie.
HEAVY = (
    "emotion_core.archive", "emotion_core.bench", "emotion_core.export", "emotion_core.learners", "emotion_core.models",
    "emotion_core.plots", "emotion_core.training",
)  # fmt: skip
# Who stands above whom: a package imports only what is named below it, never its own row's neighbours.
LAYERS = (
    ("cli",),
    ("learners", "rmn"),
    ("archive", "training"),
    ("bench", "plots", "recording"),
    ("evaluation",),
    ("pipeline",),
    ("export",),
    ("runtime",),
    ("data",),
    ("media",),
    ("audio", "vision"),
    ("models",),
    ("store",),
    ("session",),
    ("types", "labels", "parameters", "cores", "dependencies", "plugins"),
    ("errors",),
)


def modules(package: str) -> list[str]:
    """Names of all modules of a package, found without importing any."""
    paths = sorted((ROOT / package).rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


def imported(path: Path) -> set[str]:
    """Top-level names that a file imports anywhere, by statement or by a literal name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module or "")
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called in ("import_module", "__import__", "run_module"):
                found.add(str(node.args[0].value))
    return {name.partition(".")[0] for name in found}


def core_packages(path: Path) -> set[str]:
    """The packages and modules directly below emotion_core that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            if name == "emotion_core" and isinstance(node, ast.ImportFrom):
                found |= {alias.name for alias in node.names}
            elif name.startswith("emotion_core."):
                found.add(name.split(".")[1])
    return found


@pytest.mark.parametrize("name", modules("emotion_core"))
def test_packages_import_only_downwards(name):
    row = {package: i for i, packages in enumerate(LAYERS) for package in packages}
    path = ROOT.joinpath(*name.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    own = (*name.split("."), "")[1]
    if not own:
        return
    assert own in row, f"{own} has no place in LAYERS"
    upward = {other for other in core_packages(path) - {own} if row[other] <= row[own]}
    assert not upward, f"{name} imports upwards or sideways"


@pytest.mark.parametrize("name", modules("emotion_ros"))
def test_parts_of_the_nodes_import_only_downwards(name):
    """Nodes, what those with a camera or a microphone share, views, the base, and below it messages and processes."""
    rows = (("",), ("seeing", "sound_messages"), ("views",), ("base",), ("messages", "process"))
    row = {part: i for i, parts in enumerate(rows) for part in parts}
    path = ROOT.joinpath(*name.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    own = (*name.split("."), "")[1]
    found = {other.split(".")[1] for other in re.findall(r"(?:from|import) (emotion_ros\.\w+)", path.read_text())}
    upward = {other for other in found - {own} if row.get(other, 0) <= row.get(own, 0) and row.get(own, 0)}
    assert not upward, f"{name} imports upwards or sideways"


# Imports the named modules where the blocked ones cannot be found, and tells how each went and what was loaded.
PROBE = """
import importlib, json, sys

names, blocked = json.loads(sys.argv[1]), set(json.loads(sys.argv[2]))

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Block())
missing = {}
for name in names:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing[name] = (error.name or "").partition(".")[0]
print(json.dumps({"missing": missing, "loaded": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


def probe(names: list[str], blocked: set[str]) -> dict:
    """Run PROBE in a process of its own."""
    command = [sys.executable, "-c", PROBE, json.dumps(names), json.dumps(sorted(blocked))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", modules("emotion_core"))
def test_core_has_no_ros_import(name):
    path = ROOT.joinpath(*name.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    assert not imported(path) & ROS


def test_core_imports_without_ros_and_without_the_extras():
    names = modules("emotion_core")
    assert "emotion_core.cli" in names
    outcome = probe(names, ROS | EXTRAS)
    needs_ros = {name: missing for name, missing in outcome["missing"].items() if missing not in EXTRAS}
    assert not needs_ros
    heavy = [name for name in outcome["missing"] if not name.startswith(HEAVY)]
    assert not heavy, "these import an optional package at their top, and a robot does not have it"


def test_nodes_import_no_training_package():
    pytest.importorskip("rclpy", reason="needs ROS 2")
    pytest.importorskip("emotion_perception.msg", reason="needs the built messages (make setup)")
    names = modules("emotion_ros")
    assert any(name.endswith("_node") for name in names)
    outcome = probe(names, EXTRAS - {"yaml"})  # which rclpy itself imports, and brings
    assert outcome["missing"] == {}
    # loaded by something else, they would cost seconds at start all the same
    outcome = probe(names, set())
    assert not {"torch", "matplotlib", "librosa"} & set(outcome["loaded"])


@pytest.mark.parametrize("name", [name for name in modules("emotion_ros") if name.endswith("_node")])
def test_every_node_has_a_main(name):
    """CMake makes an executable of each, which calls main()."""
    tree = ast.parse(ROOT.joinpath(*name.split(".")).with_suffix(".py").read_text())
    mains = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main"]
    assert len(mains) == 1
    required = len(mains[0].args.args) - len(mains[0].args.defaults)
    assert required == 0
