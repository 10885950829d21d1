"""Frames from files that the tests write themselves, and from cameras that are not there."""

from __future__ import annotations

import os
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from emotion_core.errors import EmotionError
from emotion_core.media import frames
from emotion_core.media.frames import FrameSource, open_frames, resized
from emotion_core.media.source_config import SourceConfig

STEP = 10  # frame k of a video is grey k * STEP


def write_video(
    path: Path,
    count: int,
    rate_hz: int = 25,
    times: list[int] | None = None,
    size: tuple[int, int] = (64, 48),
) -> Path:
    """Grey frames, brighter and brighter, with a white corner at the top left; ``times`` in 1 / rate_hz."""
    av = pytest.importorskip("av", reason="PyAV is not installed (pip install av)")
    with av.open(str(path), "w") as container:
        motion_jpeg = path.suffix == ".avi"
        stream = container.add_stream("mjpeg" if motion_jpeg else "mpeg4", rate=rate_hz)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if motion_jpeg else "yuv420p"
        stream.bit_rate = 4_000_000
        stream.codec_context.time_base = stream.time_base = Fraction(1, rate_hz)
        for index in range(count):
            image = np.full((size[1], size[0], 3), index * STEP, np.uint8)
            image[:16, :16] = 255
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts = index if times is None else times[index]
            frame.time_base = Fraction(1, rate_hz)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def turn(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Write a rotation into an mp4 file's track header, as phones do."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # version and flags, times, id, duration, layer, volume
    for offset, value in zip((0, 4, 12, 16), matrix, strict=True):
        data[at + offset : at + offset + 4] = (value << 16).to_bytes(4, "big", signed=True)
    path.write_bytes(data)


def write_picture(path: Path, value: int, size: tuple[int, int] = (12, 8)) -> Path:
    cv2.imwrite(str(path), np.full((size[1], size[0], 3), value, np.uint8))
    return path


def read(source: FrameSource) -> tuple[list[int], list[float]]:
    """Numbers of the frames and their times."""
    with source:
        pairs = [(round(float(image[24:, 24:].mean()) / STEP), time_s) for image, time_s in source]
    return [number for number, _ in pairs], [time_s for _, time_s in pairs]


def first(source: FrameSource, count: int) -> list[tuple[NDArray[np.uint8], float]]:
    with source:
        return [pair for pair, _ in zip(source, range(count), strict=False)]


def test_every_frame_of_a_video_at_its_own_time(tmp_path: Path) -> None:
    source = open_frames(str(write_video(tmp_path / "v.mp4", 20)))
    assert source.rate_hz == 25 and not source.is_live
    numbers, times = read(source)
    assert numbers == list(range(20)) and source.skipped == 0
    np.testing.assert_allclose(times, np.arange(20) / 25, atol=1e-3)


def test_images_are_bgr_and_read_only(tmp_path: Path) -> None:
    [(image, time_s)] = first(open_frames(str(write_video(tmp_path / "v.mp4", 3))), 1)
    assert image.shape == (48, 64, 3) and image.dtype == np.uint8 and time_s == 0
    assert image.flags.c_contiguous and not image.flags.writeable


@pytest.mark.parametrize("rate_hz", [10, 30, 50])
def test_another_rate_keeps_the_speed(tmp_path: Path, rate_hz: int) -> None:
    numbers, times = read(open_frames(str(write_video(tmp_path / "v.mp4", 20)), rate_hz=rate_hz))
    assert len(times) == 20 / 25 * rate_hz
    np.testing.assert_allclose(times, np.arange(len(times)) / rate_hz)
    assert numbers == [int(time_s * 25 + 1e-3) for time_s in times]


def test_uneven_times_are_kept_and_resampled(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mkv", 5, times=[0, 1, 5, 6, 10])
    numbers, times = read(open_frames(str(path)))
    assert numbers == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(times, np.array([0, 1, 5, 6, 10]) / 25, atol=2e-3)
    numbers, _ = read(open_frames(str(path), rate_hz=25))
    assert numbers == [0, 1, 1, 1, 1, 2, 3, 3, 3, 3, 4]


DAY = 86400 * 25


@pytest.mark.parametrize(
    "times",
    [
        [0, 1, 2, 2 + 90 * 25, 3 + 90 * 25, 4 + 90 * 25],  # a minute and a half of nothing
        [k * 300 * 25 for k in range(6)],  # a frame in five minutes
        [0, 1, DAY, DAY + 1, 2 * DAY, 2 * DAY + 1],  # a frame now and then, for days
    ],
    ids=["motion-triggered", "time lapse", "days"],
)
def test_pauses_are_kept_and_nothing_after_them_is_lost(tmp_path: Path, times: list[int]) -> None:
    numbers, found = read(open_frames(str(write_video(tmp_path / "v.mkv", 6, times=times))))
    assert numbers == list(range(6))
    np.testing.assert_allclose(found, np.array(times) / 25, atol=2e-3)


def test_jumps_of_more_than_a_day_are_damage_and_what_follows_keeps_its_pace(tmp_path: Path) -> None:
    times = [0, 1, 40 * DAY, 40 * DAY + 1, 40 * DAY + 26, 40 * DAY + 27]
    numbers, found = read(open_frames(str(write_video(tmp_path / "v.mkv", 6, times=times))))
    assert numbers == list(range(6))
    np.testing.assert_allclose(found, np.array([0, 1, 2, 3, 28, 29]) / 25, atol=2e-3)


class FakeContainer:
    """Decoded frames with whatever times."""

    def __init__(self, times: list[float | None]) -> None:
        self.times = times

    def __enter__(self) -> FakeContainer:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def frames(self) -> Any:
        av = pytest.importorskip("av", reason="PyAV is not installed (pip install av)")
        for time_s in self.times:
            frame = av.VideoFrame.from_ndarray(np.zeros((8, 8, 3), np.uint8), format="bgr24")
            frame.time_base = Fraction(1, 1000)
            frame.pts = None if time_s is None else round(1000 * time_s)
            yield frame


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([5.0, 5.1, 5.1, 5.2, None, 5.4], [0, 0.1, 0.14, 0.2, 0.24, 0.4]),  # repeated, missing
        ([0.0, 0.1, 0.3, 0.2, 0.4], [0, 0.1, 0.3, 0.34, 0.4]),  # out of order
        ([9.0, 9.1, 2.0, 2.1, 2.3], [0, 0.1, 0.14, 0.24, 0.44]),  # begins anew
        ([0.0, 0.1, 1e6, 0.2, 0.3], [0, 0.1, 0.14, 0.18, 0.28]),  # one out of its mind
        ([None, None, 7.0, 7.1], [0, 0.04, 0.08, 0.18]),
    ],
)
def test_stamps_that_make_no_sense_count_as_one_period(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, times: list[float | None], expected: list[float]
) -> None:
    source = open_frames(str(write_video(tmp_path / "v.mkv", 2)))
    monkeypatch.setattr(source, "_open", lambda: FakeContainer(times))
    monkeypatch.setattr(source, "_decoded", FakeContainer.frames)
    found = [time_s for _, time_s in source]
    assert (np.diff(found) > 0).all()
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("rate_hz", [0, 25, 30])
def test_a_loop_goes_on_in_time(tmp_path: Path, rate_hz: int) -> None:
    pairs = first(open_frames(str(write_video(tmp_path / "v.mp4", 5)), loop=True, rate_hz=rate_hz), 24)
    times = np.array([time_s for _, time_s in pairs])
    np.testing.assert_allclose(times, np.arange(24) / (rate_hz or 25), atol=1e-3)
    numbers = [round(float(image[24:, 24:].mean()) / STEP) for image, _ in pairs]
    assert numbers == [int(time_s * 25 + 1e-2) % 5 for time_s in times]


