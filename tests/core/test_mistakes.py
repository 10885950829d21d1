"""Whatever goes wrong at the command line is one line on stderr and an exit code, under any locale."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from emotion_core import cli
from emotion_core.cli import models
from emotion_core.cli.mistakes import describe, one_line
from emotion_core.errors import EmotionError
from emotion_core.store.finding import BUNDLED

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "emotion_core.cli"]


def emotion(*args: object, **how: object) -> subprocess.CompletedProcess[bytes]:
    how.setdefault("stdout", subprocess.PIPE)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    environment |= how.pop("env", {})
    command = [*COMMAND, *map(os.fsencode, args)]
    return subprocess.run(command, stderr=subprocess.PIPE, env=environment, timeout=120, check=False, **how)


def one_error(result: subprocess.CompletedProcess[bytes], *words: str) -> None:
    text = result.stderr.decode()
    assert (result.returncode, len(text.splitlines())) == (2, 1), text
    assert text.startswith("emotion")
    for word in words:
        assert word in text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (EmotionError("expected this, got that"), "expected this, got that"),
        (PermissionError(13, "Permission denied", "/secret/x"), "/secret/x: Permission denied"),
        (OSError(18, "Invalid cross-device link", "a", None, "b"), "a -> b: Invalid cross-device link"),
        (OSError(28, "No space left on device", "x.png"), "x.png cannot be written: the disk is full, make room"),
        (OSError(28, "No space left on device"), "the output cannot be written: the disk is full, make room"),
        (OSError("of a library without a number"), "of a library without a number"),
        (MemoryError(), "not enough memory: use smaller pictures, a smaller batch or fewer workers"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"),
            "not enough memory (DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes): "
            "use smaller pictures, a smaller batch or fewer workers",
        ),
        (
            ModuleNotFoundError("No module named 'torch'", name="torch.nn"),
            "this command needs torch: install it with pip install 'emotion-perception[train]'",
        ),
        (
            ImportError("libGL.so.1: cannot open shared object file", name="cv2"),
            "libGL.so.1: cannot open shared object file",
        ),
        (ImportError("cannot import name 'x' from 'emotion_core.y'", name="emotion_core.y"), None),
        (ValueError("a defect"), None),
        (KeyError("a defect"), None),
    ],
)
def test_what_is_said(error, text):
    assert describe(error) == text


def test_a_picture_too_large_for_the_memory():
    with pytest.raises(MemoryError) as caught:
        np.empty(1 << 60, np.uint8)
    assert describe(caught.value).startswith("not enough memory (Unable to allocate 1.00 EiB")
    cv2 = pytest.importorskip("cv2")
    error = cv2.error("Failed to allocate")
    error.code = -4
    assert describe(error).startswith("not enough memory")
    error.code = -215
    assert describe(error) is None


def test_names_with_line_breaks_stay_one_line():
    assert one_line("no file a\nb\r\n") == "no file a b"


def test_a_defect_is_said_to_be_one(monkeypatch, capsys):
    def defect(args: object) -> int:
        raise ValueError("an empty\nsequence")

    monkeypatch.setattr(models, "run", defect)
    assert cli.main(["models"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("emotion: error: this is a defect, please report it: ValueError: an empty sequence")
    assert cli.main(["-v", "models"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_while_a_compiled_module_loads(monkeypatch, capsys):
    def load(args: object) -> int:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise ImportError("initialization failed") from error

    monkeypatch.setattr(models, "run", load)
    assert cli.main(["models"]) == 130
    assert capsys.readouterr().err == "emotion: interrupted\n"


def test_nothing_slow_is_imported_where_ctrl_c_is_not_awaited():
    code = "import sys, emotion_core.cli; print({'cv2', 'numpy', 'onnxruntime', 'rich'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout == "set()\n"


def test_bad_usage_is_one_line():
    one_error(emotion(), "required: COMMAND", "(see emotion --help)")
    one_error(emotion("infer"), "emotion infer: error: the following arguments are required: FILE")
    one_error(emotion("models", "--colour\nred"), "unrecognized arguments: --colour red (see emotion models --help)")


def test_the_disk_behind_stdout_is_full():
    with Path("/dev/full").open("wb") as full:
        one_error(emotion("models", stdout=full), "the disk is full, make room")


def test_the_reader_of_a_pipe_has_gone():
    read, write = os.pipe()
    os.close(read)
    try:
        result = emotion("models", stdout=write)
    finally:
        os.close(write)
    assert (result.returncode, result.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("locale", "shown"),
    [
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, r"\udcc3\udca9\udcff"),
        ({"PYTHONIOENCODING": "ascii"}, r"\xe9\udcff"),
        ({"PYTHONUTF8": "1"}, r"é\udcff"),
    ],
)
def test_any_name_can_be_said_under_any_locale(locale, shown):
    """A name in UTF-8 (é) with a byte that is none (0xff)."""
    one_error(emotion("models", b"\xc3\xa9\xff", env=locale), shown)


def test_folders_that_cannot_be_read_or_written(tmp_path, bounded):
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(0o000)
    for args, words in (
        (("infer", folder), "locked"),
        (("infer", folder / "x.png"), "x.png"),
        (("video", folder), "locked"),
        (("eval", "--data", folder), "locked"),
        (("models", folder / "x.onnx"), "x.onnx"),
        (("download", "yunet", "--yes", "--to", folder), "cannot be written: Permission denied"),
    ):
        one_error(emotion(*args, preexec_fn=bounded), words)


def test_a_file_nested_too_deeply():
    with pytest.raises(RecursionError) as caught:
        json.loads("[" * 200_000)
    assert describe(caught.value).startswith("an input is nested too deeply: expected at most")


def test_no_file_in_the_store_breaks_the_list_of_models(tmp_path, bounded):
    store, bundled = tmp_path / "models", (BUNDLED / "esr_compact.onnx").read_bytes()
    store.mkdir()
    (store / "good.onnx").write_bytes(bundled)
    (store / "half.onnx").write_bytes(bundled[:1000])
    (store / "blank.onnx").write_bytes(b"")
    (store / "locked.onnx").write_bytes(bundled)
    (store / "locked.onnx").chmod(0o000)
    (store / "folder.onnx").mkdir()
    (store / "gone.onnx").symlink_to("nowhere")
    result = emotion("models", env={"EMOTION_MODEL_DIR": str(store)}, preexec_fn=bounded)
    assert result.returncode == 0
    listed, told = result.stdout.decode().splitlines(), result.stderr.decode().splitlines()
    assert [line.partition(":")[0] for line in listed] == [
        *("av_ia", "av_ia_stream", "esr_compact (default)", "voice_ravdess", "good", "late_fusion"),
        *("face detectors", "presets to train", "model store"),
    ]
    assert [next(name for name in ("blank", "half", "locked") if name in line) for line in told] == [
        *("blank", "half", "locked")
    ]


HALF = """
import sys, time
from emotion_core import cli
from emotion_core.cli import models
from emotion_core.store.files import atomic_write

def run(args):
    with atomic_write(sys.argv[1] + "/out.bin") as path:
        path.write_bytes(b"half")
        print("begun", flush=True)
        time.sleep(60)

models.run = run
sys.exit(cli.main(["models"]))
"""


@pytest.mark.parametrize(("number", "code", "said"), [(signal.SIGTERM, 143, ""), (signal.SIGINT, 130, "interrupted")])
def test_a_stopped_command_leaves_no_half_file(tmp_path, number, code, said):
    folder = tmp_path / "out"
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", HALF, str(folder)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "begun\n"
        assert len(list(folder.iterdir())) == 1
        process.send_signal(number)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == code
    assert (said in errors, len(errors.splitlines())) == (True, bool(said))
    assert list(folder.iterdir()) == []
