"""What the names on the command line stand for."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from emotion_core.cli.sources import Source, resolve
from emotion_core.errors import EmotionError
from emotion_core.media.frames import open_frames
from emotion_core.media.stdin import read_stdin


def pictures(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / name), np.full((8, 9, 3), 90, np.uint8))


def names(sources: list[Source], folder: Path) -> list[str]:
    return [str(Path(source.name).relative_to(folder)) for source in sources]


def test_folders_and_what_they_skip(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tmp_path /= "photos"  # the folder of the test itself may hold more
    pictures(tmp_path, "b.png", "a.jpg", "more/c.png", "more/deep/d.bmp", ".hidden/e.png")
    (tmp_path / "notes.txt").touch()
    (tmp_path / "more" / "round").symlink_to(tmp_path, target_is_directory=True)
    assert names(resolve([str(tmp_path)]), tmp_path) == ["a.jpg", "b.png"]
    assert "skipped 1 files that are no pictures (.txt 1) and 1 folders (--recursive" in caplog.messages[-1]
    deep = ["a.jpg", "b.png", "more/c.png", "more/deep/d.bmp"]
    assert names(resolve([str(tmp_path)], recursive=True), tmp_path) == deep
    assert "skipped 1 files that are no pictures (.txt 1)" in caplog.messages[-1]
    assert len(list(open_frames(str(tmp_path), recursive=True))) == 4
    assert all(record.levelno == logging.WARNING for record in caplog.records)


def test_lists(tmp_path: Path) -> None:
    pictures(tmp_path, "a.png", "of/b.png")
    listed = tmp_path / "list.txt"
    listed.write_text(f"{tmp_path}/a.png\n\n{tmp_path}/of\nhttps://me:secret@host/c.png\n")
    found = resolve([f"@{listed}"])
    assert [source.name for source in found] == [f"{tmp_path}/a.png", f"{tmp_path}/of/b.png", "https://host/c.png"]
    assert [source.stem for source in found] == ["a", "b", "c"]
    for text, said in (("\n", "got an empty one"), (None, "No such file")):
        listed.unlink() if text is None else listed.write_text(text)
        with pytest.raises(EmotionError, match=f"expected a list of files, one a line.*{said}"):
            resolve([f"@{listed}"])


def test_standard_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pictures(tmp_path, "a.png")
    content = (tmp_path / "a.png").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert resolve(["-"])[0].read().width == 9
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    with pytest.raises(EmotionError, match="at most 1e-05 MB on standard input, got more"):
        read_stdin(10)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"no picture")))
    with pytest.raises(EmotionError, match="standard input is not a readable picture"):
        read_stdin()
    with pytest.raises(EmotionError, match="expected - once"):
        resolve(["-", "-"])


def test_http_is_imported_only_for_addresses() -> None:
    code = "import sys, emotion_core.cli.infer, emotion_core.cli.sources, emotion_core.media.frames\n"
    code += "print([m for m in ('socket', 'http.client', 'ssl', 'av', 'pillow_heif') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