def test_a_source_can_be_iterated_again(tmp_path: Path) -> None:
    with open_frames(str(write_video(tmp_path / "v.mp4", 4))) as source:
        assert len(list(source)) == 4
        next(iter(source))
        assert [time_s for _, time_s in source] == sorted({time_s for _, time_s in source})


@pytest.mark.parametrize(
    ("matrix", "corner"),
    [((1, 0, 0, 1), (0, 0)), ((0, 1, -1, 0), (0, -1)), ((-1, 0, 0, -1), (-1, -1)), ((0, -1, 1, 0), (-1, 0))],
    ids=["upright", "90 clockwise", "180", "90 counterclockwise"],
)
def test_phone_videos_are_turned_upright(
    tmp_path: Path, matrix: tuple[int, int, int, int], corner: tuple[int, int]
) -> None:
    path = write_video(tmp_path / "v.mp4", 2)
    av = pytest.importorskip("av")
    if not hasattr(av.VideoFrame, "rotation"):
        pytest.skip("this PyAV does not tell the rotation (14 and newer do)")
    turn(path, matrix)
    [(image, _)] = first(open_frames(str(path)), 1)
    assert image.shape[:2] == ((48, 64) if matrix[0] else (64, 48))
    assert image[corner].min() > 200 and np.median(image) < 20


