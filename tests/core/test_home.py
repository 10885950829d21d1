"""Nothing is written but what was asked for, and nobody needs a home folder."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

ROOT = Path(__file__).parents[2]
PLACES = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "MPLCONFIGDIR")
# A process without HOME whose user no line of /etc/passwd names, as containers run their programs.
NAMELESS = """
import pwd, sys
def getpwuid(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")
pwd.getpwuid = getpwuid
from emotion_core.cli import main
sys.exit(main())
"""


@pytest.fixture()
def photo(portrait, tmp_path) -> Path:
    path = tmp_path / "face.png"
    cv2.imwrite(str(path), portrait)
    return path


def emotion(*args: object, home: Path | None, bounded: Callable[[], None]) -> subprocess.CompletedProcess[str]:
    """The command with no settings of the caller's; ``home`` is also where temporary files go."""
    environment = {name: value for name, value in os.environ.items() if name not in PLACES}
    environment.pop("EMOTION_MODEL_DIR")
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    program = ["-c", NAMELESS]
    if home is not None:
        environment |= {"HOME": str(home), "TMPDIR": str(home)}
        program = ["-m", "emotion_core.cli"]
    command = [sys.executable, *program, *map(str, args)]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=False, preexec_fn=bounded
    )


def test_infer_leaves_an_empty_home_empty(photo, tmp_path, bounded):
    home = tmp_path / "home"
    home.mkdir()
    result = emotion("infer", photo, "--draw", tmp_path / "drawn", home=home, bounded=bounded)
    assert result.returncode == 0, result.stderr
    assert "%" in result.stdout
    assert list(home.rglob("*")) == []


def test_plots_leave_an_empty_home_empty(tmp_path):
    """matplotlib would keep its list of fonts there."""
    pytest.importorskip("matplotlib")
    home = tmp_path / "home"
    home.mkdir()
    code = (
        "import sys, numpy as np\n"
        "from emotion_core.plots.confusion import plot_confusion\n"
        "plot_confusion(np.eye(2, dtype=int), ('a', 'b'), sys.argv[1])\n"
        "import os; print(os.environ.get('MPLCONFIGDIR'))\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in PLACES}
    environment |= {"HOME": str(home), "TMPDIR": str(home)}
    command = [sys.executable, "-c", code, str(tmp_path / "plot.png")]
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert result.stdout == "None\n", result.stderr
    assert cv2.imread(str(tmp_path / "plot.png")) is not None
    assert list(home.rglob("*")) == []


@pytest.mark.parametrize(("chosen", "seen"), [(None, "1"), ("0", "0")])
def test_telemetry_is_off_unless_somebody_wants_it(monkeypatch, chosen, seen):
    if chosen is None:
        monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    else:
        monkeypatch.setenv("ORT_DISABLE_TELEMETRY", chosen)
    code = "import emotion_core, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert result.stdout.strip() == seen, result.stderr


@pytest.mark.parametrize("mode", [None, 0o000, 0o555], ids=["none", "unreadable", "read-only"])
def test_no_command_needs_a_home(photo, tmp_path, bounded, mode):
    """No HOME and no name, the HOME of somebody else, or one on a read-only file system."""
    home = None
    if mode is not None:
        home = tmp_path / "home"
        home.mkdir()
        home.chmod(mode)
    for command in (["infer", photo], ["models"], ["download", "--list"]):
        result = emotion(*command, home=home, bounded=bounded)
        assert (result.returncode, result.stderr) == (0, "")
        assert result.stdout
    if home is not None:  # else it would go to /var/cache, where root may write
        result = emotion("download", "yunet", "--yes", home=home, bounded=bounded)
        assert (result.returncode, len(result.stderr.splitlines())) == (2, 1), result.stderr
        assert (
            "cannot be written: Permission denied, choose another place (--to DIR and EMOTION_MODEL_DIR"
            in result.stderr
        )
