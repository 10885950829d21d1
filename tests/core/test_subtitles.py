"""Subtitles: spans that can be read, of whoever is there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from emotion_core.cli import main
from emotion_core.cli.subtitles import MIN_S, Subtitles
from emotion_core.types import Box, EmotionEstimate, Face

LABELS = ("neutral", "happy")


def shown(label: str, track: str = "1", stamp_s: float = 0.0, confidence: float = 0.8) -> EmotionEstimate:
    p = (confidence, 1 - confidence) if label == "neutral" else (1 - confidence, confidence)
    return EmotionEstimate(stamp_s, LABELS, p, face=Face(Box(0, 0, 9, 9)), track_id=track)


def spans(labels: Sequence[str | None], rate_hz: float = 10.0) -> list[tuple[str, float, float]]:
    """The cues of one person who shows a label in each frame, or is not there."""
    subtitles = Subtitles()
    for i, label in enumerate(labels):
        subtitles.add(i / rate_hz, [] if label is None else [shown(label, stamp_s=i / rate_hz)])
    return [(cue.label, round(cue.start_s, 6), round(cue.end_s, 6)) for cue in subtitles.cues()]


def test_a_label_has_one_cue_however_many_frames_it_has() -> None:
    assert spans(["neutral"] * 20 + ["happy"] * 10) == [("neutral", 0.0, 2.0), ("happy", 2.0, 3.0)]


def test_a_flicker_changes_nothing() -> None:
    assert spans(["neutral"] * 10 + ["happy"] * 3 + ["neutral"] * 10) == [("neutral", 0.0, 2.3)]
    assert spans(["happy"] * 2 + ["neutral"] * 10 + ["happy"] * 2) == [("neutral", 0.0, 1.4)]
    assert spans(["neutral", "happy", "happy"] * 5) == [("happy", 0.0, 1.5)]


def test_whoever_was_away_has_a_new_cue_and_whoever_was_missed_has_not() -> None:
    assert spans(["happy"] * 10 + [None] * 3 + ["happy"] * 10) == [("happy", 0.0, 2.3)]
    assert spans(["happy"] * 10 + [None] * 20 + ["happy"] * 10) == [("happy", 0.0, 1.0), ("happy", 3.0, 4.0)]
    assert spans(["happy"] * 3 + [None] * 20) == []


def test_the_file_names_people_where_there_are_several(tmp_path: Path) -> None:
    alone, both = Subtitles(), Subtitles()
    for i in range(40):
        stamp_s = 3600 + i / 10
        alone.add(stamp_s, [shown("happy")])
        both.add(stamp_s, [shown("happy"), shown("neutral", "2", confidence=0.6)])
    alone.write(tmp_path / "alone.srt")
    assert (tmp_path / "alone.srt").read_text() == "1\n01:00:00,000 --> 01:00:04,000\nhappy 80%\n"
    both.write(tmp_path / "both.srt")
    assert (tmp_path / "both.srt").read_text() == (
        "1\n01:00:00,000 --> 01:00:04,000\nperson 1: happy 80%\n\n"
        "2\n01:00:00,000 --> 01:00:04,000\nperson 2: neutral 60%\n"
    )
    Subtitles().write(tmp_path / "nobody.srt")
    assert (tmp_path / "nobody.srt").read_text() == ""


def test_a_real_video_has_spans_that_a_player_reads(shared: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    """Read back by FFmpeg, through PyAV: as many cues, in order, none shorter than can be read."""
    av = pytest.importorskip("av")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    path, out = shared / "data/clips/wda_aoc.mp4", tmp_path / "said.srt"
    options = ["--detector", "haar", "--threads", "1", "--srt", str(out), "--every", "2", "--duration", "4"]
    assert main(["video", str(path), *options]) == 0
    assert str(out) in capsys.readouterr().out
    with av.open(str(path)) as container:
        length_s = container.duration / 1e6
    with av.open(str(out)) as container:
        times = [(float(p.pts * p.time_base), float(p.duration * p.time_base)) for p in container.demux() if p.size]
    assert 1 <= len(times) <= length_s / MIN_S
    assert len(times) == len(re.findall(r"^\d+$", out.read_text(), re.MULTILINE))
    for start_s, cue_s in times:
        assert start_s >= 0 and cue_s >= MIN_S - 0.001 and start_s + cue_s <= length_s + 0.2


def test_a_picture_has_no_subtitles(portrait, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "face.png"), portrait)
    words = [str(tmp_path / "face.png"), "--srt", str(tmp_path / "a.srt"), "--out", str(tmp_path / "o.png")]
    assert main(["video", *words]) == 2
    assert "--srt goes with a video" in capsys.readouterr().err