def test_an_old_pyav_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    av = pytest.importorskip("av", reason="PyAV is not installed (pip install av)")
    path = str(write_video(tmp_path / "v.mp4", 2))
    open_frames(path)
    assert bool(caplog.records) != hasattr(av.VideoFrame, "rotation")
    caplog.clear()
    monkeypatch.setitem(sys.modules, "av", SimpleNamespace(open=av.open, error=av.error, VideoFrame=object))
    open_frames(path)
    assert "pip install 'av>=14'" in caplog.text


def test_broken_packets_are_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.avi", 20)
    data = bytearray(path.read_bytes())
    starts = [at for at in range(len(data)) if data[at : at + 3] == b"\xff\xd8\xff"]
    assert len(starts) == 20
    for at in starts[6:9]:
        data[at : at + 600] = bytes(600)  # less, and FFmpeg makes do with the tables of the picture before
    path.write_bytes(data)
    source = open_frames(str(path))
    numbers, times = read(source)
    assert source.skipped == 3
    assert numbers == [*range(6), *range(9, 20)]
    np.testing.assert_allclose(times, np.array(numbers) / 25, atol=1e-3)
    numbers, _ = read(open_frames(str(path), rate_hz=25))
    assert numbers == [*range(6), 5, 5, 5, *range(9, 20)]


def test_a_cut_off_video_ends_early(tmp_path: Path) -> None:
    path = write_video(tmp_path / "v.mkv", 20)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    numbers, _ = read(open_frames(str(path)))
    assert 2 < len(numbers) < 20 and numbers == list(range(len(numbers)))


@pytest.mark.parametrize("orientation", [1, 6])
def test_an_avif_is_read_as_a_picture_and_turned_upright(tmp_path: Path, orientation: int) -> None:
    pillow = pytest.importorskip("PIL.Image")
    exif = pillow.Exif()
    exif[0x0112] = orientation
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24, :32] = 255  # turned clockwise, it comes to the right
    path = tmp_path / "face.avif"
    try:
        cv2.imencode(".avif", image)
        pillow.fromarray(image).save(path, exif=exif)
    except (cv2.error, KeyError, ValueError, OSError):
        pytest.skip("this OpenCV or Pillow knows no AVIF")
    ((found, _),) = first(open_frames(str(path)), 2)
    assert found.shape == ((64, 48, 3) if orientation == 6 else (48, 64, 3))
    assert found[:20, -20:].mean() == pytest.approx(255 if orientation == 6 else 0, abs=5)


