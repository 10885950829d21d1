"""Files that are whole or absent, and outputs that are tried before the work."""

import hashlib
import os
import stat
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from emotion_core.errors import EmotionError
from emotion_core.store import files
from emotion_core.store.files import (
    atomic_write,
    check_writable,
    is_file,
    prepare_folder,
    prepare_output,
    sha256,
    user_path,
)

ROOT = Path(__file__).parents[2]


def names(folder: Path) -> list[str]:
    """What lies in a folder, but for the model store that every test has."""
    return sorted(path.name for path in folder.iterdir() if path.name != "store")


def test_a_file_is_replaced_whole(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with atomic_write(target) as path:
        path.write_text("new")
        assert target.read_text() == "old"
        assert path.suffix == ".txt"
    assert target.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    for path in (target, tmp_path / "b.txt"):
        with pytest.raises(ZeroDivisionError), atomic_write(path) as temporary:
            temporary.write_text("new")
            raise ZeroDivisionError
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_an_error_names_the_file_that_was_asked_for(tmp_path):
    for path in (tmp_path / "no" / "a.txt", tmp_path / ("n" * 300)):
        with pytest.raises(OSError) as caught, atomic_write(path):
            pytest.fail("the block must not begin")
        assert caught.value.filename == str(path)
    with pytest.raises(FileNotFoundError) as caught, atomic_write(tmp_path / "a"):
        (tmp_path / "input").read_bytes()
    assert caught.value.filename == str(tmp_path / "input")


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664)])
def test_the_mode_is_that_of_any_new_file(tmp_path, umask, mode):
    target = tmp_path / "a"
    target.write_text("old")
    target.chmod(0o600)
    before = os.umask(umask)
    try:
        with atomic_write(target) as path:
            path.unlink()  # as writers do that rename a file of their own
            path.touch(0o600)
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.stat().st_mode) == mode


def test_the_contents_are_on_the_disk_before_the_name(tmp_path, monkeypatch):
    events = []
    monkeypatch.setattr(files.os, "fsync", lambda descriptor: events.append(os.fstat(descriptor).st_ino))
    replace = Path.replace
    monkeypatch.setattr(Path, "replace", lambda self, to: (events.append("rename"), replace(self, to))[1])
    with atomic_write(tmp_path / "a") as path:
        inode = path.stat().st_ino
    assert events == [inode, "rename", tmp_path.stat().st_ino]
    events.clear()
    with atomic_write(tmp_path / "a", durable=False):
        pass
    assert events == ["rename"]


def test_a_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.txt").symlink_to(tmp_path / "real" / "a.txt")
    with atomic_write(tmp_path / "link.txt") as path:
        path.write_text("new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real" / "a.txt").read_text() == "new"


def test_the_longest_name_there_is(tmp_path):
    target = tmp_path / ("n" * 251 + ".txt")
    with atomic_write(target) as path:
        path.write_text("whole")
    assert target.read_text() == "whole"


def test_a_pipe_or_a_device_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="device or a pipe"), atomic_write(tmp_path / "pipe"):
        pytest.fail("the block must not begin")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    with pytest.raises(EmotionError, match="/dev/full cannot be written: expected a file, this is a device"):
        check_writable("/dev/full")


def test_outputs_are_tried_and_nothing_is_left(tmp_path):
    check_writable(tmp_path / "new.png")
    assert names(tmp_path) == []
    with pytest.raises(EmotionError, match=r"no/new.png cannot be written: No such file or directory"):
        check_writable(tmp_path / "no" / "new.png")
    with pytest.raises(EmotionError, match="cannot be written: expected a file, this is a folder"):
        check_writable(tmp_path)
    (tmp_path / "file").write_text("")
    for prepare in (prepare_output, prepare_folder):
        with pytest.raises(EmotionError, match="file/below cannot be written"):
            prepare(tmp_path / "file" / "below")
    with pytest.raises(EmotionError, match=r"cannot be written: .*null"):
        prepare_output(f"{tmp_path}/a\0b")


def test_missing_folders_of_outputs_are_made(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert prepare_output("~/a/b/c.png") == tmp_path / "a" / "b" / "c.png"
    assert names(tmp_path / "a" / "b") == []
    assert prepare_folder("~/d/e") == tmp_path / "d" / "e"
    assert names(tmp_path / "d") == ["e"]


def test_folders_of_the_system_are_refused():
    """Not even root can make a file in /sys."""
    for prepare in (prepare_output, prepare_folder):
        with pytest.raises(EmotionError, match=r"/sys.* cannot be written: .*, choose another place"):
            prepare("/sys/emotion")


FULL = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x00020000 | (0x10000000 if os.geteuid() else 0)):  # CLONE_NEWNS; others than root: CLONE_NEWUSER
    sys.exit(77)
if libc.mount(b"none", b"/", None, 0x44000, None):  # MS_REC | MS_PRIVATE: this mount is nobody else's
    sys.exit(77)
if libc.mount(b"none", sys.argv[1].encode(), b"tmpfs", 0, b"size=64k"):
    sys.exit(77)
from pathlib import Path
folder = Path(sys.argv[1])
with open(folder / "filler", "wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
from emotion_core.errors import EmotionError
from emotion_core.store.files import atomic_write, check_writable
try:
    check_writable(folder / "a")
    print("tried in vain")
except EmotionError as error:
    print(error)
try:
    with atomic_write(folder / "a") as path:
        path.write_bytes(bytes(4096))
except OSError as error:
    print(error.filename, error.strerror)
print(sorted(os.listdir(folder)))
"""


def test_a_full_disk_is_found_out_before_the_work(tmp_path):
    command = [sys.executable, "-c", FULL, str(tmp_path)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    if result.returncode == 77:
        pytest.skip("a small file system may not be mounted here")
    assert result.stdout.splitlines() == [
        f"{tmp_path}/a cannot be written: the disk is full, make room",
        f"{tmp_path}/a No space left on device",
        "['filler']",
    ], result.stderr


class TestNoHome:
    @pytest.fixture(autouse=True)
    def homeless(self, monkeypatch):
        """As in a container that runs as a user of its own number: no HOME, and no line in /etc/passwd."""
        monkeypatch.delenv("HOME", raising=False)
        monkeypatch.setattr(Path, "expanduser", self.fail)

    @staticmethod
    def fail(path):
        raise RuntimeError("Could not determine home directory.")

    def test_only_the_home_folder_itself_needs_one(self):
        assert user_path("~foto.jpg") == Path("~foto.jpg")
        with pytest.raises(EmotionError, match=r"^~/a\.png needs a home folder, there is none: set HOME"):
            user_path("~/a.png")


def test_where_nobody_may_look_is_no_file(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("")
    assert is_file(tmp_path / "a")
    assert not is_file(tmp_path)
    assert not is_file(f"{tmp_path}/\0")
    assert not is_file(tmp_path / ("n" * 5000))
    monkeypatch.setattr(Path, "stat", lambda self: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    assert not is_file(tmp_path / "a")


def test_hashing_holds_a_piece_of_the_file_at_a_time(tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(48 << 20)
    tracemalloc.start()
    digest = sha256(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert digest == hashlib.sha256(bytes(48 << 20)).hexdigest()
    assert peak < 4 << 20
