"""What an installed package holds."""

import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomllib", reason="reading pyproject.toml needs Python 3.11")

ROOT = Path(__file__).parents[2]
PACKAGES = ("emotion_core", "emotion_ros")


@pytest.mark.parametrize("package", PACKAGES)
def test_the_types_are_for_others_too(package):
    """PEP 561: type checkers read the annotations of packages that hold this empty file."""
    assert (ROOT / package / "py.typed").read_bytes() == b""


@pytest.mark.parametrize("package", PACKAGES)
def test_pip_installs_every_file_that_is_no_code(package):
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    here = [*patterns["*"], *patterns.get(package, ())]
    for path in (ROOT / package).rglob("*"):
        if path.is_file() and path.suffix != ".py" and "__pycache__" not in path.parts:
            # Patterns are relative to the package that holds the file.
            name, inner = path.name, str(path.relative_to(ROOT / package))
            assert any(fnmatch(name, p) or fnmatch(inner, p) for p in here), f"{path}: no pattern of package-data"