def test_a_gif_moves_by_itself_and_is_a_picture_in_a_folder(tmp_path: Path) -> None:
    pytest.importorskip("av", reason="PyAV is not installed (pip install av)")
    pillow = pytest.importorskip("PIL.Image")
    images = [pillow.fromarray(np.full((48, 64), STEP * i, np.uint8)) for i in range(5)]
    images[0].save(tmp_path / "moving.gif", save_all=True, append_images=images[1:], duration=100)
    numbers, times = read(open_frames(str(tmp_path / "moving.gif")))
    assert numbers == [0, 1, 2, 3, 4] and times == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    images[3].save(tmp_path / "still.gif")
    assert read(open_frames(str(tmp_path / "still.gif")))[0] == [3]
    assert read(open_frames(str(tmp_path)))[0] == [0, 3]


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    for name, value in (("b.PNG", 20), ("a.bmp", 10), ("c.png", 30), ("._c.png", 40)):
        write_picture(tmp_path / name.lower(), value).rename(tmp_path / name)
    (tmp_path / "bb.jpg").write_bytes(b"not a picture")
    (tmp_path / "notes.txt").write_text("neither")
    source = open_frames(str(tmp_path))
    assert source.rate_hz is None
    pairs = list(source)
    assert [image[0, 0, 0] for image, _ in pairs] == [10, 20, 30] and source.skipped == 1
    np.testing.assert_allclose([time_s for _, time_s in pairs], [0, 1 / 30, 2 / 30])
    pairs = first(open_frames(str(tmp_path), loop=True, rate_hz=10), 7)
    assert [image[0, 0, 0] for image, _ in pairs] == [10, 20, 30, 10, 20, 30, 10]
    np.testing.assert_allclose([time_s for _, time_s in pairs], np.arange(7) / 10)


def test_one_picture(tmp_path: Path) -> None:
    path = str(write_picture(tmp_path / "p.png", 50))
    assert [time_s for _, time_s in open_frames(path)] == [0]
    pairs = first(open_frames(path, loop=True, rate_hz=15), 40)
    np.testing.assert_allclose([time_s for _, time_s in pairs], np.arange(40) / 15)
    assert all(image is pairs[0][0] for image, _ in pairs)


@pytest.mark.parametrize("name", [b"caf\xe9.mp4", b"12:30.mp4", b"%03d.mp4", b"-v.mp4"])
def test_videos_of_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: bytes) -> None:
    write_video(tmp_path / "v.mp4", 3).rename(tmp_path / os.fsdecode(name))
    monkeypatch.chdir(tmp_path)
    assert read(open_frames(os.fsdecode(name)))[0] == [0, 1, 2]


def test_pictures_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    write_picture(tmp_path / "p.png", 50).rename(folder / os.fsdecode(b"na\xefve.png"))
    for path in (folder, folder / os.fsdecode(b"na\xefve.png")):
        [(image, _)] = open_frames(str(path))
        assert (image == 50).all()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.mp4", None, "expected a camera's number or the path of a video or pictures, got"),
        ("", None, "got ''"),
        ("text.mp4", b"this is no video", "expected a video or a picture, but it cannot be read"),
        ("empty.mp4", b"", "expected a video or a picture, but it cannot be read"),
        ("text.png", b"this is no picture", "OpenCV cannot decode"),
        ("empty.jpg", b"", "no data at all"),
        ("x" * 300, None, "cannot be read: File name too long"),
        ("a\0b", None, "expected a camera's number or the path of a video or pictures, got"),
        ("\ud800x", None, "expected a camera's number or the path of a video or pictures, got"),
    ],
)
def test_what_cannot_be_opened(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    if name.endswith(".mp4") and content is not None:
        pytest.importorskip("av", reason="PyAV is not installed (pip install av)")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(EmotionError, match=said) as caught:
        open_frames(str(tmp_path / name) if name else "")
    assert "\n" not in str(caught.value)


def test_folders_without_a_picture(tmp_path: Path) -> None:
    with pytest.raises(EmotionError, match="expected a folder with pictures"):
        open_frames(str(tmp_path))
    (tmp_path / "a.png").write_bytes(b"broken")
    with pytest.raises(EmotionError, match="none of it can be read"):
        list(open_frames(str(tmp_path), loop=True))


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="PyAV is not installed (pip install av)")
    with av.open(str(tmp_path / "s.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(EmotionError, match="a file without pictures"):
        open_frames(str(tmp_path / "s.wav"))


def test_without_pyav_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "v.mp4").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(EmotionError, match=r"pip install av, or pip install emotion-perception\[media\]"):
        open_frames(str(tmp_path / "v.mp4"))


@pytest.mark.skipif(sys.platform != "linux", reason="cameras are files on Linux only")
@pytest.mark.parametrize("source", ["77", "/dev/video77"])
def test_a_camera_that_is_not_there(source: str) -> None:
    with pytest.raises(EmotionError, match=r"there is no /dev/video77: is it plugged in\?"):
        open_frames(source)


class FakeCamera:
    """Gives frames at 50 Hz of its own clock, loses one of them, and is then unplugged."""

    def __init__(self, *_: Any) -> None:
        self.count = 0
        self.released = False

    def isOpened(self) -> bool:
        return True

    def set(self, *_: Any) -> bool:
        return False

    def get(self, _: int) -> float:
        return 50.0

    def release(self) -> None:
        self.released = True

    def monotonic(self) -> float:
        return 1000 + self.count / 50

    def read(self) -> tuple[bool, NDArray[np.uint8] | None]:
        self.count += 1
        if self.count == 5 or self.count > 100:
            return False, None
        return True, np.full((4, 6, 3), self.count, np.uint8)


@pytest.mark.parametrize(("rate_hz", "least", "most"), [(0, 99, 99), (25, 48, 51), (10, 19, 21)])
def test_camera(monkeypatch: pytest.MonkeyPatch, rate_hz: int, least: int, most: int) -> None:
    fake = FakeCamera()
    monkeypatch.setattr(frames.cv2, "VideoCapture", lambda *_: fake)
    monkeypatch.setattr(frames.Path, "exists", lambda _: True)
    monkeypatch.setattr(frames.time, "monotonic", fake.monotonic)
    times = []
    with open_frames("0", rate_hz=rate_hz) as source:
        assert source.is_live and source.rate_hz == 50
        with pytest.raises(EmotionError, match=r"camera 0 sends no more pictures: was it unplugged\?"):
            for image, time_s in source:
                assert image.shape == (4, 6, 3)
                times.append(time_s)
    assert fake.released and source.skipped == 11
    assert least <= len(times) <= most and (np.diff(times) > 0).all()


def test_resized() -> None:
    image = np.full((480, 640, 3), 7, np.uint8)
    assert resized(image, 0) is image and resized(image, 640) is image
    assert resized(image, 320).shape == (240, 320, 3) and resized(image, 1280).shape == (960, 1280, 3)
    assert resized(np.zeros((1, 500, 3), np.uint8), 10).shape == (1, 10, 3)


def test_the_configuration_is_checked() -> None:
    assert SourceConfig().source == "0"
    with pytest.raises(EmotionError, match="rate_hz"):
        SourceConfig(rate_hz=-1.0)
    with pytest.raises(EmotionError, match="encoding"):
        SourceConfig(encoding="yuv")
    with pytest.raises(EmotionError, match="expected a rate"):
        open_frames("0", rate_hz=float("nan"))


def test_a_real_clip(shared: Path) -> None:
    pytest.importorskip("av", reason="PyAV is not installed (pip install av)")
    source = open_frames(str(shared / "data" / "clips" / "wda_aoc.mp4"), rate_hz=30)
    with source:
        times = [time_s for _, time_s in source]
    assert source.rate_hz == 25 and source.skipped == 0
    assert len(times) == 240  # 200 frames at 25 Hz
